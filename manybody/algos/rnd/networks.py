"""``rnd_curiosity``: an actor-critic, and two more networks whose difference is the novelty."""

from typing import Any, Self

import torch
from torch import Tensor, nn
from typing_extensions import override

from manybody.algos.a2c import A2CNetwork
from manybody.algos.network import NetworkBuilder
from manybody.algos.rnd.config import RNDCuriosityConfig
from manybody.config import ActorCriticConfig
from manybody.config.network import MLPConfig
from manybody.data.tree import Tree
from manybody.envs.spaces import ObsShape
from manybody.nn.normalizer import RunningMeanStd, observation_normalizer


class Curiosity(nn.Module):
    """Random network distillation (Burda et al. 2018, arXiv 1810.12894, section 2.2).

    The target, a network with random weights, maps an observation to F numbers. The predictor learns to give the same
    numbers for the observations of training. Its error measures novelty.

    Both see observations normalised by running statistics and clipped to +-5 (section 2.4). The statistics change in
    :meth:`observe` and :meth:`normalize` only, whatever the mode of the module.

    Args:
        params: the ``network`` section.
        input_shape: of one observation, or by key.
    """

    def __init__(self, params: RNDCuriosityConfig, input_shape: ObsShape) -> None:
        super().__init__()

        def features(hidden: MLPConfig) -> A2CNetwork:
            section = ActorCriticConfig(
                name="actor_critic",
                central_value=True,
                mlp=hidden,
                cnn=params.cnn,
                encoders=params.encoders,
            )
            return A2CNetwork(section, input_shape=input_shape, value_size=params.rnd.features)

        self.target = features(params.rnd.target).requires_grad_(False)
        self.predictor = features(params.rnd.predictor)
        self.obs_mean_std = observation_normalizer(input_shape)
        self.return_mean_std = RunningMeanStd(1, epsilon=1e-8, norm_only=True)
        self.return_mean_std.count.fill_(1e-4)  # the assumed variance of 1 gives way to the first one measured
        self.train()

    @override
    def train(self, mode: bool = True) -> Self:
        """Set the mode; the statistics and the target are never trained."""
        super().train(mode)
        self.obs_mean_std.eval()
        self.return_mean_std.eval()
        return self

    def observe(self, obs: Tree) -> None:
        """Merge observations (M, *input_shape) into the statistics."""
        self.obs_mean_std.train()
        self.obs_mean_std(obs)
        self.obs_mean_std.eval()

    def novelty(self, obs: Tree) -> Tensor:
        """(M,) mean squared error of the predictor about observations (M, *input_shape)."""
        seen = {"obs": self.obs_mean_std(obs)}
        with torch.no_grad():
            wanted = self.target(seen).value
        return (self.predictor(seen).value - wanted).square().mean(dim=1)

    def normalize(self, novelty: Tensor, returns: Tensor) -> Tensor:
        """Divide novelty by the standard deviation of its discounted returns (section 2.4); (T, N) each."""
        self.return_mean_std.update(returns.reshape(-1, 1))
        return self.return_mean_std(novelty.reshape(-1, 1)).reshape(novelty.shape)


class RNDCuriosityNetwork(A2CNetwork):
    """``actor_critic`` and a :class:`Curiosity`, so that one ``state_dict`` holds all.

    What :meth:`forward` takes and gives is that of :class:`A2CNetwork`; agents ask ``curiosity`` by themselves.

    Args:
        params: the ``network`` section.
        kwargs: as for :class:`A2CNetwork`.
    """

    def __init__(self, params: RNDCuriosityConfig, **kwargs: Any) -> None:
        super().__init__(params, **kwargs)
        self.curiosity = Curiosity(params, kwargs["input_shape"])


class RNDCuriosityBuilder(NetworkBuilder):
    """``network.name: rnd_curiosity``."""

    Network = RNDCuriosityNetwork
