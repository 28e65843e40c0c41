"""``use_diagnostics`` of RL Games: how far updates go and how good the critic is."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.engine.metrics import read_to_host


class DefaultDiagnostics:
    """Looks at nothing."""

    def send_info(self, writter: Any) -> None:
        """Write what was found, once an epoch."""

    def epoch(self, agent: Any, current_epoch: int) -> None:
        """The updates of an epoch are done."""

    def mini_epoch(self, agent: Any, miniepoch: int) -> None:
        """One pass over the batch is done."""

    def mini_batch(self, agent: Any, batch: Mapping[str, Any], e_clip: float, minibatch: int) -> None:
        """One update is done."""


class PpoDiagnostics(DefaultDiagnostics):
    """Writes ``diagnostics/{clip_frac/<mini-epoch>, exp_var, rms_value/*, rms_advantage/*}``."""

    def __init__(self) -> None:
        self.diag_dict: dict[str, Tensor] = {}
        self.clip_fracs: list[Tensor] = []
        self.exp_vars: list[Tensor] = []
        self.current_epoch = 0

    def send_info(self, writter: Any) -> None:
        """Write what was found; ``writter`` None: nothing."""
        if writter is not None:
            for tag, value in read_to_host(self.diag_dict).items():
                writter.add_scalar(tag, value, self.current_epoch)

    def epoch(self, agent: Any, current_epoch: int) -> None:
        """The mean explained variance, and the normalisers' statistics."""
        self.current_epoch = current_epoch
        if agent.normalize_rms_advantage:
            mean, var = agent.advantage_mean_std.moments()
            self._keep("rms_advantage/mean", mean)
            self._keep("rms_advantage/var", var)
        if agent.normalize_value:
            self._keep("rms_value/mean", agent.value_mean_std.running_mean)
            self._keep("rms_value/var", agent.value_mean_std.running_var)
        if self.exp_vars:
            self._keep("exp_var", torch.stack(self.exp_vars))
        self.exp_vars = []

    def mini_epoch(self, agent: Any, miniepoch: int) -> None:
        """The mean share of samples that the clipping left out."""
        if self.clip_fracs:
            self._keep(f"clip_frac/{miniepoch}", torch.stack(self.clip_fracs))
        self.clip_fracs = []

    def mini_batch(self, agent: Any, batch: Mapping[str, Any], e_clip: float, minibatch: int) -> None:
        """Measure one minibatch.

        Args:
            agent: whose it is.
            batch: ``values``, ``returns`` (M, V), ``new_neglogp``, ``old_neglogp`` (M,), ``masks`` (M,) or None.
            e_clip: of the update.
            minibatch: its number.
        """
        values, returns, new, old = (
            batch[name].detach() for name in ("values", "returns", "new_neglogp", "old_neglogp")
        )
        self.exp_vars.append(torch_ext.explained_variance(values, returns, batch["masks"]))
        self.clip_fracs.append(torch_ext.policy_clip_fraction(new, old, e_clip, batch["masks"]))

    def _keep(self, name: str, values: Tensor) -> None:
        self.diag_dict[f"diagnostics/{name}"] = values.detach().float().mean()
