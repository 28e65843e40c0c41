"""The command ``manybody motion``: describes, shows and converts motion clips, and records policies as clips.

Modules that need PyTorch are imported in the commands, so that help and wrong arguments do not wait for it.
"""

import argparse
import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from manybody.cli.exit_codes import exit_codes
from manybody.cli.parser import CommandParser
from manybody.config.files import expanded
from manybody.engine.console import say
from manybody.motion.bundled import bundled_clips, find_motion
from manybody.motion.clip import Clip, save_clip, without_repeats
from manybody.motion.errors import MotionError, plain, read_from
from manybody.motion.joint_maps import load_joint_map

DESCRIPTION = f"""Motion clips, for policies that imitate them (task=HumanoidAMP task.env.motion_file=FILE).

  info     describe a clip: its length, bodies, speed, licence, whether its feet stand on the ground, and whether
           convert accepts it
  view     write a video, or a strip of pictures, of the humanoid in the poses of a clip
  convert  write a clip in this project's format; a clip of another skeleton is transferred to the humanoid of
           HumanoidAMP and put on the ground
  record   play a policy as 'manybody play' does, in one environment, and write its motion to a new file

FILE is .npz of this project, .npy of IsaacGymEnvs (SkeletonMotion), .txt or .json of DeepMimic, .bvh, or the name of
a bundled clip: {", ".join(bundled_clips())}.
"""
FIXED = {
    **dict.fromkeys(("num_envs", "numEnvs", "num_actors", "games_num"), "1"),
    "deterministic": "true",
    **dict.fromkeys(("video", "capture_video"), "false"),
}
"""The only permitted values in ``record``, by the last part of a setting's key."""
TOO_FAST = 40.0
"""Joint speed above which ``info`` reports a clip, rad/s. The fastest joint of a back flip has 31."""
OFF_GROUND = 0.01
"""Distance between soles and ground above which ``info`` reports a clip, m."""
DIP = 0.05
"""Depth of a sole below its standing height above which ``info`` reports a clip, m; captured walks have about 0.03."""


def main(arguments: Sequence[str]) -> None:
    """Run one command; exit with code 2 if the arguments or a file cannot be used."""
    parser = _parser()
    if not arguments or arguments[0] == "help":
        say(parser.format_help().rstrip())
        return
    options, unknown = parser.parse_known_args(arguments)
    if options.run is _record:
        options.words += unknown  # words after an option
    elif unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    with exit_codes(OSError):
        options.run(options)


def _parser() -> CommandParser:
    parser = CommandParser("manybody motion", DESCRIPTION)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    info, view, convert, record = (commands.add_parser(name) for name in ("info", "view", "convert", "record"))
    for command, run in ((info, _info), (view, _view), (convert, _convert)):
        command.set_defaults(run=run)
        command.add_argument("FILE", help="the clip, or the name of a bundled one")
        command.add_argument("--scale", type=float, help="of a .bvh: metres in its unit, 0.01 for a centimetre")
        command.add_argument("--up", choices=("y", "z"), help="of a .bvh: its upward axis; default: y")
        lines = "a YAML file with lines of 'body of the humanoid: joint of FILE', for joints not found by name"
        command.add_argument("--joint-map", type=_path, metavar="map.yaml", help=lines)
        upright = "a frame of FILE (the first is 0) in which the figure stands upright, if not at zero angles"
        command.add_argument("--rest", type=int, metavar="FRAME", help=upright)
    view.add_argument("--out", type=_path, help="a name that ends in .mp4 or .png")
    view.add_argument("--frames", type=int, help="number of pictures in a .png; default: 8")
    convert.add_argument("OUT", type=_path, help="the .npz to write")
    convert.add_argument("--as-is", action="store_true", help="keep the skeleton")
    convert.add_argument("--ground", action="store_true", help="put the soles on the ground")
    seconds = ("START", "END")
    convert.add_argument("--trim", type=float, nargs=2, metavar=seconds, help="keep the frames between these seconds")
    record.set_defaults(run=_record)
    words = "[run folder | checkpoint] OUT.npz [task=... key=value ...]"
    record.add_argument("words", nargs="*", metavar=words, help="a policy, the file to write, settings as in play")
    record.add_argument("--seconds", type=float, default=5.0, help="default: 5")
    for command in (convert, record):
        command.add_argument("--licence", help="who made the motion, and how it may be used")
    return parser


def _path(text: str) -> Path:
    return Path(expanded(text))


def _read(options: argparse.Namespace) -> tuple[Path, Clip]:
    from manybody.motion.importers import read_motion

    path = find_motion(options.FILE)
    return path, read_motion(path, options.scale, options.up)


