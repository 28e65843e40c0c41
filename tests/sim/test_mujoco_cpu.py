from pathlib import Path

import mujoco
import pytest
import torch

from manybody.sim.base import make_simulation
from manybody.tasks.base import ASSETS


@pytest.fixture
def model():
    return mujoco.MjModel.from_xml_path(str(ASSETS / "ant.xml"))


def simulation(model, num_envs=4, **kwargs):
    sim = make_simulation(model, num_envs, **kwargs)
    qpos = torch.tensor(model.qpos0, dtype=torch.float32).repeat(num_envs, 1)
    sim.reset(torch.ones(num_envs, dtype=torch.bool), qpos, torch.zeros(num_envs, model.nv))
    return sim


def random_controls(sim, seed):
    sim.ctrl.copy_(2 * torch.rand(sim.ctrl.shape, generator=torch.Generator().manual_seed(seed)) - 1)


def test_agrees_with_a_single_mujoco_world(model):
    sim = simulation(model)
    data = mujoco.MjData(model)
    data.qpos[:] = sim.qpos[2].numpy()  # the start, rounded to float32
    for seed in range(5):
        random_controls(sim, seed)
        sim.step(2)
        data.ctrl[:] = sim.ctrl[2].numpy()
        mujoco.mj_step(model, data, nstep=2)
    # float32 controls are exact in float64, so both worlds agree to the last bit; only then are they rounded.
    torch.testing.assert_close(sim.qpos[2], torch.tensor(data.qpos, dtype=torch.float32), atol=0, rtol=0)
    torch.testing.assert_close(sim.qvel[2], torch.tensor(data.qvel, dtype=torch.float32), atol=0, rtol=0)
    torch.testing.assert_close(sim.sensordata[2], torch.tensor(data.sensordata, dtype=torch.float32), atol=0, rtol=0)


def test_number_of_threads_changes_nothing(model):
    one, two = simulation(model, 16, num_threads=1), simulation(model, 16, num_threads=2)
    for seed in range(10):
        random_controls(one, seed)
        random_controls(two, seed)
        one.step(2)
        two.step(2)
    assert torch.equal(one.state()["rows"], two.state()["rows"])


def test_restored_simulation_goes_on_bit_for_bit(model):
    sim = simulation(model)
    for seed in range(30):  # long enough to stand on the floor: the contact solver's warm start matters
        random_controls(sim, seed)
        sim.step(2)
    saved = sim.state()
    other = simulation(model)
    other.set_state(saved)
    assert torch.equal(other.qpos, sim.qpos)
    assert torch.equal(other.sensordata, sim.sensordata)
    for seed in range(30):
        for each in (sim, other):
            random_controls(each, 100 + seed)
            each.step(2)
    assert torch.equal(sim.state()["rows"], other.state()["rows"])


def test_state_is_a_copy(model):
    sim = simulation(model)
    saved = sim.state()
    before = saved["rows"].clone()
    sim.step(2)
    assert torch.equal(saved["rows"], before)


def test_state_of_another_size_is_refused(model):
    with pytest.raises(ValueError, match=r"rows.*shape \(4, .*expected shape \(3, "):
        simulation(model, 3).set_state(simulation(model, 4).state())
    with pytest.raises(ValueError, match="got nothing"):
        simulation(model, 3).set_state({})


def test_reset_touches_only_its_environments(model):
    sim, untouched = simulation(model), simulation(model)
    for each in (sim, untouched):
        for seed in range(10):
            random_controls(each, seed)
            each.step(2)
    mask = torch.tensor([False, True, False, False])
    fresh = torch.tensor(model.qpos0, dtype=torch.float32).repeat(4, 1)
    fresh[:, 2] = 7.0
    sim.reset(mask, fresh, torch.ones(4, model.nv))
    assert sim.qpos[1, 2] == 7.0
    assert torch.all(sim.qvel[1] == 1.0)
    assert torch.all(sim.sensordata[1] == 0.0)
    assert torch.equal(sim.qpos[~mask], untouched.qpos[~mask])
    assert torch.equal(sim.sensordata[~mask], untouched.sensordata[~mask])
    for each in (sim, untouched):
        random_controls(each, 50)
        each.step(2)
    assert torch.equal(sim.state()["rows"][~mask], untouched.state()["rows"][~mask])


def test_reset_leaves_nothing_of_the_old_episode(model):
    used, new = simulation(model), simulation(model)
    for seed in range(20):
        random_controls(used, seed)
        used.step(2)
    everyone = torch.ones(4, dtype=torch.bool)
    start = torch.tensor(model.qpos0, dtype=torch.float32).repeat(4, 1)
    for each in (used, new):
        each.reset(everyone, start, torch.zeros(4, model.nv))
        random_controls(each, 3)
        each.step(2)
    assert torch.equal(used.state()["rows"], new.state()["rows"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e12, 1e4])
def test_a_diverging_environment_is_flagged_alone_and_recovers(model, value, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sim, healthy = simulation(model), simulation(model)
    everyone = torch.ones(4, dtype=torch.bool)
    one = torch.tensor([False, False, True, False])
    qvel = torch.zeros(4, model.nv)
    qvel[2, 5] = value
    start = torch.tensor(model.qpos0, dtype=torch.float32).repeat(4, 1)
    sim.reset(one, start, qvel)
    for each in (sim, healthy):
        random_controls(each, 1)
        each.step(2)
    assert sim.finite.tolist() == [True, True, False, True]
    assert torch.equal(sim.state()["rows"][~one], healthy.state()["rows"][~one])
    sim.reset(one, start, torch.zeros(4, model.nv))
    assert torch.equal(sim.finite, everyone)
    sim.step(2)
    assert torch.equal(sim.finite, everyone)
    assert torch.isfinite(sim.qpos).all()
    # MuJoCo's warnings neither reach the terminal nor leave a log file behind.
    assert capfd.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_device_without_physics_is_refused(model):
    with pytest.raises(ValueError, match=r"sim_device: got 'cuda:0'; expected 'cpu'"):
        make_simulation(model, 4, "cuda:0")


def test_no_environments_is_refused(model):
    with pytest.raises(ValueError, match="num_envs: got 0; expected at least 1"):
        make_simulation(model, 0)


def test_close_ends_the_threads(model):
    def threads():
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()
    sim = simulation(model, num_envs=64, num_threads=4)
    sim.step(1)
    assert threads() == before + 3  # the caller's thread is the fourth
    sim.close()
    assert threads() == before
    sim.close()  # once more is harmless


def test_mujoco_reads_no_clock_unless_somebody_set_one(model):
    """A clock read thirty times a step is a tenth of the Ant's step."""
    data = mujoco.MjData(model)
    try:
        mujoco.set_mjcb_time(None)
        simulation(model).close()
        mujoco.mj_step(model, data)
        assert data.timer[0].number == 1 and data.timer[0].duration == 0.0
        ticks = iter(range(10**6))
        mujoco.set_mjcb_time(lambda: float(next(ticks)))
        simulation(model).close()
        mujoco.mj_step(model, data)
        assert data.timer[0].duration > 0.0
    finally:
        mujoco.set_mjcb_time(None)
        simulation(model).close()
