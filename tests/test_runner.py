"""The behaviour of a run: stop rules, files, observers, metrics and printed lines."""

import json
import re

import pytest
import torch
from toy import ToyEnv
from toy_env import stop_at_two, toy_params
from toy_sac import sac_params

from manybody.config import ConfigError, ConfigWarning
from manybody.engine.checkpoint import load_checkpoint
from manybody.engine.observers import AlgoObserver, DefaultAlgoObserver, IsaacAlgoObserver, MultiObserver
from manybody.engine.run_folder import RunFolder
from manybody.envs import registration, vecenv
from manybody.runner import Runner, build_runner

BATCH = 64  # toy_params: 8 steps of 8 environments
EPISODE = 5


def load(tmp_path, observer=None, **config):
    runner = Runner(observer)
    params = toy_params(**{"train_dir": str(tmp_path / "runs"), "full_experiment_name": "toy", **config})
    runner.load({"params": params | {"torch_threads": 1}})
    return runner


def train(tmp_path, env=None, observer=None, **config):
    return load(tmp_path, observer, **config).run({"train": True, "vec_env": env or ToyEnv()})


def files(agent):
    return sorted(file.name for file in agent.run.folder.nn.iterdir())


def metrics(agent):
    return [json.loads(line) for line in agent.run.folder.metrics_file.read_text().splitlines()]


# --- stop rules ----------------------------------------------------------------------------------------------------


def test_max_epochs(tmp_path, capsys):
    agent = train(tmp_path, max_epochs=3)
    assert (agent.epoch_num, agent.frame) == (3, 3 * BATCH)
    assert agent.run.stop_reason == "MAX EPOCHS NUM!" and "MAX EPOCHS NUM!" in capsys.readouterr().out


def test_max_frames(tmp_path, capsys):
    agent = train(tmp_path, max_frames=150)  # 64, 128, 192
    assert (agent.epoch_num, agent.frame) == (3, 192)
    assert "MAX FRAMES NUM!" in capsys.readouterr().out


def test_score_to_win(tmp_path, capsys):
    agent = train(tmp_path, score_to_win=-1000, max_epochs=9)
    assert agent.epoch_num == 1  # every environment finishes an episode of five steps within the first eight
    assert "Maximum reward achieved. Network won!" in capsys.readouterr().out
    assert len(files(agent)) == 1


def test_score_to_win_needs_a_finished_episode(tmp_path):
    agent = train(tmp_path, ToyEnv(length=1000), score_to_win=-1000, max_epochs=2)
    assert agent.epoch_num == 2 and agent.run.stop_reason == "MAX EPOCHS NUM!"


def test_stop_fn(tmp_path):
    agent = train(tmp_path, stop_fn="toy_env:stop_at_two", max_epochs=9)
    assert agent.epoch_num == 2 and agent.run.stop_reason == "stop_fn toy_env:stop_at_two"
    assert files(agent)[0].startswith("last_Toy_ep_2_")


@pytest.mark.parametrize("path", ["nowhere:stop", "toy_env:nothing"])
def test_an_unknown_stop_fn_is_refused_before_any_file_is_written(tmp_path, path):
    with pytest.raises(ConfigError, match=f"params.config.stop_fn.*{path}"):
        train(tmp_path, stop_fn=path)
    assert not (tmp_path / "runs").exists()


# --- checkpoints ---------------------------------------------------------------------------------------------------


def test_checkpoints_are_saved_before_any_episode_ends(tmp_path, capsys):
    agent = train(tmp_path, ToyEnv(length=1000), max_epochs=3, save_frequency=2, save_best_after=0)
    assert files(agent) == ["last_Toy_ep_2_rew_none.pth", "last_Toy_ep_3_rew_none.pth"]
    assert "WARNING: Max epochs reached before any env terminated at least once" in capsys.readouterr().out


def test_the_best_policy_is_saved_after_save_best_after_epochs(tmp_path):
    class Watch(AlgoObserver):
        def __init__(self):
            self.best_exists = []

        def after_init(self, algo):
            self.algo = algo

        def after_print_stats(self, *_):
            self.best_exists.append(self.algo.run.folder.best() is not None)

    watch = Watch()
    agent = train(tmp_path, observer=watch, max_epochs=5, save_best_after=3)
    assert watch.best_exists == [False, False, False, True, True]  # after_print_stats comes before saving
    best = load_checkpoint(agent.run.folder.nn / "Toy.pth")
    assert best["last_mean_rewards"] == max(line["rewards/step"] for line in metrics(agent)[2:])


