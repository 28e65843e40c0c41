"""A run that was stopped and resumed equals an uninterrupted run, bit for bit on the CPU."""

import json
import re
import warnings

import pytest
import torch
from toy_env import differences, task_params

from manybody.config import ConfigError
from manybody.engine import precision
from manybody.engine.checkpoint import load_checkpoint, save_checkpoint
from manybody.engine.observers import AlgoObserver
from manybody.runner import Runner

N = 2
"""Epochs before and after the interruption."""
CLOCK = ["/elapsed"]
"""Paths of the state that may differ."""


def train(config, observer=None, **args):
    runner = Runner(observer)
    runner.load(config)
    return runner.run({"train": True, **args})


def checkpoint(agent, epoch):
    (file,) = agent.run.folder.nn.glob(f"last_*_ep_{epoch}_*.pth")
    return file


def lines(folder):
    """Return the lines of metrics.jsonl without the values that depend on the clock."""
    parsed = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "time" and not k.startswith("performance/")} for line in parsed]


VARIANTS = {
    "adaptive per minibatch": ("Cartpole", {}),
    "adaptive per epoch": ("Cartpole", {"schedule_type": "standard_epoch", "kl_threshold": 1e-4}),
    "linear": ("Cartpole", {"lr_schedule": "linear", "schedule_entropy": True, "entropy_coef": 0.01}),
    "random order and moving statistics": (
        "Cartpole",
        {
            "value_bootstrap": True,
            "shuffle_minibatches": True,
            "normalize_rms_advantage": True,
            "use_diagnostics": True,
            "games_to_track": 20,
        },
    ),
    "episodes reset every second epoch": ("Cartpole", {"epochs_between_resets": 2}),
    "bfloat16": ("Cartpole", {"mixed_precision": True}),
    "Ant": ("Ant", {}),
}


@pytest.mark.parametrize("task,settings", VARIANTS.values(), ids=VARIANTS)
def test_a_resumed_run_equals_an_uninterrupted_run(tmp_path, task, settings):
    config = task_params(task, 64, tmp_path, max_epochs=2 * N, save_frequency=N, **settings)
    whole = train(config)
    torch.rand(7)  # the random state is restored from the checkpoint
    resumed = train(config, checkpoint=checkpoint(whole, N))
    assert resumed.epoch_num == whole.epoch_num == 2 * N
    assert resumed.frame == 2 * N * 64 * whole.horizon_length
    final = [load_checkpoint(checkpoint(agent, 2 * N)) for agent in (whole, resumed)]
    assert differences(*final) == CLOCK
    half = load_checkpoint(checkpoint(whole, N))
    changed = differences(half, final[0])  # the comparison can fail: these parts change from epoch N to 2N
    for part in (
        "/model/a2c_network.sigma",
        "/optimizer/state/0/exp_avg",
        "/epoch",
        "/rng/torch",
        "/interaction/obs/obs",
        "/env_state/generator",
    ):
        assert part in changed
    assert lines(resumed.run.folder.path) == lines(whole.run.folder.path)[N:]


@pytest.mark.parametrize("used", [True, False], ids=["bf16", "fp32"])
def test_resume_keeps_the_precision(tmp_path, monkeypatch, used):
    """A new measurement would choose the other precision."""

    def measured(speed):
        monkeypatch.setattr(precision, "bf16_speed", lambda *_: speed)

    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    config = task_params("Cartpole", 16, tmp_path, max_epochs=2, save_frequency=1, mixed_precision=True)
    measured(2.0 if used else 0.5)
    whole = train(config)
    assert whole.mixed_precision is used
    measured(0.5 if used else 2.0)
    resumed = train(config, checkpoint=checkpoint(whole, 1))
    assert resumed.mixed_precision is used
    final = [load_checkpoint(checkpoint(agent, 2)) for agent in (whole, resumed)]
    assert differences(*final) == CLOCK
    assert train(config).mixed_precision is not used  # a new run measures


