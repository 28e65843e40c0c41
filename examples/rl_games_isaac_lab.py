"""A script like Isaac Lab's for RL Games 1.6: train a custom environment, then play it step by step.

    python -m manybody.compat examples/rl_games_isaac_lab.py

The wrapper represents Isaac Lab's ``RlGamesVecEnvWrapper``; the code below it is that of train.py and play.py.
"""

import glob
from pathlib import Path

import gymnasium
import torch
import yaml
from rl_games.common import env_configurations, vecenv
from rl_games.common.algo_observer import IsaacAlgoObserver
from rl_games.torch_runner import Runner


class Points(vecenv.IVecEnv):
    """A wrapper around a simulator: points on a line that the agent pushes towards 0 for 20 steps."""

    def __init__(self, config_name, num_actors, **kwargs):
        self.place, self.time = torch.zeros(num_actors, 1), torch.zeros(num_actors)

    def get_env_info(self):
        box = gymnasium.spaces.Box
        return {"observation_space": box(-9.0, 9.0, (1,)), "action_space": box(-1.0, 1.0, (1,))}

    def reset(self):
        self.place = 2.0 * torch.rand_like(self.place) - 1.0
        return {"obs": self.place.clone()}

    def step(self, actions):
        self.place, self.time = self.place + 0.1 * actions, self.time + 1.0
        reward, out = 1.0 - self.place.abs()[:, 0], self.time >= 20.0
        extras = {"time_outs": out, "episode": {"distance": self.place.abs().mean()}}
        self.place[out], self.time[out] = 1.0, 0.0
        return {"obs": self.place.clone()}, reward, out, extras


vecenv.register("POINTS", lambda name, num_actors, **kwargs: Points(name, num_actors, **kwargs))
env_configurations.register("rlgpu", {"vecenv_type": "POINTS", "env_creator": lambda **kwargs: None})
settings = yaml.safe_load(Path(__file__).with_name("rl_games_cartpole.yaml").read_text())
settings["params"]["config"] |= {"env_name": "rlgpu", "device_name": "cpu", "full_experiment_name": "lab"}
settings["params"]["config"] |= {"max_epochs": 3, "player": {"use_vecenv": True}}

runner = Runner(IsaacAlgoObserver())
runner.load(settings)
runner.reset()
runner.run({"train": True, "play": False, "sigma": None})

player = runner.create_player()
player.restore(glob.glob("runs/lab/nn/last_*.pth")[0])
player.reset()
obs = player.env_reset(player.env)
player.get_batch_size(obs, 1)
with torch.inference_mode():
    for _ in range(20):
        actions = player.get_action(player.obs_to_torch(obs), is_deterministic=player.is_deterministic)
        obs, rewards, dones, infos = player.env.step(actions)
