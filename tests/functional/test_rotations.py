import math

import pytest
import torch

from manybody.functional.rotations import matrix_to_euler, quat_to_matrix, to_body_frame, wrap_to_pi

HALF = math.sqrt(0.5)


def test_quarter_turn_about_z_takes_x_to_y():
    # q = (cos 45, 0, 0, sin 45): R's first column is where the x-axis goes, here (0, 1, 0).
    matrix = quat_to_matrix(torch.tensor([[HALF, 0.0, 0.0, HALF]]))
    expected = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    torch.testing.assert_close(matrix, expected, atol=1e-6, rtol=0)


def test_matrix_agrees_with_mujoco():
    import mujoco
    import numpy as np

    quat = torch.nn.functional.normalize(torch.randn(5, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    matrix = quat_to_matrix(quat.double())
    for q, ours in zip(quat.double().numpy(), matrix, strict=True):
        theirs = np.zeros(9)
        mujoco.mju_quat2Mat(theirs, q)
        np.testing.assert_allclose(ours.reshape(9), theirs, atol=1e-6)


def test_world_vector_in_the_body_frame():
    # A body that faces world y sees a motion along world y as forward (x).
    matrix = quat_to_matrix(torch.tensor([[HALF, 0.0, 0.0, HALF]]))
    forward = to_body_frame(matrix, torch.tensor([[0.0, 3.0, 0.0]]))
    torch.testing.assert_close(forward, torch.tensor([[3.0, 0.0, 0.0]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("roll", "pitch", "yaw"), [(0.3, -0.4, 2.5), (-3.0, 1.2, -3.1), (0.0, 0.0, 0.0)])
def test_euler_angles_come_back(roll, pitch, yaw):
    def axis(angle, index):
        quat = torch.zeros(4, dtype=torch.float64)
        quat[0], quat[index] = math.cos(angle / 2), math.sin(angle / 2)
        return quat_to_matrix(quat)

    matrix = axis(yaw, 3) @ axis(pitch, 2) @ axis(roll, 1)
    for got, expected in zip(matrix_to_euler(matrix), (roll, pitch, yaw), strict=True):
        assert got.item() == pytest.approx(expected, abs=1e-9)


def test_pitch_stays_finite_where_rounding_exceeds_one():
    matrix = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0000001, 0.0, 0.0]])
    assert matrix_to_euler(matrix)[1].item() == pytest.approx(math.pi / 2)


def test_wrap():
    # 3 pi / 2 is -pi / 2; -5 is 2 pi - 5.
    wrapped = wrap_to_pi(torch.tensor([1.5 * math.pi, -5.0, 0.25]))
    torch.testing.assert_close(wrapped, torch.tensor([-0.5 * math.pi, 2 * math.pi - 5.0, 0.25]))


@pytest.mark.parametrize("function", [quat_to_matrix, wrap_to_pi])
def test_same_compiled(function):
    x = torch.nn.functional.normalize(torch.randn(7, 4), dim=1)
    torch.testing.assert_close(torch.compile(function, backend="eager", fullgraph=True)(x), function(x))
