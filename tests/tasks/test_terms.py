"""Reward terms and termination reasons: they sum to the reward, reach the metrics, and survive a resume."""

import json

import pytest
import torch
from toy_env import task_params

from manybody.runner import build_runner
from manybody.tasks import TASKS, make
from manybody.tasks.terms import EpisodeSums, only_where, reward_of, terminated_by

NAMES = ("Ant", "Cartpole", "Humanoid", "HumanoidAMP", "HumanoidAMPHeading")


def moving(name, num_envs=16, length=12):
    task = make(name, num_envs, seed=1, num_threads=1, cfg={"env": {"episodeLength": length}})
    task.reset()
    generator = torch.Generator().manual_seed(2)
    return task, lambda: task.step(torch.randn(num_envs, task.num_actions, generator=generator))


def test_terms_are_added_in_their_order():
    # ((1e8 + 1) - 1e8) is 0 in float32, ((1e8 - 1e8) + 1) is 1.
    big, one = torch.tensor([1e8]), torch.tensor([1.0])
    assert reward_of({"big": big, "one": one, "less": -big}).item() == 0.0
    assert reward_of({"big": big, "less": -big, "one": one}).item() == 1.0
    assert reward_of(one) is one


def test_one_reason_is_enough():
    reasons = {"a": torch.tensor([True, False, False]), "b": torch.tensor([True, True, False])}
    assert terminated_by(reasons).tolist() == [True, True, False]


def test_one_term_replaces_all_others():
    fallen = torch.tensor([False, True])
    terms = only_where(fallen, "death", -2.0, {"speed": torch.tensor([3.0, 4.0]), "cost": torch.tensor([-1.0, -1.0])})
    assert {name: term.tolist() for name, term in terms.items()} == {
        "speed": [3.0, 0.0],
        "cost": [-1.0, 0.0],
        "death": [0.0, -2.0],
    }


def test_sums_leave_out_what_does_not_count_and_restart():
    sums = EpisodeSums(2, torch.device("cpu"))
    sums.add({"a": torch.tensor([1.0, float("nan")])}, torch.tensor([True, False]))
    sums.add({"a": torch.tensor([2.0, 5.0])}, torch.tensor([True, True]))
    assert sums.by_name()["a"].tolist() == [3.0, 5.0]
    sums.restart(torch.tensor([True, False]))
    sums.add({"a": torch.tensor([4.0, 1.0])}, torch.tensor([True, True]))
    assert sums.by_name()["a"].tolist() == [4.0, 6.0]
    sums.add({"b": torch.tensor([1.0, 1.0])}, torch.tensor([True, True]))  # other terms than before
    assert {name: value.tolist() for name, value in sums.by_name().items()} == {"b": [1.0, 1.0]}


@pytest.mark.parametrize("name", NAMES)
def test_the_terms_of_an_episode_sum_to_its_return(name):
    task, step = moving(name)
    returns = torch.zeros(16)
    ended = 0
    for _ in range(30):
        outcome = step()
        terms, reasons = task.outcome
        assert tuple(terms) == tuple(task.reward_terms) and tuple(reasons) == tuple(task.terminations)
        assert torch.equal(reward_of(terms), outcome.reward)
        returns += outcome.reward
        episode = outcome.extras["episode"]
        sums = sum(value for key, value in episode.items() if key.startswith("reward_"))
        torch.testing.assert_close(sums, returns, atol=1e-4, rtol=1e-5)
        ends = torch.stack([value for key, value in episode.items() if key.startswith("end_")])
        assert torch.equal(ends.any(dim=0), outcome.done)
        assert torch.equal(episode["end_time_out"].bool(), outcome.truncated)
        returns[outcome.done] = 0.0
        ended += int(outcome.done.sum())
    assert ended >= 16


@pytest.mark.parametrize("name", NAMES)
def test_the_tables_describe_the_task(name):
    cls = TASKS[name]
    assert sum(block.size for block in cls.observation_blocks) == cls.num_observations
    text = cls.describe()
    for word in (*(block.name for block in cls.observation_blocks), *cls.reward_terms, *cls.terminations, "time_out"):
        assert word in text


def test_a_table_has_the_weights_that_are_set():
    task = make("Ant", 2, cfg={"env": {"headingWeight": 0.75, "episodeLength": 123}})
    rows = [line.split() for line in str(task).splitlines()]
    lines = {row[0]: row[1] for row in rows if len(row) > 1}
    assert lines["heading"] == "0.75" and lines["death"] == "-2.0"
    assert "after 123 steps" in str(task) and str(task).startswith("2 environments")


def test_the_sums_are_part_of_the_saved_state():
    task, step = moving("Cartpole", length=50)
    for _ in range(3):
        step()
    saved = task.get_env_state()
    other, _ = moving("Cartpole", length=50)
    other.set_env_state(saved)
    actions = torch.zeros(16, 1)
    before, after = task.step(actions).extras["episode"], other.step(actions).extras["episode"]
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    assert before["reward_alive"].max() == 4.0


def test_a_state_without_sums_starts_at_zero():
    task, step = moving("Cartpole")
    step()
    state = {key: value for key, value in task.get_env_state().items() if key != "reward_sums"}
    other, step = moving("Cartpole")
    other.set_env_state(state)
    assert step().extras["episode"]["reward_alive"].max() == 1.0


def test_the_terms_reach_the_metrics(tmp_path):
    runner = build_runner()
    runner.load(task_params("Cartpole", 32, tmp_path, max_epochs=2, env_config={"env": {"staggerEpisodes": False}}))
    agent = runner.run({"train": True})
    lines = [json.loads(line) for line in agent.run.folder.metrics_file.read_text().splitlines()]
    last = lines[-1]
    terms = {f"Episode/reward_{name}" for name in TASKS["Cartpole"].reward_terms}
    ends = {f"Episode/end_{name}" for name in (*TASKS["Cartpole"].terminations, "time_out", "unstable")}
    assert terms | ends <= last.keys()
    fractions = [last[f"Episode/end_{name}"] for name in ("cart_left", "pole_fell", "time_out")]
    assert sum(fractions) >= 1.0 - 1e-6 and last["Episode/reward_failure"] <= 0.0
