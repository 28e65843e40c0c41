"""``Runner``: what scripts and observers do with agents of the built-in names."""

import copy
import warnings

import pytest
import torch
import yaml
from toy import ToyEnv, toy_params
from toy_sac import sac_params

from manybody.algos.a2c import A2CAgent
from manybody.compat.rl_games.algos_torch import model_builder
from manybody.compat.rl_games.algos_torch.network_builder import NetworkBuilder
from manybody.compat.rl_games.common import env_configurations, vecenv
from manybody.compat.rl_games.common.algo_observer import AlgoObserver, IsaacAlgoObserver
from manybody.compat.rl_games.torch_runner import Runner
from manybody.config import ConfigError, ConfigWarning


class Toy(vecenv.IVecEnv):
    def __init__(self):
        self.env = ToyEnv()

    def reset(self):
        return self.env.reset()["obs"]

    def step(self, actions):
        step = self.env.step(actions)
        return step.obs["obs"], step.reward, step.done.byte(), {"time_outs": step.truncated}

    def get_env_info(self):
        return self.env.get_env_info()


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """``settings(**config)``: an RL Games configuration on toy environments that a client registered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(vecenv.vecenv_config, "TOY", lambda name, actors, **kwargs: Toy())
    monkeypatch.setitem(env_configurations.configurations, "toy", {"vecenv_type": "TOY"})
    return lambda **config: {"params": copy.deepcopy(toy_params(env_name="toy", max_epochs=2, **config))}


def trained(settings, observer=None, args=None, **change):
    runner = Runner(observer)
    runner.load(settings)
    runner.params["config"].update(change)
    return runner.run({"train": True, "play": False, **(args or {})})


class Steering(AlgoObserver):
    """Reads its own setting and changes what RL Games lets observers change."""

    def before_init(self, base_name, config, experiment_name):
        assert config["features"]["observer"] is self

    def after_init(self, algo):
        self.algo = algo
        self.mine = algo.config["my_key"]
        algo.config["noted"] = True

    def after_print_stats(self, frame, epoch_num, total_time):
        self.algo.entropy_coef = 0.02
        self.algo.last_lr = 1e-4
        self.algo.rewards_shaper.scale_value = 0.5
        self.algo.set_param("grad_norm", 2.0)
        assert self.algo.get_param("mini_epochs_num") == self.algo.mini_epochs_num


def test_an_observer_steers_a_plain_agent(settings):
    observer = Steering()
    with pytest.warns(ConfigWarning, match="my_key: unknown key.*nothing here reads it"):
        agent = trained(settings(my_key=3, lr_schedule="constant", kl_threshold=None), observer)
    assert isinstance(agent.agent, A2CAgent)  # the library's
    assert (observer.mine, agent.config["noted"], agent.grad_norm) == (3, True, 2.0)
    assert agent.optimizer.param_groups[0]["lr"] == 1e-4  # from the second epoch's updates on
    assert agent.entropy_coef == 0.02


def test_the_settings_lie_beside_the_run(settings):
    agent = trained(settings(full_experiment_name="one"))
    kept = yaml.safe_load(agent.run.folder.config_file.read_text())["params"]
    assert kept["config"]["env_name"] == "toy"
    assert kept["config"]["reward_shaper"]["scale_value"] == agent.rewards_shaper.scale_value


def test_wrong_settings_are_told_without_those_that_nobody_reads(settings):
    with pytest.raises(ConfigError) as error:
        Runner().load(settings(lr_schedule="adaptve", whatever=1))
    assert [problem.path for problem in error.value.problems] == ["params.config.lr_schedule"]


def test_empty_sections_are_those_of_the_defaults(settings):
    params = settings()
    params["params"]["config"] |= {"player": None, "reward_shaper": None}
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConfigWarning)
        assert trained(params).rewards_shaper.scale_value == 1.0


def test_a_device_that_is_not_there(settings):
    params = settings()
    params["params"]["config"]["device"] = "cuda:7"
    with pytest.raises(ConfigError, match=r"params.config.device: got 'cuda:7', which PyTorch cannot use"):
        trained(params)


def test_the_best_policy_counts_episodes(settings):
    """Environment i starts in step i % 5 of 5: 12 episodes end in the first 8 steps, 25 in 16. Enough are 10."""
    agent = trained(settings(save_best_after=0))
    assert agent.run.finished_games == 25 and agent.run.best_games in (12, 25)
    assert agent.run.folder.best() is not None


@pytest.mark.parametrize("params", [toy_params, sac_params])
def test_a_checkpoint_at_a_limit_is_refused_before_anything_is_made(settings, tmp_path, params):
    settings()  # registers the environment
    config = {"params": params(env_name="toy", max_epochs=2)}
    trained(copy.deepcopy(config))
    (file,) = tmp_path.glob("runs/*/nn/last_*_ep_2_*.pth")
    before = sorted(tmp_path.rglob("*"))
    for limits, key in (({}, "max_epochs"), ({"max_epochs": -1, "max_frames": 1}, "max_frames")):
        again = copy.deepcopy(config)
        again["params"]["config"] |= limits
        with pytest.raises(ConfigError, match=rf"params.config.{key}: got .* at which .*{file.name} was saved"):
            trained(again, args={"checkpoint": str(file)})
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_that_was_a_default_in_1_1_is_no_checkpoint(settings):
    assert trained(settings() | {}, args={"checkpoint": ""}).epoch_num == 2
    params = settings()
    params["params"]["load_checkpoint"] = False
    assert trained(params, args={"checkpoint": "Base"}).epoch_num == 2


def test_a_network_that_gives_one_spread_for_all_rows(settings):
    """As RL Games' own test network does: the parameter itself, (A,)."""

    class Net(NetworkBuilder.BaseNetwork):
        def __init__(self, params, actions_num, input_shape, **kwargs):
            super().__init__()
            self.mu, self.value = torch.nn.Linear(*input_shape, actions_num), torch.nn.Linear(*input_shape, 1)
            self.sigma = torch.nn.Parameter(torch.zeros(actions_num))

        def forward(self, obs):
            return self.mu(obs["obs"]), self.sigma, self.value(obs["obs"]), None

    class Builder(NetworkBuilder):
        def load(self, params):
            self.params = params

        def build(self, name, **kwargs):
            return Net(self.params, **kwargs)

    model_builder.register_network("one_spread", lambda **kwargs: Builder())
    params = settings()
    params["params"]["network"] = {"name": "one_spread"}
    agent = trained(params)
    assert agent.experience_buffer.tensor_dict["sigmas"].shape == (8, 8, 2)
    assert agent.model.a2c_network.sigma.grad.shape == (2,)


