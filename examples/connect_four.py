"""A custom game: connect four, learned by self-play against earlier policies.

This example shows an environment with an opponent (``set_opponent``), action masks (``action_masks``), and
``self_play_config``. All boards are stepped in one batch of tensors.

    python examples/connect_four.py --epochs 150
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

import manybody
from manybody.algos.a2c import PpoPlayerDiscrete
from manybody.envs.base import EnvSpec, Obs, Step, VecEnv

ROWS, COLUMNS, IN_A_ROW = 6, 7, 4
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Along a row, along a column, and the two diagonals."""


def wins(stones: Tensor) -> Tensor:
    """Return (N,) bool: whether ``stones`` (N, 6, 7) bool have four in a row."""
    found = torch.zeros(len(stones), dtype=torch.bool, device=stones.device)
    for down, right in DIRECTIONS:
        flipped = stones.flip(2) if right < 0 else stones
        height, width = ROWS - down * (IN_A_ROW - 1), COLUMNS - abs(right) * (IN_A_ROW - 1)
        line = torch.ones(len(stones), height, width, dtype=torch.bool, device=stones.device)
        for k in range(IN_A_ROW):
            line &= flipped[:, k * down : k * down + height, k * abs(right) : k * abs(right) + width]
        found |= line.flatten(1).any(dim=1)
    return found


class ConnectFour(VecEnv):
    """N boards of 6 x 7. The agent's stones are 1, the opponent's -1; a full column is forbidden.

    Observation: the stones of both sides as 0 and 1, own first (2 x 6 x 7, flat). Reward at the end of a game: 1 for a
    win, -1 for a loss, 0 for a draw. The loser opens the next game; after a draw, the side that did not move last. The
    default opponent moves at random.
    """

    def __init__(self, num_actors: int, seed: int | None = None) -> None:
        self.num_envs = num_actors
        self.device = torch.device("cpu")
        self.spec = EnvSpec(spaces.Box(0.0, 1.0, (2 * ROWS * COLUMNS,), np.float32), spaces.Discrete(COLUMNS))
        self.boards = torch.zeros(num_actors, ROWS, COLUMNS, dtype=torch.int8)
        self.opponent: Callable[[Obs, Tensor], Tensor] = random_moves

    def set_opponent(self, act: Callable[[Obs, Tensor], Tensor]) -> bool:
        """See :class:`VecEnv`."""
        self.opponent = act
        return True

    def view(self, side: int) -> Obs:
        """Return the observations of ``side`` (1 or -1) and the mask of free columns (N, 7)."""
        planes = torch.stack([self.boards == side, self.boards == -side], dim=1)
        return {"obs": planes.flatten(1).float(), "action_masks": self.boards[:, 0] == 0}

    def drop(self, columns: Tensor, mask: Tensor, side: int) -> None:
        """Drop a stone of ``side`` into ``columns`` (N,) of the boards in ``mask`` (N,)."""
        games = torch.arange(self.num_envs)
        heights = (self.boards[games, :, columns] == 0).sum(dim=1) - 1  # the lowest free row
        if (heights[mask] < 0).any():
            raise ValueError("action: got a full column; expected one that action_masks allows")
        self.boards[games[mask], heights[mask], columns[mask]] = side

    def reset(self) -> Obs:
        """Clear all boards; the agent opens."""
        self.boards.zero_()
        return self.view(1)

    def step(self, actions: Tensor) -> Step:
        """Play the agent's move, then the opponent's unless the game has ended."""
        all_boards = torch.ones(self.num_envs, dtype=torch.bool)
        self.drop(actions, all_boards, 1)
        won = wins(self.boards == 1)
        over = won | (self.boards != 0).flatten(1).all(dim=1)
        last = self.view(1)["obs"]
        self.boards[over] = 0  # the opponent opens on these boards and answers on the others
        self.drop(self.opponent(self.view(-1), all_boards), all_boards, -1)
        lost = wins(self.boards == -1)
        ended_now = lost | (self.boards != 0).flatten(1).all(dim=1)
        final = torch.where(over.unsqueeze(1), last, self.view(1)["obs"])
        self.boards[ended_now] = 0  # the agent opens on these boards
        reward = won.float() - lost.float()
        never = torch.zeros_like(over)
        return Step(self.view(1), reward, over | ended_now, never, {"obs": final}, {})

    def get_env_state(self) -> dict[str, Any]:
        """See :class:`VecEnv`."""
        return {"boards": self.boards.clone()}

    def set_env_state(self, state: Any) -> None:
        """See :class:`VecEnv`."""
        self.boards.copy_(state["boards"])


def random_moves(obs: Obs, mask: Tensor) -> Tensor:
    """Return a random free column (N,) per board."""
    free = obs["action_masks"]
    assert isinstance(free, Tensor)
    return torch.multinomial(free.float(), 1).squeeze(1)


def settings(epochs: int, num_envs: int, seed: int) -> dict[str, Any]:
    """PPO with masks and self-play."""
    return {
        "params": {
            "seed": seed,
            "torch_threads": 1,  # more threads do not speed up a small network
            "algo": {"name": "a2c_discrete"},
            "model": {"name": "discrete_a2c"},
            "network": {
                "name": "actor_critic",
                "separate": False,
                "space": {"discrete": None},
                "mlp": {"units": [256, 128], "activation": "relu", "initializer": {"name": "default"}},
            },
            "config": {
                "name": "connect_four",
                "env_name": "connect_four",
                "num_actors": num_envs,
                "use_action_masks": True,
                "self_play_config": {"update_score": 0.4, "games_to_check": 500, "pool_size": 8},
                "games_to_track": 2000,
                "gamma": 0.99,
                "tau": 0.95,
                "learning_rate": 1e-3,
                "lr_schedule": "adaptive",
                "kl_threshold": 0.016,
                "horizon_length": 32,
                "minibatch_size_per_env": 8,
                "mini_epochs": 4,
                "normalize_advantage": True,
                "e_clip": 0.2,
                "clip_value": False,
                "critic_coef": 1.0,
                "entropy_coef": 0.01,
                "truncate_grads": True,
                "grad_norm": 1.0,
                "max_epochs": epochs,
            },
        }
    }


def against_random(agent: Any, games: int) -> tuple[float, float]:
    """Return the shares of games that the trained policy wins and loses against random moves, acting greedily."""
    params = agent.params.model_copy(update={"config": agent.config.model_copy(update={"self_play_config": None})})
    player = PpoPlayerDiscrete(params, vec_env=ConnectFour(agent.num_actors))
    player.model.load_state_dict(agent.model.state_dict())
    player.games_num = games
    results: list[Tensor] = []
    player.run(lambda step: results.append(step.reward[step.done]), quiet=True)
    reward = torch.cat(results)
    return (reward > 0).float().mean().item(), (reward < 0).float().mean().item()


def main(epochs: int = 150, num_envs: int = 256, seed: int = 1) -> float:
    """Train, and return the share of games won against random moves."""
    manybody.register_env("connect_four", ConnectFour)
    runner = manybody.Runner()
    runner.load(settings(epochs, num_envs, seed))
    agent = runner.run({"train": True})
    won, lost = against_random(agent, 2000)
    print(f"against random moves: {won:.1%} won, {lost:.1%} lost; {len(agent.self_play.pool)} earlier policies")
    return won


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    main(**vars(parser.parse_args()))
