"""PettingZoo's parallel environments: rows of agents, early deaths, states and masks."""

import numpy as np
import pytest
import torch
from counting_env import Fading
from gymnasium import spaces
from validated_env import ValidatedEnv

from manybody.envs.base import EnvError
from manybody.envs.pettingzoo import PettingZooEnv
from manybody.envs.registration import create_vec_env

ACTIONS = torch.tensor([0, 1, 2] * 2)


def test_an_episode_of_two_copies_with_agents_that_leave_early():
    env = ValidatedEnv(PettingZooEnv(Fading, 2, seed=5), "fading")
    obs = env.reset()
    assert [one.seed for one in env.envs] == [5, 6]
    assert obs["obs"].tolist() == [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]] * 2
    assert obs["states"].tolist() == [[0.0, 3.0]] * 2
    one, two, three, four = (env.step(ACTIONS) for _ in range(4))
    assert env.envs[0].received[0] == {"a": 0, "b": 1, "c": 2} and env.envs[1].received[3] == {"c": 2}
    assert one.reward.tolist() == [1.0, 2.0, 3.0] * 2
    # Step 2 is agent a's last: from there on it sees zeros and earns nothing, its row goes on.
    assert two.reward.tolist() == [1.0, 2.0, 3.0] * 2 and three.reward.tolist() == [0.0, 2.0, 3.0] * 2
    assert two.obs["obs"].tolist() == [[0.0, 0.0], [2.0, 2.0], [3.0, 2.0]] * 2
    assert not (two.done | three.done).any()
    # Step 4 ends the episode: once for everybody, c alone was cut short.
    assert four.terminated.tolist() == [True, True, False] * 2
    assert four.truncated.tolist() == [False, False, True] * 2
    assert four.reward.tolist() == [0.0, 0.0, 3.0] * 2
    assert four.final_obs["obs"].tolist() == [[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]] * 2
    assert four.final_obs["states"].tolist() == [[4.0, 0.0]] * 2
    assert four.obs["obs"].tolist() == obs["obs"].tolist()
    assert four.obs["states"].tolist() == [[0.0, 3.0]] * 2
    assert env.envs[0].seed is None  # used once
    env.close()
    assert all(one.closed for one in env.envs)


def test_spec():
    env = PettingZooEnv(Fading, 2)
    info = env.get_env_info()
    assert (env.num_envs, info["agents"], info["state_space"].shape) == (2, 3, (2,))
    assert info["observation_space"].shape == (2,) and info["action_space"].n == 3


def test_masks_come_from_the_observation_and_an_absent_agent_may_only_do_its_first_action():
    env = ValidatedEnv(PettingZooEnv(lambda: Fading(masked=True), 1), "fading")
    assert env.reset()["action_masks"].tolist() == [[False, True, True]] * 3
    env.step(ACTIONS[:3])
    step = env.step(ACTIONS[:3])
    assert step.obs["action_masks"].tolist() == [
        [True, False, False],
        [False, True, True],
        [False, True, True],
    ]
    assert step.obs["obs"].tolist() == [[0.0, 0.0], [2.0, 2.0], [3.0, 2.0]]


def test_agents_must_be_alike():
    class Unlike(Fading):
        def action_space(self, agent):
            return spaces.Discrete(2 if agent == "b" else 3)

    with pytest.raises(
        EnvError, match=r"action space of agent 'b': got Discrete\(2\); expected Discrete\(3\), that of 'a'"
    ):
        PettingZooEnv(Unlike, 1)


