"""An error is the environment's own where its code raises it, and a matter of its data where joining fails."""

from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from manybody.envs.base import EnvError
from manybody.envs.gymnasium import WrappedVectorEnv, vectorized

GOOD = (np.zeros(3, np.float32), 1.0, False, False, {})


def broken():
    raise ValueError("a bug of its own")


class Late(gymnasium.Env):
    """Right for two steps, then ``after()``. Episodes end every ``length`` steps."""

    observation_space = spaces.Box(-9.0, 9.0, (3,))
    action_space = spaces.Discrete(2)

    def __init__(self, after, length=99):
        self.after, self.length, self.steps = after, length, 0

    def reset(self, *, seed=None, options=None):
        return GOOD[0], {}

    def step(self, action):
        self.steps += 1
        result = GOOD if self.steps < 3 else self.after()
        return (*result[:2], self.steps % self.length == 0, *result[3:])


def answer(place, value):
    return lambda: tuple(value if place == i else part for i, part in enumerate(GOOD))


def fail(env):
    """The third step."""
    env.reset()
    try:
        for _ in range(3):
            env.step(torch.zeros(2, dtype=torch.int64))
    finally:
        env.env.close(**({"terminate": True} if isinstance(env.env, AsyncVectorEnv) else {}))


OBS = {"shape": np.zeros(1, np.float32), "text": "x"}
MODES = [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", OBS)
def test_ready_made_copies_one_after_the_other(mode, what):
    env = SyncVectorEnv([partial(Late, answer(0, OBS[what]))] * 2, autoreset_mode=mode)
    with pytest.raises(EnvError, match=r"mine: step\(\) observation of copy 0: got .*; expected \(3,\)") as told:
        fail(WrappedVectorEnv(env, env_name="mine"))
    assert isinstance(told.value.__context__, ValueError)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (answer(4, None), " info: got None; expected a dict"),
        (lambda: GOOD[:4], r": got 4 values; expected \(observation, reward, terminated"),
    ],
)
def test_what_gymnasium_could_not_join(after, message):
    env = WrappedVectorEnv(vectorized(lambda: Late(after), 2, "sync", "mine"), env_name="mine")
    with pytest.raises(EnvError, match=rf"^mine: step\(\){message}"):
        fail(env)


@pytest.mark.parametrize("what", OBS)
def test_copies_in_processes(what):
    """Shared memory takes the shape (1,) for (3,) without a word, so each process looks for itself."""
    env = vectorized(lambda: Late(answer(0, OBS[what])), 2, "async", "mine")
    with pytest.raises(EnvError, match=r"^mine: step\(\) observation: got .*; expected \(3,\) of float32"):
        fail(WrappedVectorEnv(env, env_name="mine"))


def test_ready_made_copies_in_processes():
    """Gymnasium reports where it could not take the observation."""
    env = AsyncVectorEnv([partial(Late, answer(0, np.zeros(2)))] * 2, autoreset_mode=MODES[0])
    with pytest.warns(UserWarning, match="write_to_shared_memory"), pytest.raises(ValueError, match="broadcast"):
        fail(WrappedVectorEnv(env, env_name="mine"))


def test_the_last_observation_of_an_episode():
    env = SyncVectorEnv([lambda: Late(answer(0, OBS["shape"]), 3)] * 2, autoreset_mode=MODES[0])
    with pytest.raises(
        EnvError, match=r"infos\['final_obs'\] of row 0: got an array \(1,\) of float32; expected \(3,\)"
    ):
        fail(WrappedVectorEnv(env, env_name="mine"))


def test_a_bug_of_an_environment_stays_what_it_is():
    env = WrappedVectorEnv(vectorized(lambda: Late(broken), 2, "sync", "mine"), env_name="mine")
    with pytest.raises(ValueError, match=r"^a bug of its own$") as error:
        fail(env)
    assert not isinstance(error.value, EnvError) and error.traceback[-1].name == "broken"


def test_a_bug_in_another_process_is_reported_with_its_traceback():
    env = WrappedVectorEnv(vectorized(lambda: Late(broken), 2, "async", "mine"), env_name="mine")
    with pytest.warns(UserWarning, match="in broken"), pytest.raises(ValueError, match="a bug of its own") as error:
        fail(env)
    assert not isinstance(error.value, EnvError)
