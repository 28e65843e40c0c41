"""What surrounds the training loop: logging, checkpoints, the best policy, signals and stop rules."""

import contextlib
import importlib
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from manybody.config import ConfigError, Problem
from manybody.data.tree import State
from manybody.engine.checkpoint.kept import Checkpoints, Kind
from manybody.engine.console import Display, EpochReport, log, say, warn
from manybody.engine.extras import ExtrasMetrics, scalar_tags
from manybody.engine.guard import Guard, TrainingAbortedError
from manybody.engine.metrics import enough_games, read_to_host
from manybody.engine.observers import AlgoObserver
from manybody.engine.run_folder import RunFolder, check_name
from manybody.engine.signals import StopRequest, graceful_stop
from manybody.engine.writers import Writer

EXTRAS = "extras/"
"""Beginning of the names of what the environment reported, among all that comes to the host."""


class EpochMetrics(NamedTuple):
    """Frames, times and results of one epoch."""

    frames: int
    """Environment steps x environments."""
    step_time: float
    """Seconds in the environments."""
    play_time: float
    """Seconds of the whole rollout, environments included."""
    update_time: float
    """Seconds of learning."""
    updates: int
    """Gradient steps."""
    scalars: dict[str, Tensor]
    """() tensors on the device by TensorBoard tag."""

    @property
    def total_time(self) -> float:
        """Seconds of the epoch."""
        return self.play_time + self.update_time


class SessionAgent(Protocol):
    """The parts of an agent that a session reads, and the few that it sets."""

    config: Any
    num_actors: int
    num_agents: int
    reward_size: int
    games_to_track: int
    max_epochs: int
    max_frames: int
    epoch_num: int
    frame: int
    last_mean_rewards: Any
    guard: Guard
    algo_observer: AlgoObserver
    extras_metrics: ExtrasMetrics
    epoch_extras: dict[str, Tensor]

    def start_episodes(self) -> None:
        """Start new episodes everywhere."""

    def episode_means(self) -> dict[str, Tensor]:
        """Return the statistics of finished episodes."""

    def end_epoch(self, read: Mapping[str, float]) -> None:
        """Run the agent's own work between epochs."""

    def learner_state(self) -> State:
        """Return the state that a rollback restores."""

    def set_learner_state(self, state: State) -> None:
        """Restore :meth:`learner_state`."""

    def get_full_state_weights(self) -> State:
        """Return everything that a checkpoint keeps."""


