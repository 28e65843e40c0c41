"""A project around a Runner of its own, star imports, and an agent on BaseAlgorithm."""

import time

from isaac import register
from rl_games.algos_torch import model_builder
from rl_games.algos_torch.network_builder import *  # noqa: F403
from rl_games.common import object_factory, tr_helpers
from rl_games.common.player import BasePlayer
from rl_games.interfaces.base_algorithm import BaseAlgorithm
from rl_games.torch_runner import Runner, _override_sigma, _restore
from world import PointMass, network, report, settings

CALLS = []


class TableRunner(Runner):
    """Reads its settings and starts agents its own way."""

    def __init__(self, algo_observer=None):
        super().__init__(algo_observer)
        self.algo_factory.register_builder("random_search", lambda **kwargs: RandomSearch(**kwargs))
        assert isinstance(self.algo_factory, object_factory.ObjectFactory)

    def load_config(self, params):
        CALLS.append("load_config")
        params["config"]["name"] = "Table"
        super().load_config(params)
        assert isinstance(params["config"]["reward_shaper"], tr_helpers.DefaultRewardsShaper)
        assert params["config"]["features"]["observer"] is self.algo_observer
        self.seed_of_run = self.seed

    def run_train(self, args):
        CALLS.append("run_train")
        agent = self.algo_factory.create(self.algo_name, base_name="run", params=self.params)
        _restore(agent, args)
        _override_sigma(agent, args)
        self.agent = agent
        self.result = agent.train()

    def run_play(self, args):
        CALLS.append("run_play")
        self.player = self.create_player()
        assert isinstance(self.player, BasePlayer)
        _restore(self.player, args)
        self.player.run()


class RandomSearch(BaseAlgorithm):
    """Keeps the better of two networks: an algorithm without gradients."""

    def __init__(self, base_name, params):
        super().__init__(base_name, params["config"])
        self.config = params["config"]
        self.network = model_builder.ModelBuilder().load(params)
        self.model = self.network.build(
            {"actions_num": 2, "input_shape": (4,), "num_seqs": 1, "value_size": 1, "normalize_input": True}
        )
        self.point = PointMass()
        self.epoch_num = 0

    @property
    def device(self):
        return self.config["device"]

    def clear_stats(self):
        pass

    def train(self):
        start = time.time()
        while self.epoch_num < self.config["max_epochs"]:
            self.train_epoch()
        return self.epoch_num, time.time() - start

    def train_epoch(self):
        self.epoch_num += 1
        self.model.eval()
        obs = self.point.reset()["obs"]
        for _ in range(3):
            result = self.model({"is_train": False, "obs": obs.clone(), "prev_actions": None, "rnn_states": None})
            obs = self.point.step(result["actions"])[0]["obs"]

    def get_full_state_weights(self):
        return self.get_weights() | {"epoch": self.epoch_num}

    def set_full_state_weights(self, weights, set_epoch=True):
        self.set_weights(weights)

    def get_weights(self):
        return {"model": self.model.state_dict()}

    def set_weights(self, weights):
        self.model.load_state_dict(weights["model"])

    def get_param(self, param_name):
        return self.config[param_name]

    def set_param(self, param_name, param_value):
        self.config[param_name] = param_value


class TwoHeaded(NetworkBuilder.BaseNetwork):  # noqa: F405
    """Whose builder's class is not nested: value and action from one layer."""

    def __init__(self, params, actions_num, input_shape, **kwargs):
        super().__init__()
        self.trunk = self._build_mlp(
            input_size=input_shape[0],
            units=params["mlp"]["units"],
            activation=params["mlp"]["activation"],
            dense_func=torch.nn.Linear,  # noqa: F405
        )
        self.both = nn.Linear(params["mlp"]["units"][-1], actions_num + 1)  # noqa: F405
        self.sigma = nn.Parameter(torch.zeros(actions_num))  # noqa: F405
        self.fixed_sigma = True

    def forward(self, obs_dict):
        out = self.both(self.trunk(obs_dict["obs"]))
        mu, value = out[:, :-1], out[:, -1:]
        return mu, mu * 0 + self.sigma, value, obs_dict.get("rnn_states", None)


class TwoHeadedBuilder(NetworkBuilder):  # noqa: F405
    """Its own load and build."""

    def load(self, params):
        self.params = params

    def build(self, name, **kwargs):
        return TwoHeaded(self.params, **kwargs)


def main():
    register(PointMass)
    model_builder.register_network("two_headed", TwoHeadedBuilder)
    assert A2CBuilder and object_factory and torch_ext  # noqa: F405
    runner = TableRunner()
    runner.load(settings(net=network(name="two_headed"), max_epochs=2, full_experiment_name="table"))
    runner.run({"train": True, "play": False, "sigma": -1.5})
    trained = runner.agent.model.a2c_network.sigma.detach()
    assert (trained + 1.5).abs().max() < 8 * 1e-2  # 8 steps of Adam at 1e-2 at the most
    runner.agent.save("table")
    runner.run({"train": False, "play": True, "checkpoint": "table.pth"})

    search = TableRunner()
    search.load(settings("random_search"))
    search.run({"train": True, "play": False})
    search.agent.set_param("max_epochs", 4)
    report(
        calls=CALLS,
        name=runner.agent.config["name"],
        seeds=[runner.seed_of_run, runner.params["seed"], runner.default_config["seed"]],
        algo=[runner.algo_name, runner.algo_params],
        result=[type(runner.result).__name__, runner.result[1], search.result[0]],
        ranks=[runner.local_rank, runner.global_rank, runner.world_size],
        parameter=search.agent.get_param("max_epochs"),
        player=[runner.player.games_num, runner.player.is_deterministic, runner.player.max_steps],
    )


if __name__ == "__main__":
    main()
