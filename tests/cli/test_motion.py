"""``manybody motion``: what it says of a clip, what it writes, and how it refuses."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from toy_figure import as_figure, bvh

from manybody import cli, play, train
from manybody.cli import motion as motion_cli
from manybody.media import motion as pictures
from manybody.media import policy_video
from manybody.motion.bundled import find_motion
from manybody.motion.clip import load_clip, save_clip
from manybody.motion.skeletons import AMP_HUMANOID, STANCE, body_poses

AMP = [
    *("task=HumanoidAMP", "num_envs=4", "max_iterations=1", "video=False", "experiment=amp"),
    *("train.params.torch_threads=1", "train.params.config.minibatch_size=64"),
    *("train.params.config.amp_minibatch_size=64", "train.params.config.amp_batch_size=64"),
    *("train.params.config.amp_obs_demo_buffer_size=128", "train.params.config.amp_replay_buffer_size=128"),
    *("train.params.config.mini_epochs=1", "num_threads=1"),
]


def walk():
    return load_clip(find_motion("walk"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A policy after one epoch, which falls at once."""
    folder = tmp_path_factory.mktemp("amp")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(train, "show_results", lambda *_: None)
        train.main(AMP).run.folder.close()
    return str(folder / "runs" / "amp")


def said(capsys, *words):
    """Name to text of the lines that a command prints."""
    cli.main(["motion", *map(str, words)])
    lines = capsys.readouterr().out.splitlines()
    return {line.split(None, 1)[0]: line.split(None, 1)[-1] for line in lines if line}


def test_what_a_clip_is(capsys):
    # The walk: 192 steps of 1/60 s are 3.2 s; at 1.22 m/s that is 3.9 m.
    about = said(capsys, "info", "walk")
    assert about["length"] == "3.20 s, 193 frames at 60 per second"
    assert "1.22 m/s on average; ends 3.90 m from its start" in about["moves"]
    assert about["bodies"].startswith("15: pelvis, torso, head")
    assert (about["skeleton"], about["soles"]) == (
        "the AMP humanoid's",
        "stand at 0.000 m, lowest at 0.000 m",
    )
    assert about["licence"].startswith("CC0-1.0") and about["repeats"] == "none"


def test_a_clip_that_sinks_and_repeats_is_told_and_mended(here, capsys):
    clip = walk()
    sunk = dataclasses.replace(
        clip,
        local_rotations=clip.local_rotations.repeat(2, axis=0),
        root_translation=clip.root_translation.repeat(2, axis=0) - np.float32([0, 0, 0.08]),
    )
    save_clip("sunk.npz", sunk)
    about = said(capsys, "info", "sunk.npz")
    assert (
        about["soles"].startswith("stand at -0.080 m, lowest at -0.080 m: the soles are below")
        and "--ground" in about["soles"]
    )
    assert about["repeats"].startswith("every pose appears 2 times")
    said(capsys, "convert", "sunk.npz", "b.npz", "--ground", "--licence", "mine")
    mended = load_clip("b.npz")
    assert (mended.frames, mended.fps, mended.licence) == (193, 30, "mine")
    assert AMP_HUMANOID.soles(mended)[..., 2].amin(dim=1).quantile(STANCE) == pytest.approx(0, abs=1e-6)


def test_soles_that_hover_or_dip_for_a_moment_are_told_so(here, capsys):
    # Up by 2 cm, and in 10 of 193 frames down by 6 cm: lowest at -0.04 m, 6 cm below where the soles stand.
    places = walk().root_translation + np.float32([0, 0, 0.02])
    places[50:60, 2] -= 0.06
    save_clip("a.npz", dataclasses.replace(walk(), root_translation=places))
    soles = said(capsys, "info", "a.npz")["soles"]
    assert soles.startswith("stand at 0.020 m, lowest at -0.040 m: the soles are mostly above the ground")
    assert soles.endswith("the soles dip 0.060 m below their standing height; look at it in view")
    said(capsys, "convert", "a.npz", "b.npz", "--ground")
    soles = said(capsys, "info", "b.npz")["soles"]
    assert soles.startswith("stand at 0.000 m, lowest at -0.060 m: the soles dip 0.060 m")


def test_a_clip_that_is_not_on_its_feet_is_put_on_its_lowest_point(here, capsys):
    # Head down in 170 of 193 frames, 5 cm of the head in the ground.
    turns, places = walk().local_rotations.copy(), walk().root_translation.copy()
    turns[:170, 0] = [0.0, 1.0, 0.0, 0.0]
    upside_down = body_poses(dataclasses.replace(walk(), local_rotations=turns)).positions[:170, :, 2]
    places[:170, 2] -= float(upside_down.min()) + 0.05
    save_clip("a.npz", dataclasses.replace(walk(), local_rotations=turns, root_translation=places))
    about = said(capsys, "info", "a.npz")["soles"]
    assert "lowest point of the clip is at -0.050 m: the clip is below the ground; convert --ground" in about
    said(capsys, "convert", "a.npz", "b.npz", "--ground")
    assert said(capsys, "info", "b.npz")["soles"].endswith("the lowest point of the clip is at 0.000 m")


