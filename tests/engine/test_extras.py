import math

import numpy as np
import pytest
import torch

from manybody.engine.extras import ExtrasMetrics, scalar_tags

NONE = torch.zeros(4, dtype=torch.bool)
ENDS = torch.tensor([True, False, True, False])


@pytest.fixture
def metrics():
    return ExtrasMetrics(4, 1, 100, torch.device("cpu"))


def taken(metrics):
    """The metrics as numbers, without those of which nothing was reported."""
    values = {name: value.item() for name, value in metrics.take().items()}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def test_rows_are_averaged_over_rows_and_steps(metrics):
    metrics.add({"forward": torch.tensor([1.0, 2.0, 3.0, 6.0]), "up": torch.tensor([True, False, False, False])}, NONE)
    metrics.add({"forward": torch.zeros(4), "up": torch.ones(4, dtype=torch.bool)}, ENDS)
    # (1 + 2 + 3 + 6 + 4 x 0) / 8; one of four, then all.
    assert taken(metrics) == {"forward": 1.5, "up": 5 / 8}
    assert taken(metrics) == {}  # each epoch begins with nothing


def test_a_key_of_some_steps_is_averaged_over_those(metrics):
    metrics.add({"a": torch.ones(4)}, NONE)
    metrics.add({"a": torch.full((4,), 4.0), "b": torch.full((4,), 5.0)}, NONE)
    assert taken(metrics) == {"a": 2.5, "b": 5.0}


def test_whole_numbers_are_counts_and_other_numbers_means(metrics):
    for step in range(3):
        metrics.add(
            {
                "unstable_envs": torch.tensor(step),  # 0 + 1 + 2
                "resets": 2,
                "curriculum": 0.5 * step,  # (0 + 0.5 + 1) / 3
                "speed": torch.tensor(float(step)),
                "open": step == 1,  # a share
                "one": torch.tensor([7.0]),
            },
            NONE,
        )
    expected = {"unstable_envs": 3, "resets": 6, "curriculum": 0.5, "speed": 1.0, "open": 1 / 3, "one": 7.0}
    assert taken(metrics) == pytest.approx(expected)


def test_a_number_that_was_whole_by_chance_is_no_count(metrics):
    for value in (1, 0.5):
        metrics.add({"level": value}, NONE)
    assert taken(metrics) == {"level": 0.75}


def test_terms_of_episodes_count_where_an_episode_ended(metrics):
    terms = {"episode": {"forward": torch.tensor([1.0, 100.0, 3.0, 100.0]), "fell": ENDS}}
    metrics.add(terms, ENDS)  # rows 0 and 2
    metrics.add(terms, NONE)
    metrics.add(
        {"episode": {"forward": torch.tensor([8.0, 9.0, 9.0, 9.0])}},
        torch.tensor([True, False, False, False]),
    )
    assert taken(metrics) == {"Episode/forward": (1 + 3 + 8) / 3, "Episode/fell": 1.0}


def test_no_episode_ended_is_nothing_to_log(metrics):
    metrics.add({"episode": {"forward": torch.ones(4)}, "scores": torch.ones(4)}, NONE)
    assert taken(metrics) == {}


@pytest.mark.parametrize("key", ["episode", "log"])
def test_reports_of_an_isaac_style_environment_are_averaged(metrics, key):
    """Numbers are over the environments that were reset; a vector is one number for each of them."""
    metrics.add({key: {"height": torch.tensor(1.0), "length": 5, "Episode_Reward/x": 2.0}}, NONE)
    metrics.add({key: {"height": torch.tensor([2.0, 4.0, 5.0]), "length": 8}}, NONE)
    # (1 + 2 + 4 + 5) / 4; (5 + 8) / 2.
    assert taken(metrics) == {"Episode/height": 3.0, "Episode/length": 6.5, "Episode/Episode_Reward/x": 2.0}


def test_masks_say_which_rows_hold_a_value(metrics):
    mask = np.array([True, True, False, False])
    metrics.add({"x": np.array([1.0, 2.0, 0.0, 0.0]), "_x": mask}, NONE)
    metrics.add({"episode": {"r": np.array([3.0, 4.0, 5.0, 6.0]), "_r": mask}, "_episode": mask}, ENDS)
    assert taken(metrics) == {"x": 1.5, "Episode/r": 3.0}  # row 2 ended, but holds no value


