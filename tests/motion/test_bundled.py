from pathlib import Path

import pytest

from manybody.motion.bundled import bundled_clips, find_motion, with_absolute_paths
from manybody.motion.errors import MotionError
from manybody.motion.library import MotionLib


def test_shipped_clips_are_found_by_name():
    assert set(bundled_clips()) >= {"walk", "run", "crouch_walk", "march", "hop"}
    lib = MotionLib.load(["walk", "run"])
    assert len(lib) == 2 and find_motion("walk").name == "walk.npz"


def test_a_file_of_that_name_comes_first_and_other_paths_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "walk").write_text("")
    assert find_motion("walk") == Path("walk")
    assert str(find_motion("folder/clip")) == "folder/clip"


def test_a_folder_of_that_name_is_no_clip(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "walk").mkdir()
    assert find_motion("walk").name == "walk.npz"


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(MotionError, match=r"no clip 'wlak'.*crouch_walk.*walk\. Did you mean 'walk'\?"):
        find_motion("wlak")
    with pytest.raises(MotionError, match=r"crouch_walk.*walk\.$"):
        find_motion("zzz")


def test_a_record_of_files_does_not_depend_on_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert with_absolute_paths("walk") == "walk"
    assert with_absolute_paths(("run", "my/dance.npz")) == ["run", str(tmp_path / "my" / "dance.npz")]
    (tmp_path / "walk").touch()
    assert with_absolute_paths("walk") == str(tmp_path / "walk")
