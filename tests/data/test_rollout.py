import torch

from manybody.data.rollout import ExperienceBuffer, Field, swap_and_flatten01


def test_flattening_is_env_major():
    # Two steps of three rows: all steps of row 0, then of row 1, then of row 2.
    x = torch.tensor([[[0], [10], [20]], [[1], [11], [21]]])
    assert swap_and_flatten01(x).flatten().tolist() == [0, 1, 10, 11, 20, 21]
    assert swap_and_flatten01(x[..., 0]).tolist() == [0, 1, 10, 11, 20, 21]
    assert swap_and_flatten01(torch.zeros(4, 3, 2, 5)).shape == (12, 2, 5)


def test_the_buffer_keeps_a_copy_of_each_step():
    buffer = ExperienceBuffer(
        2, 3, {"obses": Field((4,), torch.float32), "dones": Field((), torch.uint8)}, torch.device("cpu")
    )
    assert buffer.tensor_dict["obses"].shape == (2, 3, 4)
    assert buffer.tensor_dict["dones"].dtype == torch.uint8
    x = torch.ones(3, 4)
    buffer.update_data("obses", 1, x)
    x.zero_()
    assert buffer.tensor_dict["obses"][0].sum() == 0 and buffer.tensor_dict["obses"][1].sum() == 12
    batch = buffer.get_transformed_list(swap_and_flatten01, ["obses"])
    assert list(batch) == ["obses"] and batch["obses"][:, 0].tolist() == [0, 1, 0, 1, 0, 1]