def test_an_observer_of_soft_actor_critic_reads_its_own_settings(settings):
    class Reading(AlgoObserver):
        def before_init(self, base_name, config, experiment_name):
            assert config["features"]["observer"] is self

        def after_init(self, algo):
            self.mine, self.place = algo.config["my_key"], algo.experiment_dir

        def process_infos(self, infos, done_indices):
            assert done_indices.ndim == 2

    params = sac_params(max_epochs=2)
    params["config"]["my_key"] = 3
    observer = Reading()
    with pytest.warns(ConfigWarning, match="my_key"):
        agent = trained({"params": params}, observer)
    assert (observer.mine, agent.config["my_key"]) == (3, 3)
    assert observer.place == agent.experiment_dir


def test_a_file_starts_from_its_load_path(settings):
    first = trained(settings(full_experiment_name="one"))
    params = settings(full_experiment_name="${.name}", name="two", num_actors="${....num_envs}")
    params["num_envs"] = 8
    params["params"] |= {"load_checkpoint": True, "load_path": str(first.run.folder.newest())}
    params["params"]["config"]["max_epochs"] = 3
    agent = trained(params)
    assert (agent.epoch_num, agent.num_actors) == (3, 8)
    assert {file.name.split("_ep_")[1][0] for file in agent.run.folder.nn.glob("last_*")} == {"3"}  # from 2 on
    kept = yaml.safe_load(agent.run.folder.config_file.read_text())["params"]
    assert agent.run.folder.path.name == "two" and not kept.get("load_checkpoint")
    params["params"]["load_path"] = ""
    with pytest.raises(ConfigError, match=r"params.load_path: missing"):
        trained(params)


def test_the_american_spelling_acts_as_the_notice_says(settings):
    with pytest.warns(ConfigWarning, match="taken for 'regularisation'"):
        agent = trained(settings(bound_loss_type="regularization", bounds_loss_coef=0.1))
    assert agent.bound_loss_type == "regularisation"


def test_the_configuration_names_observer_and_environments(settings):
    params = settings(vecenv_type="TOY", algo_observer="isaac")
    params["params"]["config"]["env_name"] = "mine"
    runner = Runner()
    runner.load(params)
    assert type(runner.algo_observer) is IsaacAlgoObserver
    assert env_configurations.configurations.pop("mine") == {"vecenv_type": "TOY"}
