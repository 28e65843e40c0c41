"""Datasets and buffers beside RL Games 1.6.5's."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from rl_games.common import datasets as their_datasets
from rl_games.common import experience as their_experience

from manybody.compat.rl_games.common import datasets, experience


def batch(rows, seqs=0):
    torch.manual_seed(0)
    values = {
        "obs": {"a": torch.randn(rows, 3), "b": torch.randn(rows, 2)},
        "actions": torch.randn(rows, 2),
        "mu": torch.randn(rows, 2),
        "sigma": torch.rand(rows, 2),
        "rnn_masks": None,
    }
    if seqs:
        values["rnn_states"] = [torch.randn(1, seqs, 4)]
    return values


def same(ours, theirs):
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            same(ours[key], theirs[key])
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    elif ours is None:
        assert theirs is None
    else:
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("is_rnn", [False, True])
def test_minibatches(is_rnn):
    ours, theirs = (x.PPODataset(24, 8, False, is_rnn, "cpu", 4) for x in (datasets, their_datasets))
    shared = {name: value for name, value in vars(theirs).items() if name in vars(ours)}
    assert shared == {name: vars(ours)[name] for name in shared}
    assert set(vars(theirs)) <= set(vars(ours))
    for dataset in (ours, theirs):
        dataset.update_values_dict(batch(24, seqs=6 if is_rnn else 0))
    assert len(ours) == len(theirs) == 3
    for index, (mine, real) in enumerate(zip(ours, theirs, strict=True)):
        same(mine, real)
        assert ("rnn_masks" in mine) is is_rnn
        same(ours[index], theirs[index])
        for dataset in (ours, theirs):
            dataset.update_mu_sigma(torch.full((8, 2), float(index)), torch.ones(8, 2))
    same(ours.values_dict, theirs.values_dict)
    assert ours.last_range == (16, 24)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((24, 7, False, False, "cpu", 1), "minibatch_size 7"), ((24, 8, False, True, "cpu", 3), "seq_length 3")],
)
def test_sizes_that_do_not_fit(sizes, message):
    with pytest.raises(ValueError, match=message):
        datasets.PPODataset(*sizes)


def test_feed_forward_networks_have_no_sequences():
    """RL Games 1.6.5 refuses a batch of 30 rows for its seq_length of 4, which nothing reads."""
    assert len(datasets.PPODataset(30, 15, False, False, "cpu", 4)) == 2


def test_a_dataset_of_imitation_learning():
    """It has an order of its own and is drawn by index."""

    class AMPDataset(datasets.PPODataset):
        def __init__(self, batch_size, minibatch_size, is_discrete, is_rnn, device, seq_len):
            super().__init__(batch_size, minibatch_size, is_discrete, is_rnn, device, seq_len)
            self._idx_buf = torch.arange(batch_size).flip(0)

        def update_mu_sigma(self, mu, sigma):
            raise NotImplementedError

        def _get_item(self, idx):
            rows = self._idx_buf[idx * self.minibatch_size : (idx + 1) * self.minibatch_size]
            return {
                name: value[rows]
                for name, value in self.values_dict.items()
                if name not in self.special_names and value is not None
            }

    dataset = AMPDataset(6, 3, False, False, "cpu", 1)
    dataset.update_values_dict({"x": torch.arange(6)})
    dataset.values_dict["amp_obs"] = 10 * torch.arange(6)
    assert dataset[0]["x"].tolist() == [5, 4, 3]
    assert dataset[1]["amp_obs"].tolist() == [20, 10, 0]


def test_lists_of_datasets():
    pair = datasets.DatasetList(), their_datasets.DatasetList()
    for collection, module in zip(pair, (datasets, their_datasets), strict=True):
        for offset in (0, 100):
            dataset = module.PPODataset(4, 2, False, False, "cpu", 1)
            dataset.update_values_dict({"x": torch.arange(4) + offset})
            collection.add_dataset(dataset)
    assert len(pair[0]) == len(pair[1]) == 4
    for index in range(4):
        same(pair[0][index], pair[1][index])


DICT = spaces.Dict({"a": spaces.Box(-1, 1, (3,)), "b": spaces.Box(0, 255, (4, 4, 1), dtype=np.uint8)})
BOX = spaces.Box(-1, 1, (5,), dtype=np.float64)
ACTIONS = [
    spaces.Box(-1, 1, (2,)),
    spaces.Discrete(3),
    spaces.Tuple([spaces.Discrete(3), spaces.Discrete(2)]),
]


def buffers(observations, actions, **info):
    env_info = {
        "observation_space": observations,
        "action_space": actions,
        "agents": 2,
        "value_size": 2,
        **info,
    }
    algo_info = {
        "num_actors": 3,
        "horizon_length": 4,
        "has_central_value": True,
        "use_action_masks": not isinstance(actions, spaces.Box),
    }
    return tuple(
        x.ExperienceBuffer(env_info, algo_info, "cpu", aux_tensor_dict={"latents": (7,)})
        for x in (experience, their_experience)
    )


@pytest.mark.parametrize("actions", ACTIONS, ids=["box", "discrete", "tuple"])
@pytest.mark.parametrize("observations", [BOX, DICT], ids=["vector", "dictionary"])
def test_experience(observations, actions):
    ours, theirs = buffers(observations, actions)

    def layout(x):
        return {k: layout(v) if isinstance(v, dict) else (tuple(v.shape), v.dtype) for k, v in x.items()}

    assert layout(ours.tensor_dict) == layout(theirs.tensor_dict)
    for name in ("obs_base_shape", "state_base_shape", "actions_shape", "actions_num", "is_discrete"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("is_multi_discrete", "is_continuous", "num_agents", "num_actors", "horizon_length"):
        assert getattr(ours, name) == getattr(theirs, name)
    torch.manual_seed(0)
    obs = (
        {k: torch.randint(0, 9, v.shape[1:]) for k, v in ours.tensor_dict["obses"].items()}
        if (observations is DICT)
        else torch.randn(6, 5)
    )
    values = torch.randn(6, 2)
    for buffer in (ours, theirs):
        buffer.update_data("obses", 2, obs)
        buffer.update_data("values", 1, values)
        buffer.tensor_dict["next_obses"] = torch.zeros_like(buffer.tensor_dict["values"])
        buffer.update_data("next_obses", 3, values)
    same(ours.tensor_dict, theirs.tensor_dict)

    def op(x):
        return x.transpose(0, 1).flatten(0, 1)

    names = ["obses", "values", "not there"]
    same(ours.get_transformed_list(op, names), theirs.get_transformed_list(op, names))


def test_multi_discrete_actions():
    """RL Games knows only tuples of discrete spaces."""
    info = {"observation_space": BOX, "action_space": spaces.MultiDiscrete([3, 2])}
    algo = {"num_actors": 2, "horizon_length": 4, "has_central_value": False, "use_action_masks": True}
    buffer = experience.ExperienceBuffer(info, algo, "cpu")
    assert (buffer.actions_num, buffer.actions_shape, buffer.is_multi_discrete) == ([3, 2], (2,), True)
    assert buffer.tensor_dict["actions"].shape == (4, 2, 2)
    assert buffer.tensor_dict["action_masks"].shape == (4, 2, 5)
    assert "states" not in buffer.tensor_dict


def test_spaces_are_told_by_name():
    """Isaac Lab brings those of legacy gym."""

    class Box:
        shape, dtype = (3,), np.dtype("float32")
        low, high = np.full(3, -1.0, np.float32), np.ones(3, np.float32)

    algo = {"num_actors": 2, "horizon_length": 4, "has_central_value": False}
    buffer = experience.ExperienceBuffer({"observation_space": Box(), "action_space": Box()}, algo, "cpu")
    assert buffer.tensor_dict["obses"].shape == buffer.tensor_dict["mus"].shape == (4, 2, 3)


def test_what_cannot_be_stored():
    algo = {"num_actors": 2, "horizon_length": 4, "has_central_value": False}
    with pytest.raises(ValueError, match="action space: got Text"):
        experience.ExperienceBuffer({"observation_space": BOX, "action_space": spaces.Text(3)}, algo, "cpu")


def test_replay():
    """Capacity 5, three rows at a time: the second call wraps, the third fills up again from there."""
    ours, theirs = (x.VectorizedReplayBuffer((2,), (1,), 5, "cpu") for x in (experience, their_experience))
    for step in range(3):
        rows = torch.arange(3.0).unsqueeze(1) + 3 * step
        done = (rows % 2 == 0).float()
        for buffer in (ours, theirs):
            buffer.add(rows.expand(3, 2), rows, rows, rows.expand(3, 2) + 1, done)
        assert (ours.idx, ours.full) == (theirs.idx, theirs.full)
    for name in ("obses", "next_obses", "actions", "rewards", "dones"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    for buffer in (ours, theirs):
        torch.manual_seed(0)
        buffer.drawn = buffer.sample(6)
    same(list(ours.drawn), list(theirs.drawn))


def test_replay_takes_the_newest_of_too_many():
    ours = experience.VectorizedReplayBuffer((1,), (1,), 4, "cpu")
    rows = torch.arange(6.0)
    ours.add(rows.unsqueeze(1), rows.unsqueeze(1), rows, rows.unsqueeze(1), rows > 3)
    assert ours.rewards.flatten().tolist() == [4.0, 5.0, 2.0, 3.0]
    assert ours.dones.flatten().tolist() == [True, True, False, False]
    assert (ours.idx, ours.full) == (2, True)
