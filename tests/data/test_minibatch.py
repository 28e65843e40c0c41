import pytest
import torch

from manybody.data.minibatch import PPODataset


def filled(shuffle=False):
    dataset = PPODataset(6, 2, shuffle)
    dataset.update_values_dict(
        {"obs": torch.arange(6.0).unsqueeze(1), "mu": torch.zeros(6, 1), "sigma": torch.ones(6, 1)}
    )
    return dataset


def test_contiguous_blocks_in_order():
    dataset = filled()
    dataset.start_pass()
    assert len(dataset) == 3
    assert [batch["obs"].flatten().tolist() for batch in dataset] == [[0, 1], [2, 3], [4, 5]]


def test_blocks_are_views_not_copies():
    dataset = filled()
    assert dataset[1]["obs"].data_ptr() == dataset.values_dict["obs"][2:].data_ptr()


def test_an_index_out_of_range_is_refused():
    with pytest.raises(IndexError, match="minibatch 3 of 3"):
        filled()[3]
    with pytest.raises(IndexError):
        filled()[-1]


def test_the_policy_of_the_last_update_replaces_the_stored_one():
    dataset = filled()
    mu = torch.tensor([[5.0], [6.0]], requires_grad=True)
    dataset.update_mu_sigma(1, mu, 2.0 * mu)
    assert dataset.values_dict["mu"].flatten().tolist() == [0, 0, 5, 6, 0, 0]
    assert dataset.values_dict["sigma"].flatten().tolist() == [1, 1, 10, 12, 1, 1]
    assert not dataset.values_dict["mu"].requires_grad


def test_each_shuffled_pass_contains_every_sample_once_in_a_new_order():
    torch.manual_seed(0)
    dataset = filled(shuffle=True)
    orders = []
    for _ in range(4):
        dataset.start_pass()
        orders.append(torch.cat([batch["obs"] for batch in dataset]).flatten().tolist())
    assert all(sorted(order) == [0, 1, 2, 3, 4, 5] for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_shuffled_mu_and_sigma_are_stored_in_their_own_rows():
    torch.manual_seed(0)
    dataset = filled(shuffle=True)
    dataset.start_pass()
    for index, batch in enumerate(dataset):
        dataset.update_mu_sigma(index, 10.0 * batch["obs"], batch["obs"])
    assert dataset.values_dict["mu"].flatten().tolist() == [0, 10, 20, 30, 40, 50]


def test_updating_with_none_clears_the_batch():
    dataset = filled()
    dataset.update_values_dict(None)
    assert dataset.values_dict == {}
