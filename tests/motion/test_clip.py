import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from toy_motion import NAMES, PARENTS, fields, make_clip, quats

from manybody.config.errors import shown
from manybody.motion.clip import Clip, load_clip, save_clip, without_repeats
from manybody.motion.errors import MotionError


def test_what_is_saved_comes_back(tmp_path):
    clip = make_clip()
    save_clip(tmp_path / "walk.npz", clip)
    again = load_clip(tmp_path / "walk.npz")
    assert (again.fps, again.body_names, again.parents) == (10.0, NAMES, PARENTS)
    assert again.licence == "made for a test"
    for name in ("local_rotations", "root_translation", "offsets"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clip, name))
    assert os.listdir(tmp_path) == ["walk.npz"]


def test_a_skeleton_of_unknown_size_stays_so(tmp_path):
    save_clip(tmp_path / "c.npz", make_clip(offsets=None))
    assert load_clip(tmp_path / "c.npz").offsets is None


def test_length_counts_the_steps_between_frames():
    assert make_clip(frames=6).length == pytest.approx(5 / 10)


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_frames_that_all_stand_there_thrice_are_kept_once(cut):
    # 6 frames at 10 Hz, each three times at 30 Hz; the last run may be cut off.
    clip = make_clip(6)
    repeated = {
        name: np.repeat(getattr(clip, name), 3, axis=0)[: 18 - cut] for name in ("local_rotations", "root_translation")
    }
    again = without_repeats(make_clip(18, fps=30.0, **repeated))
    assert again.fps == 10.0
    np.testing.assert_array_equal(again.root_translation, clip.root_translation)
    np.testing.assert_allclose(again.local_rotations, clip.local_rotations, atol=1e-6)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 1, 2, 2], [0, 0, 0], [0, 0, 1, 1, 1], [0, 1, 1]])
def test_a_figure_that_pauses_keeps_its_rate(order):
    clip = make_clip(6)
    pausing = make_clip(
        len(order),
        local_rotations=clip.local_rotations[order],
        root_translation=clip.root_translation[order],
    )
    assert without_repeats(pausing) is pausing


def test_a_clip_cannot_be_changed():
    mine = quats(6)
    clip = make_clip(local_rotations=mine)
    mine[:] = 0.0
    assert np.abs(np.linalg.norm(clip.local_rotations, axis=-1) - 1).max() < 1e-6
    with pytest.raises(ValueError, match="read-only"):
        clip.local_rotations[0] = 0.0


def test_rounded_quaternions_are_made_unit():
    clip = make_clip(local_rotations=np.round(quats(6), 3))
    np.testing.assert_allclose(np.linalg.norm(clip.local_rotations, axis=-1), 1.0, atol=1e-6)


NOT_FINITE = np.zeros((6, 3))
NOT_FINITE[4, 2] = np.nan


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"fps": 0.0}, "fps", "1 to 1000 frames per second"),
        ({"fps": 1e-9}, "fps", "1 to 1000"),
        ({"fps": 1e300}, "fps", "1 to 1000"),
        ({"fps": float("nan")}, "fps", "1 to 1000"),
        ({"fps": "30"}, "fps", "got '30'"),
        ({"body_names": NAMES[:3]}, "body_names", "got 3 names; expected 4"),
        ({"body_names": 7}, "body_names", "got 7"),
        ({"body_names": ("hip", "thigh", "hip", "arm")}, "body_names[2]", "a name that no other"),
        ({"body_names": ("hip", "", "shin", "arm")}, "body_names[1]", "a name"),
        ({"parents": (0, 0, 1, 0)}, "parents[0]", "-1, the root"),
        ({"parents": (-1, 2, 1, 0)}, "parents[1]", "expected 0 to 0. Order the bodies"),
        ({"parents": (-1, -1, 1, 0)}, "parents[1]", "one root"),
        ({"parents": (-1.0, 0.0, 1.0, 0.0)}, "parents", "whole numbers"),
        ({"local_rotations": 2 * quats(6)}, "local_rotations", "length 2 in frame 0, body 'hip'"),
        ({"local_rotations": quats(1)}, "local_rotations", "got 1 frames; expected at least 2"),
        ({"local_rotations": quats(6)[..., :3]}, "local_rotations", "shape (6, 4, 3); expected (T, B, 4)"),
        ({"local_rotations": [[1, 2], [3]]}, "local_rotations", "numbers of shape"),
        ({"root_translation": np.zeros((5, 3))}, "root_translation", "shape (5, 3); expected (6, 3)"),
        ({"root_translation": NOT_FINITE}, "root_translation", "nan at [4, 2]"),
        ({"root_translation": NOT_FINITE.astype(object)}, "root_translation", "numbers"),
        ({"offsets": np.zeros((3, 3))}, "offsets", "expected (4, 3)"),
        ({"offsets": np.full((4, 3), 1e300)}, "offsets", "finite"),
        ({"offsets": np.zeros((4, 3))}, "offsets", "got zeros alone"),
        ({"offsets": np.full((4, 3), 1e7)}, "offsets", "got 1e+07 at [0, 0]; expected finite numbers of at most 1e+06"),
        ({"root_translation": np.full((6, 3), -1e30)}, "root_translation", "got -1e+30 at [0, 0]"),
        ({"licence": " "}, "licence", "how it may be used"),
    ],
)
def test_a_wrong_field_is_named(change, field, reason):
    with pytest.raises(MotionError) as error:
        Clip(**fields(**change))
    assert error.value.field == field
    assert reason in str(error.value)


