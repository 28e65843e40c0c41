"""IsaacGymEnvs' registration of a task, for the clients that are about something else."""

from rl_games.common import env_configurations, vecenv
from rl_games.torch_runner import Runner


class RLGPUEnv(vecenv.IVecEnv):
    """A task as RL Games takes it: no constructor of the base class, no number of agents in the information."""

    def __init__(self, config_name, num_actors, **kwargs):
        self.env = env_configurations.configurations[config_name]["env_creator"](**kwargs)
        self.frames = []

    def step(self, actions):
        return self.env.step(actions)

    def reset(self):
        return self.env.reset()

    def get_number_of_agents(self):
        return 1

    def get_env_info(self):
        info = {"action_space": self.env.action_space, "observation_space": self.env.observation_space}
        if hasattr(self.env, "amp_observation_space"):
            info["amp_observation_space"] = self.env.amp_observation_space
        return info

    def set_train_info(self, env_frames, *args_, **kwargs_):
        self.frames.append(env_frames)
        self.env.set_train_info(env_frames, *args_, **kwargs_)

    def get_env_state(self):
        return self.env.get_env_state()

    def set_env_state(self, env_state):
        self.env.set_env_state(env_state)


def register(make_env):
    """Makes ``rlgpu`` the environment that ``make_env(**env_config)`` gives."""
    vecenv.register("RLGPU", lambda config_name, num_actors, **kwargs: RLGPUEnv(config_name, num_actors, **kwargs))
    env_configurations.register("rlgpu", {"vecenv_type": "RLGPU", "env_creator": lambda **kwargs: make_env(**kwargs)})


def run(cfg, observer=None, algo=None, player=None, runner=None, **args):
    """Loads and runs ``cfg`` as train.py does, with an agent or player of one's own; the runner."""
    name = cfg["params"]["algo"]["name"]
    runner = Runner(observer) if runner is None else runner
    if algo is not None:
        runner.algo_factory.register_builder(name, lambda **kwargs: algo(**kwargs))
    if player is not None:
        runner.player_factory.register_builder(name, lambda **kwargs: player(**kwargs))
    runner.load(cfg)
    runner.reset()
    runner.run({"train": True, "play": False, "checkpoint": None, "sigma": None} | args)
    return runner
