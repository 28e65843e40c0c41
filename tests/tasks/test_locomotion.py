import math

import pytest
import torch

from manybody.tasks import make
from manybody.tasks.humanoid import joint_torque, near_limit_cost
from manybody.tasks.locomotion import (
    action_cost,
    energy_cost,
    heading_reward,
    progress_reward,
    target_distance,
    unscale,
    up_reward,
)
from manybody.tasks.terms import reward_of


def test_distance_and_progress():
    # 3-4-5: the target is at (1000, 0), so (997, 4) is 5 m away; height does not count.
    distance = target_distance(torch.tensor([[997.0, 4.0, 9.0], [0.0, 0.0, 0.4]]))
    torch.testing.assert_close(distance, torch.tensor([5.0, 1000.0], dtype=torch.float64))
    # From 5 m to 4.9668 m in 0.0166 s is 2 m/s.
    dt = 0.0166
    reward = progress_reward(torch.tensor([-4.9668 / dt]).double(), torch.tensor([-5.0 / dt]).double())
    assert reward.item() == pytest.approx(2.0, rel=1e-5)
    assert reward.dtype == torch.float32


def test_progress_resolves_a_slow_walk():
    # 1 cm/s is 0.166 mm a step, less than three float32 steps (61 um) at 1000 m.
    dt = 0.0166
    before, after = (-target_distance(torch.tensor([[x, 0.0, 0.0]])) / dt for x in (0.0, 0.01 * dt))
    assert progress_reward(after, before).item() == pytest.approx(0.01, rel=1e-3)


def test_heading_reward():
    # Facing (1.0) and just facing enough (0.9) earn 0.5; half of 0.8 earns half; backwards costs.
    torch.testing.assert_close(
        heading_reward(torch.tensor([1.0, 0.9, 0.4, -0.8]), 0.5), torch.tensor([0.5, 0.5, 0.25, -0.5])
    )


def test_up_reward():
    torch.testing.assert_close(up_reward(torch.tensor([1.0, 0.92, -1.0]), 0.1), torch.tensor([0.1, 0.0, 0.0]))


def test_action_cost():
    # 0.005 (1 + 0.25) = 0.00625
    torch.testing.assert_close(action_cost(torch.tensor([[1.0, -0.5]]), 0.005), torch.tensor([0.00625]))


def test_energy_cost():
    # |1 x -2| x 1 + |-0.5 x 4| x 0.5 = 3; times 0.05 = 0.15
    cost = energy_cost(torch.tensor([[1.0, -0.5]]), torch.tensor([[-2.0, 4.0]]), torch.tensor([1.0, 0.5]), 0.05)
    torch.testing.assert_close(cost, torch.tensor([0.15]))


def test_unscale():
    # [-1, 3] has its middle at 1: -1 -> -1, 1 -> 0, 3 -> 1, 2 -> 0.5.
    angles = torch.tensor([[-1.0], [1.0], [3.0], [2.0]])
    scaled = unscale(angles, torch.tensor([-1.0]), torch.tensor([3.0]))
    torch.testing.assert_close(scaled, torch.tensor([[-1.0], [0.0], [1.0], [0.5]]))


def test_ant_counts_joints_at_their_upper_limit():
    ant = make("Ant", num_envs=2)
    angles = torch.zeros(2, 8)
    angles[0, :3] = torch.tensor([0.995, 1.0, -1.0])
    torch.testing.assert_close(ant.joints_at_limit_cost(angles), torch.tensor([0.2, 0.0]))


def test_humanoid_limit_cost_grows_towards_the_limit():
    # 0.99 is half way from 0.98 to 1: 0.25 (0.5 x 1 + 1.0 x 0.5) = 0.25; 0.97 costs nothing.
    cost = near_limit_cost(torch.tensor([[0.99, -1.0], [0.97, 0.0]]), torch.tensor([1.0, 0.5]), 0.25)
    torch.testing.assert_close(cost, torch.tensor([0.25, 0.0]), atol=1e-5, rtol=0)


def test_limit_torque_pushes_back():
    # At the upper limit (+1) the limit pushes down, at the lower limit up; a free joint feels its motor
    # alone.
    torque = joint_torque(
        torch.tensor([[5.0, 5.0, 5.0]]), torch.tensor([[2.0, 2.0, 0.0]]), torch.tensor([[1.0, -1.0, 0.3]])
    )
    torch.testing.assert_close(torque, torch.tensor([[3.0, 7.0, 5.0]]))