def test_a_run_folder_is_resumed_in_place(tmp_path):
    whole = train(task_params("Cartpole", 64, tmp_path, max_epochs=2 * N, save_best_after=0))
    half = train(task_params("Cartpole", 64, tmp_path, max_epochs=N, save_best_after=0))
    folder = half.run.folder.path
    half.run.folder.close()
    resumed = train(task_params("Cartpole", 64, tmp_path, max_epochs=2 * N, save_best_after=0), checkpoint=folder)
    assert resumed.run.folder.path == folder and len(list(tmp_path.iterdir())) == 2
    final = [load_checkpoint(checkpoint(agent, 2 * N)) for agent in (whole, resumed)]
    assert differences(*final) == CLOCK
    assert [line["epoch"] for line in lines(folder)] == [1, 2, 3, 4]
    assert lines(folder) == lines(whole.run.folder.path)
    assert resumed.last_mean_rewards == whole.last_mean_rewards > float("-inf")


def test_repeated_epochs_appear_once_in_the_metrics(tmp_path):
    config = task_params("Cartpole", 64, tmp_path, max_epochs=3, save_frequency=2)
    killed = train(config)
    before = lines(killed.run.folder.path)
    checkpoint(killed, 3).unlink()  # as if it had been killed in epoch 4: the newest checkpoint is of epoch 2
    killed.run.folder.close()
    resumed = train(config, checkpoint=killed.run.folder.path)
    assert lines(resumed.run.folder.path) == before
    assert [line["epoch"] for line in before] == [1, 2, 3]


def test_resume_with_another_number_of_environments_warns(tmp_path, capsys):
    first = train(task_params("Cartpole", 64, tmp_path, max_epochs=N))
    capsys.readouterr()
    more = train(task_params("Cartpole", 32, tmp_path, max_epochs=N + 1), checkpoint=checkpoint(first, N))
    assert "holds 64 environments, this run has 32; new episodes start" in capsys.readouterr().err
    assert more.epoch_num == N + 1
    assert more.frame == N * 64 * 16 + 32 * 16


def test_resume_keeps_the_best_return(tmp_path):
    config = task_params("Cartpole", 64, tmp_path, max_epochs=2, save_best_after=0)
    agent = train(config)
    state = load_checkpoint(checkpoint(agent, 2))
    assert state["last_mean_rewards"] == pytest.approx(agent.run.mean_reward)
    best = agent.run.folder.best()
    written = best.stat().st_mtime_ns
    config["params"]["config"] |= {"max_epochs": 3, "learning_rate": 1e-6}
    agent.run.folder.close()
    runner = Runner()
    runner.load(config)

    class SetBestReturn(AlgoObserver):
        """Store a best return in the checkpoint that later epochs do not reach."""

        def before_init(self, *_):
            from manybody.engine.checkpoint import save_checkpoint

            save_checkpoint(checkpoint(agent, 2), {**state, "last_mean_rewards": 1e6})

    runner.algo_observer = SetBestReturn()
    resumed = runner.run({"train": True, "checkpoint": agent.run.folder.path})
    assert resumed.last_mean_rewards == 1e6
    assert best.stat().st_mtime_ns == written  # no worse policy replaced the file


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({"max_epochs": 2}, "max_epochs: got 2; expected more than 2, the epoch at which"),
        (
            {"max_epochs": 1, "max_frames": 2048},
            "max_epochs: got 1; expected more than 2, the epoch at which",
        ),
        (
            {"max_epochs": -1, "max_frames": 2048},
            "max_frames: got 2048; expected more than 2048, the frame at which",
        ),
        (
            {"max_epochs": 9, "score_to_win": 0.5},
            "score_to_win: got 0.5; expected more than ",
        ),
    ],
)
def test_resuming_a_finished_run_is_refused_before_any_file_is_written(tmp_path, limit, expected):
    agent = train(task_params("Cartpole", 64, tmp_path / "runs", max_epochs=2))  # 2 x 64 x 16 frames
    agent.run.folder.close()
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    for start in (agent.run.folder.path, checkpoint(agent, 2)):
        with pytest.raises(ConfigError, match=re.escape(f"params.config.{expected}")) as error:
            train(task_params("Cartpole", 64, tmp_path / "runs", **limit), checkpoint=start)
        assert f"{checkpoint(agent, 2)}" in str(error.value) and ". Raise it to train longer" in str(error.value)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before
    unlimited = {"max_epochs": 3, "max_frames": 10**6, "score_to_win": 1e6}
    resumed = train(task_params("Cartpole", 64, tmp_path / "runs", **unlimited), checkpoint=start)
    assert resumed.epoch_num == 3


