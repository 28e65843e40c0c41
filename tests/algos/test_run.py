"""Which policy is the best: its mean return is about enough episodes, and as many since the best before."""

import pytest
import torch
from toy import ToyEnv, toy_params
from toy_sac import sac_params

from manybody.algos.a2c import A2CAgent
from manybody.algos.sac import SACAgent
from manybody.config import parse_params
from manybody.engine.checkpoint import load_checkpoint
from manybody.engine.run_folder import RunFolder


class LuckyEnv(ToyEnv):
    """Row 0 ends an episode in step 3, with 100. Then all eight rows end theirs every eighth step, from step 16 on.

    Their returns are 0 up to step 24 and 100 afterwards. An epoch is eight steps.
    """

    count = 0

    def step(self, actions):
        step = super().step(actions)
        self.count += 1
        ended = torch.full((self.num_envs,), self.count >= 16 and self.count % 8 == 0)
        ended[0] |= self.count == 3
        pays = self.count == 3 or self.count > 24
        return step._replace(reward=ended * (100.0 if pays else 0.0), terminated=ended, truncated=ended & False)


def agent_of(kind, tmp_path, **config):
    settings = {"save_best_after": 0, "train_dir": str(tmp_path), "torch_compile": False, **config}
    params = parse_params(
        toy_params(**settings) if kind is A2CAgent else sac_params(num_steps_per_episode=8, **settings)
    )
    return kind("run", params, vec_env=LuckyEnv(), folder=lambda: RunFolder.create(tmp_path, "Toy", "toy"))


def bests(agent):
    """The epochs after which the best policy was saved."""
    saved, save = [], agent.run._save

    def note(name, kind, last_chance=False):
        saved.extend([agent.epoch_num] if kind == "best" else [])
        return save(name, kind, last_chance)

    agent.run._save = note
    agent.train()
    return saved


@pytest.mark.parametrize("kind", [A2CAgent, SACAgent])
def test_a_best_policy_takes_enough_episodes_and_as_many_since_the_one_before(tmp_path, kind):
    """Enough are 10: as many as rows would be 8.

    Episodes after the epochs: 1, 9, 17, 25, 33. So the first best one is of epoch 3, with a mean of 100 / 17; epoch 4,
    with 900 / 25, comes 8 episodes later, epoch 5 with 1700 / 33 comes 16 later.
    """
    agent = agent_of(kind, tmp_path, max_epochs=5, score_to_win=90.0)  # which epoch 1 would have: 100 / 1
    assert bests(agent) == [3, 5] and agent.epoch_num == 5
    best = load_checkpoint(agent.run.folder.best())
    assert best["last_mean_rewards"] == pytest.approx(1700 / 33) and best["best_games"] == 33


def test_a_run_too_short_for_that_has_a_best_policy_at_its_end(tmp_path):
    agent = agent_of(A2CAgent, tmp_path, max_epochs=2)
    assert bests(agent) == [2] and agent.last_mean_rewards == pytest.approx(100 / 9)


def test_save_best_after_holds_in_a_short_run_too(tmp_path):
    assert bests(agent_of(A2CAgent, tmp_path, max_epochs=2, save_best_after=3)) == []
