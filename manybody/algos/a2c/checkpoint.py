"""How RL Games lays out the checkpoints of on-policy algorithms."""

from manybody.data.tree import State
from manybody.engine.checkpoint import named, plain_optimizer
from manybody.engine.checkpoint.rl_games import INPUT_STATISTICS, central_value_state, policy_state
from manybody.registry import Layout

IN_MODEL = ("running_mean_std", "value_mean_std")
"""Statistics that RL Games keeps in the model; those of other inputs are next to it."""


def from_rl_games(weights: State, path: str) -> State:
    """Convert the parts of an RL Games checkpoint: the whole model under ``model``."""
    named(weights, "model", path)
    moved = ("running_mean_std", "reward_mean_std")
    state = {key: value for key, value in weights.items() if key not in moved and not key.endswith(INPUT_STATISTICS)}
    state["model"] = policy_state(weights)
    if "assymetric_vf_nets" in weights:
        state["assymetric_vf_nets"] = central_value_state(weights)
    return state


def to_rl_games(state: State, path: str) -> State:
    """Return the parts of a checkpoint under the keys of RL Games' ``get_full_state_weights``.

    Raises:
        CheckpointError: a part is missing.
    """
    model = policy_state({**state, "model": named(state, "model", path)})
    owner = {name: name.partition(".")[0] for name in model}
    own = {key: x for key, x in state.items() if key.endswith(INPUT_STATISTICS)}
    for name, value in model.items():
        if owner[name].endswith("_mean_std") and owner[name] not in IN_MODEL:
            own.setdefault(owner[name], {})[name.removeprefix(f"{owner[name]}.")] = value
    result = {
        "model": {name: value for name, value in model.items() if owner[name] not in own},
        **own,
        "optimizer": plain_optimizer(state, "optimizer", path),
        "env_state": None,
    }
    if "assymetric_vf_nets" in state:
        result["central_val_stats"] = {}
        result["assymetric_vf_nets"] = central_value_state(state)
        if "assymetric_vf_optimizer" in state:
            result["assymetric_vf_optimizer"] = plain_optimizer(state, "assymetric_vf_optimizer", path)
    return result


LAYOUT = Layout(lambda weights: "model" in weights, from_rl_games, to_rl_games)
