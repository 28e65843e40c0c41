"""Combinations of spaces, networks and settings train, play and resume exactly, or are refused with a reason."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from toy_family import ACTION_SPACES, OBSERVATIONS, FamilyEnv, family_params

from manybody.algos.a2c import A2CAgent, DiscreteA2CAgent, PpoPlayerContinuous, PpoPlayerDiscrete
from manybody.algos.session import clone
from manybody.config import ConfigError, parse_params
from manybody.engine import precision
from manybody.engine.checkpoint import CheckpointError
from manybody.engine.checkpoint.parts import state_of
from manybody.envs.base import EnvError

AGENTS = {"a2c_continuous": A2CAgent, "a2c_discrete": DiscreteA2CAgent}
PLAYERS = {"a2c_continuous": PpoPlayerContinuous, "a2c_discrete": PpoPlayerDiscrete}


def make_agent(mapping: dict[str, Any], env: FamilyEnv, **parts: Any) -> Any:
    torch.manual_seed(0)
    return AGENTS[mapping["algo"]["name"]]("run", parse_params(mapping), vec_env=env, **parts)


def combinations() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "action": st.sampled_from(list(ACTION_SPACES)),
            "observation": st.sampled_from(OBSERVATIONS),
            "agents": st.sampled_from([1, 2]),
            "rnn": st.sampled_from([None, "lstm", "gru", "identity"]),
            "rnn_keys": st.fixed_dictionaries(
                {name: st.booleans() for name in ("before_mlp", "concat_input", "concat_output", "layer_norm")}
            ),
            "layers": st.sampled_from([1, 2]),
            "central": st.sampled_from([None, "mlp", "lstm"]),
            "separate": st.booleans(),
            "masks": st.booleans(),
            "config": st.fixed_dictionaries(
                {
                    name: st.booleans()
                    for name in (
                        "normalize_input",
                        "normalize_value",
                        "normalize_rms_advantage",
                        "value_bootstrap",
                        "zero_rnn_on_done",
                        "shuffle_minibatches",
                        "use_experimental_cv",
                        "freeze_critic",
                        "use_diagnostics",
                    )
                }
            ),
        }
    )


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    database=None,
    phases=[Phase.generate],
)
@given(combinations())
def test_every_combination_trains_and_plays(combination: dict[str, Any]) -> None:
    action = combination["action"]
    config = dict(combination["config"])
    if combination["masks"] and action != "box":
        config["use_action_masks"] = True
    mapping = family_params(
        action,
        combination["observation"],
        combination["rnn"],
        combination["central"],
        {"separate": combination["separate"]},
        **config,
    )
    if combination["rnn"] is not None:
        mapping["network"]["rnn"] |= {**combination["rnn_keys"], "layers": combination["layers"]}
    env = FamilyEnv(action, combination["observation"], agents=combination["agents"])
    try:
        agent = make_agent(mapping, env)
    except ConfigError as refusal:  # an identity layer keeps the width of its input
        assert combination["rnn"] == "identity" and "the width of the input, for 'identity'" in str(refusal)
        return
    before = {name: value.clone() for name, value in agent.model.named_parameters()}
    agent.train()
    assert agent.epoch_num == 2 and agent.frame == 2 * 8 * 4 * combination["agents"]
    assert all(value.isfinite().all() for value in agent.model.state_dict().values())
    assert any((value != before[name]).any() for name, value in agent.model.named_parameters())
    assert agent.game_lengths.mean == pytest.approx(6.0, abs=3.0)  # the first episodes are shorter
    player_env = FamilyEnv(action, combination["observation"], agents=combination["agents"])
    player = PLAYERS[mapping["algo"]["name"]](parse_params(mapping), vec_env=player_env)
    player.model.load_state_dict(agent.model.state_dict())
    player.games_num = 8
    result = player.run(quiet=True)
    assert result.games == 8 and 3.0 <= result.mean_steps <= 6.0
    if config.get("use_action_masks"):
        assert env.forbidden_choices == player_env.forbidden_choices == 0


@pytest.mark.parametrize("rnn", [None, "lstm", "gru"])
@pytest.mark.parametrize("action", list(ACTION_SPACES))
@pytest.mark.parametrize("minibatch_size", [32, 4])
def test_log_probabilities_in_training_equal_those_of_the_rollout(action, rnn, minibatch_size):
    """Episodes end within the sequences of four steps; with ``minibatch_size`` 4, a minibatch is one sequence."""
    mapping = family_params(action, rnn=rnn, minibatch_size=minibatch_size)
    agent = make_agent(mapping, FamilyEnv(action))
    agent.start_training()
    batch = agent.play_steps()
    assert batch["dones"].sum() > 4  # more than the four initial flags
    agent.prepare_dataset(batch)
    for minibatch in agent.dataset:
        with torch.no_grad():
            result = agent.model(
                {
                    "is_train": True,
                    "prev_actions": minibatch["actions"],
                    "obs": minibatch["obs"],
                    "rnn_states": minibatch.get("rnn_states"),
                    "seq_length": agent.seq_length,
                    "dones": minibatch["dones"],
                }
            )
        torch.testing.assert_close(result["prev_neglogp"], minibatch["old_logp_actions"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "action,rnn,central,config",
    [
        ("discrete", None, None, {"use_action_masks": True}),
        ("tuple", "lstm", "mlp", {"normalize_value": True, "normalize_input": True}),
        ("box", "gru", "lstm", {"normalize_value": True, "shuffle_minibatches": True}),
    ],
)
@pytest.mark.parametrize("agents", [1, 2])
def test_a_resumed_run_equals_an_uninterrupted_run(tmp_path: Path, action, rnn, central, config, agents):
    from manybody.engine.run_folder import RunFolder

    def run(name: str, epochs: int, checkpoint: str | None = None) -> Any:
        mapping = family_params(action, "vector", rnn, central, **config, max_epochs=epochs, train_dir=str(tmp_path))
        return make_agent(
            mapping,
            FamilyEnv(action, agents=agents),
            folder=lambda: RunFolder.create(str(tmp_path), "family", name),
            checkpoint=checkpoint,
        )

    whole = run("whole", 4)
    whole.train()
    half = run("half", 2)
    half.train()
    (file,) = half.run.folder.nn.glob("last_*_ep_2_*.pth")
    rest = run("rest", 4, str(file))
    rest.train()
    state, resumed = whole.get_full_state_weights(), rest.get_full_state_weights()
    for part in ("model", "optimizer", "interaction", "rng", *(["assymetric_vf_nets"] if central else [])):
        torch.testing.assert_close(resumed[part], state[part], rtol=0, atol=0)


def error_message(mapping: dict[str, Any], env: FamilyEnv) -> str:
    with pytest.raises((ConfigError, EnvError)) as refused:
        make_agent(mapping, env)
    return str(refused.value)


def test_incompatible_settings_are_refused_with_a_reason():
    assert "expected 'a2c_discrete'" in error_message(family_params("box"), FamilyEnv("discrete"))
    assert "expected 'a2c_continuous'" in error_message(family_params("discrete"), FamilyEnv("box"))
    wrong_model = family_params("multi_discrete") | {"model": {"name": "discrete_a2c"}}
    assert "expected 'multi_discrete_a2c'" in error_message(wrong_model, FamilyEnv("multi_discrete"))
    assert "no state_space" in error_message(family_params(central="mlp"), FamilyEnv(states=False))
    assert "seq_length: got 3; expected a divisor of horizon_length (8)" in error_message(
        family_params(rnn="lstm", seq_length=3), FamilyEnv()
    )
    missing_flag = family_params(central="mlp")
    del missing_flag["config"]["central_value_config"]["network"]["central_value"]
    missing_flag["config"]["central_value_config"]["network"]["space"] = {"discrete": None}
    assert "central_value: missing; expected true" in error_message(missing_flag, FamilyEnv())


def test_masks_of_a_wrong_shape_are_refused(monkeypatch):
    env = FamilyEnv()
    monkeypatch.setattr(FamilyEnv, "_masks", lambda self: torch.ones(4, 2, dtype=torch.bool))
    agent = make_agent(family_params(use_action_masks=True), env)
    with pytest.raises(EnvError, match=r"family: reset\(\) 'action_masks': got a tensor \(4, 2\) .*\(4, 3\)"):
        agent.train()


def test_a_row_without_an_allowed_action_is_refused_by_its_number():
    agent = make_agent(family_params(use_action_masks=True), FamilyEnv(blocked=3))
    env = agent.vec_env
    with pytest.raises(EnvError, match="environment 'family': action_masks of row 1 allow no action at all"):
        agent.train()
    assert env.steps[1] == 3 and env.forbidden_choices == 0  # the environment received no forbidden action


def test_unbounded_actions_are_not_rescaled():
    env = FamilyEnv(action="box")
    env.spec = dataclasses.replace(env.spec, action_space=spaces.Box(-1.0, np.inf, (2,), np.float32))
    assert "clip_actions: got True, which maps [-1, 1] to the range" in error_message(family_params("box"), env)
    agent = make_agent(family_params("box", clip_actions=False, max_epochs=1), env)
    agent.train()
    assert agent.epoch_num == 1


def test_unused_masks_are_reported(capsys):
    for used, reported in ((True, False), (False, True)):
        make_agent(family_params(use_action_masks=used, max_epochs=1), FamilyEnv()).train()
        assert ("reports allowed actions, but use_action_masks is False" in capsys.readouterr().err) is reported


class NonFiniteStates(FamilyEnv):
    """The states of environment 1 are NaN."""

    def step(self, actions):
        step = super().step(actions)
        step.obs["states"][1] = torch.nan
        return step


def test_non_finite_states_are_reported(capsys):
    make_agent(family_params(central="mlp", max_epochs=1), NonFiniteStates()).train()
    assert "states of environment 1 at step 0" in capsys.readouterr().err


def test_the_central_value_measures_and_keeps_its_precision(monkeypatch):
    """The precision is chosen for the central value's network, independently of the policy's."""
    mapping = family_params(central="mlp")
    mapping["config"]["central_value_config"]["mixed_precision"] = True
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    monkeypatch.setattr(precision, "bf16_speed", lambda *_: 2.0)
    agent = make_agent(mapping, FamilyEnv())
    assert agent.central_value.mixed_precision and not agent.mixed_precision
    agent.train()
    monkeypatch.setattr(precision, "bf16_speed", lambda *_: 0.5)
    other = make_agent(mapping, FamilyEnv())
    assert not other.central_value.mixed_precision
    other.set_full_state_weights(agent.get_full_state_weights())
    assert other.central_value.mixed_precision and not other.mixed_precision


def test_an_rl_games_checkpoint_restores_the_central_value():
    """A file without a central value is refused."""
    mapping = family_params(central="mlp", normalize_input=True)
    theirs = make_agent(mapping, FamilyEnv())
    for parameter in theirs.central_value.parameters():
        torch.nn.init.normal_(parameter)
    file = {**theirs.get_weights(), **state_of(theirs.central_value.learner_parts()), "optimizer": {}, "epoch": 3}
    ours = make_agent(mapping, FamilyEnv())
    before = clone(ours.central_value.state_dict())
    ours.set_full_state_weights(file, path="theirs.pth")
    after = ours.central_value.state_dict()
    assert all(torch.equal(after[name], value) for name, value in theirs.central_value.state_dict().items())
    assert any(not torch.equal(after[name], value) for name, value in before.items())
    del file["assymetric_vf_nets"]
    with pytest.raises(CheckpointError, match=r"theirs\.pth.*assymetric_vf_nets"):
        ours.set_full_state_weights(file, path="theirs.pth")


def test_the_network_of_a_central_value_is_validated():
    mapping = family_params(central="mlp")
    mapping["config"]["central_value_config"]["network"]["mlp"]["unit"] = [3]
    with pytest.raises(ConfigError, match=r"params\.config\.central_value_config\.network\.mlp\.unit"):
        parse_params(mapping)


def test_the_central_target_is_the_mean_return_of_the_agents():
    """With returns 1 and 3 of two agents at every step, the central target is 2, once per environment."""
    agent = make_agent(family_params(central="mlp"), FamilyEnv(agents=2))
    agent.start_training()
    returns = torch.tensor([1.0, 3.0]).repeat_interleave(8).repeat(4).unsqueeze(1)  # env-major: 4 x 2 x 8 steps
    assert torch.equal(agent.central_value._team_mean(returns), torch.full((32, 1), 2.0))


def test_a_player_refuses_a_row_without_an_allowed_action():
    params = parse_params(family_params(use_action_masks=True))
    player = PpoPlayerDiscrete(params, vec_env=FamilyEnv(blocked=3))
    with pytest.raises(EnvError, match="action_masks of row 1 allow no action at all"):
        player.run(quiet=True)


def test_a_row_that_is_terminated_and_truncated_is_terminated():
    agent = make_agent(family_params(), FamilyEnv())
    step = agent.vec_env.step(torch.zeros(4, dtype=torch.long))
    both = torch.tensor([False, True, False, False])
    clean, _ = agent.quarantine(0, step._replace(terminated=both, truncated=both, reward=step.reward.unsqueeze(1)))
    assert clean.terminated.tolist() == both.tolist() and not clean.truncated.any()


def test_a_step_without_masks_is_refused(monkeypatch):
    """The environment reports masks only on reset; the policy must not act without them."""
    env = FamilyEnv()
    step = env.step

    def step_without_masks(actions):
        outcome = step(actions)
        obs = {key: value for key, value in outcome.obs.items() if key != "action_masks"}
        return outcome._replace(obs=obs)

    monkeypatch.setattr(env, "step", step_without_masks)
    agent = make_agent(family_params(use_action_masks=True), env)
    with pytest.raises(EnvError, match=r"environment 'family': step\(\) action_masks: got none; expected \(4, 3\)"):
        agent.train()
    assert env.forbidden_choices == 0