class Session:
    """Logging, checkpoints, the guard and the stop rules of one training; a context manager around the loop.

    Args:
        agent: a :class:`~manybody.algos.base.EnvAlgorithm`.
        folder: makes the run folder; None: nothing is written.

    Raises:
        RunFolderError: the agent's name is not a valid file name, or the folder cannot be created.
    """

    def __init__(self, agent: SessionAgent, folder: Callable[[], RunFolder] | None) -> None:
        self.agent = agent
        self.config = agent.config
        self.name: str = self.config.name
        self._stop_fn = load_function(self.config.stop_fn) if self.config.stop_fn else None
        if folder:
            check_name(self.name, "params.config.name")
        self.folder = folder() if folder else None
        self.writer = Writer(self.folder)
        self.checkpoints = Checkpoints(self.folder.nn, self.config.keep_checkpoints) if self.folder else None
        self.display = Display(self.config.print_stats)
        self.elapsed = 0.0
        self.finished = False
        self.stop_reason = ""
        self.mean_reward = float("-inf")
        self.games = 0.0
        """Number of episodes in the mean return."""
        self.finished_games = 0.0
        """Finished episodes since training began."""
        self.best_games = 0.0
        """What ``finished_games`` was when the best policy was saved."""
        self.best_seen = float("-inf")
        self.stop: StopRequest = StopRequest()
        self._context = contextlib.ExitStack()

    def __enter__(self) -> "Session":
        if self.folder is not None:
            self.folder.lock()
            self._context.callback(self.folder.close)
        self.stop = self._context.enter_context(graceful_stop())
        self._context.callback(self.writer.close)
        self._context.callback(self.display.stop)
        self.display.start(f"{self.name} · {self.agent.num_actors} environments")
        self._clock = time.perf_counter() - self.elapsed
        played = self.agent.episode_means()
        if played["games"] > 0:
            self.mean_reward, self.games = float(played["reward"]), float(played["games"])
        self.agent.guard.last_good = clone(self.agent.learner_state())
        self.finished = self._at_limit()  # a checkpoint may already be there
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception | SystemExit) and not isinstance(error, TrainingAbortedError):
            self._save_last_good(error)
        self._context.close()

    def begin_epoch(self) -> None:
        """Reset every ``epochs_between_resets`` epochs. It happens after saving, so a resumed run resets too."""
        every = self.config.epochs_between_resets
        if every > 0 and self.agent.epoch_num > 0 and self.agent.epoch_num % every == 0:
            self.agent.start_episodes()

    def end_epoch(self, metrics: EpochMetrics) -> None:
        """Log, save and apply the stop rules; the one place where values are read to the host."""
        agent = self.agent
        self.elapsed = time.perf_counter() - self._clock
        extras = {f"{EXTRAS}{name}": value for name, value in agent.extras_metrics.take().items()}
        read = read_to_host(
            {
                **metrics.scalars,
                **agent.epoch_extras,
                **extras,
                **agent.episode_means(),
                **agent.guard.counters(),
            }
        )
        agent.epoch_extras = {}
        reported = {tag.removeprefix(EXTRAS): read.pop(tag) for tag in extras}
        reported = {name: value for name, value in reported.items() if not math.isnan(value)}
        self._write(metrics, read)
        self._write_extras(reported)
        healthy = self._apply_guard(metrics, read)
        played = read["games"] > 0
        self.games, self.finished_games = read["games"], read["finished_games"]
        self.mean_reward = read["reward"] if played else float("-inf")
        self.display.epoch(self._report(metrics, read, reported, played))
        agent.algo_observer.after_print_stats(agent.frame, agent.epoch_num, self.elapsed)
        self.writer.end_epoch(agent.epoch_num, agent.frame, self.elapsed)
        if healthy:
            self._save_best()
        self.finished = self._at_limit()
        if healthy and self.finished and not self.best_games and agent.last_mean_rewards == float("-inf"):
            self._save_best(few=True)  # short runs save a best policy, too
        agent.end_epoch(read)
        if self.finished:
            self.save_last(last_chance=True)
        self._save_periodically()

    # --- parts of end_epoch --------------------------------------------------------------------------------------

    def _apply_guard(self, metrics: EpochMetrics, read: dict[str, float]) -> bool:
        """Let the guard judge the epoch; return whether every update was applied."""
        agent = self.agent
        try:
            sentence = agent.guard.end_epoch(
                read, metrics.updates, lambda: clone(agent.learner_state()), agent.set_learner_state
            )
        except TrainingAbortedError as error:
            self.writer.end_epoch(agent.epoch_num, agent.frame, self.elapsed)
            where = self.save_last()
            kept = f"The last good weights are in {where}" if where else "They could not be saved"
            raise TrainingAbortedError(f"{error}. {kept}") from None
        if sentence:
            warn(f"epoch {agent.epoch_num}: {sentence}")
        return not read["guard/skipped_updates"]

    def _write(self, metrics: EpochMetrics, read: dict[str, float]) -> None:
        """Write scalars under RL Games' tags."""
        agent, frame, epoch = self.agent, self.agent.frame, self.agent.epoch_num
        performance = {
            "step_inference_rl_update_fps": metrics.frames / metrics.total_time,
            "step_inference_fps": metrics.frames / metrics.play_time,
            "step_fps": metrics.frames / metrics.step_time,
            "rl_update_time": metrics.update_time,
            "step_inference_time": metrics.play_time,
            "step_time": metrics.step_time,
        }
        scalars = {f"performance/{key}": value for key, value in performance.items()}
        scalars |= {
            tag: value for tag, value in read.items() if "/" in tag and not tag.startswith(("guard/", "guard_first/"))
        }
        scalars |= {tag: read[tag] for tag in read if tag.startswith("guard/") and read[tag]}
        scalars["info/epochs"] = float(epoch)
        for tag, value in scalars.items():
            self.writer.add_scalar(tag, value, frame)
        if read["games"] > 0:
            returns = {
                "rewards": read["reward"],
                "shaped_rewards": read["shaped_reward"],
                "episode_lengths": read["length"],
            }
            returns |= {f"rewards{head}": read[f"rewards{head}"] for head in range(1, agent.reward_size)}
            for group, value in returns.items():
                for suffix, x in (("step", frame), ("iter", epoch), ("time", self.elapsed)):
                    self.writer.add_scalar(f"{group}/{suffix}", value, x)

    def _write_extras(self, reported: dict[str, float]) -> None:
        """Write the environment's metrics under RL Games' tags."""
        for name, value in reported.items():
            for tag, x in scalar_tags(name, self.agent.frame, self.agent.epoch_num, self.elapsed).items():
                self.writer.add_scalar(tag, value, x)

    def _report(
        self, metrics: EpochMetrics, read: dict[str, float], reported: dict[str, float], played: bool
    ) -> EpochReport:
        agent = self.agent
        self.best_seen = max(self.best_seen, agent.last_mean_rewards, self.mean_reward)
        scalars = {tag.split("/", 1)[1]: x for tag, x in read.items() if tag.startswith(("losses/", "info/"))}
        return EpochReport(
            epoch=agent.epoch_num,
            max_epochs=agent.max_epochs,
            frame=agent.frame,
            max_frames=agent.max_frames,
            frames=metrics.frames,
            seconds=self.elapsed,
            physics_time=metrics.step_time,
            inference_time=metrics.play_time - metrics.step_time,
            update_time=metrics.update_time,
            reward=read["reward"] if played else None,
            episode_length=read["length"] if played else None,
            best_reward=self.best_seen if self.best_seen > float("-inf") else None,
            scalars=scalars,
            terms=reported,
        )

    def _save_best(self, few: bool = False) -> None:
        """RL Games' ``<name>.pth``: the weights with the best mean return so far.

        The mean must be about enough episodes, and as many must have finished since the best so far, unless ``few``.
        """
        agent = self.agent
        if self.mean_reward <= agent.last_mean_rewards or agent.epoch_num < self.config.save_best_after:
            return
        if not few and (self.games < self._enough or self.finished_games - self.best_games < self._enough):
            return
        before = agent.last_mean_rewards, self.best_games
        agent.last_mean_rewards, self.best_games = self.mean_reward, self.finished_games
        if self.checkpoints and self._save(self.name, "best"):
            log(f"saving next best rewards:  [{self.mean_reward:.2f}]")
        elif self.checkpoints:
            agent.last_mean_rewards, self.best_games = before  # the next epoch tries again

    @property
    def _enough(self) -> float:
        agent = self.agent
        return enough_games(agent.games_to_track, agent.num_actors * agent.num_agents)

    def _at_limit(self) -> bool:
        """Apply the stop rules and log which one holds; only ``score_to_win`` needs finished episodes, and enough."""
        agent, config = self.agent, self.config
        enough = self.games >= self._enough
        won = config.score_to_win is not None and enough and self.mean_reward >= config.score_to_win
        rules = {
            "signal": self.stop.requested is not None,
            "Maximum reward achieved. Network won!": won,
            "MAX EPOCHS NUM!": 0 < agent.max_epochs <= agent.epoch_num,
            "MAX FRAMES NUM!": 0 < agent.max_frames <= agent.frame,
            f"stop_fn {config.stop_fn}": self._stop_fn is not None and bool(self._stop_fn(agent)),
        }
        self.stop_reason = next((reason for reason, holds in rules.items() if holds), "")
        if self.stop_reason.startswith("MAX") and self.mean_reward == float("-inf"):
            say("WARNING: Max epochs reached before any env terminated at least once")
        if self.stop_reason not in ("", "signal"):
            (log if self.stop_reason.startswith("MAX") else say)(self.stop_reason)
        return bool(self.stop_reason)

    def _save_periodically(self) -> None:
        due = self.config.save_frequency > 0 and self.agent.epoch_num % self.config.save_frequency == 0
        asked, self.stop.save_requested = self.stop.save_requested, False
        if not self.finished and (due or asked):
            self.save_last()

    # --- checkpoints ---------------------------------------------------------------------------------------------

    def save_last(self, last_chance: bool = False) -> Path | None:
        """Save under RL Games' ``last_<name>_ep_<N>_rew_<R>``; the file, or None when it was not written."""
        return self._save(self._last_name(self.agent.epoch_num), "last", last_chance)

    def _last_name(self, epoch: int) -> str:
        reward = f"{self.mean_reward:.2f}" if self.mean_reward > float("-inf") else "none"
        return f"last_{self.name}_ep_{epoch}_rew_{reward}"

    def save(self, name: str) -> bool:
        """Write ``nn/<name>.pth``; false when there is no run folder, or the disk refuses, which is a warning."""
        return self._save(name, "saved") is not None

    def _save(self, name: str, kind: Kind, last_chance: bool = False) -> Path | None:
        if self.checkpoints is None:
            return None
        return self.checkpoints.save(name, self.agent.get_full_state_weights(), kind, last_chance)

    def _save_last_good(self, error: BaseException) -> None:
        """Save the weights of the last complete epoch after an error in the middle of one."""
        agent = self.agent
        error.add_note(f"in epoch {agent.epoch_num} of '{self.name}', environment '{self.config.env_name}'")
        done = agent.epoch_num - 1
        if self.checkpoints is None or done < 1:
            return
        with contextlib.suppress(Exception):  # the original error matters more than one while saving
            good = {**agent.get_full_state_weights(), **agent.guard.last_good, "epoch": done, "env_state": None}
            if self.checkpoints.save(self._last_name(done), good, "last", last_chance=True):
                warn(f"{type(error).__name__} ended epoch {agent.epoch_num}; the weights of epoch {done} are saved")


def clone(state: object) -> Any:
    """A copy of nested mappings and lists with tensors of their own."""
    if isinstance(state, dict):
        return {key: clone(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(clone(value) for value in state)
    return state.clone() if hasattr(state, "clone") else state


def load_function(path: str) -> Callable[[Any], Any]:
    """Return the function that ``package.module:function`` names. Raises ConfigError when there is none."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        what = f"got {path!r}, which names no function ({error}); expected 'package.module:function'"
        raise ConfigError([Problem("params.config.stop_fn", what)]) from None
