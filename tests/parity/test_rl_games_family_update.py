"""One epoch from one rollout equals that of RL Games 1.6.5: discrete, recurrent, central value.

This library's agent collects the rollout for both. Learning rates are constant, because the two libraries compute the
divergence of discrete policies differently (RL Games: squared differences of log-probabilities).
"""

import contextlib
import io
from typing import Any

import pytest
import torch
from rl_games_agents import RlGamesEnv, create, largest_difference, rl_games_params
from toy_family import FamilyEnv, family_params

from manybody.algos.a2c import A2CAgent, DiscreteA2CAgent
from manybody.config import parse_params


def make_reference(mapping: dict[str, Any], env: FamilyEnv, tmp_path: Any) -> Any:
    from rl_games.algos_torch.a2c_continuous import A2CAgent as ReferenceContinuous
    from rl_games.algos_torch.a2c_discrete import DiscreteA2CAgent as ReferenceDiscrete

    vec_env = RlGamesEnv(env, states="central_value_config" in mapping["config"])
    params = rl_games_params(mapping, vec_env, tmp_path, normalize_input=False, torch_compile=False)
    return create(ReferenceContinuous if params["algo"]["name"] == "a2c_continuous" else ReferenceDiscrete, params)


@pytest.mark.parametrize("central", [None, "mlp", "lstm"])
@pytest.mark.parametrize("rnn", [None, "lstm", "gru"])
@pytest.mark.parametrize(
    ("action", "masks"),  # RL Games splits masks equally between heads: only one head is tested
    [("box", False), ("discrete", False), ("discrete", True), ("tuple", False)],
)
def test_one_epoch_changes_every_weight_equally(action, rnn, central, masks, tmp_path):
    config: dict[str, Any] = {"normalize_value": True, "mini_epochs": 3, "max_epochs": 10}
    if action == "box":
        config |= {"bounds_loss_coef": 0.01}  # RL Games crashes with None
    else:
        config |= {"use_action_masks": masks}
    mapping = family_params(action, rnn=rnn, central=central, **config)
    if central is not None:  # RL Games updates the statistics three times per rollout
        mapping["config"]["central_value_config"]["normalize_input"] = False
    torch.manual_seed(0)
    agent_class = A2CAgent if action == "box" else DiscreteA2CAgent
    ours = agent_class("run", parse_params(mapping), vec_env=FamilyEnv(action))
    reference = make_reference(mapping, FamilyEnv(action), tmp_path)
    reference.model.load_state_dict(ours.model.state_dict())
    if central is not None:
        reference.central_value_net.load_state_dict(ours.central_value.state_dict())
    before = {name: value.clone() for name, value in ours.model.state_dict().items()}
    ours.start_training()
    reference.init_tensors()
    batch = ours.play_steps()
    ours.play_steps = lambda: dict(batch)
    copied = dict(batch)
    if central is not None:
        buffer = ours.central_value.buffer.tensor_dict
        copied["states"] = buffer["states"].transpose(0, 1).flatten(0, 1)
        if central == "lstm":
            reference.central_value_net.mb_rnn_states = [
                stored.clone() for stored in ours.central_value.recurrent._stored
            ]
    reference.play_steps = reference.play_steps_rnn = lambda: dict(copied)
    for agent in (ours, reference):
        agent.update_epoch()
        with contextlib.redirect_stdout(io.StringIO()):
            agent.train_epoch()
    assert max((ours.model.state_dict()[name] - x).abs().max().item() for name, x in before.items()) > 1e-4
    assert largest_difference(ours.model, reference.model) <= 1e-5
    if central is not None:
        assert largest_difference(ours.central_value, reference.central_value_net) <= 1e-5
