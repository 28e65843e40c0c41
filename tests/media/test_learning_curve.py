import json

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the media extra is not installed")

from manybody.media import learning_curve
from manybody.media.learning_curve import plot_curve, read_metrics


def write_run(folder, epochs, keys=(), seed=0):
    """A run folder with a straight learning curve: epoch e has return 10·e, 100·e frames, 2·e seconds."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    lines = [
        {"epoch": e, "frame": 100 * e, "time": 2.0 * e, "rewards/step": 10.0 * e + seed}
        | {key: rng.random() for key in keys}
        for e in range(1, epochs + 1)
    ]
    file = folder / "metrics.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


KEYS = ("LENGTH", "FPS", "KL", "LEARNING_RATE", "ACTOR_LOSS", "CRITIC_LOSS")
ALL = tuple(getattr(learning_curve, name) for name in KEYS)


def picture_size(path):
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        return image.size


def test_absent_and_null_are_nan_and_a_partial_last_line_is_left_out(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"epoch": 1, "rewards/step": null}\n{"epoch": 2, "rewards/step": 7.5, "info/kl": 0.1}\n{"epo')
    metrics = read_metrics(tmp_path)  # a run folder will do
    assert list(metrics) == ["epoch", "rewards/step", "info/kl"]
    np.testing.assert_array_equal(metrics["epoch"], [1, 2])
    np.testing.assert_array_equal(metrics["rewards/step"], [np.nan, 7.5])
    np.testing.assert_array_equal(metrics["info/kl"], [np.nan, 0.1])


@pytest.mark.parametrize("line", ["{", "[1]"])
def test_a_damaged_line_is_named(line, tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text(f'{{"epoch": 1}}\n{line}\n{{"epoch": 3}}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl:2: got .*; expected a JSON object"):
        read_metrics(file)


def test_an_empty_file_has_no_metrics(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    assert read_metrics(tmp_path) == {}


@pytest.mark.parametrize(("epochs", "keys"), [(30, ALL), (1, ALL), (1, ()), (3, ALL[:2]), (0, ())])
def test_a_picture_of_any_run(epochs, keys, tmp_path):
    file = write_run(tmp_path / "run", epochs, keys)
    path = plot_curve(file, tmp_path / "out" / "curve.png", title="Ant")
    assert picture_size(path) == (1500, 780)  # 10 x 5.2 inches at 150 dots per inch
    assert [entry.name for entry in path.parent.iterdir()] == ["curve.png"]


def test_several_seeds_in_one_picture(tmp_path):
    files = [write_run(tmp_path / f"seed{i}", 20 + i, ALL, seed=i) for i in range(3)]
    assert picture_size(plot_curve(files, tmp_path / "curve.png")) == (1500, 780)


def test_band_is_the_range_over_the_frames_that_all_runs_have(tmp_path):
    # Returns 10·e and 10·e + 2 over frames 100..400 and 100..300: they share 300, where they are 30 and 32.
    files = [write_run(tmp_path / "a", 4, seed=0), write_run(tmp_path / "b", 3, seed=2)]
    runs = [read_metrics(file) for file in files]
    frames, low, mean, high = learning_curve.band(runs, learning_curve.RETURN)
    assert (frames[0], frames[-1]) == (100, 300)
    assert (low[-1], mean[-1], high[-1]) == (30, 31, 32)


def test_runs_with_equal_folder_names_are_told_apart(tmp_path):
    files = [write_run(tmp_path / seed / "run", 2) for seed in ("1", "2")]
    assert learning_curve._run_names(files) == [str(file) for file in files]
    assert learning_curve._run_names(files[:1]) == ["run"]


def test_no_file_and_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match="one or more"):
        plot_curve([], tmp_path / "curve.png")
    with pytest.raises(FileNotFoundError):
        plot_curve(tmp_path / "metrics.jsonl", tmp_path / "curve.png")


@pytest.mark.parametrize(
    ("value", "text"),
    [(33_554_432, "33.6M"), (120_000, "120k"), (4.2, "4.2"), (0.008, "0.008"), (-0.012, "-0.012")],
)
def test_short_numbers(value, text):
    assert learning_curve.si(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (364.2, "6.1 min"), (12_600, "3.5 h"), (172_800, "2 d")])
def test_durations(seconds, text):
    assert learning_curve._duration(seconds) == text
