import math

import numpy as np
import pytest
import torch
from toy_motion import NAMES, OFFSETS, PARENTS, make_clip

from manybody.config.errors import ManybodyError
from manybody.functional.kinematics import forward_kinematics
from manybody.functional.rotations import angular_velocity
from manybody.motion.bundled import find_motion
from manybody.motion.clip import save_clip
from manybody.motion.errors import MotionError
from manybody.motion.library import MotionLib


def one(lib, motion, time):
    return lib.state(torch.tensor([motion]), torch.tensor([time]))


def slerp(first, second, blend):
    """The shorter arc (Shoemake 1985): (sin((1 - t) a) p + sin(t a) q) / sin(a) with cos(a) = p.q, q's sign flipped to
    make that positive."""
    cosine = (first * second).sum(-1, keepdim=True)
    angle = cosine.abs().acos()
    second = cosine.sign() * second
    return (((1 - blend) * angle).sin() * first + (blend * angle).sin() * second) / angle.sin()


def test_between_two_frames_by_hand():
    # The root goes from x = 0 to x = 1 in 0.5 s and turns by 90 degrees about z: after 0.2 s (blend 0.4) it is at
    # 0.4 and has turned by 36 degrees, with 2 m/s and pi rad/s. Body 1, which hangs 0.1 m in y, lies at
    # (0.4 - 0.1 sin 36, 0.1 cos 36).
    rotations = np.zeros((2, 4, 4))
    rotations[..., 0] = 1.0
    rotations[1, 0] = [math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]
    clip = make_clip(2, fps=2.0, local_rotations=rotations, root_translation=np.array([[0.0, 0, 1], [1, 0, 1]]))
    state = one(MotionLib([clip]), 0, 0.2)
    angle = math.radians(36)
    torch.testing.assert_close(state.root_position, torch.tensor([[0.4, 0.0, 1.0]]))
    torch.testing.assert_close(
        state.local_rotations[:, 0], torch.tensor([[math.cos(angle / 2), 0, 0, math.sin(angle / 2)]])
    )
    torch.testing.assert_close(state.root_velocity, torch.tensor([[2.0, 0.0, 0.0]]))
    torch.testing.assert_close(state.local_velocities[:, 0], torch.tensor([[0.0, 0.0, math.pi]]))
    thigh = torch.tensor([0.4 - 0.1 * math.sin(angle), 0.1 * math.cos(angle), 1.0])
    pose = forward_kinematics(PARENTS, torch.tensor(OFFSETS), state.root_position, state.local_rotations)
    torch.testing.assert_close(pose.positions[0, 1], thigh)


def test_every_frame_is_met_and_between_them_lies_the_slerp():
    clips = [make_clip(6, seed=1), make_clip(4, seed=2, fps=25.0)]
    lib = MotionLib(clips)
    for motion, clip in enumerate(clips):
        rotations, roots = torch.tensor(clip.local_rotations), torch.tensor(clip.root_translation)
        for frame in range(clip.frames - 1):
            state = one(lib, motion, (frame + 0.3) / clip.fps)
            expected = slerp(rotations[frame], rotations[frame + 1], 0.3)
            sign = (state.local_rotations[0] * expected).sum(-1, keepdim=True).sign()
            torch.testing.assert_close(sign * state.local_rotations[0], expected, atol=1e-5, rtol=0)
            expected = torch.lerp(roots[frame], roots[frame + 1], 0.3)
            torch.testing.assert_close(state.root_position[0], expected, atol=1e-5, rtol=0)
        last = one(lib, motion, clip.length)
        torch.testing.assert_close(last.root_position[0], roots[-1], atol=1e-5, rtol=0)
        same = (last.local_rotations[0] * rotations[-1]).sum(-1).abs()
        torch.testing.assert_close(same, torch.ones(4), atol=1e-5, rtol=0)


def test_velocities_are_finite_differences_of_the_pose():
    lib = MotionLib([make_clip(8, seed=3), make_clip(5, seed=4, fps=12.0)])
    motions = torch.tensor([0, 0, 0, 1, 1])
    times = torch.tensor([0.05, 0.33, 0.64, 0.4 / 12, 3.5 / 12])  # not within 2 ms of a frame
    h = 2e-3
    before, state, after = (lib.state(motions, times + x) for x in (-h, 0.0, h))
    near = {"atol": 2e-3, "rtol": 1e-3}  # float32: 1e-7 of a length of some metres, by 2 h
    torch.testing.assert_close(state.root_velocity, (after.root_position - before.root_position) / (2 * h), **near)
    local = angular_velocity(before.local_rotations, after.local_rotations, 2 * h)
    torch.testing.assert_close(state.local_velocities, local, **near)


