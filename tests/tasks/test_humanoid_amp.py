"""HumanoidAMP: the body, what it sees, where it begins and when it has fallen."""

import math

import mujoco
import numpy as np
import pytest
import torch

from manybody.envs.base import EnvError
from manybody.functional.rotations import quat_exp, quat_multiply, quat_to_matrix
from manybody.motion.errors import MotionError
from manybody.motion.skeletons import AMP_HUMANOID
from manybody.tasks import make
from manybody.tasks.articulation import Articulation
from manybody.tasks.base import ASSETS
from manybody.tasks.humanoid_amp import (
    PDTargets,
    heading_inverse,
    pose_observations,
    seen_from_root,
    tan_norm,
)


def task(num_envs=4, sim=None, seed=0, **env):
    return make("HumanoidAMP", num_envs=num_envs, seed=seed, cfg={"env": env, "sim": sim or {}})


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_path(str(ASSETS / "humanoid_amp.xml"))


def place(model, joint):
    return int(model.joint(joint).qposadr[0])


def stand(env, **joints):
    """Every environment upright, in the air at 2 m unless ``height`` says otherwise, at rest; joints by their qpos."""
    qpos = torch.tensor(env.sim.model.qpos0, dtype=torch.float32).repeat(env.num_envs, 1)
    qpos[:, 2] = joints.pop("height", 2.0)
    for joint, value in joints.items():
        value = torch.as_tensor(value).reshape(-1)
        first = place(env.sim.model, joint)
        qpos[:, first : first + len(value)] = value
    everywhere = torch.ones(env.num_envs, dtype=torch.bool)
    env.sim.reset(everywhere, qpos, torch.zeros_like(env.sim.qvel))
    return env.compute_observations()


# --- the body --------------------------------------------------------------------------------------------------------


def test_the_body_is_the_skeleton_of_the_clips(model):
    body = Articulation(model, torch.device("cpu"))
    assert body.body_names == AMP_HUMANOID.names and body.parents == AMP_HUMANOID.parents
    np.testing.assert_allclose(body.offsets[1:], AMP_HUMANOID.offsets[1:], atol=1e-6)
    assert model.body_subtreemass[1] == pytest.approx(48.89, abs=0.01)
    box = model.geom("right_foot")
    np.testing.assert_allclose(box.pos, AMP_HUMANOID.sole_centre)
    np.testing.assert_allclose(box.size, AMP_HUMANOID.sole_half)
    for name, limits in AMP_HUMANOID.hinges.items():
        joint = model.body(name).jntadr[0]
        np.testing.assert_allclose(model.jnt_range[joint], limits, atol=1e-9)


def test_action_i_drives_degree_of_freedom_i(model):
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    moment = np.zeros((model.nu, model.nv))
    mujoco.mju_sparse2dense(moment, data.actuator_moment, data.moment_rownnz, data.moment_rowadr, data.moment_colind)
    np.testing.assert_allclose(moment, np.eye(28, 34, 6), atol=1e-12)


def test_a_balls_actuators_measure_its_rotation_vector_and_hinges_would_not(model):
    vector = np.array([0.3, -0.5, 0.8])  # 0.99 rad, below a half turn
    data = mujoco.MjData(model)
    quat = quat_exp(torch.tensor(vector))
    first = place(model, "right_hip")
    data.qpos[first : first + 4] = quat
    mujoco.mj_forward(model, data)
    names = ("right_hip_x", "right_hip_y", "right_hip_z")
    lengths = [data.actuator_length[model.actuator(name).id] for name in names]
    np.testing.assert_allclose(lengths, vector, atol=1e-9)
    # Three hinges at the same numbers turn about x, then about the new y, then about the new z: 0.24 rad elsewhere.
    turns = [quat_exp(torch.tensor(axis * angle)) for axis, angle in zip(np.eye(3), vector, strict=True)]
    euler = quat_multiply(quat_multiply(turns[0], turns[1]), turns[2])
    assert 2 * math.acos(abs(float(euler @ quat))) > 0.2


def test_gains_act_and_no_spring_pulls_to_the_rest_pose(model):
    # kp (target - angle): 300 N m/rad at the knee, 0.1 rad off. Passive forces of a body at rest: none.
    data = mujoco.MjData(model)
    knee = model.actuator("right_knee").id
    data.ctrl[knee] = 0.1
    data.qpos[place(model, "left_knee")] = 0.5
    mujoco.mj_forward(model, data)
    assert data.actuator_force[knee] == pytest.approx(30.0)
    assert not data.qfrc_passive.any()


