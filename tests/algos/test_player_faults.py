"""Non-finite values while playing: reported once with row and step, never part of a mean return."""

import math

import pytest
import torch
from toy import ToyEnv
from toy_amp import OrbitEnv, orbit_params
from toy_env import Fault, FaultyEnv, toy_params
from toy_family import FamilyEnv, family_params
from toy_sac import sac_params

from manybody.algos.a2c import A2CAgent, PpoPlayerContinuous, PpoPlayerDiscrete
from manybody.algos.amp import AMPPlayerContinuous
from manybody.algos.rnd import RNDPlayerContinuous
from manybody.algos.sac import SACPlayer
from manybody.engine.checkpoint import CheckpointError, save_checkpoint
from manybody.engine.guard import NonFiniteError
from manybody.runner import build_runner

GAMES = {"player": {"games_num": 16, "deterministic": True}}


def player_of(kind, env, mapping):
    torch.manual_seed(0)
    return kind(checked(mapping), vec_env=env)


def checked(mapping):
    return build_runner().parse({"params": mapping}, training=False)


def ppo(*faults, network=None, **sizes):
    mapping = toy_params(**GAMES)
    mapping["network"] |= network or {}
    return player_of(PpoPlayerContinuous, FaultyEnv(*faults, **sizes), mapping)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e38])
@pytest.mark.parametrize("key", ["obs", "reward", "final_obs"])
def test_the_game_is_left_out_and_reported_once(capsys, key, value):
    # Row 3 starts in step 3 of 5: its first game ends with step 2, its second with step 7. What the environment
    # observes in step 7 belongs to a third game, which is not wanted. Fault counts steps from 0.
    step = 6 if key == "obs" else 7
    healthy = ppo().run(quiet=True)
    player = ppo(Fault(key, value, first=step - 1, last=step - 1))
    result = player.run()
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert f"toy: {key} of row 3 at step {step}: got {value:g}; expected finite values below 1e+15" in err
    assert (result.games, player.left_out, healthy.games) == (15, 1, 16)
    assert "games: 15, 1 game with non-finite values left out" in out
    assert abs(result.mean_reward - healthy.mean_reward) < 1.0 and math.isfinite(result.std_reward)


def test_the_first_observation_of_a_game_belongs_to_that_game():
    # Step 2 (0-based: 1) ends row 3's first game; the observation that comes with it opens the second one.
    first = ppo(Fault("obs", math.nan, first=1, last=1))
    assert first.run(quiet=True).games == 15 and first.left_out == 1
    # With one game for each row, the second one is not wanted: nothing is left out.
    first.games_num = 8
    first.env.count = 0
    assert first.run(quiet=True).games == 8 and first.left_out == 0


def test_an_environment_that_stays_broken_gives_no_mean():
    player = ppo(*(Fault("reward", math.nan, row=row, first=0, last=10**9) for row in range(8)))
    with pytest.raises(NonFiniteError, match=r"toy: reward of row 0 at step 1: got nan; .* All 16 games"):
        player.run()


def test_a_recurrent_state_stays_finite():
    rnn = {"rnn": {"name": "lstm", "units": 6, "layers": 1, "before_mlp": False}}
    player = ppo(Fault("obs", math.nan, first=3, last=3), network=rnn)
    assert player.run(quiet=True).games == 15
    assert all(state.isfinite().all() for state in player.states)


@pytest.mark.parametrize("deterministic", [True, False])
def test_actions_that_are_not_finite_stop_playing(deterministic):
    player = ppo()
    player.is_deterministic = deterministic
    with torch.no_grad():
        player.model.a2c_network.mu.weight[0, 0] = math.nan
    with pytest.raises(NonFiniteError, match=r"toy: action of row 0 at step 1: got a value that is not finite"):
        player.run()
    assert player.env.calls == ["reset"]  # the environment did not see them


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("deterministic", [True, False])
def test_choices_among_logits_that_are_not_finite_stop_playing(masked, deterministic):
    mapping = family_params(action="discrete", use_action_masks=masked)
    player = player_of(PpoPlayerDiscrete, FamilyEnv("discrete"), mapping)
    player.is_deterministic = deterministic
    player.run(quiet=True)
    with torch.no_grad():
        player.model.a2c_network.logits.bias[1] = math.nan
    with pytest.raises(NonFiniteError, match="action of row 0 at step 1"):
        player.run()


