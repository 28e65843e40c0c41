"""AMP: registered names, base class, and the settings and parameter names of IsaacGymEnvs."""

import pytest
from toy_amp import OrbitEnv, orbit_params

from manybody.algos.a2c import A2CAgent
from manybody.algos.amp import AMPAgent, AMPBuilder, AMPPlayerContinuous, ModelAMPContinuous
from manybody.config import ConfigError
from manybody.launch.hydra_tree import compose
from manybody.model_builder import ModelBuilder
from manybody.runner import Runner
from manybody.train import build_runner


def test_build_runner_registers_amp():
    runner = build_runner()
    assert runner.algo_factory.builders["amp_continuous"] is AMPAgent and issubclass(AMPAgent, A2CAgent)
    assert runner.player_factory.builders["amp_continuous"] is AMPPlayerContinuous
    factories = ModelBuilder()
    network = factories.network_factory.create("amp")
    assert type(network) is AMPBuilder
    assert type(factories.model_factory.create("continuous_amp", network=network)) is ModelAMPContinuous


def test_a_bare_runner_refuses_amp_and_names_build_runner():
    with pytest.raises(ConfigError) as refused:
        Runner().load({"params": orbit_params(8)})
    problem = "manybody.Runner() does not know 'amp_continuous'; make the runner with manybody.build_runner()"
    assert str(refused.value) == f"configuration: params.algo.name: {problem}"


@pytest.mark.parametrize(
    ("overrides", "penalty", "units"),
    [
        (["task=HumanoidAMP"], 5.0, (1024, 512)),
        (["task=HumanoidAMP", "train=HumanoidAMPPPOLowGP"], 0.2, (1024, 512)),
        (["task=HumanoidAMP", "train=HumanoidAMPPPOCPU"], 2.0, (256, 128)),
        (["task=HumanoidAMPHands", "train=HumanoidAMPPPOLowGP"], 0.2, (1024, 512)),
        (["task=HumanoidAMPHeading"], 2.0, (256, 128)),
    ],
)
def test_presets_of_isaac_gym_envs(overrides, penalty, units):
    runner = build_runner()
    runner.load({"params": compose(overrides)["train"]["params"]})
    config, network = runner.params.config, runner.params.network
    assert runner.algo_name == "amp_continuous" and config.disc_grad_penalty == penalty
    assert network.mlp.units == network.disc.units == units


def test_default_settings_of_isaac_gym_envs():
    runner = build_runner()
    runner.load({"params": compose(["task=HumanoidAMP"])["train"]["params"]})
    config = runner.params.config
    assert (config.batch_size, config.resolved_minibatch_size, config.mini_epochs) == (65_536, 32_768, 6)
    assert (config.learning_rate, config.gamma, config.tau, config.e_clip) == (5e-5, 0.99, 0.95, 0.2)
    assert (config.disc_coef, config.disc_logit_reg, config.disc_weight_decay) == (5, 0.05, 1e-4)
    assert (config.amp_batch_size, config.amp_minibatch_size) == (512, 4096)
    assert (config.task_reward_w, config.disc_reward_w, config.disc_reward_scale) == (0, 1, 2)
    assert runner.params.network.space.continuous.sigma_init.val == -2.9


def test_parameter_names_of_isaac_gym_envs():
    runner = build_runner()
    params = runner.parse({"params": orbit_params(8, minibatch_size=64)})
    agent = AMPAgent("run", params, vec_env=OrbitEnv(8))
    names = set(agent.model.state_dict())
    expected = {
        "_disc_mlp.0.weight",
        "_disc_mlp.2.bias",
        "_disc_logits.weight",
        "actor_mlp.0.weight",
        "critic_mlp.0.weight",
    }
    assert {f"a2c_network.{name}" for name in expected | {"sigma", "mu.weight", "value.weight"}} <= names
    assert "amp_input_mean_std.running_mean" in names
