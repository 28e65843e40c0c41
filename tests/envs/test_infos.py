"""What environments report reaches observers, from every adapter, as the extras of the step that it belongs to."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as vector_wrappers

from manybody.envs.gymnasium import WrappedVectorEnv
from manybody.envs.infos import by_copy, of_copies, of_vector_env

CPU = torch.device("cpu")


class Reporter(gymnasium.Env):
    """Episodes of ``length`` steps; in its infos stands how many steps it has taken."""

    observation_space = spaces.Box(-9.0, 9.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, length):
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {"steps": -100, "level": 7}

    def step(self, action):
        self.t += 1
        over = self.t == self.length
        info = {"steps": self.t, "solved": np.bool_(over), "terms": {"half": self.t / 2}, "name": "x"}
        info |= {"episode": {"r": 2.0 * self.t}} if over else {}
        return np.zeros(2, np.float32), 1.0, over, False, info


def stepped(env, count):
    env.reset()
    for _ in range(count):
        step = env.step(torch.zeros(2, dtype=torch.int64))
    return step.extras


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
def test_rows_that_end_show_the_infos_of_their_last_step(kind, mode):
    """Row 0 ends its episode of two steps, row 1 is in the second of three."""
    env = WrappedVectorEnv(kind([lambda: Reporter(2), lambda: Reporter(3)], autoreset_mode=mode))
    extras = stepped(env, 2)
    env.close()
    assert extras["steps"].tolist() == [2, 2] and extras["steps"].dtype == torch.int64
    assert extras["solved"].tolist() == [True, False] and extras["solved"].dtype == torch.bool
    assert extras["terms"]["half"].tolist() == [1.0, 1.0]
    assert extras["episode"]["r"][0] == 4.0 and extras["episode"]["_r"].tolist() == [True, False]
    assert "_steps" not in extras  # all rows have one
    if "level" in extras:  # of the reset that follows the end: of no row
        assert extras["_level"].tolist() == [False, False]
    assert "final_info" not in extras and "final_obs" not in extras


def test_a_wrapper_around_the_vector_environment_reports_episodes_too():
    copies = SyncVectorEnv([lambda: Reporter(2), lambda: Reporter(3)], autoreset_mode=AutoresetMode.SAME_STEP)
    extras = stepped(WrappedVectorEnv(vector_wrappers.RecordEpisodeStatistics(copies)), 2)
    assert extras["episode"]["l"][0] == 2 and extras["_episode"].tolist() == [True, False]


def test_infos_of_single_environments_become_columns():
    infos = [
        {"a": 1.5, "b": True, "c": {"d": 2}, "t": torch.tensor(1.0), "s": "x", "v": np.arange(2.0)},
        None,
        {"a": np.float32(2.5), "c": {}, "t": 3, "s": "y", "v": np.ones(2)},
    ]
    extras = of_copies(infos, CPU)
    assert extras["a"].tolist() == [1.5, 0.0, 2.5] and extras["_a"].tolist() == [True, False, True]
    assert extras["b"].tolist() == [True, False, False] and extras["_b"].tolist() == [True, False, False]
    assert extras["c"]["d"].tolist() == [2, 0, 0] and extras["c"]["_d"].tolist() == [True, False, False]
    assert extras["t"].tolist() == [1.0, 0.0, 3.0] and extras["v"].tolist() == [[0, 1], [0, 0], [1, 1]]
    assert [*extras["s"]] == ["x", None, "y"]
    assert of_copies([{}, {}], CPU) == {}
    assert by_copy(extras, 3)[1] == {}
    assert by_copy({**extras, "n": 5}, 3)[0] == {
        "a": 1.5,
        "b": True,
        "c": {"d": 2},
        "t": 1.0,
        "s": "x",
        "n": 5,
        "v": pytest.approx([0, 1]),
    }


def test_memory_of_the_environment_is_not_shared():
    buffer = np.ones(2)
    extras = of_vector_env({"x": buffer}, np.zeros(2, dtype=bool))
    buffer[:] = 5.0
    assert extras["x"].tolist() == [1.0, 1.0]
