"""Self-play: who joins the pool, who plays against whom, and that a resumed run goes on with both."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_family import FamilyEnv, family_params

from manybody.algos.a2c import DiscreteA2CAgent
from manybody.config import ConfigError, parse_params
from manybody.engine.run_folder import RunFolder

EXAMPLE = Path(__file__).parents[3] / "examples" / "connect_four.py"
spec = importlib.util.spec_from_file_location("connect_four", EXAMPLE)
assert spec is not None and spec.loader is not None
game = importlib.util.module_from_spec(spec)
spec.loader.exec_module(game)


def make_agent(env: Any = None, folder: Any = None, checkpoint: str | None = None, **self_play: Any) -> Any:
    torch.manual_seed(0)
    mapping = game.settings(epochs=4, num_envs=6, seed=1)["params"]
    mapping["network"]["mlp"]["units"] = [8]
    mapping["config"] |= {
        "print_stats": False,
        "horizon_length": 8,
        "minibatch_size_per_env": 8,
        "mini_epochs": 1,
    }
    mapping["config"]["self_play_config"] = {
        "update_score": -2.0,
        "games_to_check": 1,
        "pool_size": 2,
    } | self_play
    return DiscreteA2CAgent(
        "run", parse_params(mapping), vec_env=env or game.ConnectFour(6), folder=folder, checkpoint=checkpoint
    )


def test_the_pool_takes_in_the_present_policy_and_keeps_the_first():
    agent = make_agent()
    manager = agent.self_play
    first = manager.pool[0]
    assert len(manager.pool) == 1 and torch.equal(manager.assigned, torch.zeros(6, dtype=torch.long))
    agent.train()  # four epochs, each of which beats a score of -2 as soon as one game is over
    assert len(manager.pool) == 2 and manager.pool[0] is first
    newest = agent.model.state_dict()
    assert all(torch.equal(newest[name], value) for name, value in manager.pool[1].items())
    # Members 0 and 1 in turn, and the newest for the environment whose turn it is: number 3 at the fourth update.
    assert manager.next_env == 4 and manager.assigned.tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(("size", "kept"), [(1, [3]), (2, [0, 3]), (3, [0, 2, 3]), (4, [0, 1, 2, 3])])
def test_a_full_pool_is_the_first_and_the_newest(size, kept):
    manager = make_agent(pool_size=size).self_play
    pool = [{"weight": torch.tensor(member)} for member in range(4)]
    assert [int(member["weight"]) for member in manager._kept(pool)] == kept


def test_nobody_joins_below_the_score_or_before_enough_games():
    for settings in ({"update_score": 1.1}, {"games_to_check": 10_000}):
        agent = make_agent(**settings)
        agent.train()
        assert len(agent.self_play.pool) == 1


def test_each_environment_is_played_by_its_own_opponent():
    """A policy whose every logit but one is forbidden by its bias moves in that column."""
    agent = make_agent()
    manager = agent.self_play
    agent.start_training()
    members = []
    for column in (2, 5):
        weights = {name: torch.zeros_like(value) for name, value in agent.model.state_dict().items()}
        weights["a2c_network.logits.bias"][column] = 1000.0
        members.append(weights)
    manager.pool = members
    manager.assigned = torch.tensor([0, 1, 0, 1, 1, 0])
    mask = torch.tensor([True, True, True, True, True, False])
    actions = manager.act(agent.vec_env.view(-1), mask)
    assert actions.tolist() == [2, 5, 2, 5, 5, 0]  # the last was not asked


def test_a_resumed_run_has_the_same_opponents(tmp_path):
    def run(name: str, epochs: int, checkpoint: str | None = None) -> Any:
        agent = make_agent(folder=lambda: RunFolder.create(str(tmp_path), "game", name), checkpoint=checkpoint)
        agent.max_epochs = epochs
        agent.train()
        return agent

    whole, half = run("whole", 4), run("half", 2)
    (file,) = half.run.folder.nn.glob("last_*_ep_2_*.pth")
    rest = run("rest", 4, str(file))
    for part in ("model", "optimizer", "self_play", "env_state", "interaction", "rng"):
        torch.testing.assert_close(
            rest.get_full_state_weights()[part], whole.get_full_state_weights()[part], rtol=0, atol=0
        )


def test_what_cannot_play_itself_is_refused():
    mapping = family_params(self_play_config={"update_score": 0.5, "games_to_check": 1})
    with pytest.raises(ConfigError, match="'family' has no other side to play"):
        DiscreteA2CAgent("run", parse_params(mapping), vec_env=FamilyEnv())
    recurrent = family_params(rnn="lstm", self_play_config={"update_score": 0.5, "games_to_check": 1})
    with pytest.raises(ConfigError, match="self_play_config: got a block, but the network is recurrent"):
        DiscreteA2CAgent("run", parse_params(recurrent), vec_env=FamilyEnv())


def test_an_environment_of_rl_games_gets_the_weights():
    given: list[Any] = []

    class Protocol(FamilyEnv):
        def set_weights(self, indices, weights):
            given.append((indices, sorted(weights)))
            return True

    mapping = family_params(max_epochs=3, self_play_config={"update_score": -1, "games_to_check": 1})
    agent = DiscreteA2CAgent("run", parse_params(mapping), vec_env=Protocol())
    agent.train()
    # All four at the beginning, then one at a time.
    assert [indices for indices, _ in given] == [[0, 1, 2, 3], [0], [1], [2]]
    assert given[0][1] == ["model"]


def lines_of_four(board: np.ndarray) -> bool:
    """By brute force."""
    cells = [(r, c) for r in range(6) for c in range(7)]
    for r, c in cells:
        for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
            line = [(r + k * dr, c + k * dc) for k in range(4)]
            if all(cell in cells and board[cell] for cell in line):
                return True
    return False


def test_four_in_a_row_is_found_in_every_direction_and_nowhere_else():
    boards = torch.rand(400, 6, 7, generator=torch.Generator().manual_seed(0)) < 0.45
    expected = [lines_of_four(board.numpy()) for board in boards]
    assert 50 < sum(expected) < 350
    assert game.wins(boards).tolist() == expected
