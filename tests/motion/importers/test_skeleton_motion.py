import collections
import os

import numpy as np
import pytest
from toy_motion import NAMES, OFFSETS, PARENTS, quats

from manybody.motion.errors import MotionError
from manybody.motion.importers import read_motion


def poselib(array):
    return {"arr": np.asarray(array), "context": {"dtype": str(np.asarray(array).dtype)}}


def content(**changes):
    """What IsaacGymEnvs writes: xyzw, so w is the last column."""
    tree = {
        "node_names": list(NAMES),
        "parent_indices": poselib(PARENTS),
        "local_translation": poselib(np.array(OFFSETS, dtype=np.float32)),
    }
    fields = {
        "rotation": poselib(quats(5)[..., [1, 2, 3, 0]].astype(np.float32)),
        "root_translation": poselib(np.arange(15.0).reshape(5, 3)),
        "global_velocity": poselib(np.zeros((5, 4, 3))),
        "global_angular_velocity": poselib(np.zeros((5, 4, 3))),
        "skeleton_tree": collections.OrderedDict(tree | changes.pop("tree", {})),
        "is_local": True,
        "fps": 60,
        "__name__": "SkeletonMotion",
    }
    return collections.OrderedDict(fields | changes)


def written(path, value):
    np.save(path, np.array(value, dtype=object), allow_pickle=True)
    return path


def test_a_motion_becomes_a_clip(tmp_path):
    clip = read_motion(written(tmp_path / "walk.npy", content()))
    assert (clip.fps, clip.body_names, clip.parents) == (60.0, NAMES, PARENTS)
    np.testing.assert_allclose(clip.local_rotations, quats(5), atol=1e-6)
    np.testing.assert_array_equal(clip.root_translation[1], [3.0, 4.0, 5.0])
    np.testing.assert_allclose(clip.offsets, OFFSETS, atol=1e-7)
    assert "not stated" in clip.licence


def test_numbers_of_numpy_and_bare_arrays_are_read(tmp_path):
    value = content(fps=np.int64(30), root_translation=np.zeros((5, 3)))
    clip = read_motion(written(tmp_path / "w.npy", value))
    assert clip.fps == 30.0
    assert read_motion(written(tmp_path / "w.npy", content(fps=np.array(60, np.int32)))).fps == 60.0  # as published


def test_a_motion_that_shows_every_frame_twice_comes_out_at_its_true_rate(tmp_path):
    turned, moved = (content()[key]["arr"].repeat(2, axis=0) for key in ("rotation", "root_translation"))
    value = content(rotation=poselib(turned), root_translation=poselib(moved))
    clip = read_motion(written(tmp_path / "w.npy", value))
    assert (clip.fps, clip.frames) == (30.0, 5)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap",)


def test_a_malicious_file_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in (content(fps=Trap()), Trap()):
        written("evil.npy", value)
        with pytest.raises(MotionError, match=r"evil\.npy: file: got the name '.*mkdir'.*nothing.*was run"):
            read_motion("evil.npy")
    assert os.listdir(tmp_path) == ["evil.npy"]


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"is_local": False}, "is_local", "local rotations"),
        ({"fps": 0}, "fps", "1 to 1000 frames"),
        ({"rotation": poselib(np.zeros((5, 4, 3)))}, "rotation", r"shape \(5, 4, 3\)"),
        ({"rotation": poselib(np.zeros((5, 4, 4)))}, "rotation", "length 0 .* body 'hip'.* xyzw order"),
        ({"root_translation": {"arr": [1.0]}}, "root_translation", "an array"),
        ({"root_translation": poselib(np.zeros((4, 3)))}, "root_translation", r"expected \(5, 3\)"),
        ({"skeleton_tree": "none"}, "skeleton_tree", "a dict"),
        ({"tree": {"node_names": "hip"}}, "skeleton_tree.node_names", "4 names"),
        (
            {"tree": {"parent_indices": poselib([-1, 2, 1, 0])}},
            "skeleton_tree.parent_indices[1]",
            "expected 0 to 0",
        ),
    ],
)
def test_a_wrong_field_is_named(tmp_path, changes, field, reason):
    path = written(tmp_path / "bad.npy", content(**changes))
    with pytest.raises(MotionError, match=reason) as error:
        read_motion(path)
    assert error.value.field == field and error.value.path == path


@pytest.mark.parametrize("key", ["rotation", "root_translation", "skeleton_tree", "is_local", "fps"])
def test_a_missing_field_is_named(tmp_path, key):
    value = content()
    del value[key]
    with pytest.raises(MotionError, match=rf"{key}: got only .*SkeletonMotion"):
        read_motion(written(tmp_path / "bad.npy", value))


def test_other_arrays_and_damaged_files_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(3))
    with pytest.raises(MotionError, match="an array of float64"):
        read_motion(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(MotionError, match="a damaged header"):
        read_motion(path)
    whole = written(path, content()).read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(MotionError, match="damaged pickle"):
        read_motion(path)
    written(path, "a text")
    with pytest.raises(MotionError, match="a dict of fields"):
        read_motion(path)


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(MotionError, match=r"got the ending '\.fbx', Autodesk's FBX; expected \.npz of this"):
        read_motion(tmp_path / "walk.fbx")
