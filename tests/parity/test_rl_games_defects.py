"""Defects of RL Games 1.6.5: its behaviour and that of this library.

Other files test unknown keys and ``lr_schedule: fixed`` (``tests/config``), and files that run code or that a kill
destroyed (``tests/engine/checkpoint/test_checkpoint.py``).
"""

import contextlib
import io
import math

import numpy as np
import pytest
import torch
from rl_games_agents import largest_difference
from toy import ToyEnv, toy_params

from manybody import model_builder
from manybody.algos.a2c import A2CBuilder
from manybody.config import ConfigError, ConfigWarning, parse_params
from manybody.engine.run_folder import RunFolder
from manybody.functional.policy import policy_kl


def train_epochs(agent, number):
    for _ in range(number):
        agent.update_epoch()
        agent.train_epoch()


def clone(state):
    """Save and load ``state``, so that it shares nothing with its agent."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def test_each_rollout_updates_the_observation_statistics_once(make_both):
    # The initial 1 and 64 samples: 65. RL Games updates them in each of 3 mini-epochs: 1 + 3 * 64.
    ours, reference = make_both(mini_epochs=3)
    for agent in (ours, reference):
        train_epochs(agent, 1)
    assert ours.model.running_mean_std.count.item() == 65
    assert reference.model.running_mean_std.count.item() == 193
    train_epochs(ours, 2)
    assert ours.model.running_mean_std.count.item() == 1 + 3 * 64


def test_resume_keeps_the_learning_rate(make_both):
    ours, reference = make_both(entropy_coef=0.02, lr_schedule="adaptive", kl_threshold=1e-6)
    rates = []
    for agent in (ours, reference):
        train_epochs(agent, 1)
        rates.append(float(agent.last_lr))
    assert max(rates) < 1e-3  # this threshold lowers the rate of 1e-3 in every minibatch
    state, reference_state = clone(ours.get_full_state_weights()), clone(reference.get_full_state_weights())
    resumed, reference_resumed = make_both(entropy_coef=0.02, lr_schedule="adaptive", kl_threshold=1e-6)
    resumed.set_full_state_weights(state)
    assert resumed.last_lr.item() == resumed.optimizer.lr.item() == ours.last_lr.item()
    assert resumed.entropy_coef.item() == ours.entropy_coef.item()
    reference_resumed.set_full_state_weights(reference_state)
    assert reference_resumed.last_lr == 1e-3 and reference_resumed.optimizer.param_groups[0]["lr"] < 1e-3


def test_resume_keeps_the_best_reward(make_agent, tmp_path):
    from manybody.algos.a2c import A2CAgent

    def training(**settings):
        torch.manual_seed(0)
        params = parse_params(toy_params(save_best_after=0, **settings))
        folder = RunFolder.create(tmp_path, f"run{settings['max_epochs']}")
        return A2CAgent("run", params, vec_env=ToyEnv(), folder=lambda: folder), folder

    first, folder = training(max_epochs=2)
    first.train()
    assert (folder.nn / "Toy.pth").exists()
    state = first.get_full_state_weights() | {"last_mean_rewards": 1e6}
    second, folder = training(max_epochs=3)
    second.set_full_state_weights(state)
    second.train()
    assert second.epoch_num == 3 and second.last_mean_rewards == 1e6
    assert not (folder.nn / "Toy.pth").exists()  # the reward of the last epoch is below 1e6


def test_standard_epoch_changes_the_rate_once_per_epoch(make_both):
    ours, reference = make_both(schedule_type="standard_epoch", kl_threshold=1e-6)
    for agent in (ours, reference):
        train_epochs(agent, 1)
    assert ours.last_lr.item() == pytest.approx(1e-3 / 1.5)
    assert reference.last_lr == 1e-3


def test_the_divergence_of_an_unchanged_policy_is_zero():
    """In RL Games it is -0.046 for AMP's 28 actions, below any threshold, so an adaptive rate only rises."""
    from rl_games.algos_torch.torch_ext import policy_kl as reference

    mu, sigma = torch.zeros(4, 28), torch.full((4, 28), math.exp(-2.9))
    assert reference(mu, sigma, mu, sigma).item() == pytest.approx(-0.046, abs=1e-3)
    assert policy_kl(mu, sigma, mu, sigma).abs().max() == 0.0