def test_outside_of_a_clip_its_ends_stay():
    clip = make_clip()
    lib = MotionLib([clip])
    early, late = one(lib, 0, -0.7), one(lib, 0, 9.0)
    torch.testing.assert_close(early.root_position[0], torch.tensor(clip.root_translation[0]))
    torch.testing.assert_close(late.root_position[0], torch.tensor(clip.root_translation[-1]))


def test_clips_are_drawn_by_weight_and_never_without_one():
    lib = MotionLib([make_clip() for _ in range(4)], weights=[3, 0, 1, 0])
    drawn, _ = lib.sample(20_000, torch.Generator().manual_seed(0))
    share = torch.bincount(drawn, minlength=4) / 20_000
    assert share[1] == share[3] == 0
    assert share[0].item() == pytest.approx(0.75, abs=0.015)  # 5 deviations: sqrt(0.75 * 0.25 / 20000) = 0.003
    torch.testing.assert_close(lib.weights, torch.tensor([0.75, 0.0, 0.25, 0.0]))


def test_times_are_drawn_evenly_after_the_history():
    lib = MotionLib([make_clip(11), make_clip(2)])  # 1.0 s and 0.1 s
    motions, times = lib.sample(10_000, torch.Generator().manual_seed(0), history=0.2)
    long, short = times[motions == 0], times[motions == 1]
    assert 0.2 <= long.min() < 0.21 and 0.99 < long.max() <= 1.0
    assert long.mean().item() == pytest.approx(0.6, abs=0.02)
    assert (short == lib.lengths[1]).all()


def test_a_generator_decides_everything():
    lib = MotionLib([make_clip(), make_clip(9)])
    (first, times), (again, same) = (lib.sample(50, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again) and torch.equal(times, same)


def test_nothing_needs_values_on_the_host():
    """The meta device has shapes and no values: reading one fails."""
    lib = MotionLib([make_clip(), make_clip(9)], device="meta")
    motions, times = lib.sample(7)
    state = lib.state(motions, times)
    assert state.local_rotations.shape == (7, 4, 4) and state.local_rotations.is_meta


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"offsets": None}, r"clips\[1\]\.offsets: got none"),
        (
            {"body_names": (*NAMES[:3], "tail")},
            r"clips\[1\]\.body_names: got 'tail'; expected 'arm'\. .*retarget",
        ),
        ({"parents": (-1, 0, 0, 0)}, r"clips\[1\]\.parents\[2\]: got 0; expected 1\."),
    ],
)
def test_clips_of_different_skeletons_do_not_mix(change, reason):
    with pytest.raises(MotionError, match=reason):
        MotionLib([make_clip(), make_clip(**change)])


@pytest.mark.parametrize(
    ("names", "parents", "reason"),
    [
        ((*NAMES, "tail"), (*PARENTS, 0), r"body_names: got no other body; expected 'tail'\."),
        (NAMES[:3], PARENTS[:3], r"body_names: got 'arm'; expected no other body\."),
        ("abcdef", range(-1, 5), r"got 'hip', .* 'arm'; expected 'a', 'b', 'c', 'd' and 2 more\."),
        (("hip", "thigh", "arm", "shin"), PARENTS, r"body_names\[2\]: got 'shin'; expected 'arm'\."),
        (NAMES, (-1, 0, 1, 1), r"parents\[3\]: got 0; expected 1\."),
    ],
)
def test_what_differs_from_the_body_is_told_with_the_file(tmp_path, names, parents, reason):
    save_clip(tmp_path / "a.npz", make_clip())
    lib = MotionLib.load(tmp_path / "a.npz")
    lib.check_skeleton(NAMES, PARENTS)
    with pytest.raises(MotionError, match=rf"a\.npz: .*{reason} Retarget"):
        lib.check_skeleton(names, parents)


