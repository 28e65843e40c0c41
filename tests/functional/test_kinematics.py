import math

import torch

from manybody.functional.kinematics import forward_kinematics
from manybody.functional.rotations import quat_exp, quat_to_matrix

PARENTS = (-1, 0, 1, 0)


def quarter_turns_about_z(bodies, rotated):
    rotations = torch.zeros(bodies, 3)
    rotations[rotated, 2] = math.pi / 2
    return quat_exp(rotations)


def test_poses_of_an_arm_by_hand(run):
    # Upper arm 2 m along x, forearm 1 m along the upper arm's x. The shoulder (body 1) is rotated by 90 degrees about
    # z, so the forearm's origin is 1 m from the upper arm's in y. Body 3 is a child of the root, which is not rotated.
    offsets = torch.tensor([[9.0, 9.0, 9.0], [2.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    root = torch.tensor([[10.0, 0.0, 1.0]])
    pose = run(forward_kinematics, PARENTS, offsets, root, quarter_turns_about_z(4, 1).unsqueeze(0))
    expected = [[10.0, 0.0, 1.0], [12.0, 0.0, 1.0], [12.0, 1.0, 1.0], [10.0, 0.0, 0.0]]
    torch.testing.assert_close(pose.positions[0], torch.tensor(expected), atol=1e-6, rtol=0)
    expected_rotations = quarter_turns_about_z(4, [1, 2])  # the forearm inherits the rotation
    torch.testing.assert_close(pose.rotations[0], expected_rotations, atol=1e-6, rtol=0)


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
    mujoco.mj_forward(model, data)

    quats, offsets = torch.from_numpy(quats), torch.from_numpy(model.body_pos[1:])
    pose = forward_kinematics(PARENTS, offsets, torch.from_numpy(data.qpos[:3]), quats)
    torch.testing.assert_close(pose.positions, torch.from_numpy(data.xpos[1:]))
    for body in range(4):
        matrix = torch.from_numpy(data.xmat[body + 1])
        torch.testing.assert_close(quat_to_matrix(pose.rotations[body]).reshape(9), matrix)