@pytest.mark.parametrize(
    ("key", "value", "known"),
    [("schedule_type", "standart", "'standard'"), ("lr_schedule", "adaptiv", "'adaptive'")],
)
def test_an_unknown_schedule_is_refused_with_the_known_ones(key, value, known, make_reference):
    with pytest.raises(ConfigError, match=known):
        parse_params(toy_params(**{key: value}))
    make_reference(**{key: value})  # not refused


def test_linear_by_frames_anneals(make_both):
    # 64 of 640 frames per epoch. An epoch's updates use the frames counted before it, 64 in the second epoch:
    # 1e-6 + (1e-3 - 1e-6) * 0.9.
    ours, reference = make_both(lr_schedule="linear", max_frames=640)
    for agent in (ours, reference):
        train_epochs(agent, 2)
    assert ours.last_lr.item() == pytest.approx(9.001e-4)
    assert reference.last_lr == pytest.approx(1e-3)


def test_a_truncated_episode_bootstraps_from_its_final_observation(make_both):
    ours, reference = make_both()
    # Environment 1 starts at step 1 of 5: its step 3 is truncated. The return of that step is reward + gamma V. This
    # library takes V of the final observation (step 5 of the episode), RL Games of the state before it.
    row = 1 * 8 + 3
    env = ToyEnv()
    env.steps = torch.full((8,), 5)
    ours.model.eval()
    last_value = ours.get_values({"obs": env.observe()})[1].item()
    for agent in (ours, reference):
        torch.manual_seed(7)
        with torch.no_grad():
            batch = agent.play_steps()
        action = 2.0 * batch["actions"][row].clamp(-1.0, 1.0)
        reward = 0.1 * (1.0 - (action - batch["obses"][row, :2] / 2.0).square().mean().item())
        value = last_value if agent is ours else batch["values"][row].item()
        assert batch["returns"][row].item() == pytest.approx(reward + 0.99 * value, rel=1e-4, abs=1e-6)
    assert last_value != pytest.approx(value, rel=1e-2)


def test_continuous_a2c_acts_and_learns(make_agent):
    """In RL Games, acting fails because ``entropy`` is unbound, and training returns the values as ``value``."""
    from rl_games.algos_torch.model_builder import ModelBuilder as Reference

    network = toy_params()["network"]
    network["space"]["continuous"] |= {
        "sigma_init": {"name": "const_initializer", "val": 1},
        "sigma_activation": "softplus",
    }
    mapping = {**toy_params(), "model": {"name": "continuous_a2c"}, "network": network}
    build = {"actions_num": 2, "input_shape": (3,), "normalize_input": False}
    ours = model_builder.ModelBuilder().load(parse_params(mapping)).build(dict(build))
    obs = torch.randn(5, 3)
    acted = ours({"is_train": False, "obs": obs})
    # The network's second output is the standard deviation: softplus(1) = log(1 + e).
    torch.testing.assert_close(acted["sigmas"], torch.full((5, 2), float(np.log1p(np.e))))
    assert ours({"is_train": True, "obs": obs, "prev_actions": acted["actions"]})["values"].shape == (5, 1)

    reference = Reference().load({**mapping, "network": {"normalization": None, **network}}).build(dict(build))
    with pytest.raises(UnboundLocalError):
        reference({"is_train": False, "obs": obs})
    assert "values" not in reference({"is_train": True, "obs": obs, "prev_actions": acted["actions"]})


@pytest.mark.parametrize("kind", ["bound", "regularisation"])
def test_training_without_bounds_loss(make_both, kind):
    ours, reference = make_both(bounds_loss_coef=None, bound_loss_type=kind)
    ours.update_epoch()
    assert ours.train_epoch().scalars["losses/bounds_loss"].item() == 0.0
    with pytest.raises(AttributeError):
        train_epochs(reference, 1)


def test_the_batch_size_need_not_be_a_multiple_of_the_sequence_length(make_agent, make_reference):
    config = {"horizon_length": 5, "num_actors": 3, "minibatch_size": 5}  # 15 is not a multiple of 4
    agent = make_agent(env=ToyEnv(3), **config)
    agent.start_training()
    train_epochs(agent, 1)
    with pytest.raises(ValueError, match="sequence length"):
        make_reference(env=ToyEnv(3), **config)