@pytest.mark.parametrize(("keep", "kept"), [({}, 7), ({"keep_checkpoints": "None"}, 7), ({"keep_checkpoints": 2}, 2)])
def test_keep_checkpoints_limits_the_periodic_checkpoints(tmp_path, keep, kept):
    agent = train(tmp_path, max_epochs=7, save_frequency=1, **keep)
    epochs = sorted(int(re.search(r"_ep_(\d+)_", name)[1]) for name in files(agent) if name.startswith("last_"))
    assert epochs == list(range(8 - kept, 8))  # up to epoch 7


def test_keep_checkpoints_must_be_positive(tmp_path):
    with pytest.raises(ConfigError, match=r"keep_checkpoints: got 0"):
        train(tmp_path, keep_checkpoints=0)


def test_epochs_between_resets(tmp_path):
    env = ToyEnv()
    train(tmp_path, env, max_epochs=5, epochs_between_resets=2)
    assert env.calls.count("reset") == 3  # at the start and before epochs 3 and 5
    assert env.calls.index("reset", 1) == 1 + 2 * 8


def test_the_recorded_configuration_is_complete(tmp_path):
    agent = train(tmp_path, max_epochs=1)
    folder = RunFolder.open(tmp_path / "runs" / "toy")
    reloaded = Runner()
    import yaml

    reloaded.load(yaml.safe_load(folder.config_file.read_text()))
    assert reloaded.params == agent.params


# --- arguments ----------------------------------------------------------------------------------------------------


def test_the_argument_sigma_overrides_the_parameter(tmp_path):
    runner = load(tmp_path, max_epochs=1, learning_rate=1e-9, max_lr=1e-9, min_lr=1e-9)
    agent = runner.run({"train": True, "vec_env": ToyEnv(), "sigma": "-2.5"})
    assert agent.model.a2c_network.sigma.tolist() == pytest.approx([-2.5, -2.5])


def test_playing_accepts_a_run_folder(tmp_path):
    folder = train(tmp_path, max_epochs=1).run.folder.path
    runner = load(tmp_path, player={"games_num": 3})
    result = runner.run({"play": True, "checkpoint": folder, "vec_env": ToyEnv()})
    assert result.games == 3


def test_stop_fn_may_be_a_function(tmp_path):
    import yaml

    agent = train(tmp_path, stop_fn=stop_at_two, max_epochs=9)
    assert agent.epoch_num == 2
    recorded = yaml.safe_load(agent.run.folder.config_file.read_text())
    assert recorded["params"]["config"]["stop_fn"] == "toy_env:stop_at_two"
    with pytest.raises(ConfigError, match=r"stop_fn: got .*lambda.*; expected a function that can be imported"):
        load(tmp_path, stop_fn=lambda agent: True)


# --- observers ---------------------------------------------------------------------------------------------------


class Recorder(AlgoObserver):
    def __init__(self):
        self.calls = []

    def before_init(self, base_name, config, experiment_name):
        self.calls.append(("before_init", base_name, config.name, experiment_name))

    def after_init(self, algo):
        self.algo = algo
        self.calls.append(("after_init", algo.writer is algo.run.writer))

    def process_infos(self, infos, done_indices):
        self.calls.append(("process_infos", infos, done_indices.tolist()))

    def after_steps(self):
        self.calls.append(("after_steps", self.algo.epoch_num))

    def after_clear_stats(self):
        self.calls.append(("after_clear_stats",))

    def after_print_stats(self, frame, epoch_num, total_time):
        self.calls.append(("after_print_stats", frame, epoch_num, total_time > 0))


def test_observers_are_called_once_per_event(tmp_path):
    recorder = Recorder()
    agent = train(tmp_path, observer=recorder, max_epochs=2)
    agent.clear_stats()
    names = [call[0] for call in recorder.calls]
    epoch = ["process_infos"] * 8 + ["after_steps", "after_print_stats"]
    assert names == ["before_init", "after_init", *epoch, *epoch, "after_clear_stats"]
    assert recorder.calls[0] == ("before_init", "run", "Toy", "toy")
    assert recorder.calls[1] == ("after_init", True)
    assert recorder.calls[11] == ("after_print_stats", BATCH, 1, True)
    # Environment i starts at step i % 5 of its episode of five: environment 4 ends in step 1, 0 and 5 in step 5.
    assert recorder.calls[2][2] == [i == 4 for i in range(8)]
    assert recorder.calls[6][2] == [i in (0, 5) for i in range(8)]


class ReportingEnv(ToyEnv):
    """Report extras like tasks of Isaac Gym."""

    def step(self, actions):
        step = super().step(actions)
        extras = {
            "scores": torch.arange(8.0),
            "episode": {"height": torch.tensor([2.0, 4.0])},
            "level": torch.tensor(7.0),
            "row": torch.arange(8),
            "lost": torch.tensor(3),
        }
        return step._replace(extras=extras)


