"""AMP on the toy: rewards and losses by hand, memories, resume, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy import ToyEnv
from toy_amp import OrbitEnv, orbit_params
from toy_env import differences

from manybody.algos.a2c import ModelA2CContinuousLogStd
from manybody.algos.amp import AMPAgent, AMPPlayerContinuous
from manybody.config import ConfigError
from manybody.engine.guard import TrainingAbortedError
from manybody.envs.base import EnvError
from manybody.functional.adversarial import style_reward
from manybody.model_builder import register_model
from manybody.runner import build_runner


def make(env: Any = None, *, network: str = "amp", model: str = "continuous_amp", **config: Any) -> Any:
    runner = build_runner()
    mapping = orbit_params(8, **{"minibatch_size": 64, "amp_minibatch_size": 32, **config})
    mapping["model"]["name"], mapping["network"]["name"] = model, network
    if network != "amp":
        del mapping["network"]["disc"]
    torch.manual_seed(0)
    params = runner.parse({"params": mapping})
    return runner.algo_factory.create("amp_continuous", base_name="run", params=params, vec_env=env or OrbitEnv(8))


def test_the_reward_is_the_weighed_sum_of_task_and_style():
    agent = make(task_reward_w=0.5, disc_reward_w=2.0, disc_reward_scale=3.0)
    agent.start_training()
    with torch.no_grad():
        agent.model.eval()
        rollout = {"rewards": torch.full((2, 8, 1), 4.0), "amp_obs": torch.randn(2, 8, 4)}
        logits = agent.model.discriminate(rollout["amp_obs"].flatten(0, 1))
        shaped = agent.shape_rewards(rollout)
    # 0.5 * 4 + 2 style
    torch.testing.assert_close(shaped, 2.0 + 2.0 * style_reward(logits, 3.0).reshape(2, 8, 1))


def test_the_loss_of_a_discriminator_without_layers_by_hand():
    # A zero line says 0 of everything: log 2, no slope, no weights; with disc_coef 5 that is 5 log 2 more.
    agent = make(normalize_amp_input=False)
    agent.start_training()
    with torch.no_grad():
        for weight in agent.model.a2c_network.get_disc_weights():
            weight.zero_()
    motions = {name: torch.randn(4, 4) for name in ("amp_obs", "amp_obs_replay", "amp_obs_demo")}
    losses = agent.extra_losses(motions, {"loss": torch.tensor(1.0)})
    assert losses["disc_loss"].item() == pytest.approx(math.log(2))
    assert losses["loss"].item() == pytest.approx(1.0 + 5 * math.log(2))
    assert losses["info/disc_grad_penalty"].item() == losses["info/disc_agent_acc"].item() == 0.0


@pytest.mark.slow
def test_an_epoch_of_compiled_losses_is_that_of_eager_ones():
    weights = []
    for traced in (False, True):
        agent = make(max_epochs=1)
        if traced:
            torch.compiler.reset()
            agent._losses = torch.compile(agent.forward_losses, backend="eager", fullgraph=True)
        agent.train()
        weights.append(agent.get_weights())
    for name, eager in weights[0]["model"].items():
        torch.testing.assert_close(weights[1]["model"][name], eager, atol=1e-5, rtol=1e-4)


def test_memories_are_filled_and_then_take_a_share():
    agent = make(amp_obs_demo_buffer_size=100, amp_replay_buffer_size=200, amp_replay_keep_prob=0.1)
    agent.start_training()
    assert len(agent.demos) == 100 and len(agent.replay) == 0
    for _ in range(2):  # 8 x 16 steps: the second time, the memory of 200 is full
        agent.train_epoch()
    assert len(agent.replay) == 200 and agent.replay.position == 256 % 200
    agent.train_epoch()  # a tenth of 128
    assert agent.replay.position == (256 + 12) % 200


def test_the_discriminators_statistics_take_each_rollout_in_once():
    agent = make(amp_minibatch_size=32, mini_epochs=3)
    agent.start_training()
    agent.train_epoch()
    # 2 minibatches in the first pass, of 32 rows from each of three sources; the count begins at 1.
    assert agent.model.amp_input_mean_std.count.item() == 1 + 2 * 3 * 32


def test_sigma_stays_as_it_was():
    agent = make()
    agent.train()
    assert torch.equal(agent.model.a2c_network.sigma, torch.full((2,), -2.0))


def test_a_resumed_run_goes_on_exactly_with_its_memories():
    settings = {"save_amp_buffers": True, "max_epochs": 4}
    straight = make(**settings)
    straight.train()
    first = make(**settings | {"max_epochs": 2})
    first.train()
    saved = first.get_full_state_weights()  # now: making another agent seeds torch
    second = make(**settings)
    second.set_full_state_weights(saved)
    second.train()
    one, other = (agent.get_full_state_weights() for agent in (straight, second))
    one.pop("elapsed"), other.pop("elapsed")
    assert differences(one, other) == []


def test_without_them_in_the_checkpoint_new_ones_begin_and_that_is_said(capsys):
    first = make()
    first.train()
    state = first.get_full_state_weights()
    assert "amp_buffers" not in state
    second = make()
    second.set_full_state_weights(state, path="run.pth")
    assert len(second.demos) == second.demos.capacity and len(second.replay) == 0
    told = "run.pth: it has no demonstration and replay buffers (save_amp_buffers)"
    assert capsys.readouterr().err.count(told) == 1
    second.set_full_state_weights(saved_by(), path="run.pth")
    assert told not in capsys.readouterr().err


def test_a_checkpoint_of_isaac_gym_envs_has_its_statistics_beside_the_model(tmp_path):
    agent = make()
    agent.train()
    model = agent.get_weights()["model"]
    name = "amp_input_mean_std."
    beside = {key.removeprefix(name): value for key, value in model.items() if key.startswith(name)}
    theirs = {
        "model": {key: value for key, value in model.items() if not key.startswith(name)},
        "amp_input_mean_std": beside,
    }
    other = make()
    other.set_weights(theirs)
    assert differences(other.get_weights(), agent.get_weights()) == []
    torch.save(theirs, tmp_path / "theirs.pth")
    player = AMPPlayerContinuous(agent.params, vec_env=OrbitEnv(8))
    player.restore(str(tmp_path / "theirs.pth"))
    assert differences({"model": player.model.state_dict()}, agent.get_weights()) == []


def saved_by(env: Any = None, **config: Any) -> dict[str, Any]:
    agent = make(env, save_amp_buffers=True, **config)
    agent.train()
    return agent.get_full_state_weights()


def test_memories_go_on_with_other_capacities():
    state = saved_by(amp_obs_demo_buffer_size=300, amp_replay_buffer_size=200)  # 256 steps: wrapped
    less = make(amp_obs_demo_buffer_size=100, amp_replay_buffer_size=50)
    less.set_full_state_weights(state)
    assert len(less.demos) == 100 and len(less.replay) == 50
    more = make(amp_replay_buffer_size=400)
    more.set_full_state_weights(state)
    assert len(more.replay) == 200 and more.replay.rows[:200].any(dim=1).all()
    more.train()


class Told(OrbitEnv):
    """Says what the demonstrator does: stays ``away`` from the origin."""

    def __init__(self, num_envs=8, away=1.0):
        super().__init__(num_envs)
        self.away = away

    def reference_positions(self):
        return [torch.full((5, 1, 3), self.away)]


def test_demonstrations_of_another_clip_stay_in_the_checkpoint(capsys):
    state = saved_by(Told())
    for env, anew in ((Told(), False), (Told(away=2.0), True), (OrbitEnv(8), False)):
        agent = make(env)
        agent.set_full_state_weights(state, path="run.pth")
        told = "run.pth: its demonstrations are of other clips than this run's" in capsys.readouterr().err
        theirs = torch.equal(agent.demos.rows, state["amp_buffers"]["demos"]["rows"])
        assert told is anew and theirs is not anew and len(agent.replay) == 256


def test_memories_outlive_new_episodes():
    state = saved_by(Told())
    runner = build_runner()
    params = runner.parse({"params": orbit_params(4, minibatch_size=64, amp_minibatch_size=32)})
    agent = runner.algo_factory.create("amp_continuous", base_name="run", params=params, vec_env=Told(4))
    agent.set_full_state_weights(state)
    assert not agent.obs  # 4 environments instead of 8
    agent.start_training()
    assert torch.equal(agent.demos.rows, state["amp_buffers"]["demos"]["rows"]) and len(agent.replay) == 256


def test_a_model_of_ones_own_needs_a_discriminator_before_anything_is_written():
    register_model("indifferent", ModelA2CContinuousLogStd)
    runner, mapping, opened = build_runner(), orbit_params(8, minibatch_size=64), []
    mapping["model"]["name"] = "indifferent"
    params = runner.parse({"params": mapping})
    with pytest.raises(ConfigError, match="got 'indifferent', which has no discriminate; expected 'continuous_amp'"):
        AMPAgent("run", params, vec_env=OrbitEnv(8), folder=lambda: opened.append(True))
    assert not opened


class Broken(OrbitEnv):
    """What the discriminator would see is NaN in row 3."""

    def step(self, actions):
        step = super().step(actions)
        step.extras["amp_obs"][3] = torch.nan
        return step


class Silent(OrbitEnv):
    """Shows no motion after all."""

    def step(self, actions):
        return super().step(actions)._replace(extras={"other": torch.zeros(8)})


class Demonstrates(OrbitEnv):
    """Gives another thing as demonstrations, or as what the discriminator sees."""

    def __init__(self, demos=None, amp_obs=None):
        super().__init__(8)
        self.demos, self.amp_obs = demos, amp_obs

    def fetch_amp_obs_demo(self, count):
        return self.demos(count) if self.demos else super().fetch_amp_obs_demo(count)

    def step(self, actions):
        step = super().step(actions)
        return step._replace(extras={"amp_obs": self.amp_obs}) if self.amp_obs is not None else step


def raises(count):
    raise ZeroDivisionError("my own")


class Square(OrbitEnv):
    """Shows motion as matrices."""

    def get_env_info(self):
        return super().get_env_info() | {"amp_observation_space": spaces.Box(-9.0, 9.0, (2, 2))}


@pytest.mark.parametrize(
    ("env", "told"),
    [
        (
            lambda: Demonstrates(lambda _: torch.zeros(0, 4)),
            r"fetch_amp_obs_demo\(32\): got a tensor \(0, 4\)",
        ),
        (
            lambda: Demonstrates(lambda n: torch.zeros(n, 5)),
            r"got a tensor \(32, 5\).*expected a tensor \(32, 4\)",
        ),
        (lambda: Demonstrates(lambda n: np.zeros((n, 4))), "got an array .*; expected a tensor"),
        (lambda: Demonstrates(lambda n: torch.full((n, 4), torch.nan)), r"demo\(32\): NaN or infinite"),
        (lambda: Demonstrates(lambda n: torch.full((n, 4), 1e30)), r"NaN or infinite, or above 1e\+15"),
        (lambda: Demonstrates(amp_obs=torch.zeros(8, 5)), r"extras\['amp_obs'\]: got a tensor \(8, 5\)"),
        (lambda: Demonstrates(amp_obs=torch.zeros(4)), r"expected a tensor \(8, 4\)"),
        (
            lambda: Demonstrates(amp_obs=np.zeros((8, 4))),
            r"^orbit: step\(\) extras\['amp_obs'\]: got an array",
        ),
        (lambda: Square(8), "Square: amp_observation_space is .*expected a Box with one axis"),
    ],
)
def test_what_an_environment_gives_is_checked(env, told):
    with pytest.raises(EnvError, match=told):
        make(env()).train()


def opening(env, opened):
    return AMPAgent("run", make().params, vec_env=env, folder=lambda: opened.append(True))


def test_wrong_demonstrations_leave_no_run_folder():
    opened = []
    with pytest.raises(EnvError, match=r"^orbit: fetch_amp_obs_demo\(32\): got a tensor \(32, 5\)"):
        opening(Demonstrates(lambda n: torch.zeros(n, 5)), opened)
    assert not opened
    with pytest.raises(ZeroDivisionError) as error:  # the environment's own: its traceback stays
        opening(Demonstrates(raises), opened)
    assert error.value.__notes__ == ["in orbit: fetch_amp_obs_demo(32), which is to give demonstrations"]
    assert not opened


class NoCount(OrbitEnv):
    def fetch_amp_obs_demo(self):
        return torch.zeros(1, 4)


def test_demonstrations_that_cannot_be_asked_for_are_told():
    with pytest.raises(EnvError, match=r"^orbit: fetch_amp_obs_demo\(32\): too many posit"):
        make(NoCount(8)).train()
    constant = OrbitEnv(8)
    constant.fetch_amp_obs_demo = torch.zeros(32, 4)
    with pytest.raises(EnvError, match=r"OrbitEnv has no motion to imitate: .*fetch_amp_obs_demo"):
        make(constant)


def test_broken_motion_never_reaches_the_weights(capsys):
    agent = make(Broken(8), max_epochs=2)
    agent.train()
    assert "extras of environment 3 at step 0 (16 such rows)" in capsys.readouterr().err
    assert all(value.isfinite().all() for value in agent.get_weights()["model"].values())
    with pytest.raises(TrainingAbortedError, match="extras of environment 3"):
        make(Broken(8), guard="abort").train()


@pytest.mark.parametrize(
    ("build", "error", "told"),
    [
        (lambda: make(ToyEnv()), EnvError, "ToyEnv has no motion to imitate: .*fetch_amp_obs_demo"),
        (
            lambda: make(Silent(8)).train(),
            EnvError,
            r"extras\['amp_obs'\]: got None; expected a tensor \(8, 4\)",
        ),
        (lambda: make(model="continuous_a2c_logstd"), ConfigError, "expected 'continuous_amp'"),
        (lambda: make(network="actor_critic"), ConfigError, "expected 'amp'"),
        (lambda: make(disc_reward_w=0), ConfigError, "disc_reward_w: got 0; expected another weight"),
        (lambda: make(amp_replay_keep_prob=2), ConfigError, "a share, at most 1"),
        (lambda: make(disc_grad_penality=2), ConfigError, "did you mean 'disc_grad_penalty'"),
    ],
)
def test_what_is_refused(build, error, told):
    with pytest.raises(error, match=told):
        build()
