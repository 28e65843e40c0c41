"""``manybody train``: overrides, errors, resuming, exit codes and results."""

import signal

import pytest
import torch
import yaml
from toy_env import toy_params

from manybody import train
from manybody.engine.checkpoint import load_checkpoint
from manybody.engine.run_folder import RunFolder
from manybody.train import show_results

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.slow]  # whole commands
SMALL = [
    *("task=Cartpole", "num_envs=64", "max_iterations=1", "train.params.torch_threads=1"),
    *("train.params.config.minibatch_size=512", "train.params.config.mini_epochs=2"),
]


# --- checkpoints ---------------------------------------------------------------------------------------------------


def test_a_damaged_checkpoint_is_refused_and_an_intact_one_is_offered(refused, tmp_path):
    agent = train.main([*SMALL, "experiment=a", "train.params.config.save_frequency=1", "max_iterations=2"])
    old, new = sorted(agent.run.folder.nn.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    agent.run.folder.close()
    assert "_ep_2_" in new.name
    assert "missing a2c_network" in refused("task=Ant", f"checkpoint={old}")  # a checkpoint of another task
    new.write_bytes(new.read_bytes()[:-1000])
    err = refused(*SMALL, f"checkpoint={new}")
    assert f"{new}: file: got" in err and f"use checkpoint='{old}'" in err
    old.write_bytes(b"")
    assert "an empty file" in refused(*SMALL, f"checkpoint={old}")
    assert "got no intact checkpoint" in refused(*SMALL, "checkpoint=runs/a")


def test_resume_skips_a_damaged_newest_checkpoint(tmp_path):
    overrides = [*SMALL, "experiment=a", "train.params.config.save_frequency=1", "max_iterations=3"]
    agent = train.main(overrides)
    newest = agent.run.folder.newest()
    newest.write_bytes(newest.read_bytes()[:-1000])
    agent.run.folder.close()
    again = train.main(["checkpoint=runs/a"])
    assert again.epoch_num == 3 and load_checkpoint(newest)["epoch"] == 3  # written again


def test_resume_applies_overrides_to_the_recorded_configuration(tmp_path, capsys):
    first = train.main([*SMALL, "experiment=a", "seed=3", "train.params.config.gamma=0.97"])
    first.run.folder.close()
    second = train.main(["checkpoint=runs/a", "max_iterations=2"])
    assert (second.epoch_num, second.num_actors, second.gamma, second.params.seed) == (2, 64, 0.97, 3)
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["a"]
    second.run.folder.close()
    third = train.main(["checkpoint=runs/a", "max_iterations=3", "task=Cartpole", "train.params.config.gamma=0.98"])
    assert (third.epoch_num, third.gamma) == (3, 0.98)
    third.run.folder.close()
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        train.main(["checkpoint=runs/a"])  # earlier overrides are recorded
    assert stop.value.code == 2
    assert "max_iterations: got 3; expected more than 3, the epoch at which" in capsys.readouterr().err
    fourth = train.main(["checkpoint=runs/a", "max_iterations=4"])
    assert (fourth.epoch_num, fourth.gamma) == (4, 0.98)


def test_a_run_folder_of_another_task_is_refused(refused, tmp_path):
    train.main([*SMALL, "experiment=a"]).run.folder.close()
    err = refused("checkpoint=runs/a", "task=Ant")
    assert "task=Ant: " in err and "runs/a is a run of task=Cartpole with a2c_continuous; leave this out" in err
    (tmp_path / "rl.yaml").write_text(yaml.safe_dump({"params": toy_params()}))
    err = refused("--file", "rl.yaml", "checkpoint=runs/a", "params.config.gamma=0.5")
    assert "--file: rl.yaml: " in err and "is a run of task=Cartpole with a2c_continuous" in err
    assert "numenvs: unknown key" in refused("checkpoint=runs/a", "numenvs=3")


def test_a_checkpoint_file_is_resumed_in_a_new_run(tmp_path):
    first = train.main([*SMALL, "experiment=a"])
    second = train.main([*SMALL, "experiment=b", "max_iterations=2", f"checkpoint={first.run.folder.newest()}"])
    assert second.epoch_num == 2 and second.run.folder.path == tmp_path / "runs" / "b"
    assert not list(first.run.folder.nn.glob("*_ep_2_*"))


# --- exit codes ------------------------------------------------------------------------------------------------------


def test_the_guard_stops_training_with_exit_code_3_and_a_checkpoint(tmp_path, capsys):
    overrides = [
        "train.params.config.env_name=faulty",
        "train.params.config.guard=abort",
        "experiment=a",
        "max_iterations=9",
    ]
    with pytest.raises(SystemExit) as stop:
        train.main([*SMALL, *overrides])
    err = capsys.readouterr().err
    assert stop.value.code == 3 and "Traceback" not in err
    # the fault is in step 20 of environment 3: step 4 of the second rollout of 16
    assert err.startswith("error: training stopped: NaN, infinite") and "obs of environment 3 at step 4" in err
    (file,) = (tmp_path / "runs" / "a" / "nn").iterdir()
    assert f"The last good weights are in {file}" in err and load_checkpoint(file)["epoch"] == 2


def test_an_interrupted_run_reports_its_results_and_the_command_that_resumes_it(tmp_path, capsys):
    overrides = ["train.params.config.stop_fn=toy_env:interrupt_in_the_first_epoch", "max_iterations=5"]
    with pytest.raises(SystemExit) as stop:
        train.main([*SMALL, *overrides, "experiment=a b", "video=True"])
    folder = tmp_path / "runs" / "a b"
    (last,) = (folder / "nn").iterdir()  # training stops after the second epoch
    assert stop.value.code == 130 and "_ep_2_" in last.name
    assert capsys.readouterr().out.splitlines()[-5:] == [
        f"run folder:      {folder}",
        f"last checkpoint: {last}",
        f"resume it:       manybody train 'checkpoint={folder}'",
        f"play it again:   manybody play '{folder}'",
        f"learning curve:  {folder / 'curve.png'}",  # printed last because drawing takes time
    ]
    assert not list((folder / "videos").iterdir())
    assert train.main([f"checkpoint={folder}", "train.params.config.stop_fn=None", "max_iterations=3"]).epoch_num == 3


def test_an_interruption_while_building_prints_no_traceback(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("manybody.runner.Runner.load_run", interrupt)
    with pytest.raises(SystemExit) as stop:
        train.main(SMALL)
    assert stop.value.code == 130 and capsys.readouterr().err.endswith("error: interrupted\n")


# --- other options ---------------------------------------------------------------------------------------------------


@pytest.fixture
def file_run(tmp_path):
    """The folder of a run ``runs/a`` of one epoch, trained with ``--file rl.yaml``."""
    (tmp_path / "rl.yaml").write_text(yaml.safe_dump({"params": toy_params() | {"torch_threads": 1}}))
    overrides = ["max_iterations=1", "experiment=a", "seed=9", "params.config.tau=0.9"]
    agent = train.main(["--file", "rl.yaml", *overrides])
    assert (agent.epoch_num, agent.params.seed) == (1, 9)
    return agent.run.folder


def test_a_run_of_a_file_is_resumed_with_and_without_the_file(file_run, refused):
    assert "max_epochs: got 1; expected more than 1, the epoch at" in refused("checkpoint=runs/a")
    assert "max_iterations: got 1" in refused("--file", "rl.yaml", "checkpoint=runs/a", "max_iterations=1")
    second = train.main(["checkpoint=runs/a", "max_iterations=2", "params.config.gamma=0.9"])
    third = train.main(["--file", "rl.yaml", "checkpoint=runs/a", "max_iterations=3"])
    for epochs, agent in ((2, second), (3, third)):
        assert agent.epoch_num == epochs and agent.run.folder.path == file_run.path
        assert (agent.params.seed, agent.tau, agent.gamma) == (9, 0.9, 0.9)
    recorded = yaml.safe_load(file_run.config_file.read_text())
    assert recorded["params"]["config"]["max_epochs"] == 3 and recorded["task_name"] == "toy"


def test_a_run_of_a_file_is_played_with_and_without_the_file(file_run, refused):
    before = sorted(file_run.path.rglob("*"))
    for overrides in (["checkpoint=runs/a"], ["--file", "rl.yaml", "checkpoint=runs/a"], ["--file", "rl.yaml"]):
        result = train.main([*overrides, "test=True", "games_num=3", "seed=4"])
        assert result.games == 3
    assert sorted(file_run.path.rglob("*")) == before
    err = refused("--file", "rl.yaml", "checkpoint=runs/a", "test=True", "params.config.gamma=0.5")
    assert "params.config.gamma: only affects training" in err
    assert "task=Ant: " in refused("checkpoint=runs/a", "test=True", "task=Ant")


def test_resuming_a_run_with_another_file_is_refused(file_run, refused, tmp_path):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({"params": toy_params(env_name="faulty")}))
    err = refused("--file", "other.yaml", "checkpoint=runs/a")
    assert "--file: other.yaml: " in err and "runs/a is a run of toy with a2c_continuous" in err


def test_sigma_is_not_recorded(tmp_path):
    train.main([*SMALL, "experiment=a", "sigma=-1"])
    (file,) = (tmp_path / "runs" / "a" / "nn").iterdir()
    saved = load_checkpoint(file)["model"]["a2c_network.sigma"]
    still = ["train.params.config.learning_rate=1e-12", "train.params.config.lr_schedule=constant"]
    again = train.main(["checkpoint=runs/a", "max_iterations=2", *still])
    assert float(saved) != -1 and torch.equal(again.model.a2c_network.sigma, saved)


def test_keys_of_isaac_gym_without_effect_are_reported_once(tmp_path, capsys):
    overrides = ["pipeline=gpu", "graphics_device_id=0", "wandb_activate=False", "pbt=no_pbt", "headless=False"]
    assert train.main([*SMALL, *overrides, "experiment=é a=1"]).run.folder.path.name == "é a=1"
    err = capsys.readouterr().err
    for word in overrides:
        assert err.count(f"warning: {word.partition('=')[0]}: has no effect: ") == 1


def test_multirun_validates_all_combinations_before_training(tmp_path, refused):
    jobs = "train.params.config.learning_rate=1e-3,2e-3"
    assert "params.config.gamma: got 7" in refused("--multirun", *SMALL, jobs, "train.params.config.gamma=0.9,7")
    agents = train.main(["--multirun", *SMALL, jobs, "train.params.config.lr_schedule=constant"])
    assert [float(agent.last_lr) for agent in agents] == pytest.approx([1e-3, 2e-3])
    (parent,) = (tmp_path / "runs").iterdir()
    assert {run.name for run in parent.iterdir()} == {f"Cartpole_learning_rate={x}" for x in ("1e-3", "2e-3")}


def test_a_gymnasium_environment_by_name(tmp_path):
    agent = train.main(
        [
            *SMALL,
            "num_envs=8",
            "train.params.config.env_name=Pendulum-v1",
            "train.params.config.minibatch_size=64",
        ]
    )
    assert agent.epoch_num == 1 and agent.obs_shape == (3,)


def test_the_saved_configuration_is_the_resolved_tree(tmp_path):
    agent = train.main([*SMALL, "experiment=a", "seed=5"])
    saved = yaml.safe_load(RunFolder.open(tmp_path / "runs" / "a").config_file.read_text())
    assert saved["command"] == [*SMALL, "experiment=a", "seed=5"]
    assert saved["task_name"] == "Cartpole" and saved["task"]["env"]["numEnvs"] == 64
    assert saved["train"]["params"]["seed"] == agent.params.seed == 5


def test_the_summary_is_printed_before_the_video_is_recorded(tmp_path, capsys, monkeypatch):
    from manybody.media import policy_video

    job = train.prepare([*SMALL, "experiment=a", "video=True", "video.seconds=2.5"])
    agent = job.start()
    printed_before = []

    def record(player, path, seconds, camera):
        printed_before.append(capsys.readouterr().out)
        assert (player.env.num_envs, path.parent, seconds, camera) == (
            1,
            agent.run.folder.videos,
            2.5,
            None,
        )
        return path

    monkeypatch.setattr(policy_video, "record_video", record)
    show_results(job.runner, job.run, agent.run.folder)
    (summary,) = printed_before
    assert all(line in summary for line in ("run folder: ", "last checkpoint: ", "play it again: "))
    assert "curve.png" in summary and agent.run.folder.curve_file.is_file()
    assert capsys.readouterr().out.startswith("video: ")

    def fail(*_):
        raise RuntimeError("no disk")

    monkeypatch.setattr(policy_video, "record_video", fail)
    show_results(job.runner, job.run, agent.run.folder)
    assert capsys.readouterr().err == "warning: no video: RuntimeError: no disk\n"


def test_ctrl_c_before_the_video_skips_it(tmp_path, capsys, monkeypatch):
    from manybody.media import learning_curve, policy_video

    job = train.prepare([*SMALL, "experiment=a", "video=True"])
    agent = job.start()
    monkeypatch.setattr(learning_curve, "draw_curve", lambda _: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(policy_video, "record_video", lambda *_: pytest.fail("recorded a video"))
    show_results(job.runner, job.run, agent.run.folder)
    assert "play it again" in capsys.readouterr().out
