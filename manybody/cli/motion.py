"""The command ``manybody motion``: describes, shows and converts motion clips, and records policies as clips.

What needs PyTorch is imported by the commands: help and words that are wrong do not wait for it.
"""

import argparse
import dataclasses
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from manybody.config.files import expanded
from manybody.engine.console import error, say
from manybody.motion.bundled import bundled_clips, find_motion
from manybody.motion.clip import Clip, save_clip, without_repeats
from manybody.motion.errors import MotionError, plain, read_from
from manybody.motion.joint_maps import load_joint_map
from manybody.motion.skeletons import AMP_HUMANOID

USAGE = f"""manybody motion: motion clips, for policies that imitate them (task=HumanoidAMP task.env.motion_file=FILE)

  manybody motion info FILE
      What is in a clip: its length, bodies, speed, licence, whether its feet stand on the ground, and whether convert
      takes it (with --joint-map and --rest as there).
  manybody motion view FILE [--out walk.mp4 | --out walk.png --frames 8]
      A video, or a strip of pictures, of the humanoid in the poses of the clip.
  manybody motion convert FILE OUT.npz [--joint-map map.yaml] [--rest FRAME] [--as-is] [--ground] [--trim START END]
                          [--licence "who made it, what may be done with it"]
      Write a clip in this project's format. One of another skeleton is brought to the humanoid of HumanoidAMP and put
      on the ground; with --as-is it is not. A joint map has lines of 'body of ours: joint of theirs', where names are
      not understood. --rest: a frame of FILE (the first is 0) in which the figure stands upright, where it does not at
      zero angles. --ground: puts the soles on the ground. --trim: seconds of the first and the last frame to keep.
  manybody motion record [run folder | checkpoint] OUT.npz [--seconds 5] [--licence ...] [task=... key=value ...]
      Play a policy as 'manybody play' does, in one environment, and write its motion to a file that is not there yet.

FILE is .npz of this project, .npy of IsaacGymEnvs (SkeletonMotion), .txt or .json of DeepMimic, .bvh, or the name of
a clip that comes along: {", ".join(bundled_clips())}.
For .bvh, --scale 0.01 says that its unit is a centimetre (for lengths and speeds in info, and with --as-is), and
--up z that z is up, not y.
Exit codes: 0 done; 2 the command or a file that it names cannot be used.
"""
FORMATS = {
    ".npz": "motion clip of manybody",
    ".npy": "SkeletonMotion of IsaacGymEnvs (frames shown twice are read once)",
    ".txt": "DeepMimic",
    ".json": "DeepMimic",
    ".bvh": "BVH",
}
FIXED = {
    **dict.fromkeys(("num_envs", "numEnvs", "num_actors", "games_num"), "1"),
    "deterministic": "true",
    **dict.fromkeys(("video", "capture_video"), "false"),
}
"""Last part of a setting's key to its only value in record."""
TOO_FAST = 40.0
"""rad/s of a joint that are worth a word: the fastest of a back flip turns by 31."""
OFF_GROUND = 0.01
"""m, of the soles below or above the ground that are worth a word."""
DIP = 0.05
"""m, of a sole below where the soles stand that are worth a word: captured walks dip by some 0.03."""


def main(words: Sequence[str]) -> None:
    """Run one command. Exits with 2 when it or a file cannot be used."""
    commands = {"info": _info, "view": _view, "convert": _convert, "record": _record}
    command, rest = (words[0], words[1:]) if words else ("help", ())
    if command in ("help", "--help", "-h") or "--help" in rest:
        say(USAGE.rstrip())
        return
    if command not in commands:
        error(f"manybody motion: no command {command!r}; expected info, view, convert or record")
        raise SystemExit(2)
    from manybody.cli.exit_codes import plain_notices

    try:
        with plain_notices():
            commands[command](rest)
    except (MotionError, OSError) as problem:
        error(str(problem))
        raise SystemExit(2) from None


def _path(text: str) -> Path:
    return Path(expanded(text))


