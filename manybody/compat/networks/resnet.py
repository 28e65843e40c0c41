"""``A2CResnetBuilder.Network``: RL Games' actor-critic behind IMPALA's residual convolutions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from typing_extensions import override

from manybody.compat.networks.actor_critic import A2CNetwork, Trunk


class Conv2dAuto(nn.Conv2d):
    """A convolution with as many zeros at the edges as keep the size of the image, for kernels of odd size."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.padding = (self.kernel_size[0] // 2, self.kernel_size[1] // 2)


class ConvBlock(nn.Module):
    """A 3 x 3 convolution, with ``use_bn`` followed by batch normalisation instead of an offset."""

    def __init__(self, in_channels: int, out_channels: int, use_bn: bool = False) -> None:
        super().__init__()
        self.use_bn = use_bn
        self.conv = Conv2dAuto(in_channels, out_channels, kernel_size=3, bias=not use_bn)
        if use_bn:
            self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(M, out_channels, H, W) from (M, in_channels, H, W)."""
        x = self.conv(x)
        return self.bn(x) if self.use_bn else x


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(relu(x))))``, (M, C, H, W); with ``use_zero_init`` the sum's second part grows from zero."""

    def __init__(
        self, channels: int, activation: str = "relu", use_bn: bool = False, use_zero_init: bool = False
    ) -> None:
        super().__init__()
        self.use_zero_init = use_zero_init
        if use_zero_init:
            self.alpha = nn.Parameter(torch.zeros(1))
        self.activation = activation
        self.conv1 = ConvBlock(channels, channels, use_bn)
        self.conv2 = ConvBlock(channels, channels, use_bn)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        change = self.conv2(self.conv1(x.relu()).relu())
        return x + (self.alpha * change if self.use_zero_init else change)


class ImpalaSequential(nn.Module):
    """A convolution, a pooling that halves height and width, and two residual blocks."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        activation: str = "relu",
        use_bn: bool = False,
        use_zero_init: bool = False,
    ) -> None:
        super().__init__()
        self.conv = ConvBlock(in_channels, out_channels, use_bn)
        self.max_pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.res_block1 = ResidualBlock(out_channels, activation, use_bn, use_zero_init)
        self.res_block2 = ResidualBlock(out_channels, activation, use_bn, use_zero_init)

    def forward(self, x: Tensor) -> Tensor:
        """(M, out_channels, ceil(H / 2), ceil(W / 2)) from (M, in_channels, H, W)."""
        return self.res_block2(self.res_block1(self.max_pool(self.conv(x))))


class A2CResnetNetwork(A2CNetwork):
    """An actor-critic for images that share all but the heads.

    With ``require_rewards`` or ``require_last_actions`` the observation is a dictionary of ``observation``, ``reward``
    (M,) and ``last_action``, and the recurrent layer sees them too.
    """

    PLACEHOLDERS = ()

    def __init__(self, params: Any, **kwargs: Any) -> None:
        self.actions_num: Any = kwargs["actions_num"]
        if isinstance(kwargs["input_shape"], Mapping):
            kwargs["input_shape"] = kwargs["input_shape"]["observation"]
        super().__init__(params, **kwargs)
        self.flatten_act = self.activations_factory.create(self.activation)

    @override
    def load(self, params: Any) -> None:
        super().load(params)
        self.separate = False
        self.conv_depths = params["cnn"]["conv_depths"]
        self.require_rewards = params.get("require_rewards")
        self.require_last_actions = params.get("require_last_actions")
        actions = self.actions_num if self.require_last_actions else 0
        self.extra_rnn_input = (1 if self.require_rewards else 0) + actions

    @property
    def _trunks(self) -> tuple[Trunk, ...]:
        return (Trunk("cnn", "mlp", "rnn", "layer_norm"),)

    def _build_encoder(self, input_shape: Any) -> nn.Module:
        return self._build_impala(input_shape, self.conv_depths)

    def _build_impala(self, input_shape: Any, depths: Any) -> nn.Module:
        """From (M, C, H, W), ``input_shape`` (C, H, W); one block for each of ``depths``."""
        channels = [input_shape[0], *depths]
        return nn.Sequential(*[ImpalaSequential(channels[i], channels[i + 1]) for i in range(len(depths))])

    def _draw_weights(self) -> None:
        dense = self.init_factory.create(**self.initializer)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        heads = [] if self.is_continuous else [self.logits] if self.is_discrete else list(self.logits)
        for part in [*getattr(self, self._trunks[0].mlp).modules(), *heads]:
            if isinstance(part, nn.Linear):
                dense(part.weight)
        self._draw_heads()
        dense(self.value.weight)

    def _observation(self, obs_dict: Mapping[str, Any]) -> Tensor:
        obs = obs_dict["obs"]
        return obs["observation"] if isinstance(obs, Mapping) else obs

    def _encode(self, trunk: Trunk, obs: Tensor) -> Tensor:
        return self.flatten_act(super()._encode(trunk, obs))

    def _recall(
        self, trunk: Trunk, x: Tensor, obs_dict: Mapping[str, Any], states: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        parts = [x]
        if self.require_rewards:
            parts.append(obs_dict["obs"]["reward"].unsqueeze(1))
        if self.require_last_actions:
            action = obs_dict["obs"]["last_action"]
            parts.append(one_hot(action.long(), self.actions_num).to(x) if self.is_discrete else action)
        return super()._recall(trunk, torch.cat(parts, dim=1), obs_dict, states)
