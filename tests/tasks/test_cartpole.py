import math

import pytest
import torch

from manybody.tasks import make
from manybody.tasks.cartpole import balance_terms, failures
from manybody.tasks.terms import reward_of


def test_reward():
    # 1 - 0.2^2 - 0.01 x 3 - 0.005 x 4 = 0.91
    terms = balance_terms(torch.tensor([0.2]), torch.tensor([-3.0]), torch.tensor([4.0]))
    torch.testing.assert_close(reward_of(terms), torch.tensor([0.91]))


def test_failure():
    position = torch.tensor([2.9, -3.1, 0.0, 0.0])
    angle = torch.tensor([0.0, 0.0, 1.58, -1.5])
    reasons = failures(position, angle, 3.0)
    assert reasons["cart_left"].tolist() == [False, True, False, False]
    assert reasons["pole_fell"].tolist() == [False, False, True, False]


def test_observation_is_cart_then_pole():
    task = make("Cartpole", num_envs=1)
    task.sim.reset(torch.ones(1, dtype=torch.bool), torch.tensor([[0.1, 0.2]]), torch.tensor([[0.3, 0.4]]))
    torch.testing.assert_close(task.compute_observations(), torch.tensor([[0.1, 0.3, 0.2, 0.4]]))


def test_model():
    model = make("Cartpole", num_envs=1).sim.model
    assert model.body("cart").mass == 1.0 and model.body("pole").mass == 1.0
    assert model.body("pole").ipos.tolist() == [0.0, 0.0, 0.47]
    assert model.jnt_range[0].tolist() == [-4.0, 4.0]


def test_force_accelerates_the_cart():
    # Upright and at rest, a horizontal force F on the cart gives F = (M + m) a - m l alpha, and the pole's
    # moment equation (I + m l^2) alpha = m l a (for the hinge's sign of angle). I = m (0.06^2 + 1^2) / 12 =
    # 0.08363.
    task = make("Cartpole", num_envs=1, cfg={"sim": {"dt": 1e-4, "substeps": 1}, "env": {"clipObservations": 1e9}})
    task.sim.reset(torch.ones(1, dtype=torch.bool), torch.zeros(1, 2), torch.zeros(1, 2))
    task.pre_physics_step(torch.tensor([[0.5]]))  # 200 N
    task.sim.step(1)
    length, inertia = 0.47, (0.06**2 + 1.0) / 12
    acceleration = 200.0 / (2.0 - length**2 / (inertia + length**2))
    assert task.sim.qvel[0, 0].item() == pytest.approx(acceleration * 1e-4, rel=1e-3)


def test_initial_states_fill_their_ranges():
    task = make("Cartpole", num_envs=2000)
    obs = task.reset()["obs"]
    # 0.2 (rand - 0.5) and 0.5 (rand - 0.5)
    assert obs[:, [0, 2]].abs().max().item() == pytest.approx(0.1, abs=1e-3)
    assert obs[:, [1, 3]].abs().max().item() == pytest.approx(0.25, abs=1e-3)


def test_falling_pole_terminates_with_the_failure_reward():
    task = make("Cartpole", num_envs=1)
    task.sim.reset(
        torch.ones(1, dtype=torch.bool), torch.tensor([[0.0, math.pi / 2 - 0.01]]), torch.tensor([[0.0, 3.0]])
    )
    step = task.step(torch.zeros(1, 1))
    assert step.terminated.item() and step.reward.item() == -2.0
    assert step.final_obs["obs"][0, 2] > math.pi / 2
    assert step.obs["obs"][0, 2].abs() <= 0.1
