"""The batch of one epoch as minibatches, with the attributes and methods that RL Games' clients override."""

import copy
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import override

from manybody.data import minibatch
from manybody.data.tree import tree_map


class PPODataset(minibatch.PPODataset, Dataset):
    """Contiguous minibatches of a flat batch (B, ...) in env-major order.

    With ``is_rnn``, minibatches are whole sequences of ``seq_length`` steps, and contain the state at the start of
    each. ``is_discrete``, ``device`` and ``permute`` have no effect.

    Raises:
        ValueError: a size that does not divide another; names both.
    """

    last_range: tuple[int, int]
    """First row of the minibatch read last, and the row after its end."""

    def __init__(
        self,
        batch_size: int,
        minibatch_size: int,
        is_discrete: bool,
        is_rnn: bool,
        device: Any,
        seq_length: int,
        permute: bool = False,
    ) -> None:
        if batch_size % minibatch_size:
            raise ValueError(f"minibatch_size {minibatch_size}; expected a divisor of batch_size {batch_size}")
        if is_rnn and minibatch_size % seq_length:
            raise ValueError(f"seq_length {seq_length}; expected a divisor of minibatch_size {minibatch_size}")
        super().__init__(batch_size, minibatch_size, seq_length=seq_length)
        self.is_rnn = is_rnn
        self.seq_len = seq_length
        self.device = device
        self.length = len(self)
        self.is_discrete = is_discrete
        self.is_continuous = not is_discrete
        self.num_games_batch = minibatch_size // seq_length
        self.special_names = ["rnn_states"]
        self.permute = permute

    def update_mu_sigma(self, mu: Tensor, sigma: Tensor) -> None:  # type: ignore[override]
        """Overwrite the policy stored for the minibatch read last: ``mu`` and ``sigma`` (M, A)."""
        rows = slice(*self.last_range)
        self.values_dict["mu"][rows] = mu
        self.values_dict["sigma"][rows] = sigma

    def _part(self, start: int, end: int) -> dict[str, Any]:
        """Return rows ``start`` to ``end`` of everything that has one row per sample; None where it is None."""
        self.last_range = (start, end)
        return {
            name: None if value is None else tree_map(lambda x: x[start:end], value)
            for name, value in self.values_dict.items()
            if name not in self.special_names
        }

    def _get_item_rnn(self, idx: int) -> dict[str, Any]:
        """Minibatch ``idx`` of a recurrent network; ``rnn_states`` (layers, M / L, units) each."""
        first, last = idx * self.num_games_batch, (idx + 1) * self.num_games_batch
        batch = self._part(first * self.seq_length, last * self.seq_length)
        batch["rnn_states"] = [state[:, first:last].contiguous() for state in self.values_dict["rnn_states"]]
        return batch

    def _get_item(self, idx: int) -> dict[str, Any]:
        """Minibatch ``idx`` of a feed-forward network, without what is None."""
        batch = self._part(idx * self.minibatch_size, (idx + 1) * self.minibatch_size)
        return {name: value for name, value in batch.items() if value is not None}

    @override
    def __getitem__(self, idx: int) -> dict[str, Any]:
        return self._get_item_rnn(idx) if self.is_rnn else self._get_item(idx)


class DatasetList(Dataset):
    """Several datasets of one length, whose minibatches follow one another in turn."""

    def __init__(self) -> None:
        self.dataset_list: list[Any] = []

    def __len__(self) -> int:
        return len(self.dataset_list[0]) * len(self.dataset_list)

    def add_dataset(self, dataset: Any) -> None:
        """Add a copy of ``dataset``."""
        self.dataset_list.append(copy.deepcopy(dataset))

    def clear(self) -> None:
        """Forget all of them."""
        self.dataset_list = []

    def __getitem__(self, idx: int) -> Any:
        turn, which = divmod(idx, len(self.dataset_list))
        return self.dataset_list[which][turn]
