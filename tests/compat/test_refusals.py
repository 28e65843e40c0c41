"""What is wrong with a configuration or a checkpoint: which key, what was found, what was expected."""

import copy

import pytest
import torch
from toy import ToyEnv, toy_params
from toy_sac import sac_params

from manybody.compat.rl_games.torch_runner import Runner
from manybody.config import ConfigError
from manybody.engine.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from manybody.envs import registration

MISSING = object()


def changed(params, path, value):
    """``params`` with ``value`` at the dotted ``path``."""
    params = copy.deepcopy(params)
    *parents, last = path.split(".")
    block = params
    for key in parents:
        block = block[key]
    if value is MISSING:
        del block[last]
    else:
        block[last] = value
    return params


@pytest.mark.parametrize("runner", [Runner])
@pytest.mark.parametrize(
    "given,told",
    [
        ({}, "params: missing; expected a block with algo, model, network and config"),
        ([], "configuration: got []; expected 'params'"),
        (None, "configuration: missing; expected 'params'"),
        ({"params": {}}, "params.algo: missing; expected a block with the name of an algorithm"),
        ({"params": [1]}, "params: got [1]; expected a block with algo"),
    ],
)
def test_what_is_no_configuration(runner, given, told):
    with pytest.raises(ConfigError) as refused:
        runner().load(given)
    assert told in str(refused.value)


@pytest.mark.parametrize("algo", ["a2c_continuous", "sac", "a client's own"])
@pytest.mark.parametrize(
    "path,value,told",
    [
        ("algo", MISSING, "params.algo: missing"),
        ("algo", "sac", "params.algo: got 'sac'; expected a block"),
        ("algo.name", MISSING, "params.algo.name: missing; expected the name of an algorithm"),
        ("algo.name", ["sac"], "params.algo.name: got ['sac']; expected the name"),
        ("config", MISSING, "params.config: missing; expected a block"),
        ("config", [1], "params.config: got [1]; expected a block"),
        ("config.player", 3, "params.config.player: got 3; expected a block"),
        ("config.reward_shaper", [0.1], "params.config.reward_shaper: got [0.1]; expected a block"),
        ("config.reward_shaper", {"scale": 0.1}, "params.config.reward_shaper.scale: unknown key"),
        ("config.reward_shaper", {"scale_value": "x"}, "params.config.reward_shaper.scale_value: got 'x'"),
        ("seed", "x", "params.seed: got 'x'; expected a whole number"),
    ],
)
def test_parts_of_a_configuration(algo, path, value, told):
    params = sac_params() if algo == "sac" else toy_params()
    runner = Runner()
    if algo not in ("sac", "a2c_continuous"):
        params["algo"]["name"] = algo
        runner.algo_factory.register_builder(algo, lambda **_: None)
    with pytest.raises(ConfigError) as refused:
        runner.load({"params": changed(params, path, value)})
    assert told in str(refused.value)


@pytest.mark.parametrize("part", ["model", "network"])
def test_parts_of_an_algorithm_of_ours(part):
    for path, value in ((part, MISSING), (part, [1]), (f"{part}.name", MISSING)):
        with pytest.raises(ConfigError, match=rf"params\.{path.replace('.', chr(92) + '.')}"):
            Runner().load({"params": changed(toy_params(), path, value)})


def test_numbers_of_a_shaper_that_yaml_reads_as_text():
    runner = Runner()
    runner.load({"params": toy_params(reward_shaper={"scale_value": "1e-2"})})
    assert float(runner.params["config"]["reward_shaper"](torch.tensor(300.0))) == pytest.approx(3.0)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A plain agent after one epoch, and its checkpoint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registration, "_creators", dict(registration._creators))
    registration.register("toy", lambda num_actors, **_: ToyEnv(num_actors))
    runner = Runner()
    config = {"normalize_rms_advantage": True, "normalize_input": True, "max_epochs": 1}
    runner.load({"params": toy_params(**config)})
    agent = runner.run({"train": True})
    agent.save(str(tmp_path / "good"))
    return agent, runner.create_player(), load_checkpoint(tmp_path / "good.pth")


def test_parts_of_a_checkpoint(trained, tmp_path):
    agent, player, good = trained
    moments = {"state": {0: {"exp_avg": torch.zeros(7)}}, "param_groups": good["optimizer"]["param_groups"]}
    wrong = {
        "optimizer": [
            (MISSING, "optimizer: got only "),
            ([1], "optimizer: got list; expected the state of an optimiser"),
            ({"a": 1}, "optimizer: got keys ['a']; expected the state of an optimiser"),
            ({"state": {}, "param_groups": []}, "optimizer: got a state that does not load"),
            (moments, "optimizer: got a state that does not load"),
        ],
        "epoch": [("x", "epoch: got 'x'; expected a number"), (-1, "epoch: got -1; expected a whole")],
        "last_mean_rewards": [(float("nan"), "last_mean_rewards: got nan")],
        "advantage_mean_std": [({}, "advantage_mean_std: got 3 differing parameters")],
        "model": [({"a": torch.ones(1)}, "model: got")],
    }
    for key, cases in wrong.items():
        for value, told in cases:
            save_checkpoint(tmp_path / "bad.pth", changed(good, key, value))
            with pytest.raises(CheckpointError) as refused:
                agent.restore(str(tmp_path / "bad.pth"))
            assert str(refused.value).startswith(f"{tmp_path / 'bad.pth'}: {told}"), (key, value)
            if key != "model":
                player.restore(str(tmp_path / "bad.pth"))  # which needs none of it
    with pytest.raises(CheckpointError, match="weights: model: got only a"):
        agent.set_weights({"a": 1})
    save_checkpoint(tmp_path / "stateless.pth", changed(good, "env_state", MISSING))
    agent.restore(str(tmp_path / "stateless.pth"))
