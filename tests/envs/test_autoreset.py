"""Every autoreset mode of Gymnasium tells the story that a single environment tells."""

from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from counting_env import Counting, reference_rows
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from manybody.envs.base import EnvError
from manybody.envs.gymnasium import WrappedVectorEnv

LENGTHS = (1, 2, 2, 5)
STEPS = 24


def copies(kind, mode, lengths=LENGTHS, **options):
    return kind([partial(Counting, length, **options) for length in lengths], autoreset_mode=mode)


def story(env, actions):
    """Per row what :func:`reference_rows` gives; ``actions`` (T, N)."""
    env.reset()
    rows = [[] for _ in range(env.num_envs)]
    for batch in actions:
        step = env.step(batch)
        for n, row in enumerate(rows):
            last = step.final_obs["obs"][n].tolist() if step.done[n] else None
            obs = step.obs["obs"][n].tolist()
            row.append((obs, step.reward[n].item(), bool(step.terminated[n]), bool(step.truncated[n]), last))
    return rows


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
def test_each_row_is_a_single_environment(kind, mode):
    env = WrappedVectorEnv(copies(kind, mode))
    actions = torch.randint(3, (STEPS, len(LENGTHS)), generator=torch.Generator().manual_seed(0))
    rows = story(env, actions)
    env.close()
    for n, length in enumerate(LENGTHS):
        assert rows[n] == reference_rows(length, actions[:, n].tolist())


def test_gymnasiums_vector_wrappers_stay_between(mode=AutoresetMode.NEXT_STEP):
    env = WrappedVectorEnv(RecordEpisodeStatistics(copies(SyncVectorEnv, mode)))
    actions = torch.zeros(STEPS, len(LENGTHS), dtype=torch.int64)
    assert story(env, actions)[3] == reference_rows(5, [0] * STEPS)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("option", ["masks", "in_observation"])
def test_masks_belong_to_what_is_seen_next(mode, option):
    env = WrappedVectorEnv(copies(SyncVectorEnv, mode, **{option: True}))
    obs = env.reset()
    assert env.spec.observation_space.shape == (2,)
    for _ in range(STEPS):
        allowed = obs["obs"].sum(dim=1).long() % 3  # episode + step
        assert torch.equal(obs["action_masks"], torch.nn.functional.one_hot(allowed, 3).bool())
        step = env.step(allowed)
        obs = step.obs
        assert "action_masks" not in step.final_obs
        assert step.final_obs["obs"][step.done].sum() >= step.done.sum()  # all of them saw at least step 1


@pytest.mark.parametrize("wrong", [np.ones(5, np.int8), np.ones(1, np.int8), "x"])
def test_masks_of_another_length_are_told(wrong):
    class Masked(Counting):
        def _info(self):
            return {"action_mask": wrong}

    env = SyncVectorEnv([lambda: Masked(3)] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    with pytest.raises(EnvError, match=r"^mine: reset\(\) infos\['action_mask'\]: got .*; expected"):
        WrappedVectorEnv(env, env_name="mine").reset()


class Forgetful(Counting):
    """Gives no mask in step ``quiet`` of every episode."""

    def __init__(self, length, quiet):
        super().__init__(length, masks=True)
        self.quiet = quiet

    def _info(self):
        return super()._info() if self.count != self.quiet else {}


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(("quiet", "call"), [(0, "reset"), (1, "step"), (0, "first reset")])
def test_one_row_without_a_mask_is_known(mode, quiet, call):
    """Row 0 always gives masks; row 1 not in step ``quiet`` of its second episode (or of its first)."""

    class Later(Forgetful):
        def _info(self):
            return super()._info() if self.episode or call == "first reset" else Counting._info(self)

    made = [lambda: Counting(9, masks=True), lambda: Later(2, quiet)]
    env = WrappedVectorEnv(SyncVectorEnv(made, autoreset_mode=mode), env_name="mine")
    obs = env.reset()
    steps = 0
    while "action_masks" in obs:
        obs = env.step(torch.zeros(2, dtype=torch.int64)).obs
        steps += 1
    # The first episode of row 1 ends in step 2, where the second begins.
    assert steps == {"reset": 2, "step": 3, "first reset": 0}[call]
    where = "reset" if "reset" in call and (call == "first reset" or mode != AutoresetMode.SAME_STEP) else "step"
    with pytest.raises(EnvError, match=rf"^mine: {where}\(\) infos\['action_mask'\]: got none of row 1; expected"):
        env.get_action_masks()


def test_masks_that_come_too_late_are_none():
    env = WrappedVectorEnv(SyncVectorEnv([lambda: Forgetful(3, 0)] * 2))
    assert "action_masks" not in env.reset() and env.get_action_masks() is None


class IgnoresTheMask(SyncVectorEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_a_vector_environment_that_cannot_reset_a_part_is_refused_when_it_has_to(mode):
    env = WrappedVectorEnv(copies(IgnoresTheMask, mode), env_name="deaf")
    env.reset()
    with pytest.raises(EnvError, match=r"deaf: reset\(options=.*changed environments outside the mask.*SAME_STEP"):
        env.step(torch.zeros(4, dtype=torch.int64))
    alone = WrappedVectorEnv(copies(IgnoresTheMask, mode, lengths=(2,)))
    assert story(alone, torch.zeros(9, 1, dtype=torch.int64))[0] == reference_rows(2, [0] * 9)


def test_gymnasiums_own_cartpole_vector_is_such_a_one():
    env = gymnasium.make_vec("CartPole-v1", 64, "vector_entry_point")
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    wrapped = WrappedVectorEnv(env)
    wrapped.reset()
    with pytest.raises(EnvError, match="outside the mask"):
        for _ in range(50):
            wrapped.step(torch.randint(2, (64,)))


def test_a_vector_environment_must_say_its_mode():
    env = copies(SyncVectorEnv, AutoresetMode.SAME_STEP)
    del env.metadata["autoreset_mode"]
    with pytest.raises(EnvError, match=r"autoreset_mode'\]: got None; expected a gymnasium.vector.AutoresetMode"):
        WrappedVectorEnv(env)


def test_workers_that_would_reset_twice_are_refused():
    make = [partial(Counting, 2)] * 2
    env = AsyncVectorEnv(make, shared_memory=False, autoreset_mode=AutoresetMode.NEXT_STEP)
    with pytest.raises(EnvError, match="without shared memory in the mode NEXT_STEP"):
        WrappedVectorEnv(env)
    env.close()


def test_an_environment_that_keeps_its_last_observations_to_itself():
    class Silent(SyncVectorEnv):
        def step(self, actions):
            *step, _ = super().step(actions)
            return (*step, {})

    env = WrappedVectorEnv(copies(Silent, AutoresetMode.SAME_STEP))
    env.reset()
    assert env.step(torch.zeros(4, dtype=torch.int64)).final_obs is None


def test_rewards_are_float32_and_observations_their_own_memory():
    env = WrappedVectorEnv(copies(SyncVectorEnv, AutoresetMode.SAME_STEP, lengths=(9, 9)))
    first = env.reset()["obs"]
    step = env.step(torch.zeros(2, dtype=torch.int64))
    assert first.tolist() == [[0.0, 0.0]] * 2 and first.dtype == step.reward.dtype == torch.float32