def _on_humanoid(clip: Clip, options: argparse.Namespace) -> Clip:
    """Retarget ``clip`` to the humanoid, unless it already has the humanoid's bodies."""
    from manybody.motion.retarget import retarget
    from manybody.motion.skeletons import AMP_HUMANOID

    if AMP_HUMANOID.fits(clip):
        _refuse_retargeting(options, "a clip of the AMP humanoid")
        return clip
    return retarget(clip, load_joint_map(options.joint_map) if options.joint_map else None, options.rest)


def _refuse_retargeting(options: argparse.Namespace, given: str) -> None:
    """Raise MotionError if there are options about retargeting."""
    for name, value in (("--joint-map", options.joint_map), ("--rest", options.rest)):
        if value is not None:
            raise MotionError(name, given, "a clip to retarget", f"Leave {name} out.")


def _info(options: argparse.Namespace) -> None:
    from manybody.motion.importers import FORMATS

    path, clip = _read(options)
    steps = np.linalg.norm(np.diff(clip.root_translation[:, :2], axis=0), axis=1)
    away = float(np.linalg.norm(clip.root_translation[-1, :2] - clip.root_translation[0, :2]))
    once = without_repeats(clip)
    times = round(clip.fps / once.fps)
    lines = {
        "format": FORMATS[path.suffix.lower()],
        "length": f"{clip.length:.2f} s, {clip.frames} frames at {clip.fps:.6g} per second",
        "repeats": f"every pose appears {times} times; convert writes it once" if times > 1 else "none",
        "moves": f"{steps.sum():.2f} m along the ground, {steps.sum() / clip.length:.2f} m/s on average; "
        f"ends {away:.2f} m from its start",
        "bodies": f"{len(clip.body_names)}: {', '.join(clip.body_names)}",
        "turns": _turns(once),
        "skeleton": _skeleton(clip, options),
        "soles": _soles(clip),
        "licence": clip.licence,
    }
    say(plain(str(path)))
    for name, text in lines.items():
        say(f"  {name:<9} {plain(text)}")


def _skeleton(clip: Clip, options: argparse.Namespace) -> str:
    try:
        same = _on_humanoid(clip, options) is clip
    except MotionError as problem:
        if problem.path or problem.field.startswith("--"):  # the joint map or an option is wrong, not the clip
            raise
        if problem.field == "joint map":
            return f"another one, with {problem.given}: convert needs a joint map"
        return f"another one, and convert refuses it: {problem}"
    return "the AMP humanoid's" if same else "another one; convert transfers the clip to the AMP humanoid"


def _turns(clip: Clip) -> str:
    quats = clip.local_rotations.astype(np.float64)
    cosines = np.abs((quats[1:] * quats[:-1]).sum(axis=-1)).clip(max=1)
    speeds = 2 * np.arccos(cosines) * clip.fps
    frame, body = map(int, np.unravel_index(speeds.argmax(), speeds.shape))
    fastest = f"at most {speeds.max():.1f} rad/s, {clip.body_names[body]} at {frame / clip.fps:.2f} s"
    return f"{fastest}: no limb turns so fast; look at it in view" if speeds.max() > TOO_FAST else fastest


def _soles(clip: Clip) -> str:
    from manybody.motion.skeletons import AMP_HUMANOID

    if clip.offsets is None or not AMP_HUMANOID.fits(clip):
        return "unknown for this skeleton"
    ground, on_soles = AMP_HUMANOID.ground(clip)
    lowest = float(AMP_HUMANOID.soles(clip)[..., 2].min())
    if on_soles:
        heights = f"stand at {ground:z.3f} m, lowest at {lowest:z.3f} m"
    else:
        heights = f"not always on the ground; the lowest point of the clip is at {ground:z.3f} m"
    notes = []
    if abs(ground) > OFF_GROUND:
        which = "soles" if on_soles else "clip"
        where = "below" if ground < 0 else "above" if lowest >= 0 else "mostly above"
        notes = [f"the {which} {'are' if on_soles else 'is'} {where} the ground", "convert --ground moves the clip"]
    if ground - lowest > DIP:
        notes.append(f"the soles dip {ground - lowest:.3f} m below their standing height; look at it in view")
    return f"{heights}: {'; '.join(notes)}" if notes else heights


def _view(options: argparse.Namespace) -> None:
    path, clip = _read(options)
    with read_from(path):
        clip = _on_humanoid(clip, options)
    out = options.out or Path(f"{path.stem}.mp4" if options.frames is None else f"{path.stem}.png")
    _check_out("--out", out, ".mp4", ".png")
    if options.frames is not None and out.suffix != ".png":
        advice = "Leave --frames out for a video."
        raise MotionError("--frames", f"a video, {str(out)!r}", "a picture: --out name.png", advice)
    if options.frames is not None and options.frames < 1:
        raise MotionError("--frames", str(options.frames), "a number from 1 on")
    say("manybody: drawing ...")
    from manybody.media.motion import draw_clip, film_clip

    with read_from(path):
        film = film_clip(clip, out, path.stem) if out.suffix == ".mp4" else draw_clip(clip, out, options.frames or 8)
    say(str(film))


