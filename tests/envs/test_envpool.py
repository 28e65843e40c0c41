"""EnvPool: its own reset in the next step, told as a reset in the same step."""

import numpy as np
import pytest
import torch

from manybody.envs.base import EnvError
from manybody.envs.registration import create_vec_env

envpool = pytest.importorskip("envpool")


@pytest.mark.parametrize(("env_name", "limit"), [("CartPole-v1", 12), ("HalfCheetah-v5", 5)])
def test_every_transition_of_envpool_and_none_besides(env_name, limit):
    """EnvPool steps on its own; each of its rows, without the steps that only reset, is a row of ours."""
    theirs = envpool.make(env_name, env_type="gymnasium", num_envs=4, seed=3, max_episode_steps=limit)
    ours = create_vec_env(f"envpool:{env_name}", 4, seed=3, max_episode_steps=limit)
    discrete = env_name == "CartPole-v1"
    obs, _ = theirs.reset()
    first = ours.reset()["obs"]
    assert np.array_equal(first.numpy(), obs.astype(np.float32))
    steps = 40

    def action(n, t):
        """That of row n in its t-th transition: time differs between the two sides."""
        return (n + t // 3) % 2 if discrete else np.cos(n + t + np.arange(6))

    expected, done = [[] for _ in range(4)], np.zeros(4, bool)
    while min(map(len, expected)) <= steps:
        batch = np.stack([action(n, len(row)) for n, row in enumerate(expected)])
        before = done
        obs, reward, terminated, truncated, _ = theirs.step(batch.astype(theirs.action_space.dtype))
        done = terminated | truncated
        for n in range(4):
            seen = obs[n].astype(np.float32).tolist()
            if before[n]:
                expected[n][-1][0] = seen  # the first observation of the new episode
            else:
                last = seen if done[n] else None
                expected[n].append([seen, np.float32(reward[n]), terminated[n], truncated[n], last])
    exact = {"rtol": 0.0, "atol": 0.0} if discrete else {"rtol": 1e-3, "atol": 1e-3}  # theirs acted in float64
    for t in range(steps):
        batch = np.stack([action(n, t) for n in range(4)])
        step = ours.step(torch.tensor(batch, dtype=torch.int64 if discrete else torch.float32))
        for n in range(4):
            obs, reward, terminated, truncated, last = expected[n][t]
            assert [bool(step.terminated[n]), bool(step.truncated[n])] == [terminated, truncated]
            np.testing.assert_allclose(step.obs["obs"][n], obs, **exact)
            np.testing.assert_allclose(step.reward[n], reward, **exact)
            if last is not None:
                np.testing.assert_allclose(step.final_obs["obs"][n], last, **exact)
    assert sum(row[3] for rows in expected for row in rows) > 4  # time ran out
    ours.close()
    theirs.close()


def test_images_stay_uint8_and_dictionaries_can_be_joined():
    env = create_vec_env("envpool", 2, env_name="Pong-v5", has_lives=False, seed=0)
    assert env.reset()["obs"].dtype == torch.uint8 and env.spec.observation_space.shape == (4, 84, 84)
    assert env.step(torch.zeros(2, dtype=torch.int64)).obs["obs"].shape == (2, 4, 84, 84)
    env.close()
    parts = create_vec_env("envpool:CheetahRun-v1", 2, seed=1)
    flat = create_vec_env("envpool:CheetahRun-v1", 2, seed=1, flatten_obs=True)
    obs = parts.reset()["obs"]
    assert {key: tuple(value.shape) for key, value in obs.items()} == {"position": (2, 8), "velocity": (2, 9)}
    assert flat.reset()["obs"].tolist() == torch.cat([obs["position"], obs["velocity"]], dim=1).tolist()
    assert flat.spec.observation_space.shape == (17,)


def test_numbers_without_an_axis_can_be_joined_alone():
    """dm_control's humanoid tells the height of its head as one number."""
    with pytest.raises(
        EnvError,
        match=r"(?s)HumanoidStand-v1': got Dict.*has the shape \(1,\).*env_config.flatten_obs: True joins",
    ):
        create_vec_env("envpool:HumanoidStand-v1", 2)
    flat = create_vec_env("envpool:HumanoidStand-v1", 2, flatten_obs=True)
    assert flat.reset()["obs"].shape == (2, 95)  # 21 + 1 + 12 + 3 + 3 + 28 + 27
    flat.close()


def test_what_cannot_be_read_is_told(monkeypatch):
    env = create_vec_env("envpool:CartPole-v1", 2)
    env.reset()
    step = env.env.step
    monkeypatch.setattr(env.env, "step", lambda batch: (*step(batch)[:2], np.ones(1), *step(batch)[3:]))
    with pytest.raises(EnvError, match=r"^CartPole-v1: step\(\) terminated: got the shape \(1,\); expected"):
        env.step(torch.zeros(2, dtype=torch.int64))


def test_without_a_seed_every_run_differs():
    one, other = (create_vec_env("envpool:CartPole-v1", 2, seed=None).reset()["obs"] for _ in range(2))
    assert not torch.equal(one, other)


def test_what_cannot_be_made_is_told():
    with pytest.raises(EnvError, match="EnvPool cannot make 'Nothing-v0'"):
        create_vec_env("envpool:Nothing-v0", 1)
    with pytest.raises(EnvError, match=r"cannot make 'CartPole-v1' with \{'lenght': 3\}.*lenght"):
        create_vec_env("envpool:CartPole-v1", 1, lenght=3)
    with pytest.raises(EnvError, match=r"envpool needs env_config.env_name, EnvPool's id"):
        create_vec_env("envpool", 1)
    with pytest.raises(EnvError, match="use_dict_obs_space: not available"):
        create_vec_env("envpool", 1, env_name="Pong-v5", use_dict_obs_space=True)