@pytest.mark.parametrize("make", [DefaultAlgoObserver, IsaacAlgoObserver, AlgoObserver])
def test_extras_are_logged_with_every_observer(tmp_path, make):
    (line,) = metrics(train(tmp_path, ReportingEnv(), MultiObserver([make(), Recorder()]), max_epochs=1))
    assert line["row/frame"] == line["row/iter"] == line["row/time"] == 3.5  # the mean of 0 to 7
    assert line["lost/frame"] == 8 * 3  # a count, in each of eight steps
    assert line["Episode/height"] == 3.0  # the mean of 2 and 4
    assert line["level/frame"] == line["level/iter"] == line["level/time"] == 7.0
    # Within eight steps, every environment finishes an episode. Environments 4, 3, 2 and 7 finish their first one in
    # steps 0, 1, 2 and 2, and a second one five steps later.
    assert line["scores/mean"] == line["scores/iter"] == line["scores/time"]
    ends = [*range(8), 4, 3, 2, 7]
    assert line["scores/mean"] == pytest.approx(sum(ends) / len(ends))


def test_sac_logs_extras(tmp_path):
    params = sac_params(train_dir=str(tmp_path), full_experiment_name="sac", max_epochs=1)
    runner = Runner(AlgoObserver())
    runner.load({"params": params})
    (line,) = metrics(runner.run({"train": True, "vec_env": ReportingEnv()}))
    assert (line["row/frame"], line["lost/frame"], line["Episode/height"]) == (3.5, 4 * 3, 3.0)  # four steps


def test_resume_keeps_the_scores(make_agent):
    agent, resumed = make_agent(env=ReportingEnv(), max_epochs=1), make_agent(env=ReportingEnv())
    agent.train()
    resumed.set_full_state_weights(agent.get_full_state_weights())
    scores = agent.extras_metrics.state_dict()
    assert scores["current_size"] == 12  # eight first episodes and four second ones
    assert all(torch.equal(resumed.extras_metrics.state_dict()[name], scores[name]) for name in scores)


# --- tags and lines ------------------------------------------------------------------------------------------------

TAGS = (
    {f"performance/{tag}" for tag in ("step_inference_rl_update_fps", "step_inference_fps", "step_fps")}
    | {f"performance/{tag}" for tag in ("rl_update_time", "step_inference_time", "step_time")}
    | {f"losses/{tag}" for tag in ("a_loss", "c_loss", "entropy", "bounds_loss")}
    | {f"info/{tag}" for tag in ("last_lr", "lr_mul", "e_clip", "kl", "epochs", "entropy_coef")}
    | {f"{tag}/{x}" for tag in ("rewards", "shaped_rewards", "episode_lengths") for x in ("step", "iter", "time")}
)
"""RL Games' tags of ``a2c_continuous``, and ``info/entropy_coef``."""


def test_the_tags_are_those_of_rl_games(tmp_path):
    agent = train(tmp_path, max_epochs=2)
    for epoch, line in enumerate(metrics(agent), 1):
        assert set(line) == TAGS | {"epoch", "frame", "time"}
        assert (line["epoch"], line["frame"], line["info/epochs"]) == (epoch, epoch * BATCH, epoch)
        assert line["rewards/step"] == line["rewards/iter"] == line["rewards/time"]
        assert line["shaped_rewards/step"] == pytest.approx(0.1 * line["rewards/step"])  # scale_value
        assert line["episode_lengths/step"] <= EPISODE


def test_no_return_is_logged_before_an_episode_ends(tmp_path):
    (line,) = metrics(train(tmp_path, ToyEnv(length=1000), max_epochs=1))
    assert set(line) - {"epoch", "frame", "time"} == {
        tag for tag in TAGS if "reward" not in tag and "episode" not in tag
    }


def test_tags_of_value_heads_and_diagnostics(tmp_path):
    agent = train(tmp_path, ToyEnv(value_size=2), max_epochs=1, use_diagnostics=True)
    (line,) = metrics(agent)
    heads = {f"rewards1/{x}" for x in ("step", "iter", "time")}
    diagnostics = {"exp_var", "clip_frac/0", "clip_frac/1", "rms_value/mean", "rms_value/var"}
    assert set(line) - TAGS - {"epoch", "frame", "time"} == heads | {f"diagnostics/{tag}" for tag in diagnostics}