def test_targets_of_hinges_and_of_balls():
    env = task(1)
    targets = PDTargets(env.sim.model, torch.device("cpu"))
    names = [env.sim.model.actuator(i).name for i in range(28)]
    action = torch.zeros(1, 28)
    action[0, names.index("right_knee")] = 1.0  # 80 + 0.7 * 160 = 192 degrees
    action[0, names.index("left_knee")] = -0.5  # 80 - 56 = 24
    action[0, names.index("right_ankle_y")] = 0.1  # 0.1 pi = 18 degrees
    action[0, names.index("neck_x")] = 0.6  # 108 degrees, beyond its 60: shortened to them
    action[0, names.index("neck_z")] = 0.8
    result = dict(zip(names, torch.rad2deg(targets(action))[0].tolist(), strict=True))
    assert result["right_knee"] == pytest.approx(192, abs=1e-3)
    assert result["left_knee"] == pytest.approx(24, abs=1e-3)
    assert result["right_ankle_y"] == pytest.approx(18, abs=1e-3)
    assert (result["neck_x"], result["neck_y"], result["neck_z"]) == pytest.approx((36, 0, 48), abs=1e-3)


# --- what it sees ----------------------------------------------------------------------------------------------------


def test_an_observation_by_hand():
    env = task(1)
    seen = stand(env, right_knee=0.7, height=1.5)[0]
    upright = torch.tensor([1.0, 0, 0, 0, 0, 1])
    assert seen[0] == 1.5 and torch.equal(seen[1:7], upright) and (seen[7:13] == 0).all()
    joints = [upright] * 3 + [torch.zeros(1)] + [upright] + [torch.zeros(1)]  # trunk, neck, arms with elbows
    joints += [upright, torch.tensor([0.7]), upright, upright, torch.zeros(1), upright]
    torch.testing.assert_close(seen[13:65], torch.cat(joints))
    assert (seen[65:93] == 0).all()
    # Hands: 0.236151 + 0.2435 - 0.274788 - 0.258947 below the pelvis; the right shin is turned back by 0.7 rad.
    hand = (-0.02405, 0.18311, -0.054084)
    back, down = 0.40987 * math.sin(0.7), 0.421546 + 0.40987 * math.cos(0.7)
    expected = [hand[0], -hand[1], hand[2], *hand, -back, -0.084887, -down, 0, 0.084887, -0.831416]
    torch.testing.assert_close(seen[93:], torch.tensor(expected), atol=1e-5, rtol=0)


def test_velocities_and_bodies_are_seen_from_the_heading():
    """Turned by 90 degrees about z and then pitched: walking along world y is walking forward."""
    env = task(1, localRootObs=True)
    pitch = quat_exp(torch.tensor([0.0, 0.4, 0.0]))
    turned = quat_multiply(quat_exp(torch.tensor([0.0, 0.0, math.pi / 2])), pitch)
    qpos = torch.tensor(env.sim.model.qpos0, dtype=torch.float32).repeat(1, 1)
    qpos[0, 3:7] = turned
    qvel = torch.zeros(1, 34)
    qvel[0, 1], qvel[0, 3] = 2.0, 1.0  # 2 m/s along world y; 1 rad/s about the pelvis' own x
    env.sim.reset(torch.ones(1, dtype=torch.bool), qpos, qvel)
    seen = env.compute_observations()[0]
    torch.testing.assert_close(seen[1:7], tan_norm(pitch), atol=1e-6, rtol=0)
    torch.testing.assert_close(seen[7:10], torch.tensor([2.0, 0, 0]), atol=1e-6, rtol=0)
    spin = torch.tensor([math.cos(0.4), 0.0, -math.sin(0.4)])
    torch.testing.assert_close(seen[10:13], spin, atol=1e-6, rtol=0)
    straight = task(1, localRootObs=True)
    qpos[0, 3:7] = pitch
    straight.sim.reset(torch.ones(1, dtype=torch.bool), qpos, qvel)
    torch.testing.assert_close(straight.compute_observations()[0, 93:], seen[93:], atol=1e-5, rtol=0)


def test_heading_and_tan_norm_by_hand():
    turned = quat_exp(torch.tensor([[0.0, 0.0, math.pi / 2]]))
    torch.testing.assert_close(tan_norm(turned), torch.tensor([[0.0, 1, 0, 0, 0, 1]]), atol=1e-6, rtol=0)
    back = quat_multiply(heading_inverse(turned), turned)
    torch.testing.assert_close(quat_to_matrix(back)[0], torch.eye(3), atol=1e-6, rtol=0)


