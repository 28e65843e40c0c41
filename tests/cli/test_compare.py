"""``manybody compare``: what differs, what was reached and when."""

import json

import pytest
import yaml

from manybody import cli
from manybody.cli import compare
from manybody.config import ConfigError


@pytest.fixture
def run(tmp_path):
    """``run(name, returns, seed=…, gamma=…)``: a run folder with one epoch of 100 frames and 10 s for each return."""

    def make(name, returns, seed=0, gamma=0.99, envs=8):
        folder = tmp_path / name
        (folder / "nn").mkdir(parents=True)
        config = {"name": name, "full_experiment_name": name, "gamma": gamma, "num_actors": envs}
        cfg = {
            "task_name": "Ant",
            "task": {"env": {"numEnvs": envs}},
            "train": {"params": {"seed": seed, "config": config}},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(cfg))
        lines = [
            {"epoch": i, "frame": 100 * i, "time": 10.0 * i, **({} if x is None else {"rewards/step": x})}
            for i, x in enumerate(returns, 1)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder

    return make


def test_the_table_has_what_differs_and_when_the_threshold_was_reached(run, capsys, tmp_path):
    run("a", [1.0, 5.0, 9.0], seed=1, gamma=0.9)
    run("b", [2.0, 6.0, 7.0], seed=2, gamma=0.9)
    run("c", [None, None, 3.0], seed=1, gamma=0.5)
    cli.main(["compare", str(tmp_path), "threshold=6"])
    heading, _, *rows = capsys.readouterr().out.splitlines()[:5]
    assert " ".join(heading.split()) == "run gamma seed best last frames time time to 6.0 frames to it"
    assert rows[0].split() == ["a", "0.9", "1", "9.0", "9.0", "300", "0:30", "0:30", "300"]
    assert rows[1].split() == ["b", "0.9", "2", "7.0", "7.0", "300", "0:30", "0:20", "200"]
    assert rows[2].split() == ["c", "0.5", "1", "3.0", "3.0", "300", "0:30", "never", "never"]


def test_the_threshold_is_what_all_reached(run):
    runs = [compare._read(run("a", [1.0, 4.0])), compare._read(run("b", [3.0, 9.0]))]
    assert "time to 4.0" in compare.results(runs, min(r.best for r in runs))
    assert runs[0].reaches(4.0) == (200.0, 20.0) and runs[1].reaches(4.0) == (200.0, 20.0)
    assert runs[1].reaches(3.0) == (100.0, 10.0)


def test_settings_that_always_differ_together_are_one_column(run):
    runs = [compare._read(run("a", [1.0], envs=8)), compare._read(run("b", [1.0], envs=16))]
    compare._set_differing(runs)
    assert len(runs[0].differing) == 1 and set(runs[0].differing.values()) == {"8"}


def test_runs_that_differ_in_their_seed_alone_are_one_line_of_the_picture(run, monkeypatch, tmp_path):
    drawn = {}
    monkeypatch.setattr(compare, "plot_groups", lambda groups, path, threshold: drawn.update(groups) or path)
    folders = [run("a", [1.0], seed=1), run("b", [2.0], seed=2), run("c", [3.0], gamma=0.5)]
    compare.compare([str(folder) for folder in folders])
    assert {label: len(runs) for label, runs in drawn.items()} == {"gamma=0.99": 2, "gamma=0.5": 1}


def test_the_picture_is_drawn(run, tmp_path):
    pytest.importorskip("matplotlib")
    folders = [run("a", [1.0, 2.0], seed=1), run("b", [2.0, 5.0], seed=2), run("c", [None])]
    picture = compare.compare([str(folder) for folder in folders])
    assert picture == tmp_path / "compare.png" and picture.read_bytes().startswith(b"\x89PNG")


def test_a_path_without_a_run_and_wrong_settings_are_refused(run, tmp_path):
    with pytest.raises(ConfigError, match="expected a run folder, or a folder that contains runs"):
        compare.compare([str(tmp_path / "nothing")])
    for words in (["compare"], ["compare", str(run("a", [1.0])), "threshhold=3"], ["compare", "threshold=x"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == 2


def test_runs_that_differ_in_a_setting_that_the_legend_leaves_out_are_not_one_line(run):
    """Six settings differ, four are shown: the rest still tells the runs apart."""
    runs = [compare._read(run(name, [1.0])) for name in "abc"]
    for number, each in enumerate(runs):
        each.settings |= {f"params.config.k{i}": number + i for i in range(3)} | {"params.config.z": number == 2}
        each.settings |= {f"params.config.y{i}": (number + i) % 2 for i in range(2)}
    compare._set_differing(runs)
    assert len(runs[0].differing) == 6 and list(runs[0].differing)[:3] == [
        "k0",
        "k1",
        "k2",
    ]  # three values each
    runs[1].differing |= {key: runs[0].differing[key] for key in list(runs[0].differing)[:4]}
    groups = compare._groups(runs)
    assert len(groups) == 3 and [label.partition(":")[0] for label in groups][:2] == ["a", "b"]
