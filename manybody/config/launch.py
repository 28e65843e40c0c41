"""What stands at the root of the Hydra tree, beside ``task`` and ``train``."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from manybody.config.base import Section
from manybody.config.gate import Gate
from manybody.config.types import Device, Flag, NoneWord, Number, Text, Whole, opened

Count = Annotated[Whole, Field(ge=1)]


class LaunchConfig(Section):
    """IsaacGymEnvs' keys for one launch.

    Those that are ``Any`` only stand here: the tree copies them into ``task`` or ``train``, which check them.
    """

    task: Any
    """The task's section."""
    train: Any
    """The training file."""
    task_name: Text
    """The task's registered name."""
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
    sim_device: Device = "cpu"
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
    """Fixed deviation of the actions."""
    multi_gpu: Any = False
    """Train in several processes."""
    video: Flag = True
    """Film the best policy when training ends."""
    capture_video: Flag = False
    """Record videos while training."""
    capture_video_freq: Count = 1464
    """Environment steps between recordings."""
    capture_video_len: Count = 100
    """Environment steps of a recording."""
    headless: Flag = True
    """Open no window."""
    command: Any = ()
    """The overrides that made this tree; kept with a run, so that it can go on under others."""


def parse_launch(tree: Mapping[str, Any]) -> LaunchConfig:
    """Check the root of a composed tree.

    Raises:
        ConfigError: With every problem found.
    """
    gate = Gate(tree, root="")
    launch = gate.section(LaunchConfig, opened(tree), ())
    gate.finish()
    assert isinstance(launch, LaunchConfig)
    return launch