def _convert(options: argparse.Namespace) -> None:
    _check_out("OUT", options.OUT, ".npz")
    path, given = _read(options)
    if options.OUT.exists() and options.OUT.samefile(path):
        advice = "Conversion would overwrite what it leaves out."
        raise MotionError("OUT", f"{str(options.OUT)!r}, the file to read", "another name", advice)
    with read_from(path):
        if options.as_is:
            _refuse_retargeting(options, "--as-is")
        clip = given if options.as_is else _on_humanoid(given, options)
    retargeted = clip is not given
    if options.trim:  # after retargeting: --rest counts the frames of the file
        clip = _trimmed(clip, *options.trim)
    if options.ground or retargeted:  # after trimming: the ground is that of the frames that are left
        from manybody.motion.skeletons import AMP_HUMANOID

        if not AMP_HUMANOID.fits(clip):
            raise MotionError("--ground", "a clip of another skeleton", "one of the AMP humanoid", "Leave --as-is out.")
        clip = AMP_HUMANOID.grounded(clip)
    if options.licence:
        clip = dataclasses.replace(clip, licence=options.licence)
    save_clip(options.OUT, without_repeats(clip))
    view = f"manybody motion view {shlex.quote(str(options.OUT))}"
    say(f"{options.OUT}: {clip.length:.2f} s of {len(clip.body_names)} bodies; {view}")


def _trimmed(clip: Clip, start: float, end: float) -> Clip:
    first, last = np.round([start * clip.fps, end * clip.fps])
    if not 0 <= first < last < clip.frames:
        expected = f"a time and a later one between 0 and {clip.length:.2f} s"
        raise MotionError("--trim", f"{start:g} {end:g}", expected)
    return clip.select(slice(int(first), int(last) + 1))


def _check_out(field: str, path: Path, *endings: str) -> None:
    """Raise MotionError if ``path`` cannot be written."""
    if path.suffix not in endings:
        raise MotionError(field, repr(path.name), f"a name that ends in {' or '.join(endings)}")
    if path.is_dir():
        raise MotionError(field, f"{path.name!r}, a folder", "the name of a file")
    for folder in path.parents:
        if folder.exists() and not folder.is_dir():
            raise MotionError(field, f"{str(folder)!r}, a file", "a folder")


def _record(options: argparse.Namespace) -> None:
    outs = [word for word in options.words if word.endswith(".npz") and "=" not in word]
    if len(outs) != 1:
        raise MotionError("OUT", f"{len(outs)} names that end in .npz", "one, the clip to write")
    out = _path(outs[0])
    _check_out("OUT", out, ".npz")
    if out.exists():
        advice = "It may be the clip that the policy imitates."
        raise MotionError("OUT", f"{str(out)!r}, an existing file", "a new name", advice)
    if not 0 < options.seconds < float("inf"):
        raise MotionError("--seconds", f"{options.seconds:g}", "a number above 0")
    from manybody.launch.overrides import raw_values

    for key, value in raw_values([word for word in options.words if "=" in word]).items():
        fixed = FIXED.get(key.rpartition(".")[2])
        if fixed is not None and value.lower() != fixed:
            expected = f"{fixed.capitalize()}: one episode is played, without noise and pictures"
            raise MotionError(key, value, expected, "Leave it out.")
    say("manybody: loading ...")
    from manybody.launch.resolve import resolve_play
    from manybody.media.motion import record_motion
    from manybody.play import load_player, parse
    from manybody.runner import build_runner

    path, overrides, file = parse([word for word in options.words if word not in outs])
    runner = build_runner()
    run = resolve_play(runner, path, [*overrides, "num_envs=1", "deterministic=True"], file)
    player = load_player(runner, run)
    checkpoint, folder = run.start
    assert checkpoint is not None and folder is not None
    step = getattr(player.env, "dt", 0.0)
    if options.seconds < step:
        raise MotionError("--seconds", f"{options.seconds:g}", f"at least {step:.3g}, one step of the task")
    licence = options.licence or f"recorded from the policy {folder.path.name}/{checkpoint.name} with manybody"
    clip = record_motion(player, options.seconds, licence)
    save_clip(out, clip)
    ended = "" if clip.length > options.seconds - 2 / clip.fps else " (then the episode ended)"
    say(f"{out}: {clip.length:.2f} s{ended} of {checkpoint}; manybody motion view {shlex.quote(str(out))}")