def test_bodies_lie_where_mujoco_has_them():
    env = task(3, seed=2)
    data = mujoco.MjData(env.sim.model)
    env.compute_observations()
    for row in range(3):
        data.qpos[:] = env.sim.qpos[row]
        mujoco.mj_kinematics(env.sim.model, data)
        np.testing.assert_allclose(env.pose.positions[row], data.xpos[1:], atol=1e-5)


# --- where it begins, what the discriminator sees --------------------------------------------------------------------


def test_an_episode_begins_in_the_clip_with_its_past():
    env = task(6)
    env.seed(5)
    seen = env.reset()["obs"]
    assert torch.equal(env.history[:, 0], seen)
    torch.testing.assert_close(env.compute_observations(), seen, atol=1e-5, rtol=1e-5)
    assert len(seen[:, 0].unique()) == 6  # everybody elsewhere
    # The same draw again, one step earlier.
    motions, times = env.motions.sample(6, torch.Generator().manual_seed(5), history=env.dt)
    past = env.body.coordinates(env.motions.state(motions, times - env.dt))
    before, _ = pose_observations(env.body, *past, env.key_bodies, local_root=False)
    torch.testing.assert_close(env.history[:, 1], before, atol=1e-5, rtol=1e-5)


def test_the_history_moves_on_newest_first_and_survives_the_end_of_an_episode():
    env = task(2, episodeLength=2, numAMPObsSteps=3)
    before = env.history
    step = env.step(torch.zeros(2, 28))
    shown = step.extras["amp_obs"].unflatten(1, (3, 105))
    assert torch.equal(shown[:, 0], step.obs["obs"]) and torch.equal(shown[:, 1:], before[:, :2])
    last = env.step(torch.zeros(2, 28))
    assert last.truncated.all()
    shown = last.extras["amp_obs"].unflatten(1, (3, 105))
    assert torch.equal(shown[:, 0], last.final_obs["obs"]) and torch.equal(shown[:, 1], step.obs["obs"])
    assert torch.equal(env.history[:, 0], last.obs["obs"])


def test_demonstrations_are_the_clips_own_observations():
    env = task(2)
    demos = env.fetch_amp_obs_demo(64)
    assert demos.shape == (64, 210) and env.get_env_info()["amp_observation_space"].shape == (210,)
    assert demos.isfinite().all() and (demos[:, 0] > 0.8).all() and (demos[:, 0] < 0.9).all()  # walk's pelvis
    newest, before = demos.unflatten(1, (2, 105)).unbind(1)
    # Forward at some 1.2 m/s; heights change by less than 1 cm in a step.
    assert 1.0 < newest[:, 7].mean() < 1.5 and (newest[:, 0] - before[:, 0]).abs().max() < 0.01


@pytest.mark.parametrize(("how", "standing"), [("Default", 8), ("Start", 0), ("Random", 0), ("Hybrid", range(1, 8))])
def test_ways_to_begin(how, standing):
    env = task(8, stateInit=how)
    env.reset()
    stood = (env.sim.qpos[:, 2] == 0.89).sum().item()
    assert stood in standing if isinstance(standing, range) else stood == standing
    if how == "Default":  # arms out, at rest, the past like the present
        assert (env.sim.qvel == 0).all() and torch.equal(env.history[:, 0], env.history[:, 1])
        env.compute_observations()
        hands = env.pose.positions[0, [5, 8], 1] - env.pose.positions[0, [3, 6], 1]
        torch.testing.assert_close(hands, torch.tensor([-0.533735, 0.533735]), atol=1e-5, rtol=0)
    if how == "Start":
        assert torch.equal(env.sim.qpos, env.sim.qpos[:1].expand(8, -1))


