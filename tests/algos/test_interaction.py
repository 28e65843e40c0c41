"""What counts as a finished episode when the first ones begin at random ages."""

import pytest
import torch
from toy import ToyEnv, toy_params
from toy_env import task_params
from toy_sac import sac_params

from manybody.algos.a2c import A2CAgent
from manybody.algos.sac import SACAgent
from manybody.config import parse_params
from manybody.engine.observers import AlgoObserver
from manybody.runner import Runner


class Staggered(ToyEnv):
    """Episodes of 5 steps: odd environments run out of time, even ones fail. Environments 4 to 7 begin at age 3."""

    def stagger_episodes(self):
        self.calls.append("stagger")
        self.steps = torch.where(self.rows < 4, 0, 3)
        return self.rows >= 4

    def reset(self):
        super().reset()
        self.steps = torch.zeros_like(self.rows)
        return {"obs": self.observe()}


AGENTS = {
    "ppo": lambda env, **c: A2CAgent("run", parse_params(toy_params(games_to_track=4, **c)), vec_env=env),
    "sac": lambda env, **c: SACAgent("run", parse_params(sac_params(games_to_track=4, **c)), vec_env=env),
}


@pytest.fixture(params=AGENTS.values(), ids=AGENTS)
def make(request):
    return request.param


def step(agent, count):
    with torch.no_grad():
        for _ in range(count):
            agent.obs = {"obs": agent.obs["obs"]}
            outcome = agent.env_step(torch.zeros(8, 2))
            agent.count_episodes(outcome, outcome.reward, torch.zeros(8, dtype=torch.bool))


def test_a_shortened_episode_that_ran_out_of_time_is_not_counted(make):
    agent = make(Staggered())
    agent.start_training()
    assert agent.vec_env.calls == ["reset", "stagger"]
    step(agent, 2)  # 4 to 7 end at age 5: 5 and 7 out of time after 2 steps, 4 and 6 failed after 2
    assert agent.game_lengths.current_size == 2 and agent.game_lengths.mean == 2.0
    step(agent, 3)  # 0 to 3 end after all of their 5 steps
    assert agent.game_lengths.mean == 5.0
    agent.game_lengths.clear()
    step(agent, 2)  # the second episodes of 4 to 7 are whole: all four count
    assert agent.game_lengths.current_size == 4 and agent.game_lengths.mean == 5.0


def test_what_is_shortened_is_saved(make):
    agent, resumed, earlier = (make(Staggered()) for _ in range(3))
    agent.start_training()
    step(agent, 1)
    state = agent.get_full_state_weights()
    resumed.set_full_state_weights(state)
    del state["interaction"]["shortened"]
    earlier.set_full_state_weights(state)
    assert resumed.episodes.shortened.tolist() == [False] * 4 + [True] * 4
    assert not earlier.episodes.shortened.any()
    for one in (resumed, earlier):
        one.start_training()
        assert one.vec_env.calls == []  # resumed episodes are not aged again


def test_episodes_that_are_reset_are_staggered_again(make):
    agent = make(Staggered(), epochs_between_resets=1, max_epochs=2)
    agent.train()
    assert [call for call in agent.vec_env.calls if call != "step"] == ["reset", "stagger"] * 2


def test_environments_that_cannot_are_left_alone(make):
    agent = make(ToyEnv())
    agent.start_training()
    assert not agent.episodes.shortened.any()


class Ends(AlgoObserver):
    """How many episodes end in each step."""

    def __init__(self):
        self.counts = []

    def process_infos(self, infos, dones):
        self.counts.append(int(dones.sum()))


@pytest.mark.parametrize("stagger", [True, False])
def test_a_training_has_no_step_in_which_all_episodes_end(tmp_path, stagger):
    """64 Cartpoles that are hardly pushed, so that none falls in 8 steps: in 16 steps 128 ends, 8 a step on average."""
    observer = Ends()
    runner = Runner(observer)
    env = {"env": {"episodeLength": 8, "maxEffort": 1.0, "staggerEpisodes": stagger}}
    runner.load(task_params("Cartpole", 64, tmp_path, max_epochs=1, env_config=env))
    agent = runner.run({"train": True})
    assert sum(observer.counts) == 128
    assert (max(observer.counts) <= 20) is stagger
    assert agent.game_lengths.mean == 8.0  # partial returns are not counted
