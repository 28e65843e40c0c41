"""Runs clients: ``python run_clients.py rl_games|manybody folder client.py...``, each in a process of its own.

The processes are forked from one that has imported torch and others' packages, which take seconds, and so the real
RL Games; of manybody nothing but ``python -m manybody.compat`` is loaded before the client. Each works in
``folder/<client>``, where its output is left in ``output`` and its exit code in ``code``.
"""

import os
import runpy
import sys
import traceback
from pathlib import Path

import gymnasium
import mujoco
import tensorboard.backend.event_processing.event_accumulator as events
import torch
import torch._dynamo

assert gymnasium and mujoco and events


def with_rl_games(client: Path) -> None:
    """As ``python client.py`` does."""
    if client.stem in ("amp_train", "ase"):
        # Since 1.6.0 RL Games calls it seq_length, and agents of this family end with an AttributeError
        # (IsaacGymEnvs issue 231). With this one name back, everything else that they rely on is the real one's.
        from rl_games.common.a2c_common import A2CBase

        A2CBase.seq_len = property(lambda self: self.seq_length)
    sys.argv = [str(client)]
    sys.path[0] = str(client.parent)
    runpy.run_path(str(client), run_name="__main__")


def with_manybody(client: Path) -> None:
    """As ``python -m manybody.compat client.py`` does."""
    from manybody.compat.__main__ import main

    sys.argv = ["manybody.compat", str(client)]
    main()


def work(run, client: Path, folder: Path) -> int:
    """Runs ``client`` in ``folder``; its exit code."""
    os.chdir(folder)
    output = os.open("output", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        run(client)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def main() -> None:
    """One after the other."""
    torch.set_num_threads(1)
    run = {"rl_games": with_rl_games, "manybody": with_manybody}[sys.argv[1]]
    if run is with_rl_games:
        import rl_games.torch_runner

        assert rl_games.torch_runner.Runner
    root = Path(sys.argv[2])
    for client in map(Path, sys.argv[3:]):
        folder = root / client.stem
        folder.mkdir(parents=True)
        child = os.fork()
        if child == 0:
            os._exit(work(run, client.resolve(), folder))
        _, status = os.waitpid(child, 0)
        (folder / "code").write_text(str(os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    main()
