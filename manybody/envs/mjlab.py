"""mjlab's environments (MuJoCo Warp) as a :class:`VecEnv`."""

import importlib
from typing import Any

from torch import Tensor
from typing_extensions import override

from manybody.envs.base import EnvError, Step
from manybody.envs.isaaclab import OPTIONS, IsaacLabEnv, check_task, default_device, set_fields


class MjlabEnv(IsaacLabEnv):
    """A ``ManagerBasedRlEnv`` of mjlab: like :class:`IsaacLabEnv`, with the group ``actor`` (or ``policy``).

    With ``auto_reset=False``, this adapter resets the environments, and ``final_obs`` is the true last observation.
    """

    POLICY = ("actor", "policy")

    @override
    def step(self, actions: Tensor) -> Step:
        step = super().step(actions)
        if getattr(self.env.unwrapped.cfg, "auto_reset", True):
            return step
        rows = step.done.nonzero().flatten()
        if not len(rows):
            return step._replace(final_obs=step.obs)
        observation, infos = self.env.reset(env_ids=rows)
        obs = self._obs("reset()", observation)
        return step._replace(obs=obs, final_obs=step.obs, extras={**step.extras, **self._extras(infos)})


def from_task(task: str, num_actors: int, seed: int | None = None, device: str | None = None, **cfg: Any) -> MjlabEnv:
    """Create an mjlab task by its id.

    Args:
        task: the id; ``module:id`` imports the module that registers it.
        num_actors: number of environments.
        seed: seed of the simulation; None draws one.
        device: device of the simulation; None: the first GPU, or the CPU if there is none.
        cfg: arguments of :class:`IsaacLabEnv`, and fields of the task's configuration, such as ``auto_reset``.
    """
    options = {name: cfg.pop(name) for name in OPTIONS if name in cfg}
    module, _, name = task.rpartition(":")
    try:
        for registers in ("mjlab.tasks", *([module] if module else [])):
            importlib.import_module(registers)
        make = importlib.import_module("mjlab.envs").ManagerBasedRlEnv
        registry = importlib.import_module("mjlab.tasks.registry")
    except ImportError as error:
        raise EnvError(
            f"env_name: 'mjlab:{task}' needs mjlab ({error}), which works with an older MuJoCo than this package; "
            "see docs/environments.md for installing both"
        ) from error
    check_task(f"mjlab:{task}", name, registry.list_tasks())
    settings = registry.load_env_cfg(name)
    settings.scene.num_envs = num_actors
    settings.seed = seed
    set_fields(settings, cfg)
    return MjlabEnv(make(settings, device=device or default_device()), f"mjlab:{task}", **options)
