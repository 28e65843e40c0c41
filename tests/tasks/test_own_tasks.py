"""A task that a user wrote: where its model is found, and what its four methods may return."""

import warnings

import pytest
import torch

import manybody
from manybody.config import ConfigWarning
from manybody.config.task import EnvConfig, TaskConfig
from manybody.envs.base import EnvError
from manybody.tasks import check_class

MODEL = """<mujoco><worldbody><body><joint name="j" type="slide"/><geom size=".1"/></body></worldbody>
<actuator><motor joint="j"/></actuator></mujoco>"""


class Slide(manybody.MujocoTask):
    """One body on a rail; each test replaces one of the four methods."""

    asset = MODEL
    num_observations, num_actions = 2, 1

    def pre_physics_step(self, actions):
        self.sim.ctrl.copy_(actions)

    def compute_observations(self):
        return torch.cat([self.sim.qpos, self.sim.qvel], dim=1)

    def compute_reward(self):
        return -self.sim.qpos[:, 0].abs(), self.sim.qpos[:, 0].abs() > 5.0

    def reset_where(self, mask):
        self.sim.reset(mask, torch.zeros_like(self.sim.qpos), torch.zeros_like(self.sim.qvel))


def build(cls=Slide, **methods):
    changed = type("Slide", (cls,), methods)
    return changed(TaskConfig(name="Slide", env=EnvConfig(numEnvs=4)))


def one_step(task):
    task.reset()
    return task.step(torch.zeros(4, 1))


def test_a_task_without_a_config_of_its_own_has_the_usual_settings():
    step = one_step(build())
    assert step.reward.shape == (4,) and Slide.summary().episode_steps == 1000


@pytest.mark.parametrize(
    ("method", "wrong", "message"),
    [
        (
            "compute_observations",
            lambda self: torch.zeros(4, 3),
            r"got a tensor \(4, 3\) .*; expected a tensor \(4, 2\) of torch.float32",
        ),
        ("compute_observations", lambda self: torch.zeros(4, 2).double(), r"got a tensor .* of torch.float64"),
        ("compute_observations", lambda self: None, r"got None"),
        (
            "compute_reward",
            lambda self: (torch.zeros(4, 1), torch.zeros(4).bool()),
            r"reward: got a tensor \(4, 1\)",
        ),
        ("compute_reward", lambda self: (torch.zeros(4), torch.zeros(4)), r"terminated: got .* of torch.float32; "),
        (
            "compute_reward",
            lambda self: (torch.zeros(4).int(), torch.zeros(4).bool()),
            r"reward: got .*; expected .* of torch.float32",
        ),
        (
            "compute_reward",
            lambda self: (torch.zeros(4), torch.zeros(4, 1).bool()),
            r"terminated: got a tensor \(4, 1\)",
        ),
        ("compute_reward", lambda self: torch.zeros(4), r"got a tensor .*; expected \(reward, terminated\)"),
        ("compute_reward", lambda self: (torch.zeros(4),) * 3, r"got 3 values; expected \(reward, terminated\)"),
        (
            "compute_reward",
            lambda self: (torch.zeros(4).double(), torch.zeros(4).bool()),
            r"reward: got .*; expected .* of torch.float32",
        ),
        ("compute_reward", lambda self: ({}, torch.zeros(4).bool()), r"reward: got an empty dict"),
        (
            "compute_reward",
            lambda self: ({"near": torch.zeros(4), "far": torch.zeros(3)}, torch.zeros(4).bool()),
            r"reward\['far'\]: got a tensor \(3,\)",
        ),
        (
            "compute_reward",
            lambda self: (torch.zeros(4), {"lost": torch.zeros(4)}),
            r"terminated\['lost'\]: got a tensor \(4,\) of torch.float32",
        ),
        ("extras", lambda self: ["speed"], r"got \['speed'\]; expected a dict of metrics by name"),
        (
            "reset_where",
            lambda self, mask: self.sim.reset(mask, torch.zeros(1, 1), torch.zeros(1, 1)),
            r"sim.reset: qpos: got shape \(1, 1\); expected \(4, 1\): one row for every environment",
        ),
        (
            "pre_physics_step",
            lambda self, actions: setattr(self.sim, "ctrl", actions[0]),
            r"self.sim.ctrl: got a tensor \(1,\)",
        ),
    ],
)
def test_the_first_step_names_the_method_that_returns_something_wrong(method, wrong, message):
    with pytest.raises(EnvError, match=rf"^Slide\.{method}: {message}"):
        one_step(build(**{method: wrong}))


def test_the_check_is_made_once(monkeypatch):
    """It costs nothing after the first step."""
    looked_at = []
    monkeypatch.setattr("manybody.tasks.base.check_tensor", lambda *given: looked_at.append(given))
    task = build()
    one_step(task)
    first = len(looked_at)
    task.step(torch.zeros(4, 1))
    task.reset()
    assert first > 0 and len(looked_at) == first


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A task in a file of its own, with its model beside it, in a folder that is not the current one."""
    (tmp_path / "rail.xml").write_text(MODEL)
    (tmp_path / "task_with_its_model.py").write_text(
        "from test_own_tasks import Slide\nclass Rail(Slide):\n    asset = 'rail.xml'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(__file__).rpartition("/")[0])
    return tmp_path


def test_a_model_is_looked_up_beside_the_file_of_the_class(written):
    import importlib

    rail = importlib.import_module("task_with_its_model").Rail
    assert one_step(build(rail)).reward.shape == (4,)  # a subclass elsewhere takes its parent's model
    (written / "rail.xml").unlink()
    with pytest.raises(EnvError, match=r"Slide\.asset: got 'rail.xml'; expected an MJCF file in .*or.*assets"):
        build(rail)
    (written / "rail.xml").write_text("<mujoco><nonsense/></mujoco>")
    with pytest.raises(EnvError, match=r"Slide\.asset: MuJoCo cannot load the model: .*nonsense"):
        build(rail)


def test_everything_that_a_task_lacks_is_named():
    cls = type("Rail", (manybody.MujocoTask,), {"num_observations": 2, "compute_reward": Slide.compute_reward})
    lacking = "compute_observations, pre_physics_step, reset_where, num_actions, asset"
    with pytest.raises(EnvError, match=f"Rail: {lacking}: missing"):
        check_class(cls)


def test_a_config_of_another_kind_is_refused():
    with pytest.raises(EnvError, match=r"Rail\.Config: got <class 'object'>; expected a subclass of .*TaskConfig"):
        check_class(type("Rail", (Slide,), {"Config": object}))


def test_settings_that_replace_those_of_the_model_are_noticed():
    own = MODEL.replace("<worldbody>", '<option timestep="0.001" gravity="0 0 0"/><worldbody>')
    with pytest.warns(ConfigWarning, match=r"timestep 0.001 s by .* = 0.0083 s and gravity \(0.0, 0.0, 0.0\) by"):
        build(asset=own)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build()
