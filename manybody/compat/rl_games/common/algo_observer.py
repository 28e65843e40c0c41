"""RL Games' observers, and the base class of its clients' own."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.engine import observers


class AlgoObserver(observers.AlgoObserver):
    """An observer that does nothing; ``process_infos`` receives the rows whose episode ended, (K, 1) int64."""

    def __init__(self) -> None:
        pass


class DefaultAlgoObserver(AlgoObserver):
    """Writes ``scores/{mean,iter,time}``: the mean of ``scores``, else ``battle_won``, in infos of ended episodes."""

    def after_init(self, algo: Any) -> None:
        """Keep the agent and its writer."""
        self.algo = algo
        self.game_scores = torch_ext.AverageMeter(1, algo.games_to_track).to(algo.ppo_device)
        self.writer = algo.writer

    def process_infos(self, infos: Any, done_indices: Tensor) -> None:
        """Average the scores of ended episodes.

        ``infos`` is a list with one dictionary per environment, or a dictionary with one sequence per key. Zeros in
        ``lives``, where present, replace ``done_indices``.
        """
        if not infos:
            return
        ended = done_indices.flatten()
        if isinstance(infos, Mapping):
            if "lives" in infos:
                ended = (torch.as_tensor(infos["lives"]) == 0).nonzero().flatten()
            scores = _score(infos)
        else:
            scores = [_score(info) for info in infos] if isinstance(infos[0], Mapping) else None
        if scores is None:
            return
        environments = [row // self.algo.num_agents for row in ended.tolist()]
        known = [scores[i] for i in environments if i < len(scores) and scores[i] is not None]
        if known:
            self.game_scores.update(torch.tensor([float(score) for score in known]))

    def after_clear_stats(self) -> None:
        """Reset the scores."""
        self.game_scores.clear()

    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:
        """Write the scores, if there are any."""
        _write_scores(self.writer, self.game_scores, frame, epoch_num, total_time)

    @override
    def state_dict(self) -> dict[str, Any]:
        return self.game_scores.state_dict()

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state:
            self.game_scores.load_state_dict(state)


def _score(info: Mapping[str, Any]) -> Any:
    return info.get("scores", info.get("battle_won"))


def _write_scores(writer: Any, meter: Any, frame: int, epoch_num: int, total_time: float) -> None:
    if writer is not None and meter.current_size > 0:
        mean = meter.get_mean()
        for name, step in (("mean", frame), ("iter", epoch_num), ("time", total_time)):
            writer.add_scalar(f"scores/{name}", mean, step)


class IsaacAlgoObserver(AlgoObserver):
    """Writes the reports of Isaac's tasks.

    ``infos['episode']``, a mapping of numbers and tensors, becomes ``Episode/<key>``, the mean over the epoch. Each
    scalar among the other infos becomes ``<key>/{frame,iter,time}``, its last value; an integer tensor is a count and
    is summed over the epoch.
    """

    def after_init(self, algo: Any) -> None:
        """Keep the agent and its writer."""
        self.algo = algo
        self.mean_scores = torch_ext.AverageMeter(1, algo.games_to_track).to(algo.ppo_device)
        self.ep_infos: list[Mapping[str, Any]] = []
        self.direct_info: dict[str, Any] = {}
        self.counts: dict[str, Tensor] = {}
        self.writer = algo.writer

    def process_infos(self, infos: Any, done_indices: Tensor) -> None:
        """Keep the reports. Raises ValueError unless ``infos`` is a dictionary."""
        if not isinstance(infos, dict):
            raise ValueError(f"{type(self).__name__} expected 'infos' as dict. Received: {type(infos)}")
        if "episode" in infos:
            self.ep_infos.append(infos["episode"])
        if infos:
            self.direct_info = {key: value for key, value in infos.items() if _is_scalar(value)}
            for key, value in self.direct_info.items():
                if isinstance(value, Tensor) and not (value.is_floating_point() or value.dtype == torch.bool):
                    self.counts[key] = self.counts[key] + value if key in self.counts else value.clone()

    def after_clear_stats(self) -> None:
        """Reset the scores."""
        self.mean_scores.clear()

    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:
        """Write the reports of the epoch."""
        reports: dict[str, list[Tensor]] = {}
        for info in self.ep_infos:
            for key, value in info.items():
                report = torch.as_tensor(value, dtype=torch.float32, device=self.algo.device)
                reports.setdefault(key, []).append(report.reshape(-1))
        for key, values in reports.items():
            self.writer.add_scalar(f"Episode/{key}", torch.cat(values).mean(), epoch_num)
        self.ep_infos.clear()
        self.direct_info |= self.counts
        self.counts = {}
        for key, value in self.direct_info.items():
            for name, step in (("frame", frame), ("iter", epoch_num), ("time", total_time)):
                self.writer.add_scalar(f"{key}/{name}", value, step)
        _write_scores(self.writer, self.mean_scores, frame, epoch_num, total_time)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, float | int) or (isinstance(value, Tensor) and value.ndim == 0)