def test_tensorboard_steps_are_those_of_rl_games(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    agent = train(tmp_path, max_epochs=2)
    events = EventAccumulator(str(agent.run.folder.summaries))
    events.Reload()
    assert set(events.Tags()["scalars"]) == TAGS
    assert [event.step for event in events.Scalars("losses/a_loss")] == [BATCH, 2 * BATCH]
    assert [event.step for event in events.Scalars("rewards/step")] == [BATCH, 2 * BATCH]
    assert [event.step for event in events.Scalars("rewards/iter")] == [1, 2]
    assert [event.value for event in events.Scalars("info/epochs")] == [1.0, 2.0]


def test_printed_lines_are_those_of_rl_games(tmp_path, capsys):
    train(tmp_path, max_epochs=2, max_frames=1000, print_stats=True, save_best_after=0)
    out = capsys.readouterr().out
    assert f"self.seed = 0\nrun folder: {tmp_path}/runs/toy\nStarted to train\n" in out
    fps = r"fps step: \d+ fps step and policy inference: \d+ fps total: \d+ epoch: 2/2 frames: 128/1000"
    assert re.search(rf"^{fps}$", out, re.MULTILINE)
    assert re.search(r"^saving next best rewards:  \[-?\d+\.\d\d\]$", out, re.MULTILINE)
    assert f"=> saving checkpoint '{tmp_path}/runs/toy/nn/Toy.pth'" in out
    assert re.search(r"^=> saving checkpoint '.*/nn/last_Toy_ep_2_rew_-?\d+\.\d\d\.pth'$", out, re.MULTILINE)
    assert out.splitlines()[-2] == "MAX EPOCHS NUM!"


def test_the_fps_line_without_limits(tmp_path, capsys):
    train(tmp_path, stop_fn="toy_env:stop_at_two", print_stats=True)
    assert re.search(r"epoch: 2 frames: 128$", capsys.readouterr().out, re.MULTILINE)


# --- parameters that may change --------------------------------------------------------------------------------------


def test_get_param_and_set_param(tmp_path):
    agent = train(tmp_path, max_epochs=1, lr_schedule="constant")
    old = {
        "learning_rate": 1e-3,
        "entropy_coef": 0.01,
        "critic_coef": 2.0,
        "gamma": 0.99,
        "tau": 0.95,
        "e_clip": 0.2,
    }
    assert {key: agent.get_param(key) for key in old} == pytest.approx(old)
    new = {key: value / 2 for key, value in old.items()} | {"mini_epochs": 3}
    for key, value in new.items():
        agent.set_param(key, value)
    assert {key: agent.get_param(key) for key in new} == pytest.approx(new)
    assert float(agent.optimizer.param_groups[0]["lr"]) == pytest.approx(5e-4)
    agent.max_epochs = 2
    agent.train()
    line = metrics(agent)[-1]
    assert line["info/last_lr"] == pytest.approx(5e-4) and line["info/e_clip"] == pytest.approx(0.1)
    steps = agent.optimizer.state_dict()["state"][0]["step"]
    assert steps == (2 + 3) * 2  # mini-epochs of both epochs, two minibatches each
    for method in (agent.get_param, lambda key: agent.set_param(key, 1)):
        with pytest.raises(
            KeyError, match="horizon_length: cannot change during training; those that can: learning_rate"
        ):
            method("horizon_length")


# --- classes by RL Games' names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [("isaac", IsaacAlgoObserver), ("DefaultAlgoObserver", DefaultAlgoObserver)])
def test_the_configuration_names_the_observer(tmp_path, name, kind):
    runner = build_runner()
    runner.load({"params": toy_params(algo_observer=name)})
    assert type(runner.algo_observer) is kind
    observer = AlgoObserver()
    with pytest.warns(ConfigWarning, match="algo_observer: has no effect: the runner has an observer already"):
        assert load(tmp_path, observer, algo_observer=name).algo_observer is observer


def test_the_configuration_names_the_type_of_the_environments(tmp_path, monkeypatch):
    monkeypatch.setattr(registration, "configurations", known := {})
    monkeypatch.setattr(vecenv, "configurations", known)
    monkeypatch.setitem(vecenv.vecenv_config, "TOY", lambda name, num_actors, seed=None, **_: ToyEnv(num_actors))
    runner = load(tmp_path, env_name="mine", vecenv_type="TOY", max_epochs=1)
    assert isinstance(runner.run({"train": True}).vec_env, ToyEnv) and known == {"mine": {"vecenv_type": "TOY"}}
    with pytest.warns(ConfigWarning, match="vecenv_type: has no effect: Cartpole is registered"):
        load(tmp_path, env_name="Cartpole", vecenv_type="RLGPU")
    assert "Cartpole" not in known