@pytest.fixture(params=["Ant", "Humanoid"])
def task(request):
    return make(request.param, num_envs=2)


def place(task, position, yaw=0.0, roll=0.0, velocity=(0.0, 0.0, 0.0)):
    """Put every environment somewhere by hand; returns the observation."""
    qpos, qvel = task.sim.qpos.clone(), torch.zeros_like(task.sim.qvel)
    qpos[:, :3] = torch.tensor(position)
    w, x = math.cos(roll / 2), math.sin(roll / 2)
    c, s = math.cos(yaw / 2), math.sin(yaw / 2)
    qpos[:, 3:7] = torch.tensor([c * w, c * x, s * x, s * w])  # Rz(yaw) Rx(roll)
    qvel[:, :3] = torch.tensor(velocity)
    task.sim.reset(torch.ones(2, dtype=torch.bool), qpos, qvel)
    return task.compute_observations()[0]


def test_observation_layout(task):
    joints = task.num_actions
    task.actions = torch.full_like(task.actions, 0.25)
    qvel = torch.arange(task.sim.model.nv, dtype=torch.float32).repeat(2, 1)
    task.sim.reset(torch.ones(2, dtype=torch.bool), task.start_qpos.repeat(2, 1), qvel)
    obs = task.compute_observations()[0]
    assert obs.shape == (12 + 3 * joints + {8: 24, 21: 21 + 12}[joints],)
    assert obs[0] == pytest.approx(task.start_height)
    torch.testing.assert_close(obs[1:4], torch.tensor([0.0, 1.0, 2.0]))  # upright: body frame = world frame
    torch.testing.assert_close(obs[4:7], task.env.angularVelocityScale * torch.tensor([3.0, 4.0, 5.0]))
    torch.testing.assert_close(obs[7:12], torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0]))  # yaw, roll, angle, up, heading
    lower, upper = task.dof_limits_lower, task.dof_limits_upper
    rest = (2 * task.start_qpos[7:] - upper - lower) / (upper - lower)
    torch.testing.assert_close(obs[12 : 12 + joints], rest)
    speeds = task.env.dofVelocityScale * torch.arange(6.0, 6.0 + joints)
    torch.testing.assert_close(obs[12 + joints : 12 + 2 * joints], speeds)
    torch.testing.assert_close(obs[-joints:], torch.full((joints,), 0.25))


def test_angle_to_the_target_lies_in_the_horizontal_plane(task):
    # At (0, 1000) the target (1000, 0) lies 45 degrees to the right of the x-axis, however high the torso is.
    for height in (1.0, 5.0):
        assert place(task, (0.0, 1000.0, height))[9] == pytest.approx(-math.pi / 4, abs=1e-5)
    # Facing it, the angle vanishes and the heading is full.
    obs = place(task, (0.0, 1000.0, 1.0), yaw=-math.pi / 4)
    assert obs[9] == pytest.approx(0.0, abs=1e-5)
    assert obs[11] == pytest.approx(1.0, abs=1e-5)


def test_angles_are_wrapped(task):
    # A hair to the left of straight on: yaw -0.01, not 2 pi - 0.01.
    obs = place(task, (0.0, 0.0, 1.0), yaw=-0.01, roll=-0.02)
    assert obs[7] == pytest.approx(-0.01, abs=1e-5)
    assert obs[8] == pytest.approx(-0.02, abs=1e-5)
    assert obs[9] == pytest.approx(0.01, abs=1e-5)


def test_velocity_is_seen_from_the_body(task):
    # Facing +y and moving along +y is moving forward.
    obs = place(task, (0.0, 0.0, 1.0), yaw=math.pi / 2, velocity=(0.0, 2.0, 0.0))
    torch.testing.assert_close(obs[1:4], torch.tensor([2.0, 0.0, 0.0]), atol=1e-5, rtol=0)


