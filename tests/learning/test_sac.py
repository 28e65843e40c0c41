"""SAC brings a point mass to rest; the result is compared with the best linear controller."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy_sac import sac_params

from manybody.algos.sac import SACAgent, SACPlayer
from manybody.config import parse_params
from manybody.envs.base import EnvSpec, Step, VecEnv

STEPS = 20
"""Length of an episode, which is then truncated."""
LINEAR = -0.333
"""Mean return of the best u = -(k x + d v) within the bounds, k = 6.5 and d = 2.5, found on a grid of width 0.5.
Zero actions have -20/3."""


class PointMass(VecEnv):
    """A mass with friction that starts at x in [-1, 1]; the force is u in [-2, 1] and the reward -x^2.

    ``v <- 0.9 v + 0.3 u``, ``x <- x + 0.3 v``, walls at +-1.5: the speed persists, so the policy has to brake.
    """

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        action = spaces.Box(np.float32(-2.0), np.float32(1.0), (1,))
        self.spec = EnvSpec(spaces.Box(-np.inf, np.inf, (2,)), action)

    def start(self):
        state = torch.zeros(self.num_envs, 2)
        state[:, 0].uniform_(-1.0, 1.0)
        return state

    def reset(self):
        self.state, self.count = self.start(), torch.zeros(self.num_envs, dtype=torch.long)
        return {"obs": self.state.clone()}

    def step(self, actions):
        speed = 0.9 * self.state[:, 1] + 0.3 * actions[:, 0]
        place = (self.state[:, 0] + 0.3 * speed).clamp(-1.5, 1.5)
        self.state = torch.stack([place, speed], dim=1)
        self.count = self.count + 1
        reward, last = -self.state[:, 0].square(), self.state
        cut = self.count >= STEPS
        self.state = torch.where(cut.unsqueeze(1), self.start(), self.state)
        self.count = torch.where(cut, 0, self.count)
        return Step({"obs": self.state}, reward, torch.zeros_like(cut), cut, {"obs": last}, {})


@pytest.mark.learning
def test_point_mass():
    params = parse_params(
        sac_params(
            {"mlp": {"units": [32, 32], "activation": "relu"}},
            num_actors=16,
            num_steps_per_episode=20,
            num_warmup_frames=640,
            num_updates_per_step=3,
            policy_frequency=1,
            batch_size=128,
            reward_shaper={"scale_value": 3.0},
            replay_buffer_size=20_000,
            gamma=0.9,
            critic_tau=0.02,
            actor_lr=1e-3,
            critic_lr=3e-3,
            alpha_lr=3e-3,
            init_alpha=0.05,
            max_epochs=25,
            player={"games_num": 512},
        )
    )
    torch.manual_seed(0)
    agent = SACAgent("run", params, vec_env=PointMass(16))
    agent.train()
    player = SACPlayer(params, vec_env=PointMass(256))
    player.model.load_state_dict(agent.model.state_dict())
    result = player.run(quiet=True)
    assert result.mean_reward > 2.0 * LINEAR, f"{result.mean_reward:.3f}"
