"""RL Games' self-play: the environments' opponents get the weights of an agent that wins."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from manybody.engine.console import say


class SelfPlayManager:
    """Sends the weights to ``env_update_num`` environments once the mean over ``games_to_check`` games is high enough.

    High enough means above ``update_score``. Each time, the environments that receive the weights move on by one.

    Args:
        config: the ``self_play_config`` section.
        writter: where ``selfplay/iters_update_weigths`` goes.
    """

    def __init__(self, config: Mapping[str, Any], writter: Any) -> None:
        self.config = config
        self.writter = writter
        self.update_score = config["update_score"]
        self.games_to_check = config["games_to_check"]
        self.check_scores = config.get("check_scores", False)
        self.env_update_num = config.get("env_update_num", 1)
        self.env_indexes = np.arange(self.env_update_num)
        self.updates_num = 0

    def update(self, algo: Any) -> None:
        """Look at the statistics of ``algo`` after an epoch: its returns, or its own or its observer's scores."""
        self.updates_num += 1
        played = algo.game_rewards
        if self.check_scores:
            played = (algo if hasattr(algo, "game_scores") else algo.algo_observer).game_scores
        if len(played) < self.games_to_check:
            return
        score = float(np.max(played.get_mean()))
        if score <= self.update_score:
            return
        say(f"Mean scores: {score} mean rewards: {algo.game_rewards.get_mean()} updating weights")
        algo.clear_stats()
        self.writter.add_scalar("selfplay/iters_update_weigths", self.updates_num, algo.frame)
        algo.vec_env.set_weights(self.env_indexes, algo.get_weights())
        self.env_indexes = (self.env_indexes + 1) % algo.num_actors
        self.updates_num = 0
