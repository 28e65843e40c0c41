"""``continuous_amp``: a Gaussian policy, and the normaliser of what its discriminator sees."""

from torch import Tensor, nn
from typing_extensions import override

from manybody.algos.a2c import LogStdModelNetwork, ModelA2CContinuousLogStd
from manybody.algos.network import ModelArguments
from manybody.nn.normalizer import RunningMeanStd


class AMPModelNetwork(LogStdModelNetwork):
    """A live Gaussian model with a discriminator; ``amp_input_mean_std`` is named as in IsaacGymEnvs' checkpoints."""

    amp_input_mean_std: nn.Module

    def norm_amp_obs(self, amp_obs: Tensor) -> Tensor:
        """``amp_obs`` (M, D) as the discriminator sees it; updates the statistics in training mode."""
        return self.amp_input_mean_std(amp_obs)

    def discriminate(self, amp_obs: Tensor) -> Tensor:
        """Logits (M, 1) of ``amp_obs`` (M, D) as the environment gave it."""
        return self.a2c_network.eval_disc(self.norm_amp_obs(amp_obs))


class ModelAMPContinuous(ModelA2CContinuousLogStd):
    """``model.name: continuous_amp``."""

    Network = AMPModelNetwork

    @override
    def build(self, config: ModelArguments) -> AMPModelNetwork:
        """Build a live model; ``config`` also has ``amp_input_shape`` and ``normalize_amp_input``."""
        model = super().build(config)
        assert isinstance(model, AMPModelNetwork)
        normalize, shape = config["normalize_amp_input"], config["amp_input_shape"]
        model.amp_input_mean_std = RunningMeanStd(shape) if normalize else nn.Identity()
        return model
