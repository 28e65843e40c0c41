import math

import pytest
import torch

from manybody.functional.rotations import (
    angular_velocity,
    matrix_to_euler,
    quat_about,
    quat_between,
    quat_conjugate,
    quat_exp,
    quat_log,
    quat_multiply,
    quat_rotate,
    quat_to_matrix,
    to_body_frame,
    wrap_to_pi,
)

HALF = math.sqrt(0.5)


def test_quarter_turn_about_z_takes_x_to_y():
    # q = (cos 45, 0, 0, sin 45): the first column of R is the rotated x-axis, here (0, 1, 0).
    matrix = quat_to_matrix(torch.tensor([[HALF, 0.0, 0.0, HALF]]))
    expected = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    torch.testing.assert_close(matrix, expected, atol=1e-6, rtol=0)


def test_matrix_agrees_with_mujoco():
    import mujoco
    import numpy as np

    quat = torch.nn.functional.normalize(torch.randn(5, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    matrix = quat_to_matrix(quat.double())
    for q, result in zip(quat.double().numpy(), matrix, strict=True):
        expected = np.zeros(9)
        mujoco.mju_quat2Mat(expected, q)
        np.testing.assert_allclose(result.reshape(9), expected, atol=1e-6)


def test_world_vector_in_the_body_frame():
    # For a body that faces world y, a motion along world y is forward (x).
    matrix = quat_to_matrix(torch.tensor([[HALF, 0.0, 0.0, HALF]]))
    forward = to_body_frame(matrix, torch.tensor([[0.0, 3.0, 0.0]]))
    torch.testing.assert_close(forward, torch.tensor([[3.0, 0.0, 0.0]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("roll", "pitch", "yaw"), [(0.3, -0.4, 2.5), (-3.0, 1.2, -3.1), (0.0, 0.0, 0.0)])
def test_matrix_to_euler_recovers_the_angles(roll, pitch, yaw):
    def axis(angle, index):
        quat = torch.zeros(4, dtype=torch.float64)
        quat[0], quat[index] = math.cos(angle / 2), math.sin(angle / 2)
        return quat_to_matrix(quat)

    matrix = axis(yaw, 3) @ axis(pitch, 2) @ axis(roll, 1)
    for got, expected in zip(matrix_to_euler(matrix), (roll, pitch, yaw), strict=True):
        assert got.item() == pytest.approx(expected, abs=1e-9)


def test_pitch_is_finite_when_rounding_exceeds_one():
    matrix = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0000001, 0.0, 0.0]])
    assert matrix_to_euler(matrix)[1].item() == pytest.approx(math.pi / 2)


def test_wrap_to_pi():
    # 3 pi / 2 is -pi / 2; -5 is 2 pi - 5.
    wrapped = wrap_to_pi(torch.tensor([1.5 * math.pi, -5.0, 0.25]))
    torch.testing.assert_close(wrapped, torch.tensor([-0.5 * math.pi, 2 * math.pi - 5.0, 0.25]))


def random_quats(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(*shape, 4, generator=generator, dtype=torch.float64), dim=-1)


def test_the_product_of_units():
    # i j = k, j i = -k: rotating by j and then by i is the half turn about z.
    i, j, k = torch.eye(4)[1:].unbind(0)
    torch.testing.assert_close(quat_multiply(i, j), k)
    torch.testing.assert_close(quat_multiply(j, i), -k)


def test_product_rotation_and_inverse_agree_with_matrices():
    first, second = random_quats(5), random_quats(5, seed=1)
    product = quat_to_matrix(first) @ quat_to_matrix(second)
    torch.testing.assert_close(quat_to_matrix(quat_multiply(first, second)), product)
    torch.testing.assert_close(quat_to_matrix(quat_conjugate(first)), quat_to_matrix(first).mT)
    vector = torch.tensor([0.3, -2.0, 1.0], dtype=torch.float64)  # one vector, five rotations
    torch.testing.assert_close(quat_rotate(first, vector), quat_to_matrix(first) @ vector)


def test_exponential_by_hand():
    # A quarter turn about z: (cos 45, 0, 0, sin 45). A rotation by 2e-9 about x: (1, 1e-9, 0, 0).
    vectors = torch.tensor([[0.0, 0.0, math.pi / 2], [2e-9, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    expected = [[HALF, 0.0, 0.0, HALF], [1.0, 1e-9, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    torch.testing.assert_close(quat_exp(vectors), torch.tensor(expected, dtype=torch.float64), atol=1e-15, rtol=0)


def test_logarithm_inverts_the_exponential_up_to_half_a_turn():
    vectors = torch.tensor([[0.3, -0.5, 0.8], [0.0, 0.0, 0.0], [1e-7, 0.0, -2e-7], [0.0, 3.14, 0.0]])
    torch.testing.assert_close(quat_log(quat_exp(vectors)), vectors, atol=1e-13, rtol=1e-5)
    torch.testing.assert_close(quat_log(-quat_exp(vectors)), vectors, atol=1e-13, rtol=1e-5)
    # 3.6 rad about x equals the shorter rotation by 2 pi - 3.6 about -x.
    beyond = quat_log(quat_exp(torch.tensor([3.6, 0.0, 0.0])))
    torch.testing.assert_close(beyond, torch.tensor([3.6 - 2 * math.pi, 0.0, 0.0]))


@pytest.mark.parametrize("function", [quat_exp, lambda vector: quat_log(quat_exp(vector))])
def test_gradients_at_no_rotation_are_finite(function):
    vector = torch.zeros(3, requires_grad=True)
    function(vector).sum().backward()
    assert torch.isfinite(vector.grad).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_quat_about_an_axis(axis, run):
    # 60 and -90 degrees: cos 30 = sqrt(3)/2 and sin 30 = 1/2; cos 45 = sqrt(1/2) and sin -45 = -sqrt(1/2).
    expected = torch.zeros(2, 4)
    expected[:, 0] = torch.tensor([math.sqrt(0.75), HALF])
    expected[:, 1 + axis] = torch.tensor([0.5, -HALF])
    turns = run(quat_about, axis, torch.tensor([math.pi / 3, -math.pi / 2]))
    torch.testing.assert_close(turns, expected)


def test_quat_between_two_directions(run):
    # From (0, 0, -3) to (0, 2, 0): 90 degrees about (0, 0, -1) x (0, 1, 0) = (1, 0, 0). To (5, 0, -5): 45 degrees
    # about -y. To itself or to a zero vector: no rotation. To its opposite: 180 degrees about y.
    down = torch.tensor([0.0, 0.0, -3.0])
    targets = torch.tensor([[0.0, 2, 0], [5, 0, -5], [0, 0, -1], [0, 0, 0], [0, 0, 5]])
    cosine, sine = math.cos(math.pi / 8), math.sin(math.pi / 8)
    expected = [[HALF, HALF, 0, 0], [cosine, 0, -sine, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    torch.testing.assert_close(run(quat_between, down, targets), torch.tensor(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quat_between_opposite_and_nearly_opposite_directions(dtype, run):
    first = torch.cat((torch.eye(3), torch.tensor([[0.6, 0.0, -0.8], [3.0, 1.0, 2.0]]))).to(dtype)
    unit = torch.nn.functional.normalize(first, dim=-1)
    for off in (0.0, 1e-9, 1e-6, 1e-3):
        second = -unit + off * unit.roll(1, -1)
        turn = run(quat_between, first, second)
        torch.testing.assert_close(turn.norm(dim=-1), torch.ones(5, dtype=dtype))
        expected = torch.nn.functional.normalize(second, dim=-1)
        # 1 + a.b is below the rounding error: sqrt(8 * 1.2e-7) in float32, 4e-8 in float64
        near = 1e-3 if dtype is torch.float32 else 1e-7
        torch.testing.assert_close(quat_rotate(turn, unit), expected, atol=near, rtol=0)


def test_angular_velocity_is_in_the_axes_of_the_body():
    # A body whose x-axis points along world y rotates by 0.1 rad about world y in 0.05 s: 2 rad/s about its own x.
    first = quat_exp(torch.tensor([0.0, 0.0, math.pi / 2]))
    second = quat_multiply(quat_exp(torch.tensor([0.0, 0.1, 0.0])), first)
    velocity = angular_velocity(first, second, 0.05)
    torch.testing.assert_close(velocity, torch.tensor([2.0, 0.0, 0.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(quat_rotate(first, velocity), torch.tensor([0.0, 2.0, 0.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "function",
    [
        quat_to_matrix,
        wrap_to_pi,
        quat_log,
        lambda x: quat_exp(x[:, 1:]),
    ],
)
def test_compiled_equals_eager(function):
    x = torch.nn.functional.normalize(torch.randn(7, 4), dim=1)
    torch.testing.assert_close(torch.compile(function, backend="eager", fullgraph=True)(x), function(x))