def test_info_tells_what_convert_refuses_and_what_no_limb_does(here, capsys):
    (here / "a.bvh").write_text(bvh(as_figure(walk())))
    about = said(capsys, "info", "a.bvh", "--up", "z")
    assert about["skeleton"].startswith("another one, and convert refuses it: rest pose: got the head")
    turns = walk().local_rotations.copy()
    turns[100, 9] = [0.0, 0.0, 0.0, 1.0]  # the right thigh, by half a turn
    save_clip("b.npz", dataclasses.replace(walk(), local_rotations=turns))
    about = said(capsys, "info", "b.npz")
    assert "right_thigh at 1.6" in about["turns"] and about["turns"].endswith("look at it in view")
    assert "look" not in said(capsys, "info", "walk")["turns"]


def test_text_in_a_file_forges_no_line(here, capsys):
    names = [*walk().body_names[:-1], "foot\n  licence   CC0\x1b[31m"]
    clip = dataclasses.replace(walk(), body_names=names, licence="mine\n  soles     fine")
    save_clip("a.npz", clip)
    cli.main(["motion", "info", "a.npz"])
    out = capsys.readouterr().out
    assert "\x1b" not in out and len(out.splitlines()) == 10 and r"foot\n  licence   CC0\x1b[31m" in out
    with pytest.raises(SystemExit):
        cli.main(["motion", "convert", "a.npz", "b.npz"])
    err = capsys.readouterr().err
    assert "\x1b" not in err and err.count("\n") == 1


def test_a_bvh_file_is_brought_to_the_humanoid_or_left_as_it_is(here, capsys):
    (here / "a.bvh").write_text(bvh(as_figure(walk())))
    # 3.9 m of ours are 1.3 times as much of the figure, whose unit is a centimetre: 5.07 m.
    about = said(capsys, "info", "a.bvh", "--scale", "0.01")
    assert "ends 5.07 m" in about["moves"] or "ends 5.08 m" in about["moves"]
    assert about["skeleton"] == "another one; convert transfers the clip to the AMP humanoid"
    said(capsys, "convert", "a.bvh", "ours.npz", "--trim", "0.5", "1")
    said(capsys, "convert", "a.bvh", "theirs.npz", "--as-is", "--scale", "0.01")
    ours, theirs = load_clip("ours.npz"), load_clip("theirs.npz")
    assert ours.body_names == AMP_HUMANOID.names and ours.frames == 31
    np.testing.assert_allclose(
        np.diff(ours.root_translation[:, 0]), np.diff(walk().root_translation[30:61, 0]), atol=1e-4
    )
    assert len(theirs.body_names) == 19 and np.linalg.norm(theirs.root_translation[-1, :2]) < 6


def test_the_rest_frame_counts_in_the_file_and_not_in_what_is_left_of_it(here, capsys):
    turns = walk().local_rotations.copy()
    turns[0] = [1.0, 0.0, 0.0, 0.0]  # the figure stands in frame 0 alone
    save_clip("a.npz", as_figure(dataclasses.replace(walk(), local_rotations=turns)))
    said(capsys, "convert", "a.npz", "all.npz", "--rest", "0")
    said(capsys, "convert", "a.npz", "part.npz", "--rest", "0", "--trim", "0.5", "1")
    whole, part = load_clip("all.npz"), load_clip("part.npz")
    np.testing.assert_allclose(part.local_rotations, whole.local_rotations[30:61], atol=1e-6)
    said(capsys, "convert", "a.npz", "other.npz", "--rest", "60", "--trim", "0", "0.5")


def test_a_joint_map(here, capsys):
    (here / "a.bvh").write_text(bvh(as_figure(walk())).replace("mixamorig:LeftLeg", "Knee"))
    assert "no joint for left_shin: convert needs a joint map" in said(capsys, "info", "a.bvh")["skeleton"]
    (here / "map.yaml").write_text("left_shin: Knee\n")
    said(capsys, "convert", "a.bvh", "b.npz", "--joint-map", "map.yaml")
    assert load_clip("b.npz").body_names == AMP_HUMANOID.names


