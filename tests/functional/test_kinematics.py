import math

import torch

from manybody.functional.kinematics import forward_kinematics, forward_velocities
from manybody.functional.rotations import quat_exp, quat_multiply, quat_to_matrix

PARENTS = (-1, 0, 1, 0)


def quarter_about_z(bodies, turned):
    rotations = torch.zeros(bodies, 3)
    rotations[turned, 2] = math.pi / 2
    return quat_exp(rotations)


def test_positions_of_an_arm_by_hand(run):
    # Upper arm 2 m along x, forearm 1 m along the upper arm's x. The shoulder (body 1) is turned by 90 degrees about z,
    # so the forearm's origin lies 1 m in y from the upper arm's. Body 3 hangs at the root, which is not turned.
    offsets = torch.tensor([[9.0, 9.0, 9.0], [2.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    root = torch.tensor([[10.0, 0.0, 1.0]])
    pose = run(forward_kinematics, PARENTS, offsets, root, quarter_about_z(4, 1).unsqueeze(0))
    expected = [[10.0, 0.0, 1.0], [12.0, 0.0, 1.0], [12.0, 1.0, 1.0], [10.0, 0.0, 0.0]]
    torch.testing.assert_close(pose.positions[0], torch.tensor(expected), atol=1e-6, rtol=0)
    turned = quarter_about_z(4, [1, 2])  # the forearm turns along
    torch.testing.assert_close(pose.rotations[0], turned, atol=1e-6, rtol=0)


def test_velocities_of_an_arm_by_hand(run):
    # The root moves at 1 m/s along z and turns at 3 rad/s about z: body 1, 2 m along x, moves at 6 m/s along y.
    # Body 1 itself turns at 1 rad/s about z: 4 rad/s in all, so body 2, 1 m further in y, has -4 m/s along x more.
    offsets = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    pose = forward_kinematics(PARENTS, offsets, torch.zeros(3), quarter_about_z(4, 1))
    spins = torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
    linear, angular = run(forward_velocities, PARENTS, pose, torch.tensor([0.0, 0.0, 1.0]), spins)
    expected = [[0.0, 0.0, 1.0], [0.0, 6.0, 1.0], [-4.0, 6.0, 1.0], [0.0, 0.0, 1.0]]
    torch.testing.assert_close(linear, torch.tensor(expected), atol=1e-5, rtol=0)
    expected = [[0.0, 0.0, 3.0], [0.0, 0.0, 4.0], [0.0, 0.0, 4.0], [5.0, 0.0, 3.0]]
    torch.testing.assert_close(angular, torch.tensor(expected), atol=1e-5, rtol=0)


def test_velocities_are_the_derivative_of_the_pose():
    generator = torch.Generator().manual_seed(0)
    offsets, spins = torch.randn(2, 3, 4, 3, generator=generator, dtype=torch.float64)
    root, speed = torch.randn(2, 3, 3, generator=generator, dtype=torch.float64)
    rotations = quat_exp(torch.randn(3, 4, 3, generator=generator, dtype=torch.float64))

    def pose(t):
        turned = quat_multiply(rotations, quat_exp(t * spins))
        return forward_kinematics(PARENTS, offsets, root + t * speed, turned)

    h = 1e-5
    numeric = (pose(h).positions - pose(-h).positions) / (2 * h)
    linear, _ = forward_velocities(PARENTS, pose(0.0), speed, spins)
    torch.testing.assert_close(linear, numeric, atol=1e-7, rtol=1e-7)


def test_agrees_with_mujoco():
    import mujoco
    import numpy as np

    xml = """<mujoco><worldbody><body><freejoint/><geom size=".1"/>
      <body pos=".1 .2 .3"><joint type="ball"/><geom size=".1"/>
        <body pos="0 0 -.4"><joint type="ball"/><geom size=".1"/></body></body>
      <body pos="-.1 0 .5"><joint type="ball"/><geom size=".1"/></body>
    </body></worldbody></mujoco>"""
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    quats = rng.normal(size=(4, 4))
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    data.qpos[:] = np.concatenate(([1.0, 2.0, 3.0], quats.reshape(-1)))
    data.qvel[:] = rng.normal(size=model.nv)
    mujoco.mj_forward(model, data)

    quats, offsets = torch.from_numpy(quats), torch.from_numpy(model.body_pos[1:])
    pose = forward_kinematics(PARENTS, offsets, torch.from_numpy(data.qpos[:3]), quats)
    velocity = torch.from_numpy(data.qvel)
    linear, angular = forward_velocities(PARENTS, pose, velocity[:3], velocity[3:].reshape(4, 3))
    torch.testing.assert_close(pose.positions, torch.from_numpy(data.xpos[1:]))
    for body in range(4):
        theirs = np.zeros(6)
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, body + 1, theirs, 0)
        torch.testing.assert_close(angular[body], torch.from_numpy(theirs[:3]))
        torch.testing.assert_close(linear[body], torch.from_numpy(theirs[3:]))
        matrix = torch.from_numpy(data.xmat[body + 1])
        torch.testing.assert_close(quat_to_matrix(pose.rotations[body]).reshape(9), matrix)