class _Words(argparse.ArgumentParser):
    """The words of one command; what is wrong with them is one line."""

    def __init__(self, command: str) -> None:
        super().__init__(prog=f"manybody motion {command}", add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        error(f"{self.prog}: {message}; 'manybody motion help' says more")
        raise SystemExit(2)

    def add_file(self) -> None:
        """The clip to read, and how."""
        self.add_argument("FILE")
        self.add_argument("--scale", type=float)
        self.add_argument("--up", choices=("y", "z"))
        self.add_argument("--joint-map", type=_path)
        self.add_argument("--rest", type=int)


def _read(options: argparse.Namespace) -> tuple[Path, Clip]:
    from manybody.motion.importers import read_motion
    from manybody.motion.importers.bvh import load_bvh

    path = find_motion(options.FILE)
    given = {name: getattr(options, name) for name in ("scale", "up") if getattr(options, name) is not None}
    if not given:
        return path, read_motion(path)
    if path.suffix.lower() != ".bvh":
        raise MotionError(f"--{next(iter(given))}", f"a file {path.suffix!r}", "one of the format .bvh")
    return path, load_bvh(path, **given)


def _ours(clip: Clip, options: argparse.Namespace) -> Clip:
    """``clip`` on the humanoid; one that is of its bodies already stays as it is."""
    if AMP_HUMANOID.fits(clip):
        _refuse_retargeting(options, "a clip of the AMP humanoid")
        return clip
    from manybody.motion.retarget import retarget

    names = load_joint_map(options.joint_map) if options.joint_map else None
    return retarget(clip, AMP_HUMANOID, names, options.rest)


def _refuse_retargeting(options: argparse.Namespace, given: str) -> None:
    """Options about retargeting do nothing where there is none."""
    for name, value in (("--joint-map", options.joint_map), ("--rest", options.rest)):
        if value is not None:
            raise MotionError(name, given, "a clip to retarget", f"Leave {name} out.")


def _info(words: Sequence[str]) -> None:
    parser = _Words("info")
    parser.add_file()
    options = parser.parse_args(words)
    path, clip = _read(options)
    steps = np.linalg.norm(np.diff(clip.root_translation[:, :2], axis=0), axis=1)
    away = float(np.linalg.norm(clip.root_translation[-1, :2] - clip.root_translation[0, :2]))
    once = without_repeats(clip)
    times = round(clip.fps / once.fps)
    lines = {
        "format": FORMATS[path.suffix.lower()],
        "length": f"{clip.length:.2f} s, {clip.frames} frames at {clip.fps:.6g} per second",
        "repeats": f"every pose stands there {times} times; convert writes it once" if times > 1 else "none",
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
        same = _ours(clip, options) is clip
    except MotionError as problem:
        of_the_command = problem.path is not None or AMP_HUMANOID.fits(clip)
        if of_the_command:  # the joint map or an option is wrong, not the clip
            raise
        if problem.field == "joint map":
            return f"another one, and for convert there is {problem.given}: it needs a joint map"
        return f"another one, and convert refuses it: {problem}"
    return "the AMP humanoid's" if same else "another one; convert brings it to the AMP humanoid"


def _turns(clip: Clip) -> str:
    quats = clip.local_rotations.astype(np.float64)
    cosines = np.abs((quats[1:] * quats[:-1]).sum(axis=-1)).clip(max=1)
    speeds = 2 * np.arccos(cosines) * clip.fps
    frame, body = (int(place) for place in np.unravel_index(speeds.argmax(), speeds.shape))
    words = f"at most {speeds.max():.1f} rad/s, {clip.body_names[body]} at {frame / clip.fps:.2f} s"
    return f"{words}: no limb turns so fast; look at it in view" if speeds.max() > TOO_FAST else words


def _soles(clip: Clip) -> str:
    if clip.offsets is None or not AMP_HUMANOID.fits(clip):
        return "unknown for this skeleton"
    from manybody.motion.poses import ground_of, lowest_sole

    ground, on_soles = ground_of(clip, AMP_HUMANOID)
    lowest = float(lowest_sole(clip, AMP_HUMANOID).min())
    if on_soles:
        words = f"stand at {ground:z.3f} m, lowest at {lowest:z.3f} m"
    else:
        words = f"not what the clip stands on all the time; its lowest point is at {ground:z.3f} m"
    notes = []
    if ground < -OFF_GROUND:
        notes = ["they sink into the ground" if on_soles else "it sinks into the ground"]
    elif ground > OFF_GROUND:
        notes = [("they hover" if on_soles else "it hovers") + (" most of the time" if lowest < 0 else "")]
    if notes:
        notes.append("convert --ground moves the clip")
    if ground - lowest > DIP:
        notes.append(f"they dip {ground - lowest:.3f} m below where they stand; look at it in view")
    return f"{words}: {'; '.join(notes)}" if notes else words


def _view(words: Sequence[str]) -> None:
    parser = _Words("view")
    parser.add_file()
    parser.add_argument("--out", type=_path)
    parser.add_argument("--frames", type=int)
    options = parser.parse_args(words)
    path, clip = _read(options)
    with read_from(path):
        clip = _ours(clip, options)
    out = options.out or Path(f"{path.stem}.mp4" if options.frames is None else f"{path.stem}.png")
    _check_out("--out", out, ".mp4", ".png")
    if options.frames is not None and out.suffix != ".png":
        advice = "Leave --frames out for a video."
        raise MotionError("--frames", f"a video, {str(out)!r}", "a picture: --out name.png", advice)
    if options.frames is not None and options.frames < 1:
        raise MotionError("--frames", str(options.frames), "a number from 1 on")
    say("manybody: drawing ...")
    from manybody.media.motion import draw_clip, film_clip
    from manybody.media.renderer import VideoError

    try:
        with read_from(path):
            drawn = (
                film_clip(clip, out, path.stem) if out.suffix == ".mp4" else draw_clip(clip, out, options.frames or 8)
            )
        say(str(drawn))
    except VideoError as problem:
        error(str(problem))
        raise SystemExit(2) from None


def _convert(words: Sequence[str]) -> None:
    parser = _Words("convert")
    parser.add_file()
    parser.add_argument("OUT", type=_path)
    parser.add_argument("--as-is", action="store_true")
    parser.add_argument("--ground", action="store_true")
    parser.add_argument("--trim", type=float, nargs=2)
    parser.add_argument("--licence")
    options = parser.parse_args(words)
    _check_out("OUT", options.OUT, ".npz")
    path, given = _read(options)
    if options.OUT.exists() and options.OUT.samefile(path):
        advice = "What conversion leaves out would be lost."
        raise MotionError("OUT", f"{str(options.OUT)!r}, the file to read", "another name", advice)
    with read_from(path):
        if options.as_is:
            _refuse_retargeting(options, "--as-is")
        clip = given if options.as_is else _ours(given, options)
    retargeted = clip is not given
    if options.trim:  # only now: --rest counts the frames of the file
        clip = _trimmed(clip, *options.trim)
    if options.ground or retargeted:  # again: the ground is that of the frames that are left
        if not AMP_HUMANOID.fits(clip):
            raise MotionError("--ground", "a clip of another skeleton", "one of the AMP humanoid", "Leave --as-is out.")
        from manybody.motion.poses import grounded

        clip = grounded(clip, AMP_HUMANOID)
    if options.licence:
        clip = dataclasses.replace(clip, licence=options.licence)
    _save(options.OUT, without_repeats(clip))
    say(
        f"{options.OUT}: {clip.length:.2f} s of {len(clip.body_names)} bodies; "
        f"manybody motion view {shlex.quote(str(options.OUT))}"
    )


def _trimmed(clip: Clip, start: float, end: float) -> Clip:
    at = (start * clip.fps, end * clip.fps)
    first, last = (round(frame) if math.isfinite(frame) else -1 for frame in at)
    if not 0 <= first < last < clip.frames:
        expected = f"a time and a later one between 0 and {clip.length:.2f} s"
        raise MotionError("--trim", f"{start:g} {end:g}", expected)
    return dataclasses.replace(
        clip,
        local_rotations=clip.local_rotations[first : last + 1],
        root_translation=clip.root_translation[first : last + 1],
    )


def _check_out(field: str, path: Path, *endings: str) -> None:
    """Before the work, not after it."""
    if path.suffix not in endings:
        raise MotionError(field, repr(path.name), f"a name that ends in {' or '.join(endings)}")
    if path.is_dir():
        raise MotionError(field, f"a folder of the name {path.name!r}", "the name of a file")
    for folder in path.parents:
        if folder.exists() and not folder.is_dir():
            raise MotionError(field, f"a file of the name {str(folder)!r}", "a folder")


def _save(path: Path, clip: Clip) -> None:
    """Write ``clip``; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_clip(path, clip)


def _record(words: Sequence[str]) -> None:
    parser = _Words("record")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--licence")
    options = parser.parse_intermixed_args(words)
    outs = [word for word in options.words if word.endswith(".npz") and "=" not in word]
    if len(outs) != 1:
        raise MotionError("OUT", f"{len(outs)} names that end in .npz", "one, the clip to write")
    out = _path(outs[0])
    _check_out("OUT", out, ".npz")
    if out.exists():
        advice = "It may be the clip that the policy imitates; a recording would take its place."
        raise MotionError("OUT", f"{str(out)!r}, a file that is there", "a new name", advice)
    if not 0 < options.seconds < float("inf"):
        raise MotionError("--seconds", f"{options.seconds:g}", "a number above 0")
    from manybody.launch.overrides import given

    for key, value in given([word for word in options.words if "=" in word]).items():
        fixed = FIXED.get(key.rpartition(".")[2])
        if fixed is not None and value.lower() != fixed:
            expected = f"{fixed.capitalize()}: one episode is played, without noise and pictures"
            raise MotionError(key, value, expected, "Leave it out.")
    say("manybody: loading ...")
    from manybody.cli.exit_codes import exit_codes
    from manybody.media.motion import record_motion
    from manybody.play import find_run, load_player, parse

    with exit_codes():
        run, settings, _ = parse([word for word in options.words if word not in outs])
        folder, checkpoint = find_run(run, settings)
        player = load_player(folder, checkpoint, [*settings, "num_envs=1", "deterministic=True"])
        step = getattr(player.env, "dt", 0.0)
        if options.seconds < step:
            raise MotionError("--seconds", f"{options.seconds:g}", f"at least {step:.3g}, one step of the task")
        licence = options.licence or f"recorded from the policy {folder.path.name}/{checkpoint.name} with manybody"
        clip = record_motion(player, options.seconds, licence)
    _save(out, clip)
    ended = "" if clip.length > options.seconds - 2 / clip.fps else " (then the episode ended)"
    say(f"{out}: {clip.length:.2f} s{ended} of {checkpoint}; manybody motion view {shlex.quote(str(out))}")