def test_what_is_wrong_in_a_file_names_the_file(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, format=1, **fields(fps=-3.0))
    with pytest.raises(MotionError) as error:
        load_clip(path)
    assert str(error.value) == f"{path}: fps: got -3.0; expected 1 to 1000 frames per second."


def test_a_file_with_w_last_is_told(tmp_path):
    upright = np.tile([0.0, 0.0, 0.0, 1.0], (6, 4, 1))  # identity in xyzw
    np.savez(tmp_path / "c.npz", format=1, **fields(local_rotations=upright))
    with pytest.raises(MotionError, match=r"c\.npz: local_rotations: got most bodies half a .* Are these xyzw"):
        load_clip(tmp_path / "c.npz")


@pytest.mark.parametrize("key", ["format", "fps", "parents", "licence"])
def test_a_missing_array_is_named(tmp_path, key):
    content = {"format": 1, **fields()}
    del content[key]
    np.savez(tmp_path / "c.npz", **content)
    with pytest.raises(MotionError, match=rf"c\.npz: {key}: got only .*another program"):
        load_clip(tmp_path / "c.npz")


def test_unknown_arrays_and_versions_are_refused(tmp_path):
    np.savez(tmp_path / "c.npz", format=1, extra=3, **fields())
    with pytest.raises(MotionError, match="'extra': got an unknown array"):
        load_clip(tmp_path / "c.npz")
    np.savez(tmp_path / "c.npz", format=2, **fields())
    with pytest.raises(MotionError, match=r"format: got 2; expected 1 to 1\..*update manybody"):
        load_clip(tmp_path / "c.npz")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 and nothing more"])
def test_no_archive_is_refused(tmp_path, content):
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(MotionError, match=r"c\.npz: file: got"):
        load_clip(tmp_path / "c.npz")


def test_no_regular_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.npz"):
        with pytest.raises(MotionError, match=r"file: got (no such file|a folder)"):
            load_clip(path)


def with_array(path, content):
    """A clip whose ``fps.npy`` has other bytes."""
    np.savez(path, format=1, **fields())
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (entries | {"fps.npy": content}).items():
            archive.writestr(name, data)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap",)


def npy(array):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


def huge():
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy(np.array(Trap(), dtype=object)), "Object arrays"),
        (pickle.dumps(3.0), "b'"),
        (npy(np.array(3.0))[:-1], "damaged content"),
        (huge(), "damaged content"),
    ],
)
def test_nothing_is_unpickled_and_nothing_huge_is_allocated(tmp_path, monkeypatch, content, reason):
    monkeypatch.chdir(tmp_path)
    with_array("c.npz", content)
    with pytest.raises(MotionError, match=f"fps: got .*{reason}"):
        load_clip("c.npz")
    assert os.listdir(tmp_path) == ["c.npz"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    save_clip(tmp_path / "c.npz", make_clip())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_clip(tmp_path / "c.npz", make_clip(frames=9))
    assert os.listdir(tmp_path) == ["c.npz"]
    assert load_clip(tmp_path / "c.npz").frames == 6


def test_quoting_a_list_that_doubles_itself_stays_short():
    value = ["x"]
    for _ in range(100):
        value = [value, value]
    assert len(shown(value)) <= 80
