"""HumanoidAMPHeading: what is commanded, seen and paid."""

import math

import torch

from manybody.functional.rotations import quat_exp
from manybody.tasks import make
from manybody.tasks.humanoid_amp_heading import heading_reward


def task(num_envs, seed=0, **env):
    return make("HumanoidAMPHeading", num_envs=num_envs, seed=seed, cfg={"env": env})


def test_the_reward_by_hand():
    # 1 m/s along x where 1 m/s along x is commanded: 1. Along y instead: exp(-1/4). Backwards: exp(-1/4 (1 + 1)^2).
    command = torch.tensor([[1.0, 0.0, 1.0]]).repeat(3, 1)
    velocity = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    torch.testing.assert_close(heading_reward(velocity, command), torch.tensor([1.0, math.exp(-0.25), math.exp(-1.0)]))


def test_the_command_is_seen_from_the_heading_and_the_discriminator_does_not_see_it():
    env = task(1)
    env.command[:] = torch.tensor([1.0, 0.0, 1.5])
    env.sim.qpos[0, 3:7] = quat_exp(torch.tensor([0.0, 0.0, math.pi / 2]))  # facing y: x is to the right, -y
    seen = env.compute_observations()[0]
    torch.testing.assert_close(seen[105:], torch.tensor([0.0, -1.0, 1.5]), atol=1e-6, rtol=0)
    assert env.step(torch.zeros(1, 28)).extras["amp_obs"].shape == (1, 210)


def test_commands_stay_within_their_limits_and_change_now_and_then():
    env = task(400, targetSpeedMin=0.5, targetSpeedMax=0.7, headingChangeSteps=10, enableEarlyTermination=False)
    before = env.command.clone()
    torch.testing.assert_close(before[:, :2].norm(dim=1), torch.ones(400))
    assert before[:, 2].min() >= 0.5 and before[:, 2].max() <= 0.7 and before[:, 1].min() < -0.9
    env.step(torch.zeros(400, 28))
    changed = (env.command != before).any(dim=1).float().mean().item()
    assert 0.05 < changed < 0.16  # 1 in 10, of 400: standard deviation 0.015


def test_the_observation_after_an_end_shows_the_new_command():
    env = task(3, episodeLength=1)
    step = env.step(torch.zeros(3, 28))
    assert step.truncated.all() and torch.equal(step.obs["obs"][:, 107], env.command[:, 2])
    torch.testing.assert_close(step.obs["obs"], env.compute_observations(), atol=1e-5, rtol=1e-5)


def test_it_resumes_bit_for_bit():
    one, other = task(3, seed=1), task(3, seed=2)
    for _ in range(5):
        one.step(torch.zeros(3, 28))
    other.set_env_state(one.get_env_state())
    for _ in range(5):
        assert torch.equal(one.step(torch.zeros(3, 28)).obs["obs"], other.step(torch.zeros(3, 28)).obs["obs"])
