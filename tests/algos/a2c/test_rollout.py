"""Collecting: returns of episodes that continue, terminate, are truncated, or both, computed by hand."""

import pytest
import torch
from toy import ToyEnv

from manybody.algos.a2c import A2CAgent
from manybody.envs.base import Step

ENDS = {"none": (False, False), "terminated": (True, False), "truncated": (False, True), "both": (True, True)}
"""How the episode of each row ends in step 0: terminated, truncated."""


class Ends(ToyEnv):
    """Four rows for two steps: the first observation has the value 1, then 2, then 3; a final observation has 8."""

    def __init__(self, gives_final_obs=True):
        super().__init__(4, gives_final_obs=gives_final_obs)
        self.step_count = 0

    def at(self, value):
        return {"obs": torch.full((4, 3), float(value))}

    def reset(self):
        return self.at(1)

    def step(self, actions):
        self.step_count += 1
        ended = torch.tensor(list(ENDS.values())) & (self.step_count == 1)
        final_obs = self.at(8) if self.gives_final_obs else None
        return Step(self.at(self.step_count + 1), torch.ones(4), ended[:, 0], ended[:, 1], final_obs, {})


class Known(A2CAgent):
    """Its value of an observation is its first entry."""

    def get_action_values(self, obs):
        return {**super().get_action_values(obs), "values": obs["obs"][:, :1]}


@pytest.fixture
def played(make_agent):
    """``played(env, **config)``: agent and batch of two steps with gamma = tau = 0.5 and rewards of 1."""

    def play(env, **config):
        sizes = {"num_actors": 4, "horizon_length": 2, "minibatch_size": 8}
        settings = {"gamma": 0.5, "tau": 0.5, "value_bootstrap": True, "reward_shaper": {}, **sizes, **config}
        agent = make_agent(env=env, agent_class=Known, **settings)
        agent.start_training()
        return agent, agent.play_steps()

    return play


def returns(batch):
    """By kind of end: the returns of steps 0 and 1; the batch has all steps of row 0 first."""
    return dict(zip(ENDS, batch["returns"].reshape(4, 2).tolist(), strict=True))


def test_returns(played):
    """Step 1 of every row: delta = 1 + 0.5 * 3 - 2 = 0.5, so A = 0.5 and the return is 2 + 0.5 = 2.5.

    Step 0, V = 1: an episode that continues has delta = 1 + 0.5 * 2 - 1 = 1, A = 1 + 0.25 * 0.5 = 1.125, return 2.125.
    A terminated one has its reward, 1. A truncated one has 1 + 0.5 * 8 = 5. One that is both is terminated.
    """
    _, batch = played(Ends())
    assert returns(batch) == {
        "none": [2.125, 2.5],
        "terminated": [1.0, 2.5],
        "truncated": [5.0, 2.5],
        "both": [1.0, 2.5],
    }


def test_without_a_final_observation_the_value_before_the_step_is_used(played):
    """1 + 0.5 * V(s_0) = 1 + 0.5 * 1 = 1.5."""
    _, batch = played(Ends(gives_final_obs=False))
    assert returns(batch)["truncated"] == [1.5, 2.5] and returns(batch)["both"] == [1.0, 2.5]


def test_without_value_bootstrap_a_truncated_episode_has_its_rewards_alone(played):
    _, batch = played(Ends(), value_bootstrap=False)
    assert returns(batch)["truncated"] == [1.0, 2.5]


def test_the_batch_is_env_major_and_marks_where_episodes_begin(played):
    agent, batch = played(Ends())
    assert batch["obses"][:, 0].tolist() == [1.0, 2.0] * 4
    assert batch["dones"].tolist() == [1, 0, 1, 1, 1, 1, 1, 1]
    assert batch["played_frames"] == 8 and agent.dones.tolist() == [0, 0, 0, 0]


def test_finished_episodes_are_counted(played):
    """Three episodes end in step 0, each of length 1 with a return of 1; nothing ends in step 1."""
    agent, _ = played(Ends())
    assert (agent.game_rewards.finished.item(), agent.game_rewards.mean.item(), agent.game_lengths.mean.item()) == (
        3,
        1.0,
        1.0,
    )
    assert agent.current_lengths.tolist() == [2.0, 1.0, 1.0, 1.0]


def test_a_row_with_a_value_that_is_not_finite_ends_without_bootstrapping(played):
    """Row 0 continues, but its reward is NaN: the reward counts as 0 and nothing follows. Row 2 keeps its 5."""

    class Broken(Ends):
        def step(self, actions):
            step = super().step(actions)
            reward = step.reward.clone()
            reward[0] = float("nan") if self.step_count == 1 else 1.0
            return step._replace(reward=reward)

    agent, batch = played(Broken())
    assert returns(batch)["none"] == [0.0, 2.5] and returns(batch)["truncated"] == [5.0, 2.5]
    assert agent.game_rewards.finished.item() == 3 and agent.guard.counters()["guard/reward"].item() == 1


def test_env_step_may_return_something_else_where_step_converts_it(played, make_agent):
    class Tuples(Known):
        def env_step(self, actions):
            step = super().env_step(actions)
            return step.obs, step.reward, step.done, step.extras

        def _step(self, actions):
            obs, reward, done, extras = self.env_step(actions)
            return Step(obs, reward, done, torch.zeros_like(done), None, extras)

    agent = make_agent(env=ToyEnv(), agent_class=Tuples)
    agent.start_training()
    assert agent.play_steps()["returns"].shape == (64, 1)
