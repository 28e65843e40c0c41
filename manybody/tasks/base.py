"""``MujocoTask``: a robot task on batched physics, in the step order of Isaac Gym's ``VecTask``."""

import inspect
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from manybody.config.errors import notify
from manybody.config.tables import table
from manybody.config.task import TaskConfig
from manybody.envs.base import EnvError, EnvSpec, EnvState, Extras, Obs, Step, VecEnv
from manybody.envs.spaces import describe
from manybody.envs.validation import check_tensor, check_tuple
from manybody.sim import mujoco
from manybody.sim.base import make_simulation
from manybody.tasks.terms import Block, EpisodeSums, Named, Term, check_named, reward_of, terminated_by

ASSETS = Path(__file__).parent / "assets"
"""The folder of the built-in tasks' models."""


class TaskSummary(NamedTuple):
    """Default sizes of a task, and the length of an episode in control steps and in simulated seconds."""

    observations: int
    actions: int
    num_envs: int
    episode_steps: int
    episode_seconds: float


class MujocoTask(VecEnv):
    """N environments of one task.

    A ``step`` clips actions, calls ``pre_physics_step``, physics and ``post_physics_step`` (which counts progress and
    calls ``compute_observations`` and ``compute_reward``), and resets environments whose episode ended. A subclass
    declares its sizes and model and implements ``pre_physics_step``, ``compute_observations``, ``compute_reward`` and
    ``reset_where``, all on whole batches with masks and ``where``, not with lists of indices.

    An episode has exactly ``episodeLength`` steps unless it terminates, as in Isaac Gym, whose condition ``progress >=
    episodeLength - 1`` is compensated by its late reset. Only the first episodes of a training are shorter:
    :meth:`stagger_episodes`.

    Environments whose physics diverged are terminated: their ``final_obs`` is their last finite observation, their
    reward ``unstable_reward``, and ``extras['unstable_envs']`` counts them.
    """

    Config: ClassVar[type[TaskConfig]] = TaskConfig
    """The schema and defaults of the task's configuration."""
    asset: ClassVar[str | Path]
    """The MJCF model: a file in the folder of the class's own file, a path, or text that starts with ``<``."""
    train: ClassVar[str] = "PPO"
    """The default of ``train=`` in ``manybody train task=…``: the name of a file in ``cfg/train``, or a YAML file in
    the folder of the class's file."""
    num_observations: ClassVar[int]
    """O."""
    num_actions: ClassVar[int]
    """A."""
    state_buffers: ClassVar[tuple[str, ...]] = ("progress_buf", "obs_buf", "actions")
    """Names of the tensors that ``get_env_state`` saves; subclasses add theirs."""

    observation_blocks: ClassVar[Sequence[Block]] = ()
    """The parts of the observation, in order."""
    action_unit: ClassVar[str] = ""
    """Meaning and unit of an action."""
    reward_terms: ClassVar[Mapping[str, Term]] = {}
    """The terms that ``compute_reward`` returns."""
    terminations: ClassVar[Mapping[str, str]] = {}
    """The reasons that ``compute_reward`` returns, each with its meaning."""

    unstable_reward: float = 0.0
    """Reward of the step in which physics diverged."""
    _checked = False
    """Whether the results of the task's methods were checked, in the first step."""

    def __init__(
        self,
        cfg: TaskConfig,
        num_envs: int | None = None,
        sim_device: str | torch.device = "cpu",
        seed: int = 0,
        num_threads: int | None = None,
    ) -> None:
        """Build the model and N environments, each at the start of an episode.

        Args:
            cfg: the task's configuration.
            num_envs: N; None: ``cfg.env.numEnvs``.
            sim_device: device of physics and of all tensors of the task.
            seed: seed of the initial states.
            num_threads: physics threads; None: every usable core.

        Raises:
            ValueError: there is no physics on that device, or ``num_envs`` is invalid.
        """
        self.cfg = cfg
        self.env = cfg.env
        self.num_envs = cfg.env.numEnvs if num_envs is None else num_envs
        self.sim = make_simulation(self._load_model(), self.num_envs, sim_device, num_threads)
        self.device = self.sim.device
        self.spec = self.spec_of(cfg)
        self.max_episode_length = cfg.env.episodeLength
        self.dt = cfg.sim.dt * cfg.env.controlFrequencyInv
        """Seconds per control step."""
        self.progress_buf = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        """(N,) control steps since the episode began."""
        self.shortened_by = torch.zeros_like(self.progress_buf)
        """(N,) control steps by which the running episode is shorter than ``episodeLength``; 0 after the first one."""
        self.actions = torch.zeros(self.num_envs, self.num_actions, device=self.device)
        """(N, A) the clipped actions of this step; zero at the start of an episode."""
        self.obs_buf = torch.zeros(self.num_envs, self.num_observations, device=self.device)
        """(N, O) the last observation returned."""
        self.episode_sums = EpisodeSums(self.num_envs, self.device)
        self.outcome: tuple[Named, Named] = (torch.zeros(0), torch.zeros(0))
        """The result of ``compute_reward`` in this step."""
        self.generator = torch.Generator(self.device)
        self.seed(seed)
        self.prepare()

    # Methods that a task implements -------------------------------------------------------------------------

    def prepare(self) -> None:
        """Allocate the tensors that the task keeps between steps; the constructor calls it last."""

    @abstractmethod
    def pre_physics_step(self, actions: Tensor) -> None:
        """Convert ``actions`` (N, A), clipped and finite, to ``self.sim.ctrl`` (N, nu)."""

    @abstractmethod
    def compute_observations(self) -> Tensor:
        """Return the observations (N, O) of the current state, as a new tensor."""

    @abstractmethod
    def compute_reward(self) -> tuple[Named, Named]:
        """Return the reward (N,) of the step, and whether it terminated the episode, (N,) bool.

        Each may be a dictionary: reward terms (N,), which are summed, and reasons (N,) bool, any of which terminates.
        They are logged as ``Episode/reward_<term>`` and ``Episode/end_<reason>``.
        """

    @abstractmethod
    def reset_where(self, mask: Tensor) -> None:
        """Draw initial states for the environments in ``mask`` (N,) bool and pass them to ``self.sim.reset``."""

    def first_observations(self) -> Tensor:
        """Return observations (N, O) after ``reset_where``; only the rows that were reset are used.

        Override it if they are known without computing the observations of all rows.
        """
        return self.compute_observations()

    def extras(self) -> Extras:
        """Return metrics of the step, before any reset, as device tensors by name; see ``manybody.Step.extras``."""
        return {}

    @classmethod
    def summary(cls) -> TaskSummary:
        """Return the default sizes and episode length, without creating environments."""
        cfg = cls.Config.model_validate({"name": cls.__name__})
        seconds = cfg.env.episodeLength * cfg.env.controlFrequencyInv * cfg.sim.dt
        return TaskSummary(
            cls.num_observations, cls.num_actions, cfg.env.numEnvs, cfg.env.episodeLength, round(seconds, 3)
        )

    @classmethod
    def describe(cls, cfg: TaskConfig | None = None) -> str:
        """Format tables of observations, actions, reward terms and terminations, for ``cfg`` or the defaults."""
        cfg = cls.Config.model_validate({"name": cls.__name__}) if cfg is None else cfg
        blocks = cls.observation_blocks or [Block("observation", cls.num_observations)]
        weights = [
            (name, cfg.env.get(term.weight, term.weight), term.meaning) for name, term in cls.reward_terms.items()
        ]
        ends = {**cls.terminations, "time_out": f"after {cfg.env.episodeLength} steps (truncation)"}
        clip = cfg.env.clipActions
        return "\n\n".join(
            [
                table(f"{cls.__name__}: observation ({cls.num_observations})", ("block", "size", "unit"), blocks),
                table(
                    f"action ({cls.num_actions})",
                    ("range", "meaning"),
                    [(f"{-clip:g} .. {clip:g}", cls.action_unit)],
                ),
                table("reward: the sum of", ("term", "weight", "meaning"), weights or [("reward", "1", "")]),
                table("an episode ends with", ("reason", "meaning"), list(ends.items())),
            ]
        )

    def __str__(self) -> str:
        return f"{self.num_envs} environments\n\n{self.describe(self.cfg)}"

    @classmethod
    def spec_of(cls, cfg: TaskConfig) -> EnvSpec:
        """Return the spaces for ``cfg``, without creating environments."""
        seen, clip = cfg.env.clipObservations, cfg.env.clipActions
        return EnvSpec(
            observation_space=spaces.Box(-seen, seen, (cls.num_observations,), np.float32),
            action_space=spaces.Box(-clip, clip, (cls.num_actions,), np.float32),
        )

    # VecEnv -------------------------------------------------------------------------------------------------

    def seed(self, seed: int) -> None:
        """Seed the random numbers of the initial states."""
        self.generator.manual_seed(seed)

    def reset(self) -> Obs:
        """Start a new episode everywhere and return its first observation."""
        self._start_episodes(torch.ones(self.num_envs, dtype=torch.bool, device=self.device))
        self.obs_buf = self._observe()
        return {"obs": self.obs_buf}

    def step(self, actions: Tensor) -> Step:
        """Apply ``actions`` (N, A), clipped to +-clipActions, for one control step; NaN becomes 0.

        Raises:
            TypeError: ``actions`` is not a tensor.
            ValueError: ``actions`` has another shape.
            RuntimeError: the task was closed.
        """
        if not isinstance(actions, Tensor):
            raise TypeError(
                f"actions: got {type(actions).__name__}; expected a torch.Tensor of shape "
                f"{tuple(self.actions.shape)}. For NumPy use manybody.envs.vector.GymnasiumVectorEnv(task)"
            )
        if actions.shape != self.actions.shape:
            raise ValueError(f"actions: got shape {tuple(actions.shape)}; expected {tuple(self.actions.shape)}")
        clip = self.cfg.env.clipActions
        self.actions = torch.nan_to_num(actions.float(), nan=0.0).clamp(-clip, clip)
        self.pre_physics_step(self.actions)
        if not self._checked:
            name, controls = type(self).__name__, (self.num_envs, self.sim.model.nu)
            check_tensor(f"{name}.pre_physics_step: self.sim.ctrl", self.sim.ctrl, controls, torch.float32)
        self.sim.step(self.cfg.sim.substeps * self.cfg.env.controlFrequencyInv)
        final_obs, reward, terminated = self.post_physics_step()

        unstable = ~self.sim.finite
        final_obs = torch.where(unstable.unsqueeze(1), self.obs_buf, final_obs)
        reward = torch.where(unstable, self.unstable_reward, reward)
        terminated = terminated | unstable
        truncated = (self.progress_buf + self.shortened_by >= self.max_episode_length) & ~terminated
        metrics = self.extras()
        if not isinstance(metrics, dict):
            raise EnvError(f"{type(self).__name__}.extras: got {describe(metrics)}; expected a dict of metrics by name")
        self._checked = True
        episode = {**self._episode_metrics(unstable, truncated), **metrics.get("episode", {})}
        extras = {**metrics, "episode": episode, "unstable_envs": unstable.sum()}

        done = terminated | truncated
        self._start_episodes(done)
        self.obs_buf = torch.where(done.unsqueeze(1), self._clipped(self.first_observations()), final_obs)
        return Step({"obs": self.obs_buf}, reward, terminated, truncated, {"obs": final_obs}, extras)

    def post_physics_step(self) -> tuple[Tensor, Tensor, Tensor]:
        """Count the step and return its observation (N, O), reward (N,) and terminated (N,) bool."""
        self.progress_buf += 1
        obs, self.outcome = self._observe(), self.compute_reward()
        if not self._checked:
            name = f"{type(self).__name__}.compute_reward"
            check_tuple(name, self.outcome, ("reward", "terminated"))
            check_named(f"{name}: reward", self.outcome[0], self.num_envs, torch.float32)
            check_named(f"{name}: terminated", self.outcome[1], self.num_envs, torch.bool)
        terms, reasons = self.outcome
        return obs, reward_of(terms), terminated_by(reasons)

    def stagger_episodes(self) -> Tensor | None:
        """Shorten each episode by 0 to ``episodeLength`` - 1 steps, unless ``env.staggerEpisodes`` is False."""
        if not self.cfg.env.staggerEpisodes:
            return None
        self.shortened_by = torch.randint(
            self.max_episode_length, (self.num_envs,), generator=self.generator, device=self.device
        )
        return self.shortened_by > 0

    def get_env_state(self) -> EnvState:
        """Return the state for an exact resume: simulator, buffers, random numbers."""
        return {
            "sim": self.sim.state(),
            "buffers": {name: getattr(self, name).clone() for name in self.state_buffers},
            "shortened_by": self.shortened_by.clone(),
            "reward_sums": self.episode_sums.by_name(),
            "generator": self.generator.get_state(),
        }

    def set_env_state(self, state: EnvState) -> None:
        """Restore :meth:`get_env_state`.

        Raises:
            ValueError: the state belongs to another task or another number of environments.
        """
        buffers = state["buffers"]
        for name in self.state_buffers:
            expected = getattr(self, name).shape
            if name not in buffers or buffers[name].shape != expected:
                got = f"shape {tuple(buffers[name].shape)}" if name in buffers else "nothing"
                raise ValueError(
                    f"{type(self).__name__} state '{name}': got {got}; expected shape {tuple(expected)}. "
                    "Resume with the same task and num_envs as the saved run"
                )
        self.sim.set_state(state["sim"])
        for name in self.state_buffers:
            setattr(self, name, buffers[name].to(self.device, copy=True))
        shortened = state.get("shortened_by", torch.zeros_like(self.progress_buf))  # earlier versions have none
        self.shortened_by = shortened.to(self.device, copy=True)
        self.episode_sums.load(state.get("reward_sums", {}))
        self.generator.set_state(state["generator"])

    def close(self) -> None:
        """Release the simulator."""
        self.sim.close()

    # --------------------------------------------------------------------------------------------------------

    def uniform(self, low: float, high: float, columns: int) -> Tensor:
        """Return (N, columns) random numbers from U(low, high)."""
        draw = torch.rand(self.num_envs, columns, generator=self.generator, device=self.device)
        return low + (high - low) * draw

    def _observe(self) -> Tensor:
        obs = self.compute_observations()
        if not self._checked:
            shape = (self.num_envs, self.num_observations)
            check_tensor(f"{type(self).__name__}.compute_observations", obs, shape, torch.float32)
        return self._clipped(obs)

    def _clipped(self, obs: Tensor) -> Tensor:
        clip = self.cfg.env.clipObservations
        return obs if math.isinf(clip) else obs.clamp(-clip, clip)

    def _episode_metrics(self, unstable: Tensor, truncated: Tensor) -> dict[str, Tensor]:
        """Return the reward terms summed over the episode, and the reasons why it ends in this step, (N,) each.

        A step in which physics diverged is not added to the sums.
        """
        terms, reasons = self.outcome
        self.episode_sums.add(terms, ~unstable)
        named = {"terminated": reasons} if isinstance(reasons, Tensor) else reasons
        held = torch.stack([*(reason & ~unstable for reason in named.values()), truncated, unstable]).float()
        ends = dict(zip([*named, "time_out", "unstable"], held.unbind(), strict=True))
        sums = self.episode_sums.by_name()
        return {
            **{f"reward_{name}": value for name, value in sums.items()},
            **{f"end_{name}": value for name, value in ends.items()},
        }

    def _start_episodes(self, mask: Tensor) -> None:
        self.episode_sums.restart(mask)
        self.progress_buf.masked_fill_(mask, 0)
        self.shortened_by.masked_fill_(mask, 0)
        # Not in place: the learner may still use the actions of the step.
        self.actions = self.actions.masked_fill(mask.unsqueeze(1), 0.0)
        try:
            self.reset_where(mask)
        except ValueError as error:
            raise EnvError(f"{type(self).__name__}.reset_where: {error}") from error

    @classmethod
    def cameras(cls) -> list[str]:
        """Return the names of the model's cameras.

        Raises:
            EnvError: the model cannot be loaded.
        """
        model = cls._load_asset()
        return [model.camera(number).name for number in range(model.ncam)]

    @classmethod
    def _load_asset(cls) -> mujoco.MjModel:
        text = cls.asset if isinstance(cls.asset, str) and cls.asset.lstrip().startswith("<") else None
        file = "" if text else str(cls._asset_file())
        try:
            return mujoco.MjModel.from_xml_string(text) if text else mujoco.MjModel.from_xml_path(file)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise EnvError(f"{cls.__name__}.asset: MuJoCo cannot load the model: {reason}") from None

    def _load_model(self) -> mujoco.MjModel:
        model = self._load_asset()
        self._notice_replaced(model)
        model.opt.timestep = self.cfg.sim.dt / self.cfg.sim.substeps
        model.opt.gravity = self.cfg.sim.gravity
        return model

    def _notice_replaced(self, model: mujoco.MjModel) -> None:
        """Print a notice if ``task.sim`` replaces a time step or a gravity that the model sets."""
        if type(self).__module__.startswith("manybody."):
            return  # the models of built-in tasks set neither
        replaced, plain = [], mujoco.MjOption()
        step = self.cfg.sim.dt / self.cfg.sim.substeps
        if model.opt.timestep not in (plain.timestep, step):
            replaced.append(f"timestep {model.opt.timestep:g} s by sim.dt / sim.substeps = {step:g} s")
        gravity = tuple(model.opt.gravity.tolist())
        if gravity not in (tuple(plain.gravity.tolist()), self.cfg.sim.gravity):
            replaced.append(f"gravity {gravity} by sim.gravity = {self.cfg.sim.gravity} m/s^2")
        if replaced:
            notify(
                f"{type(self).__name__}: the task's settings replace the model's {' and '.join(replaced)}; "
                "set these keys in the task's Config, or on the command line as task.sim.…"
            )

    @classmethod
    def _asset_file(cls) -> Path:
        """Return the model's file: in the folder of the class that declares ``asset``, or in ``assets``."""
        owner = next(base for base in cls.__mro__ if "asset" in vars(base))
        folders = [*folder_of(owner), ASSETS]
        for folder in folders:
            if (folder / cls.asset).is_file():
                return folder / cls.asset
        places = " or ".join(map(str, folders))
        raise EnvError(
            f"{cls.__name__}.asset: got {str(cls.asset)!r}; expected an MJCF file in {places}, "
            "an absolute path, or the text of a model"
        )


def folder_of(cls: type) -> list[Path]:
    """Return the folder of the file that defines ``cls``; empty if it was defined in a prompt."""
    try:
        return [Path(inspect.getfile(cls)).absolute().parent]
    except (TypeError, OSError):
        return []
