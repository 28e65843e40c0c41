"""``rl_games.algos_torch.layers``: noisy linear layers (arXiv 1706.10295)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class NoisyLinear(nn.Linear):
    """A linear layer with independent noise, of learned size, on every weight."""

    epsilon_weight: Tensor
    epsilon_bias: Tensor

    def __init__(self, in_features: int, out_features: int, sigma_init: float = 0.017, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self.sigma_weight = nn.Parameter(torch.full((out_features, in_features), sigma_init))
        self.register_buffer("epsilon_weight", torch.zeros(out_features, in_features))
        if bias:
            self.sigma_bias = nn.Parameter(torch.full((out_features,), sigma_init))
            self.register_buffer("epsilon_bias", torch.zeros(out_features))

    def forward(self, input: Tensor) -> Tensor:
        """(M, out_features) from (M, in_features), with new noise in each call."""
        weight = self.weight + self.sigma_weight * self.epsilon_weight.normal_()
        bias = None if self.bias is None else self.bias + self.sigma_bias * self.epsilon_bias.normal_()
        return linear(input, weight, bias)


class NoisyFactorizedLinear(nn.Linear):
    """A linear layer whose noise is the outer product of one number per input and one per output."""

    epsilon_input: Tensor
    epsilon_output: Tensor

    def __init__(self, in_features: int, out_features: int, sigma_zero: float = 0.4, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias=bias)
        sigma = sigma_zero / math.sqrt(in_features)
        self.sigma_weight = nn.Parameter(torch.full((out_features, in_features), sigma))
        self.register_buffer("epsilon_input", torch.zeros(1, in_features))
        self.register_buffer("epsilon_output", torch.zeros(out_features, 1))
        if bias:
            self.sigma_bias = nn.Parameter(torch.full((out_features,), sigma))

    def forward(self, input: Tensor) -> Tensor:
        """(M, out_features) from (M, in_features), with new noise in each call."""
        by_input = _signed_root(self.epsilon_input.normal_())
        by_output = _signed_root(self.epsilon_output.normal_())
        weight = self.weight + self.sigma_weight * (by_input * by_output)
        bias = None if self.bias is None else self.bias + self.sigma_bias * by_output.squeeze(1)
        return linear(input, weight, bias)


def _signed_root(x: Tensor) -> Tensor:
    return x.sign() * x.abs().sqrt()