# --- when it has fallen ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pose", "height", "fallen"),
    [
        ({}, 0.0, False),  # standing: only the soles touch
        ({"right_knee": 2.0, "left_knee": 2.0}, -0.02, True),  # on its knees
        ({"right_knee": 2.0, "left_knee": 2.0}, 0.02, False),
    ],
)
def test_a_touch_of_the_floor_is_mujocos_contact(pose, height, fallen):
    env = task(1)
    # From the hips down to the soles; to the upper ends of the shins' capsules, 5 cm thick, beyond the horizontal.
    knees = 0.421546 + 0.05 + 0.045 * math.cos(2.0) if pose else 0.881416
    stand(env, height=knees + height if pose else knees, **pose)
    assert env.floor.fallen(env.pose, 0.5).item() is fallen
    assert env.floor.fallen(env.pose, 0.0).item() is False  # no body's origin is that low
    data = mujoco.MjData(env.sim.model)
    data.qpos[:] = env.sim.qpos[0]
    mujoco.mj_forward(env.sim.model, data)
    geoms = {env.sim.model.geom(contact.geom2).name for contact in data.contact[: data.ncon]}
    assert ("right_shin" in geoms) is fallen


def test_a_fall_ends_the_episode_after_the_first_step_unless_told_otherwise():
    for early in (True, False):
        env = task(1, enableEarlyTermination=early)
        lying = quat_exp(torch.tensor([0.0, math.pi / 2, 0.0]))
        stand(env, height=0.1, root=torch.cat((torch.tensor([0.0, 0.0, 0.1]), lying)))
        env.progress_buf.zero_()
        steps = [env.step(torch.zeros(1, 28)).terminated.item() for _ in range(2)]
        assert steps == [False, early]


def test_hands_may_touch_where_they_are_contact_bodies():
    everything = AMP_HUMANOID.names
    for bodies, fallen in ((set(everything) - {"right_hand"}, True), (everything, False)):
        env = task(1, contactBodies=list(bodies))
        for height, touches in (
            (0.084, fallen),
            (0.104, False),
        ):  # hands: 0.054 below the pelvis, 0.04 m thick
            stand(env, height=height)
            assert env.floor.fallen(env.pose, 0.5).item() is touches


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "error", "told"),
    [
        ({"contactBodies": ["foot"]}, EnvError, "no body 'foot'; the bodies are pelvis"),
        ({"motion_file": "wlak"}, MotionError, "^task.env.motion_file: got no clip 'wlak'.*mean 'walk'"),
        (
            {"motion_file": "gone.npy"},
            MotionError,
            "^task.env.motion_file: gone.npy: .*=FILE, also to play",
        ),
        ({"pdControl": False}, ValueError, "pdControl"),
        ({"numAMPObsSteps": 1}, ValueError, "numAMPObsSteps"),
        ({"numAMPObsSteps": 999}, EnvError, "999 observations span 33.1 s, but the shortest clip lasts"),
        ({"stateInit": "Anywhere"}, ValueError, "stateInit"),
    ],
)
def test_what_is_refused(env, error, told):
    with pytest.raises(error, match=told):
        task(1, **env)


def test_a_clip_of_another_skeleton_is_refused(tmp_path):
    from toy_motion import make_clip

    from manybody.motion.clip import save_clip

    save_clip(tmp_path / "toy.npz", make_clip())
    with pytest.raises(MotionError, match=r"body_names: got .*thigh.*expected .*pelvis.*Retarget"):
        task(1, motion_file=str(tmp_path / "toy.npz"))


def test_a_clip_in_centimetres_is_refused(tmp_path):
    import dataclasses

    from manybody.motion.bundled import find_motion
    from manybody.motion.clip import load_clip, save_clip

    walk = load_clip(find_motion("walk"))
    sizes = {"offsets": 100 * walk.offsets, "root_translation": 100 * walk.root_translation}
    save_clip(tmp_path / "cm.npz", dataclasses.replace(walk, **sizes))
    with pytest.raises(MotionError, match=r"motion_file: .*cm\.npz: offsets: got a skeleton 100 times"):
        task(1, motion_file=str(tmp_path / "cm.npz"))


def test_a_motion_is_the_same_whichever_way_it_goes():
    env = task(num_envs=1, motion_file="walk")
    (clip,) = env.reference_positions()
    state = env.motions.state(torch.zeros(len(clip), dtype=torch.long), torch.arange(len(clip)) * env.dt)
    qpos, _ = env.body.coordinates(state)
    left = torch.tensor([0.5, 0.5]).sqrt()  # a quarter turn about z
    qpos[:, 3:7] = quat_multiply(torch.tensor([left[0], 0.0, 0.0, left[1]]), qpos[:, 3:7])
    turned = env.body.pose(qpos, env.body.local_rotations(qpos))
    torch.testing.assert_close(seen_from_root(turned), clip, atol=1e-5, rtol=0)
    away = turned.positions - turned.positions[:, :1]
    assert (away - clip).norm(dim=-1).mean() > 0.1