def test_motions_that_are_not_finite(capsys):
    class Broken(OrbitEnv):
        def step(self, actions):
            step = super().step(actions)
            step.extras["amp_obs"][1] = math.nan
            return step

    player = player_of(AMPPlayerContinuous, Broken(8), orbit_params(**GAMES))
    result = player.run()
    out, err = capsys.readouterr()
    assert "amp_obs of row 1 at step 1: got nan" in err
    assert (result.games, player.left_out) == (14, 2) and "style reward: nan" not in out


def curious():
    mapping = toy_params(rnd_config={}, normalize_input=True)
    mapping["algo"]["name"] = "rnd_continuous"
    small = {"units": [8], "activation": "relu"}
    curiosity = {"features": 5, "target": small, "predictor": small}
    mapping["network"] |= {"name": "rnd_curiosity", "rnd": curiosity}
    return mapping


PLAYERS = {
    "continuous": (PpoPlayerContinuous, lambda: toy_params(), ToyEnv),
    "rnd": (RNDPlayerContinuous, curious, ToyEnv),
    "sac": (SACPlayer, sac_params, ToyEnv),
    "amp": (AMPPlayerContinuous, orbit_params, OrbitEnv),
    "discrete": (
        PpoPlayerDiscrete,
        lambda: family_params(normalize_input=True),
        lambda: FamilyEnv("discrete"),
    ),
}


@pytest.mark.parametrize("name", PLAYERS)
def test_every_player_refuses_such_a_checkpoint(name, tmp_path):
    kind, mapping, env = PLAYERS[name]
    player = player_of(kind, env(), mapping())
    model = {key: value.clone() for key, value in player.model.state_dict().items()}
    before = {key: value.clone() for key, value in model.items()}
    first = next(key for key in model if key.endswith("weight"))
    variance = next(key for key in model if key.endswith("running_var"))
    for key, value in ((first, math.nan), (variance, -1.0)):
        kept = model[key].clone()
        model[key].view(-1)[0] = value
        save_checkpoint(tmp_path / "bad.pth", {"algo": mapping()["algo"]["name"], "model": model})
        with pytest.raises(CheckpointError, match=rf"bad\.pth: {key}: got "):
            player.restore(str(tmp_path / "bad.pth"))
        model[key] = kept
    assert all(torch.equal(value, before[key]) for key, value in player.model.state_dict().items())


@pytest.mark.parametrize("key", ["model", "optimizer"])
def test_training_does_not_resume_from_such_a_checkpoint(key, tmp_path):
    agent = A2CAgent("run", checked(toy_params(max_epochs=1)), vec_env=ToyEnv())
    agent.train()
    state = agent.get_full_state_weights()
    part = state["model"] if key == "model" else state["optimizer"]["state"][0]
    name = "a2c_network.sigma" if key == "model" else "exp_avg_sq"
    part[name].view(-1)[0] = math.nan
    save_checkpoint(tmp_path / "bad.pth", state)
    found = rf"bad\.pth: {key}\.(state\.0\.)?{name}: got 1 of"
    with pytest.raises(CheckpointError, match=found):
        A2CAgent(
            "run",
            checked(toy_params()),
            vec_env=ToyEnv(),
            folder=lambda: pytest.fail("a run folder was made"),
            checkpoint=str(tmp_path / "bad.pth"),
        )
    with pytest.raises(CheckpointError, match=found):
        agent.restore(str(tmp_path / "bad.pth"))