def test_max_steps_is_renamed_to_max_frames(make_reference):
    with pytest.warns(ConfigWarning, match="max_steps"):
        params = parse_params(toy_params(max_steps=1000))
    assert params.config.max_frames == 1000
    with pytest.raises(np.exceptions.AxisError):
        make_reference(max_steps=1000)


def test_normalization_applies_to_an_mlp(make_agent, make_reference):
    network = {"normalization": "layer_norm"}
    norms = [
        sum(isinstance(module, torch.nn.LayerNorm) for module in agent.model.modules())
        for agent in (make_agent(network=network), make_reference(network=network))
    ]
    assert norms == [2, 0]


def test_seed_zero_is_used():
    from rl_games.common.algo_observer import DefaultAlgoObserver
    from rl_games.torch_runner import Runner as Reference

    from manybody.runner import Runner

    torch.manual_seed(1)
    runner = Runner()
    with contextlib.redirect_stdout(io.StringIO()):
        runner.load({"params": toy_params()})
    assert runner.seed == 0 and torch.initial_seed() == 0

    torch.manual_seed(1)
    reference = object.__new__(Reference)  # its constructor changes torch's global settings
    reference.algo_observer = DefaultAlgoObserver()
    with contextlib.redirect_stdout(io.StringIO()):
        reference.load({"params": {**toy_params(), "torch_threads": 0}})
    assert torch.initial_seed() == 1


def test_periodic_checkpoints_are_saved_before_any_episode_ends(tmp_path):
    from manybody.algos.a2c import A2CAgent

    folder = RunFolder.create(tmp_path, "run")
    params = parse_params(toy_params(max_epochs=3, save_frequency=1))
    A2CAgent("run", params, vec_env=ToyEnv(length=1000), folder=lambda: folder).train()
    names = sorted(path.name for path in folder.nn.glob("*.pth"))
    assert names == [f"last_Toy_ep_{epoch}_rew_none.pth" for epoch in (1, 2, 3)]


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_non_finite_reward_does_not_reach_the_weights(make_both, reward):
    class NonFiniteReward(ToyEnv):
        def step(self, actions):
            step = super().step(actions)
            step.reward[3] = reward
            return step

    ours, reference = make_both(env=NonFiniteReward)
    train_epochs(ours, 2)
    assert all(parameter.isfinite().all() for parameter in ours.model.parameters())
    with contextlib.suppress(RuntimeError):  # "normal expects all elements of std >= 0.0"
        train_epochs(reference, 2)
    assert not all(parameter.isfinite().all() for parameter in reference.model.parameters())


def test_a_run_resumed_after_three_epochs_equals_an_uninterrupted_run(make_both):
    """Bit for bit. RL Games loses the observation, running episodes, learning rate and random state."""
    differences = []
    for side in (0, 1):
        straight = make_both()[side]
        torch.manual_seed(3)
        train_epochs(straight, 6)
        first = make_both()[side]
        torch.manual_seed(3)
        train_epochs(first, 3)
        state = clone(first.get_full_state_weights())
        second = make_both()[side]
        if side == 1:
            second.init_tensors()
        second.set_full_state_weights(state)
        train_epochs(second, 3)
        differences.append(largest_difference(second.model, straight.model))
    assert differences[0] == 0.0
    assert differences[1] > 1e-3


def test_a_user_registration_replaces_a_built_in_name(monkeypatch):
    from rl_games.algos_torch import model_builder as reference

    class CustomBuilder(A2CBuilder):
        pass

    monkeypatch.setattr(model_builder, "NETWORK_REGISTRY", {})
    model_builder.register_network("actor_critic", CustomBuilder)
    assert isinstance(model_builder.NetworkBuilder().create("actor_critic"), CustomBuilder)

    monkeypatch.setattr(reference, "NETWORK_REGISTRY", {})
    reference.register_network("actor_critic", CustomBuilder)
    assert not isinstance(reference.NetworkBuilder().network_factory.create("actor_critic"), CustomBuilder)
