"""The commands ``manybody import`` and ``manybody export``: checkpoints from and to RL Games.

The commands import what needs PyTorch, so that help and wrong arguments do not wait for it.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from manybody.cli.exit_codes import exit_codes
from manybody.cli.parser import CommandParser
from manybody.config.files import expanded
from manybody.engine.console import error, say

IMPORT_USAGE = "manybody import CHECKPOINT.pth [OUT] [CONFIG.yaml] [key=value ...]"
IMPORT = """Take over a checkpoint of RL Games. Nothing in the file runs. Without a configuration: one file OUT.pth, for
manybody play | train checkpoint=OUT.pth with settings that fit. With RL Games' YAML: a run folder OUT, after
the weights were found to fit the environment and the network, for manybody play OUT and train checkpoint=OUT.
CONFIG.yaml may be IsaacGymEnvs' config.yaml of a run too. key=value: settings on top of it, such as
params.config.env_name=Ant.
"""
EXPORT = "Write a checkpoint, or the best one of a run folder, as a file that RL Games 1.6 can play and resume."
YAML = (".yaml", ".yml")


def import_main(arguments: Sequence[str]) -> None:
    """Run ``manybody import``; exit with code 2 if the arguments or a file cannot be used."""
    parser = CommandParser("manybody import", IMPORT, IMPORT_USAGE)
    parser.add_argument("arguments", nargs="+", help="in any order after CHECKPOINT.pth")
    given = parser.parse_args(arguments or ["--help"]).arguments
    settings = [text for text in given if "=" in text and not Path(text).exists()]
    configs = [text for text in given if text.lower().endswith(YAML) and text not in settings]
    checkpoint, *out = [text for text in given if text not in settings + configs] or [""]
    if not checkpoint or len(out) > 1 or len(configs) > 1:
        counts = f"{bool(checkpoint) + len(out)} paths and {len(configs)} configurations"
        parser.error(f"got {counts}; expected CHECKPOINT.pth [OUT] [CONFIG.yaml]")
    if settings and not configs:
        parser.error(f"got {settings[0]!r} without a CONFIG.yaml to set it in; leave it out, or give RL Games' YAML")
    checkpoint, stem = expanded(checkpoint), Path(checkpoint).stem
    target = Path(expanded(out[0]) if out else stem if configs else f"{stem}_manybody.pth")
    if not configs:
        _check_file(parser, checkpoint, target)
    elif target.suffix == ".pth":
        parser.error(f"OUT: got {str(target)!r} and a configuration; expected the name of a run folder")
    from manybody.launch.rl_games_checkpoint import import_checkpoint, import_run

    shown, start = shlex.quote(str(target)), shlex.quote(f"checkpoint={target}")
    with _writing(target):
        if configs:
            state = import_run(checkpoint, target, configs[0], settings)
            then = f"manybody play {shown} | manybody train {start}"
        else:
            state = import_checkpoint(checkpoint, target)
            then = f"manybody play {shown} task=... | manybody train {start} task=..."
        say(f"{target}: {_described(state)}; {then}")


def export_main(arguments: Sequence[str]) -> None:
    """Run ``manybody export``; exit with code 2 if the arguments or a file cannot be used."""
    parser = CommandParser("manybody export", EXPORT)
    parser.add_argument("CHECKPOINT", help="a checkpoint, or a run folder")
    parser.add_argument("OUT", nargs="?", help="the .pth to write; default: CHECKPOINT_rl_games.pth")
    parser.add_argument("--format", choices=("rl_games",), default="rl_games")
    options = parser.parse_args(arguments or ["--help"])
    target = Path(expanded(options.OUT or f"{Path(options.CHECKPOINT).stem}_rl_games.pth"))
    source = expanded(options.CHECKPOINT)
    _check_file(parser, source, target)
    from manybody.launch.rl_games_checkpoint import export_checkpoint

    with _writing(target):
        state = export_checkpoint(source, target)
        say(f"{target}: {_described(state)}, for RL Games")


def _check_file(parser: CommandParser, source: str, target: Path) -> None:
    """Refuse a target that cannot be written."""
    if target.suffix != ".pth":
        parser.error(f"OUT: got {str(target)!r}; expected a name that ends in .pth")
    if target.exists() and Path(source).exists() and target.samefile(source):
        parser.error(f"OUT: got {str(target)!r}, which is the file to read; expected another name")
    if target.is_dir() or not target.absolute().parent.is_dir():
        place = "is a folder" if target.is_dir() else "is in a folder that does not exist"
        parser.error(f"OUT: got {str(target)!r}, which {place}; expected the name of a file to write")


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Exit with code 2 and one line if settings or files are wrong, or if ``target`` cannot be written."""
    with exit_codes():
        try:
            yield
        except OSError as problem:
            error(f"{target}: cannot be written ({problem.strerror or problem}); choose another OUT")
            raise SystemExit(2) from None


def _described(state: Mapping[str, Any]) -> str:
    best = state["last_mean_rewards"]
    text = "none yet" if best <= -1e5 else f"{best:.2f}"
    return f"epoch {state['epoch']}, frame {state['frame']}, best mean return {text}"
