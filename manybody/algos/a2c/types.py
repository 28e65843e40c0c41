"""What travels between the methods of an on-policy agent."""

from typing import NamedTuple, TypedDict

from torch import Tensor


class RolloutBatch(TypedDict, total=False):
    """What ``play_steps`` gives; B = T*N rows, env-major (all steps of row 0 first). Subclasses may add keys."""

    obses: Tensor
    """(B, O), or a dictionary of such."""
    actions: Tensor
    """(B, A), as sampled: neither clipped nor rescaled; discrete: (B,) or (B, heads) int64."""
    neglogpacs: Tensor
    """(B,)."""
    values: Tensor
    """(B, V), units of shaped reward."""
    mus: Tensor
    """(B, A), continuous actions."""
    sigmas: Tensor
    """(B, A), continuous actions."""
    logits: Tensor
    """(B, sum of head sizes), discrete actions."""
    action_masks: Tensor
    """(B, sum of head sizes) bool, with ``use_action_masks``."""
    rnn_states: tuple[Tensor, ...]
    """(layers, B / L, units) each, at the start of each sequence."""
    dones: Tensor
    """(B,) 1 where the observation begins an episode."""
    returns: Tensor
    """(B, V), units of shaped reward."""
    played_frames: int
    """B."""
    step_time: float
    """Seconds spent in the environment."""


class TrainBatch(TypedDict, total=False):
    """One minibatch as ``calc_gradients`` takes it; M rows, value quantities in the normalised value space."""

    old_values: Tensor
    """(M, V)."""
    old_logp_actions: Tensor
    """(M,) negative log-probabilities at collection."""
    advantages: Tensor
    """(M,)."""
    returns: Tensor
    """(M, V)."""
    actions: Tensor
    """(M, A)."""
    obs: Tensor
    """(M, O), not normalised, or a dictionary of such."""
    dones: Tensor
    """(M,) 1 where the observation begins an episode."""
    rnn_states: tuple[Tensor, ...]
    """(layers, M / L, units) each, at the start of each sequence."""
    mu: Tensor
    """(M, A) of the policy of the last update; continuous actions."""
    sigma: Tensor
    """(M, A) likewise."""
    logits: Tensor
    """(M, sum of head sizes) of the policy that acted; discrete actions."""
    action_masks: Tensor
    """(M, sum of head sizes) bool, with ``use_action_masks``."""


class TrainResult(NamedTuple):
    """What one minibatch gave; the first nine in RL Games' order.

    All () tensors but ``mu`` and ``sigma`` (M, A), which are None for discrete actions: their divergence is measured
    against the policy that acted, that of Gaussians against the policy of the last update (as in RL Games).
    """

    a_loss: Tensor
    c_loss: Tensor
    entropy: Tensor
    kl: Tensor
    last_lr: Tensor
    lr_mul: float
    mu: Tensor | None
    sigma: Tensor | None
    b_loss: Tensor
    extra: dict[str, Tensor]
    """Losses that hooks or the network added, by name, and diagnostics as ``info/...``."""
