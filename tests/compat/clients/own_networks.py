"""Networks written from nothing on BaseNetwork, for a continuous and for a discrete agent, trained and played."""

import torch
from isaac import register, run
from rl_games.algos_torch import model_builder
from rl_games.algos_torch.network_builder import NetworkBuilder
from rl_games.torch_runner import Runner
from torch import nn
from world import PointMass, last_checkpoint, report, settings


class PlainBuilder(NetworkBuilder):
    """One hidden layer; which head it has follows from the section's ``space``."""

    def __init__(self, **kwargs):
        NetworkBuilder.__init__(self)

    def load(self, params):
        self.params = params

    class Network(NetworkBuilder.BaseNetwork):
        """Answers with a tuple: the head's outputs, value and states."""

        def __init__(self, params, **kwargs):
            actions_num = kwargs.pop("actions_num")
            input_shape = kwargs.pop("input_shape")
            self.value_size = kwargs.pop("value_size", 1)
            NetworkBuilder.BaseNetwork.__init__(self)
            self.discrete = "discrete" in params["space"]
            width = params["width"]
            self.body = self._build_mlp(
                input_size=self._calc_input_size(input_shape),
                units=[width],
                activation="tanh",
                dense_func=nn.Linear,
            )
            self.value = self._build_value_layer(width, self.value_size)
            self.head = nn.Linear(width, actions_num)
            start = self.init_factory.create(name="orthogonal_initializer", gain=0.5)
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    start(module.weight)
            if not self.discrete:
                self.log_std = nn.Parameter(torch.zeros(actions_num))
            self.pull = 0.0

        def is_rnn(self):
            return False

        def get_aux_loss(self):
            return {"pull": self.pull}

        def forward(self, obs_dict):
            out = self.body(obs_dict["obs"])
            head = self.head(out)
            self.pull = 1e-3 * head.square().mean()
            if self.discrete:
                return head, self.value(out), None
            return head, head * 0.0 + self.log_std, self.value(out), None

    def build(self, name, **kwargs):
        return PlainBuilder.Network(self.params, **kwargs)


def play(cfg, path):
    runner = Runner()
    runner.load(cfg())
    runner.run({"train": False, "play": True, "checkpoint": path, "sigma": None})
    player = runner.create_player()
    player.restore(path)
    player.reset()
    obs = player.env_reset(player.env)
    player.get_batch_size(obs, 1)
    return player.get_action(obs, True)


def main():
    model_builder.register_network("plain", PlainBuilder)

    def continuous():
        net = {"name": "plain", "width": 12, "space": {"continuous": {}}}
        return settings(net=net, full_experiment_name="continuous")

    def discrete():
        net = {"name": "plain", "width": 12, "space": {"discrete": {}}}
        return settings("a2c_discrete", "discrete_a2c", net, full_experiment_name="discrete")

    facts = {}
    for name, cfg in {"continuous": continuous, "discrete": discrete}.items():
        register(lambda name=name, **kwargs: PointMass(discrete=name == "discrete", **kwargs))
        run(cfg())
        path = last_checkpoint(f"runs/{name}")
        action = play(cfg, path)
        weights = torch.load(path, weights_only=False)
        assert weights["env_state"] == {"lesson": 2}  # 64 frames at the third epoch's start, 32 a lesson
        facts[name] = {key: list(value.shape) for key, value in weights["model"].items()}
        facts[name + " action"] = list(action.shape), str(action.dtype)
    report(**facts)


if __name__ == "__main__":
    main()
