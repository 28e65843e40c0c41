"""The root of the configuration, next to ``task`` and ``train``, and IsaacGymEnvs' root keys."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from typing_extensions import override

from manybody.config.errors import nearest
from manybody.config.network import ActorCriticConfig
from manybody.config.params import Params
from manybody.config.section import Section
from manybody.config.types import Count, Flag, NoneWord, Number, Text, Whole
from manybody.registry import built_in

VIDEO_SECONDS = 5.0
"""Length of the film of a policy. Five seconds take less than fifteen to render on two cores."""


def _several(value: object) -> object:
    """One name, or a list of names."""
    if value in (None, ""):
        return ()
    return (value,) if isinstance(value, str) else value


class LaunchConfig(Section):
    """IsaacGymEnvs' keys for one launch.

    Those of type ``Any`` are copied into ``task`` or ``train`` and validated there.
    """

    task: Any = None
    """The task's section; none with a plain RL Games file."""
    train: Any = None
    """The training file; none with a plain RL Games file."""
    task_name: Annotated[Text | None, NoneWord] = None
    """The task's registered name."""
    import_modules: Annotated[tuple[Text, ...], BeforeValidator(_several)] = ()
    """Your modules, imported first: they register tasks, agents, networks or environments. Kept with the run."""
    import_path: Annotated[tuple[Text, ...], BeforeValidator(_several)] = ()
    """Folders in which such modules are looked for after everywhere else. A run keeps the folder of its modules."""
    experiment: Any = ""
    """Name of the run."""
    num_envs: Any = ""
    """Number of environments."""
    seed: Any = None
    """Start of all random numbers."""
    max_iterations: Any = ""
    """Number of epochs."""
    torch_deterministic: Flag = False
    """Refuse operations whose result varies between runs."""
    physics_engine: Any = "mujoco"
    """The physics."""
    sim_device: Any = "cpu"
    """Where physics runs."""
    rl_device: Any = "cpu"
    """Where the networks run."""
    num_threads: Annotated[Whole, Field(ge=0)] = 0
    """CPU threads of the physics; 0: all cores."""
    test: Flag = False
    """Play instead of training."""
    checkpoint: Annotated[Text | None, NoneWord] = None
    """A checkpoint file or a run folder."""
    sigma: Annotated[Number | None, NoneWord] = None
    """Fixed standard deviation of the actions."""
    multi_gpu: Any = False
    """Train in several processes."""
    video: Flag = True
    """Film the best policy when training ends."""
    video_seconds: Annotated[Number, Field(gt=0)] = VIDEO_SECONDS
    """Length of the film, in seconds. On the command line also ``video.seconds``."""
    video_camera: Annotated[Text | None, NoneWord] = None
    """The camera of the task's model that films; null: ``track``, or the model's default. On the command line also
    ``video.camera``."""
    capture_video: Flag = False
    """Record videos while training."""
    capture_video_freq: Count = 1464
    """Environment steps between recordings."""
    capture_video_len: Count = 100
    """Environment steps of a recording."""
    headless: Flag = True
    """Open no window."""
    command: Any = ()
    """The overrides that made this configuration; kept with a run, so that it can be resumed under others."""

    @override
    def remarks(self) -> Iterator[tuple[tuple[str, ...], str]]:
        if not self.headless:
            yield ("headless",), "has no effect: there is no viewer; video=True films the policy"


COPIES: Mapping[str, tuple[str, ...]] = {
    "task.env.numEnvs": ("num_envs",),
    "task.physics_engine": ("physics_engine",),
    "train.params.config.num_actors": ("task.env.numEnvs", "num_envs"),
    "train.params.config.max_epochs": ("max_iterations",),
    "train.params.config.full_experiment_name": ("experiment",),
    "train.params.config.name": ("experiment",),
    "train.params.config.device": ("rl_device",),
    "train.params.config.multi_gpu": ("multi_gpu",),
    "train.params.seed": ("seed",),
}
"""Where the Hydra tree may have copied a value from. Errors name the key that was written."""


SHORT_KEYS: Mapping[str, str] = {
    "games_num": "config.player.games_num",
    "deterministic": "config.player.deterministic",
    "train_dir": "config.train_dir",
}
"""Further root keys of a command line, and their path below ``params``."""


def suggestion(key: str, roots: Iterable[str], params: str) -> str:
    """``; did you mean 'params.config.gamma'?`` for an unknown key at the root, or nothing when none is close.

    Args:
        key: what was written.
        roots: the keys that the root has.
        params: the path of the training settings: ``params`` or ``train.params``.
    """
    agents = [entry.agent for entry in built_in().values()]
    homes = {name: f"{params}.config.{name}" for agent in agents for name in agent.Config.model_fields}
    homes |= {name: f"{params}.network.{name}" for name in ActorCriticConfig.model_fields}
    homes |= {name: f"{params}.{name}" for name in Params.model_fields}
    homes |= {name: name for name in [*roots, *SHORT_KEYS]}
    last = key.rpartition(".")[2]
    match = last if last in homes else nearest(key, homes)
    return f"; did you mean '{homes[match]}'?" if match else ""