def test_scores_are_averaged_over_the_latest_episodes():
    metrics = ExtrasMetrics(4, 1, 3, torch.device("cpu"))
    metrics.add({"scores": torch.tensor([1.0, 9.0, 5.0, 9.0])}, ENDS)
    assert taken(metrics) == {"scores": 3.0}
    # A window of three: two of the mean 3 stay beside the new one. (3 + 3 + 9) / 3
    metrics.add({"scores": torch.full((4,), 9.0)}, torch.tensor([True, False, False, False]))
    other = ExtrasMetrics(4, 1, 3, torch.device("cpu"))
    other.load_state_dict(metrics.state_dict())
    assert taken(metrics) == taken(metrics) == taken(other) == {"scores": 5.0}
    metrics.clear()
    assert taken(metrics) == {}


def test_a_score_that_is_no_number_does_not_spoil_the_mean(metrics):
    metrics.add({"battle_won": torch.tensor([math.nan, 0.0, 1.0, 0.0])}, ENDS)
    assert taken(metrics) == {"scores": 1.0}


def test_values_of_environments_with_several_agents():
    metrics = ExtrasMetrics(4, 2, 100, torch.device("cpu"))
    ended = torch.tensor([False, False, True, True])  # the second of two environments
    metrics.add({"scores": torch.tensor([1.0, 2.0]), "episode": {"r": torch.tensor([3.0, 4.0])}}, ended)
    assert taken(metrics) == {"scores": 2.0, "Episode/r": 4.0}


def test_rows_that_are_not_finite_are_left_out(metrics):
    metrics.add({"a": torch.tensor([1.0, math.nan, 3.0, math.inf]), "b": torch.full((4,), math.nan)}, NONE)
    # Nothing finite is a finding, too: the writer makes null of it.
    assert taken(metrics) == {"a": 2.0, "b": math.inf}


def test_nested_reports_get_paths(metrics):
    metrics.add({"terms": {"leg": {"left": torch.ones(4)}}}, NONE)
    assert taken(metrics) == {"terms/leg/left": 1.0}


def test_what_cannot_be_logged_is_named_once(metrics, capsys):
    extras = {"camera": torch.zeros(4, 3), "note": "x", "rewards": torch.zeros(4), "{x}": torch.ones(4)}
    for _ in range(2):
        metrics.add({**extras, "amp_obs": torch.zeros(4, 3)}, NONE)
    assert taken(metrics) == {"{x}": 1.0}
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "warning: some extras of the environment are not logged: "
        "extras['camera']: got the shape (4, 3); expected () or one number per row, (4,); "
        "extras['note']: got str; expected numbers; "
        "extras['rewards']: the name is taken by a statistic of this library; rename it"
    )
    metrics.add({"late": None}, NONE)
    assert "extras['late']: got NoneType; expected numbers" in capsys.readouterr().err


def test_buffers_that_the_environment_writes_again_are_not_kept(metrics):
    buffer, count = torch.ones(4), torch.tensor(1)
    for value in (1.0, 3.0):
        buffer.fill_(value)
        count.fill_(int(value))
        metrics.add({"a": buffer, "n": count}, NONE)
    assert taken(metrics) == {"a": 2.0, "n": 4.0}


def test_values_of_another_device_are_moved():
    """The learner's device is one without memory: what would mix devices raises."""
    device = torch.device("meta")
    metrics = ExtrasMetrics(4, 1, 5, device)
    mask = torch.zeros(4, dtype=torch.bool, device=device)
    extras = {
        "a": torch.ones(4),
        "b": torch.tensor(1.0),
        "c": 1.0,
        "scores": torch.ones(4),
        "_a": np.ones(4, bool),
    }
    for _ in range(2):
        metrics.add({**extras, "episode": {"r": torch.ones(4), "k": 2.0}}, mask)
    values = metrics.take()
    assert set(values) == {"a", "b", "c", "scores", "Episode/r", "Episode/k"}
    assert all(value.device == device and value.shape == () for value in values.values())


def test_tags():
    assert scalar_tags("Episode/x", 8, 2, 3.0) == {"Episode/x": 2}
    assert scalar_tags("scores", 8, 2, 3.0) == {"scores/mean": 8, "scores/iter": 2, "scores/time": 3.0}
    assert scalar_tags("speed", 8, 2, 3.0) == {"speed/frame": 8, "speed/iter": 2, "speed/time": 3.0}