@pytest.mark.parametrize(
    ("words", "film"),
    [
        (["walk"], ("film_clip", "walk.mp4", "walk")),
        (["walk", "--frames", "5"], ("draw_clip", "walk.png", 5)),
        (["walk", "--out", "a.png"], ("draw_clip", "a.png", 8)),
    ],
)
def test_view(words, film, here, capsys, monkeypatch):
    made = []
    for name in ("film_clip", "draw_clip"):
        monkeypatch.setattr(
            pictures, name, lambda clip, out, what, name=name: made.append((name, str(out), what)) or out
        )
    cli.main(["motion", "view", *words])
    assert made == [film] and film[1] in capsys.readouterr().out


def test_a_policy_is_recorded(run, here, capsys):
    cli.main(["motion", "record", run, "a.npz", "--seconds", "0.1", "num_envs=1", "video=False"])
    # Frames after each step of 1/30.12 s until more than 0.1 s have gone by: 4 frames, 3 steps, 0.0996 s.
    clip = load_clip("a.npz")
    assert (clip.body_names, clip.parents) == (AMP_HUMANOID.names, AMP_HUMANOID.parents)
    assert clip.fps == pytest.approx(1 / 0.0332) and clip.frames == 4
    assert clip.licence.startswith("recorded from the policy amp/") and clip.licence.endswith(".pth with manybody")
    assert 0.5 < clip.root_translation[0, 2] < 1.2
    np.testing.assert_allclose(clip.offsets, AMP_HUMANOID.offsets, atol=1e-6)
    with pytest.raises(SystemExit):
        cli.main(["motion", "record", run, "b.npz", "--seconds", "0.01"])
    assert "--seconds: got 0.01; expected at least 0.0332, one step of the task" in capsys.readouterr().err
    cli.main(["motion", "record", run, "b.npz", "--licence", "mine"])
    assert "(then the episode ended)" in capsys.readouterr().out
    longer = load_clip("b.npz")
    np.testing.assert_array_equal(
        longer.local_rotations[:4], clip.local_rotations
    )  # the same policy from the same seed
    assert longer.licence == "mine" and 4 < longer.frames < 150
    before = (here / "a.npz").read_bytes()
    with pytest.raises(SystemExit) as stop:
        cli.main(["motion", "record", run, "a.npz"])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and "OUT: got 'a.npz', an existing file; expected a new name" in err
    assert (here / "a.npz").read_bytes() == before


def test_a_task_without_such_a_body_is_told(here, capsys, monkeypatch):
    from toy import ToyEnv

    from manybody.media.motion import record_motion
    from manybody.motion.errors import MotionError

    class Player:
        env = ToyEnv()

    with pytest.raises(MotionError, match=r"task: got ToyEnv; expected .*HumanoidAMP"):
        record_motion(Player(), 1.0, "mine")


