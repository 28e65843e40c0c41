"""Robot tasks by name: ``make('Ant', num_envs=4096)``, and ``register_task`` for your own."""

import inspect
from collections.abc import Mapping
from importlib.util import find_spec

from manybody.config import parse_section
from manybody.config.errors import did_you_mean
from manybody.config.plugins import PluginError, import_module, import_object, load_installed
from manybody.config.task import TaskConfig
from manybody.envs.base import EnvError
from manybody.tasks.ant import Ant
from manybody.tasks.base import MujocoTask
from manybody.tasks.cartpole import Cartpole
from manybody.tasks.humanoid import Humanoid
from manybody.tasks.humanoid_amp import HumanoidAMP
from manybody.tasks.humanoid_amp_heading import HumanoidAMPHeading

__all__ = [
    "TASKS",
    "MujocoTask",
    "import_task",
    "make",
    "make_config",
    "register_task",
    "task_class",
]

TASKS: dict[str, type[MujocoTask]] = {
    "Ant": Ant,
    "Cartpole": Cartpole,
    "Humanoid": Humanoid,
    "HumanoidAMP": HumanoidAMP,
    "HumanoidAMPHeading": HumanoidAMPHeading,
}
"""Task classes by name."""


def register_task(name: str, cls: type[MujocoTask]) -> None:
    """Register ``cls`` as ``name``; it replaces a built-in task of the same name."""
    TASKS[name] = cls


def check_class(cls: type[MujocoTask]) -> None:
    """Raise EnvError, with all missing names, unless ``cls`` declares everything that a task must declare."""
    missing = sorted(cls.__abstractmethods__)
    missing += [name for name in ("num_observations", "num_actions", "asset") if not hasattr(cls, name)]
    if missing:
        raise EnvError(f"{cls.__name__}: {', '.join(missing)}: missing, but every task must define it")
    if not (isinstance(cls.Config, type) and issubclass(cls.Config, TaskConfig)):
        raise EnvError(
            f"{cls.__name__}.Config: got {cls.Config!r}; expected a subclass of {TaskConfig.__module__}.TaskConfig"
        )


def task_class(name: str) -> type[MujocoTask]:
    """Return the class registered as ``name``, or import the class ``module:Class``.

    Raises:
        ValueError: there is no such task, or the import failed; the message lists the known tasks or the reason.
    """
    load_installed()
    if name in TASKS:
        check_class(TASKS[name])
        return TASKS[name]
    if ":" in name:
        try:
            found = import_object(name)
        except PluginError as error:
            raise ValueError(f"task: {error}") from None
        if not (isinstance(found, type) and issubclass(found, MujocoTask)):
            raise ValueError(f"task: got {name!r}; expected a subclass of manybody.MujocoTask")
        check_class(found)
        register_task(name, found)
        return found
    hint = did_you_mean(name, TASKS)
    own = "" if hint else ". A task of your own is named module:Class, or registered by a module in import_modules"
    if name.isidentifier() and find_spec(name):
        own = f". {name!r} is a module; name the class in it: task={name}:MyTask"
    raise ValueError(f"task: got '{name}'; expected one of {', '.join(sorted(TASKS))}{hint}{own}")


def import_task(path: str) -> None:
    """Register the task that ``module:Class`` names under the name of its class and of its configuration.

    Raises:
        ValueError: no such task.
    """
    found = task_class(path)
    for name in {found.__name__, str(found.Config.model_fields["name"].default)}:
        TASKS.setdefault(name, found)


def tasks_in(module: str) -> dict[str, type[MujocoTask]]:
    """Return the tasks that a user's module defines, by name; ``module`` may also be ``module:Class``.

    Raises:
        ValueError: the module cannot be imported.
    """
    if ":" in module:
        return {module: task_class(module)}
    before = set(TASKS)
    found = vars(import_module(module)).values()
    own = [cls for cls in found if isinstance(cls, type) and issubclass(cls, MujocoTask)]
    concrete = [cls for cls in own if cls.__module__ == module and not inspect.isabstract(cls)]
    named = {name: TASKS[name] for name in TASKS.keys() - before}
    return named | {f"{module}:{cls.__name__}": cls for cls in concrete if cls not in named.values()}


def make_config(task: str, overrides: Mapping[str, object] | None = None) -> TaskConfig:
    """Return the configuration of ``task`` with ``overrides`` such as ``{'env': {'episodeLength': 300}}``.

    Raises:
        ValueError: there is no such task, or the overrides are invalid (``ConfigError``).
    """
    return parse_section(task_class(task).Config, {"name": task, **(overrides or {})}, "task")


def make(
    task: str,
    num_envs: int | None = None,
    sim_device: str = "cpu",
    seed: int = 0,
    cfg: Mapping[str, object] | TaskConfig | None = None,
    num_threads: int | None = None,
) -> MujocoTask:
    """Create N environments of a task.

    Args:
        task: a name in ``TASKS``.
        num_envs: N; None: the task's ``env.numEnvs``.
        sim_device: device of physics and tensors.
        seed: seed of the initial states.
        cfg: overrides of the task's defaults in IsaacGymEnvs' layout, or a complete ``TaskConfig``.
        num_threads: physics threads; None: every usable core.

    Returns:
        The task: ``reset()`` returns ``{'obs': (N, O)}``, ``step(actions)`` a ``Step``.

    Raises:
        ValueError: there is no such task, no physics on that device, or the configuration is invalid.
    """
    config = cfg if isinstance(cfg, TaskConfig) else make_config(task, cfg)
    return task_class(task)(config, num_envs, sim_device, seed, num_threads)
