"""Network, model, dataset and replay memory of adversarial motion priors, as parts of RL Games."""

import torch
from rl_games.algos_torch import network_builder
from rl_games.algos_torch.models import ModelA2CContinuousLogStd
from rl_games.common import datasets
from torch import nn


class AMPBuilder(network_builder.A2CBuilder):
    """An actor-critic with a discriminator beside it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    class Network(network_builder.A2CBuilder.Network):
        """Actor, critic and discriminator."""

        def __init__(self, params, **kwargs):
            super().__init__(params, **kwargs)
            assert self.separate and self.is_continuous and not (self.is_discrete or self.is_multi_discrete)
            if not self.space_config["learn_sigma"]:
                # super() took actions_num out of its own copy; here it has to be there still.
                self.sigma = nn.Parameter(torch.zeros(kwargs.get("actions_num")), requires_grad=False)
                self.init_factory.create(**self.space_config["sigma_init"])(self.sigma)
            self._build_disc(kwargs.get("amp_input_shape"))

        def load(self, params):
            super().load(params)
            self._disc_units = params["disc"]["units"]
            self._disc_activation = params["disc"]["activation"]
            self._disc_initializer = params["disc"]["initializer"]

        def _build_disc(self, input_shape):
            self._disc_mlp = self._build_mlp(
                input_size=input_shape[0],
                units=self._disc_units,
                activation=self._disc_activation,
                dense_func=torch.nn.Linear,
            )
            self._disc_logits = torch.nn.Linear(self._disc_units[-1], 1)
            initialize = self.init_factory.create(**self._disc_initializer)
            for module in self._disc_mlp.modules():
                if isinstance(module, nn.Linear):
                    initialize(module.weight)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
            nn.init.uniform_(self._disc_logits.weight, -1.0, 1.0)
            nn.init.zeros_(self._disc_logits.bias)

        def forward(self, obs_dict):
            obs = obs_dict["obs"]
            states = obs_dict.get("rnn_states", None)
            mu, sigma = self.eval_actor(obs)
            return mu, sigma, self.eval_critic(obs), states

        def eval_actor(self, obs):
            out = self.actor_cnn(obs)
            out = self.actor_mlp(out.contiguous().view(out.size(0), -1))
            mu = self.mu_act(self.mu(out))
            assert self.space_config["fixed_sigma"] is self.fixed_sigma is True
            return mu, mu * 0.0 + self.sigma_act(self.sigma)

        def eval_critic(self, obs):
            out = self.critic_cnn(obs)
            out = self.critic_mlp(out.contiguous().view(out.size(0), -1))
            return self.value_act(self.value(out))

        def eval_disc(self, amp_obs):
            return self._disc_logits(self._disc_mlp(amp_obs))

        def disc_weights(self):
            return [m.weight.flatten() for m in self._disc_mlp.modules() if isinstance(m, nn.Linear)] + [
                self._disc_logits.weight.flatten()
            ]

    def build(self, name, **kwargs):
        assert name == "amp"
        return AMPBuilder.Network(self.params, **kwargs)


class ModelAMPContinuous(ModelA2CContinuousLogStd):
    """The Gaussian policy, with the discriminator's opinion in training."""

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

    class Network(ModelA2CContinuousLogStd.Network):
        """Adds three logits to what the policy gives."""

        def __init__(self, a2c_network, **kwargs):
            super().__init__(a2c_network, **kwargs)

        def forward(self, input_dict):
            result = super().forward(input_dict)
            if input_dict.get("is_train", True):
                for which in ("agent", "replay", "demo"):
                    key = "amp_obs" if which == "agent" else "amp_obs_" + which
                    result[f"disc_{which}_logit"] = self.a2c_network.eval_disc(input_dict[key])
            return result


class AMPDataset(datasets.PPODataset):
    """Minibatches drawn from a shuffled order, which is renewed after each pass."""

    def __init__(self, batch_size, minibatch_size, is_discrete, is_rnn, device, seq_len):
        super().__init__(batch_size, minibatch_size, is_discrete, is_rnn, device, seq_len)
        self._order = torch.randperm(batch_size)

    def update_mu_sigma(self, mu, sigma):
        raise NotImplementedError("the order is not the batch's")

    def _get_item(self, idx):
        rows = self._order[idx * self.minibatch_size : (idx + 1) * self.minibatch_size]
        chosen = {}
        for name, values in self.values_dict.items():
            if name not in self.special_names and values is not None:
                chosen[name] = values[rows]
        if (idx + 1) * self.minibatch_size >= self.batch_size:
            self._order[:] = torch.randperm(self.batch_size)
        return chosen


class Memory:
    """A ring of observations."""

    def __init__(self, size, device):
        self.size, self.device, self.head, self.rows = size, device, 0, None

    def store(self, rows):
        if self.rows is None:
            self.rows = torch.zeros(self.size, *rows.shape[1:], device=self.device)
        places = (self.head + torch.arange(len(rows))) % self.size
        self.rows[places] = rows
        self.head += len(rows)

    def sample(self, count):
        return self.rows[torch.randint(0, min(self.head, self.size), (count,))]

    def get_total_count(self):
        return self.head
