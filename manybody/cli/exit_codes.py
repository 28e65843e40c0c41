"""What the process says, and which code it ends with, when a command cannot do what it was asked to."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from manybody.config import ConfigError, ConfigWarning
from manybody.engine import console
from manybody.engine.checkpoint import CheckpointError
from manybody.engine.guard import TrainingAbortedError
from manybody.engine.play_guard import NonFiniteError
from manybody.engine.run_folder import RunFolderError
from manybody.envs.registration import EnvError
from manybody.motion.errors import MotionError


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Around a command: what went wrong in words, and the exit code that says whose turn it is.

    Raises:
        SystemExit: 2, the command, its configuration or a file that it names cannot be used, or playing met only
            non-finite values; 3, the guard
            stopped training because its numbers stayed broken; 130, interrupted outside training.
    """
    try:
        with plain_notices():
            yield
    except (ConfigError, RunFolderError, CheckpointError, EnvError, MotionError, NonFiniteError) as error:
        console.error(str(error))
        raise SystemExit(2) from None
    except TrainingAbortedError as error:
        console.error(f"training stopped: {error}")
        raise SystemExit(3) from None
    except KeyboardInterrupt:
        console.error("interrupted")
        raise SystemExit(130) from None


@contextlib.contextmanager
def plain_notices() -> Iterator[None]:
    """Say each notice about a configuration once, in one line."""
    told = set()

    def tell(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in told:
            told.add(str(message))
            console.warn(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", ConfigWarning)
        warnings.showwarning = tell
        yield