def test_a_checkpoint_without_episode_counts_resumes(tmp_path):
    config = task_params("Cartpole", 64, tmp_path, max_epochs=3, save_best_after=0, save_frequency=2)
    agent = train(config)
    state = load_checkpoint(checkpoint(agent, 2))
    assert 0 < state.pop("best_games") <= state["statistics"]["game_rewards"].pop("finished")
    save_checkpoint(tmp_path / "before.pth", state)
    resumed = train(config, checkpoint=tmp_path / "before.pth")
    assert resumed.epoch_num == 3 and resumed.run.mean_reward == agent.run.mean_reward


def test_restore_without_the_epoch_restores_the_weights_only(tmp_path):
    config = task_params("Cartpole", 64, tmp_path, max_epochs=2)
    agent = train(config)
    runner = Runner()
    runner.load(config)
    fresh = runner.algo_factory.create("a2c_continuous", base_name="run", params=runner.params)
    fresh.restore(str(checkpoint(agent, 2)), set_epoch=False)
    assert (fresh.epoch_num, fresh.frame, fresh.last_mean_rewards) == (0, 0, float("-inf"))
    assert differences(fresh.get_weights(), agent.get_weights()) == []


def test_training_resumes_from_an_rl_games_checkpoint(tmp_path, capsys):
    config = task_params("Cartpole", 64, tmp_path, max_epochs=5)
    runner = Runner()
    runner.load(config)
    source = runner.algo_factory.create("a2c_continuous", base_name="run", params=runner.params)
    file = tmp_path / "theirs.pth"
    optimizer = {"state": {}, "param_groups": [{"lr": 1.25e-4, "fused": False, "params": []}]}
    torch.save(
        {
            "model": source.model.state_dict(),
            "epoch": 4,
            "frame": 4096,
            "optimizer": optimizer,
            "last_mean_rewards": 12.5,
        },
        file,
    )
    agent = train(config, checkpoint=file)
    assert "an RL Games checkpoint" in capsys.readouterr().err
    assert (agent.epoch_num, agent.frame) == (5, 4096 + 64 * 16)
    # The schedule starts at the checkpoint's 1.25e-4, not at the configured 3e-4.
    assert lines(agent.run.folder.path)[0]["info/last_lr"] < 3e-4


@pytest.mark.parametrize("part", ["model", "optimizer", "schedule", "epoch", "rng", "statistics", "interaction"])
def test_an_incomplete_checkpoint_is_refused_before_any_file_is_written(tmp_path, part):
    from manybody.engine.checkpoint import CheckpointError, save_checkpoint

    config = task_params("Cartpole", 64, tmp_path / "runs", max_epochs=3)
    runner = Runner()
    runner.load(config)
    source = runner.algo_factory.create("a2c_continuous", base_name="run", params=runner.params)
    source.start_training()
    state = source.get_full_state_weights()
    del state[part]
    save_checkpoint(tmp_path / "part.pth", state)
    with pytest.raises(CheckpointError, match=part), warnings.catch_warnings():
        train(config, checkpoint=tmp_path / "part.pth")
    assert not (tmp_path / "runs").exists()


def test_a_changed_learning_rate_applies_from_the_checkpoint(tmp_path):
    """An unchanged learning rate continues from the value in the checkpoint."""
    settings = {"lr_schedule": "constant", "learning_rate": 1e-4}
    agent = train(task_params("Cartpole", 8, tmp_path, **settings, max_epochs=N))
    file = str(checkpoint(agent, N))
    for rate, expected in ((1e-4, 1e-4), (1e-3, 1e-3)):
        changed = settings | {"learning_rate": rate, "name": f"changed{rate}"}
        resumed = train(task_params("Cartpole", 8, tmp_path, **changed, max_epochs=N + 1), checkpoint=file)
        assert resumed.last_lr.item() == resumed.optimizer.lr.item() == pytest.approx(expected)


def test_training_and_resuming_in_one_process(tmp_path):
    """``train`` releases the run folder when it returns, and resuming keeps the best return."""
    agent = train(task_params("Cartpole", 8, tmp_path, max_epochs=N))
    agent.run.best_seen = 123.0
    agent.run.save_last()
    longer = task_params("Cartpole", 8, tmp_path, max_epochs=N + 1)
    resumed = train(longer, checkpoint=str(agent.run.folder.path))
    assert resumed.run.folder.path == agent.run.folder.path and resumed.epoch_num == N + 1
    assert resumed.run.best_seen == 123.0