def test_what_is_no_parallel_environment_is_told(tmp_path, monkeypatch):
    with pytest.raises(EnvError, match="got object; expected a ParallelEnv with possible_agents"):
        PettingZooEnv(object, 1)

    class Wrong(Fading):
        def reset(self, seed=None, options=None):
            return super().reset(seed)[0]

    with pytest.raises(EnvError, match=r"Wrong: reset\(\): got a dict .*; expected \(observations, infos\)"):
        PettingZooEnv(Wrong, 1).reset()
    with pytest.raises(EnvError, match=r"'pettingzoo:nowhere.at_all_v0' cannot be imported: No module named 'nowhere'"):
        create_vec_env("pettingzoo:nowhere.at_all_v0", 1)
    (tmp_path / "no_parallel_v0.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EnvError, match="no_parallel_v0 has no parallel_env"):
        create_vec_env("pettingzoo:no_parallel_v0", 1)


def raises(_):
    raise ValueError("a bug of its own")


@pytest.mark.parametrize(
    ("place", "bend", "message"),
    [
        (
            0,
            lambda x: x | {"b": np.zeros(3)},
            r"observations of 'b' in environment 0: got an array \(3,\) .*; expected \(2,\)",
        ),
        (0, lambda x: {"a": x["a"]}, "observations: got none of 'b'; expected one of each agent that acts"),
        (0, lambda x: None, "observations: got None; expected a dict by agent"),
        (1, lambda x: x | {"a": "x"}, "rewards of 'a': got 'x'; expected one number"),
        (1, lambda x: x | {"z": 1.0}, r"rewards: got one of 'z'; expected only \['a', 'b', 'c'\]"),
        (1, lambda x: 1.0, "rewards: got 1.0; expected a dict by agent"),
    ],
)
def test_what_cannot_be_read_is_told(place, bend, message):
    class Bent(Fading):
        def step(self, actions):
            result = super().step(actions)
            return tuple(bend(part) if place == i else part for i, part in enumerate(result))

    env = PettingZooEnv(Bent, 2, env_name="bent")
    env.reset()
    with pytest.raises(EnvError, match=rf"^bent: step\(\) {message}"):
        env.step(ACTIONS)


def test_what_the_state_holds_is_told_and_its_own_errors_stay():
    class Bent(Fading):
        def state(self):
            return ["x", "y"]

    with pytest.raises(EnvError, match=r"^bent: reset\(\) state\(\): got .*; expected numbers"):
        PettingZooEnv(Bent, 2, env_name="bent").reset()
    Bent.state = raises
    with pytest.raises(ValueError, match="a bug of its own"):
        PettingZooEnv(Bent, 2).reset()


def test_simple_spread():
    pytest.importorskip("mpe2")
    env = create_vec_env("pettingzoo:mpe2.simple_spread_v3", 2, seed=1, max_cycles=4)
    one = pytest.importorskip("mpe2.simple_spread_v3").parallel_env(max_cycles=4)
    expected, _ = one.reset(seed=2)
    obs = env.reset()
    assert obs["obs"].shape == (6, 18) and obs["states"].shape == (2, 54)
    for t in range(4):
        assert obs["obs"][3:].tolist() == [expected[agent].tolist() for agent in one.possible_agents]
        assert obs["states"][1].tolist() == one.state().tolist()
        actions = [t % 5, (t + 1) % 5, (t + 2) % 5]
        step = env.step(torch.tensor([0, 0, 0, *actions]))
        expected, reward, *_ = one.step(dict(zip(one.possible_agents, actions, strict=True)))
        assert step.reward[3:].tolist() == pytest.approx([reward[agent] for agent in one.possible_agents])
        obs = step.obs
    assert step.truncated.all() and not step.terminated.any()
    assert step.final_obs["obs"][3:].tolist() == [expected[agent].tolist() for agent in one.possible_agents]
    with pytest.raises(EnvError, match=r"cannot be made with \{'cycles': 3\}.*cycles"):
        create_vec_env("pettingzoo:mpe2.simple_spread_v3", 1, cycles=3)
    with pytest.raises(EnvError, match=r"observation space of agent .*pad_observations_v0"):
        create_vec_env("pettingzoo:mpe2.simple_tag_v3", 1)


def test_what_agents_report_comes_by_row():
    class Reporting(Fading):
        def step(self, actions):
            *rest, _ = super().step(actions)
            return (*rest, {agent: {"share": 0.5} for agent in actions if agent != "b"})

    env = PettingZooEnv(Reporting, 2)
    env.reset()
    extras = env.step(ACTIONS).extras
    assert extras["share"].tolist() == [0.5, 0.0, 0.5] * 2 and extras["_share"].tolist() == [True, False, True] * 2


def test_a_missing_mask_is_refused():
    class Quiet(Fading):
        def step(self, actions):
            obs, *rest = super().step(actions)
            obs["b"] = {"observation": obs["b"]["observation"]}
            return (obs, *rest)

    env = PettingZooEnv(lambda: Quiet(masked=True), 2, env_name="quiet")
    env.reset()
    with pytest.raises(
        EnvError, match=r"^quiet: step\(\) observations of 'b' in environment 0: got a dict .*'action_mask'"
    ):
        env.step(ACTIONS)


def test_numbers_may_be_arrays_with_one_element():
    class Arrays(Fading):
        def step(self, actions):
            obs, *numbers, infos = super().step(actions)
            return (obs, *({agent: np.array([x]) for agent, x in part.items()} for part in numbers), infos)

    plain, arrays = PettingZooEnv(Fading, 2), PettingZooEnv(Arrays, 2)
    plain.reset(), arrays.reset()
    for _ in range(4):
        expected, step = plain.step(ACTIONS), arrays.step(ACTIONS)
        for name in ("reward", "terminated", "truncated"):
            assert torch.equal(getattr(step, name), getattr(expected, name))
