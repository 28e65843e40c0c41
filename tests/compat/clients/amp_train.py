"""IsaacGymEnvs' way with AMP: registers everything, trains, goes on from the checkpoint, plays it."""

import glob
import os

import gymnasium
import numpy as np
import torch
from amp_agent import AMPAgent
from amp_parts import AMPBuilder, ModelAMPContinuous
from amp_player import AMPPlayerContinuous
from rl_games.algos_torch import model_builder, torch_ext
from rl_games.common import env_configurations, vecenv
from rl_games.common.algo_observer import AlgoObserver
from rl_games.torch_runner import Runner
from world import PointMass, network, report, settings


class MotionPoint(PointMass):
    """Leaves what has ended to ``reset_done()``; AMP observations are two positions, ``(N, 4)``."""

    def __init__(self, num_envs=4, **more):
        super().__init__(num_envs, **more)
        self.amp_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
        self.ended = torch.zeros(num_envs, dtype=torch.long)
        self.viewer = None

    def reset_done(self):
        ids = self.ended.nonzero(as_tuple=False).flatten()
        self.restart(self.ended > 0)
        self.ended = torch.zeros_like(self.ended)
        return {"obs": self.observe()}, ids

    def step(self, actions):
        before = self.position
        reward, failed, run_out = self.push(actions)
        self.ended = (failed | run_out).long()
        extras = {
            "terminate": failed.long(),
            "amp_obs": torch.cat([before, self.position], dim=1),
            "time_outs": run_out & ~failed,
        }
        return {"obs": self.observe()}, torch.ones_like(reward), self.ended, extras

    def fetch_amp_obs_demo(self, count):
        angle = torch.rand(count, 1, generator=self.random) * 6.28
        start = torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)
        return torch.cat([start, 0.9 * start], dim=1)


class RLGPUEnv(vecenv.IVecEnv):
    """The task as RL Games takes it; the base class has no constructor to call."""

    def __init__(self, config_name, num_actors, **kwargs):
        self.env = env_configurations.configurations[config_name]["env_creator"](**kwargs)

    def step(self, actions):
        return self.env.step(actions)

    def reset(self):
        return self.env.reset()

    def reset_done(self):
        return self.env.reset_done()

    def get_number_of_agents(self):
        return 1

    def get_env_info(self):
        return {
            "action_space": self.env.action_space,
            "observation_space": self.env.observation_space,
            "amp_observation_space": self.env.amp_observation_space,
        }


class Watcher(AlgoObserver):
    """Counts what reaches an observer."""

    def __init__(self):
        super().__init__()
        self.calls = {}

    def after_init(self, algo):
        self.algo = algo

    def process_infos(self, infos, done_indices):
        assert isinstance(infos, dict) and done_indices.ndim == 2
        self.calls["infos"] = self.calls.get("infos", 0) + 1

    def after_steps(self):
        self.calls["steps"] = self.calls.get("steps", 0) + 1

    def after_print_stats(self, frame, epoch_num, total_time):
        self.calls["frame"] = frame


def config():
    net = network(separate=True, name="amp")
    net["space"]["continuous"] |= {"learn_sigma": False}
    net["space"]["continuous"]["sigma_init"]["val"] = -2.9
    initializer = {"name": "default"}
    net["disc"] = {"units": [16], "activation": "relu", "initializer": initializer}
    return settings(
        "amp_continuous",
        "continuous_amp",
        net,
        lr_schedule="constant",
        schedule_type="legacy",
        seq_len=4,
        critic_coef=5,
        bounds_loss_coef=10,
        max_epochs=2,
        save_intermediate=True,
        population_based_training=False,
        pbt_idx=None,
        env_config={},
        amp_obs_demo_buffer_size=64,
        amp_replay_buffer_size=128,
        amp_replay_keep_prob=0.01,
        amp_batch_size=16,
        amp_minibatch_size=8,
        disc_coef=5,
        disc_logit_reg=0.05,
        disc_grad_penalty=0.2,
        disc_reward_scale=2,
        disc_weight_decay=0.0001,
        normalize_amp_input=True,
        task_reward_w=0.0,
        disc_reward_w=1.0,
    )


def build_runner(observer):
    runner = Runner(observer)
    runner.algo_factory.register_builder("amp_continuous", lambda **kwargs: AMPAgent(**kwargs))
    runner.player_factory.register_builder("amp_continuous", lambda **kwargs: AMPPlayerContinuous(**kwargs))
    model_builder.register_model("continuous_amp", lambda network, **kwargs: ModelAMPContinuous(network))
    model_builder.register_network("amp", lambda **kwargs: AMPBuilder())
    runner.load(config())
    runner.reset()
    return runner


def newest():
    return max(glob.glob("runs/Point_*/nn/Point_*.pth"), key=os.path.getmtime)


def main():
    env_configurations.register(
        "rlgpu",
        {
            "vecenv_type": "RLGPU",
            "env_creator": lambda **kwargs: MotionPoint(num_envs=4),
        },
    )
    vecenv.register("RLGPU", lambda config_name, num_actors, **kwargs: RLGPUEnv(config_name, num_actors, **kwargs))
    observer = Watcher()
    build_runner(observer).run({"train": True, "play": False, "checkpoint": "", "sigma": None})
    agent = observer.algo
    first = torch_ext.load_checkpoint(newest())
    assert first["epoch"] == 3 and first["frame"] == 3 * 32  # the loop ends with the first epoch beyond max_epochs
    assert torch.equal(first["model"]["a2c_network.sigma"], torch.full((2,), -2.9))
    weight = "a2c_network._disc_mlp.0.weight"
    assert torch.equal(first["model"][weight], agent.model.state_dict()[weight])

    runner = build_runner(Watcher())
    runner.run({"train": True, "play": False, "checkpoint": newest(), "sigma": None})
    second = torch_ext.load_checkpoint(newest())
    assert second["epoch"] == 4
    assert not torch.equal(first["model"][weight], second["model"][weight])
    # Two updates of 16 more demonstrations than the first file's count can be told from the fields it carries on.
    assert second["amp_input_mean_std"]["count"] > first["amp_input_mean_std"]["count"]

    build_runner(Watcher()).run({"train": False, "play": True, "checkpoint": newest(), "sigma": None})
    player = build_runner(Watcher()).create_player()
    player.restore(newest())
    player.run()
    assert player.opinions and all(0.0 <= opinion <= 1.0 for opinion in player.opinions)
    report(
        calls=observer.calls,
        keys=sorted(set(first) & {"model", "epoch", "frame", "optimizer", "amp_input_mean_std", "env_state"}),
        parameters={name: list(value.shape) for name, value in first["model"].items()},
        count=float(first["amp_input_mean_std"]["count"]),
        schedule=agent.schedule_type,
        seq_len=agent.seq_len,
        lr=agent.last_lr,
        batch={name: list(value.shape) for name, value in agent.dataset[0].items()},
    )


if __name__ == "__main__":
    main()
