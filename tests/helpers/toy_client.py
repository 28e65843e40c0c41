"""Networks and models as clients of RL Games write them, defined on RL Games' base classes and on this library's."""

import contextlib
import importlib
import io
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional

HOMES = {"rl_games": "rl_games", "manybody": "manybody.compat.rl_games"}
CONTINUOUS = {
    "mu_activation": "None",
    "sigma_activation": "None",
    "mu_init": {"name": "default", "scale": 0.02},
    "sigma_init": {"name": "const_initializer", "val": -0.5},
    "fixed_sigma": True,
    "learn_sigma": True,
}


def network_section(space="continuous", **keys):
    """Return the ``network`` section of a client's file with additional ``keys``."""
    return {
        "name": "client",
        "separate": False,
        "normalization": None,
        "space": {space: dict(CONTINUOUS) if space == "continuous" else None},
        "mlp": {
            "units": [16, 8],
            "activation": "elu",
            "initializer": {"name": "orthogonal_initializer", "gain": 1.4},
        },
        **keys,
    }


def build(builder, section, **build_kwargs):
    """Build a network with seed 3; RL Games' prints are suppressed."""
    recipe = builder()
    recipe.load(section)
    torch.manual_seed(3)
    with contextlib.redirect_stdout(io.StringIO()):
        return recipe.build("client", **build_kwargs)


def side(name):
    """Return the modules of ``rl_games`` or of ``manybody``'s compatibility package, and the client classes on them."""
    with contextlib.redirect_stdout(io.StringIO()):
        modules = {
            part: importlib.import_module(f"{HOMES[name]}.algos_torch.{part}")
            for part in ("network_builder", "models", "model_builder", "running_mean_std")
        }
    library = SimpleNamespace(name=name, **modules)
    for define in (_amp, _encoders, _own_network):
        define(library)
    return library


def _amp(library):
    network_builder, models = library.network_builder, library.models

    class AMPBuilder(network_builder.A2CBuilder):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

        class Network(network_builder.A2CBuilder.Network):
            def __init__(self, params, **kwargs):
                super().__init__(params, **kwargs)
                if self.is_continuous and not self.space_config["learn_sigma"]:
                    start = self.init_factory.create(**self.space_config["sigma_init"])
                    self.sigma = nn.Parameter(torch.zeros(kwargs.get("actions_num")), requires_grad=False)
                    start(self.sigma)
                self._build_disc(kwargs.get("amp_input_shape"))

            def load(self, params):
                super().load(params)
                self._disc_units = params["disc"]["units"]
                self._disc_activation = params["disc"]["activation"]
                self._disc_initializer = params["disc"]["initializer"]

            def _build_disc(self, shape):
                mlp = {
                    "units": self._disc_units,
                    "activation": self._disc_activation,
                    "dense_func": nn.Linear,
                }
                self._disc_mlp = self._build_mlp(input_size=shape[0], **mlp)
                self._disc_logits = nn.Linear(self._disc_units[-1], 1)
                draw = self.init_factory.create(**self._disc_initializer)
                for layer in self._disc_mlp.modules():
                    if isinstance(layer, nn.Linear):
                        draw(layer.weight)

            def eval_disc(self, amp_obs):
                return self._disc_logits(self._disc_mlp(amp_obs))

            def eval_critic(self, obs):
                out = self.critic_cnn(obs)
                out = self.critic_mlp(out.contiguous().view(out.size(0), -1))
                return self.value_act(self.value(out))

            def eval_actor(self, obs):
                out = self.actor_cnn(obs)
                out = self.actor_mlp(out.contiguous().view(out.size(0), -1))
                mu = self.mu_act(self.mu(out))
                if self.space_config["fixed_sigma"]:
                    return mu, mu * 0.0 + self.sigma_act(self.sigma)
                return mu, self.sigma_act(self.sigma(out))

        def build(self, name, **kwargs):
            return AMPBuilder.Network(self.params, **kwargs)

    class ModelAMP(models.ModelA2CContinuousLogStd):
        def __init__(self, network):
            super().__init__(network)

        def build(self, config):
            net = self.network_builder.build("amp", **config)
            return self.Network(
                net,
                obs_shape=config["input_shape"],
                normalize_value=config.get("normalize_value", False),
                normalize_input=config.get("normalize_input", False),
                value_size=config.get("value_size", 1),
            )

        class Network(models.ModelA2CContinuousLogStd.Network):
            def __init__(self, a2c_network, **kwargs):
                super().__init__(a2c_network, **kwargs)

            def forward(self, input_dict):
                result = super().forward(input_dict)
                if input_dict.get("is_train", True):
                    result["disc_agent_logit"] = self.a2c_network.eval_disc(input_dict["amp_obs"])
                return result

    library.AMPBuilder, library.ModelAMP = AMPBuilder, ModelAMP


def _encoders(library):
    builder = library.network_builder.A2CBuilder

    class EncodersBuilder(builder):
        def load(self, params):
            self.params = params

        class Network(builder.Network):
            def __init__(self, params, **kwargs):
                shapes = dict(kwargs.get("input_shape"))
                settings = params.pop("encoders", {})
                encoders = {}
                for key, width in settings.items():
                    normaliser = library.running_mean_std.RunningMeanStd(shapes[key])
                    encoders[key] = nn.Sequential(normaliser, nn.Linear(shapes[key][0], width))
                    shapes[key] = (width,)
                kwargs["input_shape"] = (sum(shape[0] for shape in shapes.values()),)
                super().__init__(params, **kwargs)
                self.encoders = nn.ModuleDict(encoders)
                self.order = list(shapes)

            def forward(self, obs_dict):
                for key, encoder in self.encoders.items():
                    obs_dict["obs"][key] = encoder(obs_dict["obs"][key])
                obs_dict["obs"] = torch.cat([obs_dict["obs"][key] for key in self.order], dim=1)
                return super().forward(obs_dict)

        def build(self, name, **kwargs):
            return EncodersBuilder.Network(self.params, **kwargs)

    library.EncodersBuilder = EncodersBuilder


def _own_network(library):
    network_builder = library.network_builder

    class OwnNetwork(network_builder.NetworkBuilder.BaseNetwork):
        def __init__(self, params, **kwargs):
            nn.Module.__init__(self)
            actions_num = kwargs.pop("actions_num")
            sizes = kwargs.pop("input_shape")
            assert type(sizes) is dict
            self.central_value = params.get("central_value", False)
            self.linear = nn.Linear(sum(size[0] for size in sizes.values()), 8)
            self.mean_linear = nn.Linear(8, actions_num)
            self.value_linear = nn.Linear(8, kwargs.pop("value_size", 1))
            self.aux_loss_map = {"aux": None}

        def is_rnn(self):
            return False

        def get_aux_loss(self):
            return self.aux_loss_map

        def forward(self, obs):
            obs = obs["obs"]
            x = functional.relu(self.linear(torch.cat([obs["pos"], obs["info"]], axis=-1)))
            self.aux_loss_map["aux"] = x.square().mean()
            value = self.value_linear(x)
            return (value, None) if self.central_value else (self.mean_linear(x), value, None)

    class OwnBuilder(network_builder.NetworkBuilder):
        def __init__(self, **kwargs):
            network_builder.NetworkBuilder.__init__(self)

        def load(self, params):
            self.params = params

        def build(self, name, **kwargs):
            return OwnNetwork(self.params, **kwargs)

        def __call__(self, name, **kwargs):
            return self.build(name, **kwargs)

    library.OwnBuilder = OwnBuilder