def test_reward_of_a_known_step(task):
    place(task, (0.0, 0.0, 1.3))
    env, dt = task.env, task.dt
    task.actions = torch.zeros_like(task.actions)
    task.prev_potentials = torch.full((2,), -1000.0 / dt, dtype=torch.float64)
    task.potentials = torch.full((2,), -(1000.0 - 3.0 * dt) / dt, dtype=torch.float64)
    terms, reasons = task.compute_reward()
    reward, terminated = reward_of(terms), reasons["fall"]
    # 3 m/s + alive + upright + heading - joints at their limits
    limit = task.joints_at_limit_cost(task.dof_pos_scaled)[0]
    expected = 3.0 + env.aliveReward + env.upWeight + env.headingWeight - limit
    assert reward[0] == pytest.approx(expected.item(), rel=1e-5)
    assert not terminated.any()


def test_a_fall_terminates_at_its_price(task):
    place(task, (0.0, 0.0, task.env.terminationHeight - 0.01))
    terms, reasons = task.compute_reward()
    assert reasons["fall"].all()
    assert (terms["death"] == task.env.deathCost).all()
    assert all((term == 0).all() for name, term in terms.items() if name != "death")


def test_mass():
    # Published: Ant 0.911 kg, Humanoid 40.84 kg.
    for name, mass in (("Ant", 0.911), ("Humanoid", 40.84)):
        assert make(name, num_envs=1).sim.model.body_mass.sum() == pytest.approx(mass, rel=0.02)


def test_action_i_drives_joint_i(task):
    model = task.sim.model
    assert model.actuator_trnid[:, 0].tolist() == list(range(1, task.num_actions + 1))


def test_gears():
    assert (make("Ant", num_envs=1).joint_gears == 15.0).all()
    humanoid = make("Humanoid", num_envs=1).joint_gears.tolist()
    legs = [45.0, 45.0, 135.0, 90.0, 22.5, 22.5]
    assert humanoid == [67.5] * 3 + legs + legs + [67.5, 67.5, 45.0] * 2


def test_ant_stands_without_effort():
    ant = make("Ant", num_envs=4)
    for _ in range(120):  # 2 s
        step = ant.step(torch.zeros(4, 8))
    height = ant.sim.qpos[:, 2]
    # It settles on its feet: ankles at 30 degrees reach down 0.4 sqrt(2) sin 30 = 0.28 m, plus the 0.08 m
    # capsule.
    assert ((height > 0.31) & (height < 0.44)).all()
    assert (ant.sim.qvel.abs().max(dim=1).values < 0.2).all()
    assert not step.terminated.any()
    # Standing on all four feet, the ankles carry the weight of torso and upper legs: 9.81 N/kg x (0.911 -
    # feet).
    vertical = 0.0
    model = ant.sim.model
    feet = model.body_mass[[3, 5, 7, 9]].sum()
    for foot in range(4):
        vertical += ant.sim.sensordata[0, 6 * foot : 6 * foot + 3].norm().item()
    assert vertical > 9.81 * (0.911 - feet) * 0.9


def test_humanoid_falls_without_effort():
    humanoid = make("Humanoid", num_envs=4)
    fell = torch.zeros(4, dtype=torch.bool)
    for _ in range(120):
        fell |= humanoid.step(torch.zeros(4, 21)).terminated
    assert fell.all()


def test_free_fall():
    # 0.5 g t^2 with t = 10 x 0.0166 s is 0.135 m; semi-implicit Euler falls half a step (g t h / 2 = 0.007 m)
    # farther.
    ant = make("Ant", num_envs=2)
    place(ant, (0.0, 0.0, 5.0))
    for _ in range(10):
        ant.step(torch.zeros(2, 8))
    com_drop = 5.0 - ant.sim.qpos[0, 2]
    assert com_drop.item() == pytest.approx(0.135 + 0.007, abs=0.03)


def test_full_effort_is_the_gear():
    # One hip of Ant: 15 N m at action 1. Torque balance at rest: acceleration x inertia, seen by the actuator
    # force.
    import mujoco

    ant = make("Ant", num_envs=1)
    ant.pre_physics_step(torch.ones(1, 8))
    data = mujoco.MjData(ant.sim.model)
    data.ctrl[:] = ant.sim.ctrl[0].numpy()
    mujoco.mj_forward(ant.sim.model, data)
    assert data.qfrc_actuator[6:].tolist() == [15.0] * 8