def test_a_clip_in_centimetres_is_told(tmp_path):
    save_clip(tmp_path / "a.npz", make_clip(offsets=100 * np.array(OFFSETS)))
    lib = MotionLib.load(tmp_path / "a.npz")
    with pytest.raises(MotionError, match=r"a\.npz: offsets: got a skeleton 100 times as large .*scale offs"):
        lib.check_size(torch.tensor(OFFSETS))
    lib.check_size(30 * torch.tensor(OFFSETS))  # 3.3 times as large: a child imitates a grown-up


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, math.inf], [math.nan, 1.0]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(MotionError, match="weights"):
        MotionLib([make_clip(), make_clip()], weights)


def test_no_clips_are_refused():
    with pytest.raises(MotionError, match="at least one"):
        MotionLib([])


def test_one_file_several_files_or_a_weighted_list(tmp_path):
    (tmp_path / "clips").mkdir()
    paths = [tmp_path / "clips" / name for name in ("walk.npz", "run.npz")]
    for path, frames in zip(paths, (3, 5), strict=True):
        save_clip(path, make_clip(frames))
    listing = tmp_path / "all.yaml"
    listing.write_text("motions:\n- {file: clips/walk.npz, weight: 3e-1}\n- file: clips/run.npz\n")
    assert len(MotionLib.load(str(paths[0]))) == 1
    torch.testing.assert_close(MotionLib.load(paths).weights, torch.tensor([0.5, 0.5]))
    lib = MotionLib.load(listing)
    torch.testing.assert_close(lib.weights, torch.tensor([0.3, 1.0]) / 1.3)
    torch.testing.assert_close(lib.lengths, torch.tensor([0.2, 0.4]))


def test_a_list_takes_shipped_clips_by_name_and_files_beside_it(tmp_path):
    save_clip(tmp_path / "mine.npz", make_clip(3))
    (tmp_path / "one.yaml").write_text("motions: [{file: walk, weight: 3}, {file: run}]")
    lib = MotionLib.load(tmp_path / "one.yaml")
    assert lib.source == find_motion("walk")
    torch.testing.assert_close(lib.weights, torch.tensor([0.75, 0.25]))
    (tmp_path / "two.yaml").write_text("motions: [{file: mine.npz}]")
    assert MotionLib.load(tmp_path / "two.yaml").source == tmp_path / "mine.npz"
    (tmp_path / "three.yaml").write_text("motions: [{file: wlak}]")
    with pytest.raises(MotionError, match=r"three\.yaml: file: got no clip 'wlak'"):
        MotionLib.load(tmp_path / "three.yaml")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("motions: [", ":1: not valid YAML"),
        ("- walk.npz", ":1: the file holds a list; expected"),
        ("motions: []", "clips: got none; expected at least one"),
        ("motions: [walk.npz]", r":1\): got 'walk.npz'; expected a block"),
        ("motions: [{file: a.npz, wieght: 1}]", r":1\): unknown key; did you mean 'weight'"),
        ("motions: [{file: ''}]", r":1\): got ''; expected text that is not empty"),
        ("motions: [{file: a.npz, weight: -1}]", r":1\): got -1; expected a number of at least 0"),
        ("motions: [{file: a.npz, weight: yes}]", r":1\): got True; expected a number"),
        (
            "motions: [{file: walk}]\nmotions: [{file: run}]",
            ":2: the key 'motions' is there twice, first in line 1",
        ),
        ("motions: [{file: walk, weight: 1, weight: 3}]", ":1: the key 'weight' is there twice"),
        ("motions: !!python/object/apply:os.getcwd []", ":1: the tag .* is not allowed"),
    ],
)
def test_a_broken_list_says_where(tmp_path, text, reason):
    (tmp_path / "all.yaml").write_text(text)
    with pytest.raises(ManybodyError, match=rf"all\.yaml(: )?{reason}"):
        MotionLib.load(tmp_path / "all.yaml")


def test_the_clip_that_does_not_fit_is_named(tmp_path):
    save_clip(tmp_path / "a.npz", make_clip())
    for change in ({"offsets": None}, {"parents": (-1, 0, 0, 0)}):
        save_clip(tmp_path / "b.npz", make_clip(**change))
        with pytest.raises(MotionError, match=r"b\.npz: (offsets|parents\[2\]): got"):
            MotionLib.load([tmp_path / "a.npz", tmp_path / "b.npz"])


def test_a_listed_file_that_is_missing_is_named(tmp_path):
    (tmp_path / "all.yaml").write_text("motions: [{file: gone.npz}]")
    with pytest.raises(MotionError, match=r"gone\.npz: file: got no such file"):
        MotionLib.load(tmp_path / "all.yaml")