def test_play_makes_a_strip_of_motion_and_policy(run, monkeypatch, capsys):
    monkeypatch.setattr(policy_video, "record_video", lambda player, path, *_: path)
    monkeypatch.setattr(pictures, "strip_beside", lambda video: video.with_suffix(".png"))
    play.main([run, "video=True", "games_num=1"])
    out = capsys.readouterr().out
    assert ".mp4\nmotion above, policy below: " in out and out.rstrip().endswith(".png")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inof"], "manybody motion: argument COMMAND: invalid choice: 'inof' (choose from "),
        (
            ["info"],
            "manybody motion info: the following arguments are required: FILE; see 'manybody motion info --help'",
        ),
        (
            ["info", "wlak"],
            "got no clip 'wlak'; expected a file or a bundled clip: crouch_walk",
        ),
        (["info", "walk", "--sacle", "1"], "unrecognized arguments: --sacle 1"),
        (
            ["info", "walk", "--scale", "0.01"],
            "--scale: got a file '.npz'; expected one of the format .bvh",
        ),
        (["convert", "walk", "a.bvh"], "OUT: got 'a.bvh'; expected a name that ends in .npz"),
        (["convert", "walk", "a.bvh/no/a.npz"], "OUT: got 'a.bvh', a file; expected a folder"),
        (
            ["convert", "walk", "a.npz", "--joint-map", "no.yaml"],
            "walk.npz: --joint-map: got a clip of the AMP",
        ),
        (["view", "walk", "--rest", "99999"], "--rest: got a clip of the AMP humanoid; expected a clip to"),
        (
            ["info", "walk", "--rest", "0"],
            "--rest: got a clip of the AMP humanoid; expected a clip to retarget",
        ),
        (
            ["info", "a.bvh", "--joint-map", "no.yaml"],
            "no.yaml: no such file",
        ),
        (
            ["convert", "a.bvh", "b.npz", "--as-is", "--rest", "0"],
            "a.bvh: --rest: got --as-is; expected a clip",
        ),
        (["convert", "a.bvh", "b.npz", "--rest", "500"], "a.bvh: rest frame: got 500; expected 0 to 192"),
        (["convert", "a.bvh", "b.npz", "--up", "z"], "a.bvh: rest pose: got the head"),
        (
            ["convert", "walk", "a.npz", "--trim", "1", "4"],
            "--trim: got 1 4; expected a time and a later one between 0",
        ),
        *(
            (["convert", "walk", "a.npz", "--trim", *times], "--trim: got ")
            for times in (["0", "nan"], ["inf", "1"], ["0", "1e400"], ["0", "1e308"])
        ),
        (["convert", "a.bvh", "a.npz", "--as-is", "--ground"], "--ground: got a clip of another skeleton"),
        (
            ["view", "walk", "--out", "a.gif"],
            "--out: got 'a.gif'; expected a name that ends in .mp4 or .png",
        ),
        (
            ["view", "walk", "--out", "a.mp4", "--frames", "3"],
            "--frames: got a video, 'a.mp4'; expected a picture: --out name.png",
        ),
        (["record", "runs/x"], "OUT: got 0 names that end in .npz; expected one"),
        (["record", "runs/x", "a.npz", "--seconds", "0"], "--seconds: got 0; expected a number above 0"),
        (
            ["record", "runs/x", "a.npz", "games_num=9"],
            "games_num: got 9; expected 1: one episode is played",
        ),
        (
            ["record", "runs/x", "a.npz", "num_envs=5"],
            "num_envs: got 5; expected 1: one episode is played",
        ),
        (
            ["record", "runs/x", "a.npz", "train.params.config.num_actors=5"],
            "num_actors: got 5; expected 1",
        ),
        (
            ["record", "runs/x", "a.npz", "deterministic=False"],
            "deterministic: got False; expected True: one",
        ),
        (["record", "runs/x", "a.npz", "video=True"], "video: got True; expected False: one episode"),
        (["record", "runs/x", "a.npz"], "runs/x: got a path that does not exist"),
    ],
)
def test_what_cannot_be_done_is_one_line(words, message, here, capsys):
    (here / "a.bvh").write_text(bvh(as_figure(walk())))
    with pytest.raises(SystemExit) as stop:
        cli.main(["motion", *words])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and err.startswith("error: ") and err.count("\n") == 1 and message in err
    assert [path.name for path in here.iterdir()] == ["a.bvh"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["convert", "walk", "b.npz"],
            "OUT: got 'b.npz', a folder; expected the name of a file",
        ),
        (
            ["record", "runs/x", "b.npz"],
            "OUT: got 'b.npz', a folder; expected the name of a file",
        ),
        (["view", "walk", "--out", "b.png"], "--out: got 'b.png', a folder; expected the name"),
        (
            ["convert", "a.npz", "a.npz", "--trim", "0", "1"],
            "OUT: got 'a.npz', the file to read; expected an",
        ),
        (["convert", "a.npz", "other.npz", "--trim", "0", "1"], "OUT: got 'other.npz', the file to read"),
    ],
)
def test_what_is_there_stays(words, message, here, capsys):
    save_clip("a.npz", walk())
    (here / "other.npz").symlink_to("a.npz")
    for name in ("b.npz", "b.png"):
        (here / name).mkdir()
    with pytest.raises(SystemExit):
        cli.main(["motion", *words])
    assert message in capsys.readouterr().err
    assert load_clip("other.npz").frames == 193 and len(list(here.iterdir())) == 4


def test_the_folder_of_a_clip_is_made(here, capsys):
    said(capsys, "convert", "walk", "a/b/walk.npz")
    assert load_clip("a/b/walk.npz").frames == 193


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("waltz", "task.env.motion_file: got no clip 'waltz'"),
        ("a.bvh", "a.bvh: body_names: got 'mixamorig:Hips', "),
    ],
)
def test_training_says_what_is_wrong_with_a_motion(file, message, quick, refused, tmp_path):
    (tmp_path / "a.bvh").write_text(bvh(as_figure(walk())))
    assert message in refused(*AMP, f"task.env.motion_file={file}")


def test_help(capsys):
    for words in ([], ["help"]):
        cli.main(["motion", *words])
        assert motion_cli.DESCRIPTION in capsys.readouterr().out
    assert max(map(len, motion_cli.DESCRIPTION.splitlines())) <= 120
    with pytest.raises(SystemExit) as stop:
        cli.main(["motion", "convert", "--help"])
    assert not stop.value.code and "--joint-map" in capsys.readouterr().out


def test_help_does_without_pytorch():
    """In processor time, which other processes do not lengthen."""
    code = """
import sys, time
from manybody.cli import main
main(["motion", "help"])
assert not {"torch", "mujoco", "hydra"} & set(sys.modules)
assert time.process_time() < 2
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
