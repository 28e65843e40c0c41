"""``rl_games.algos_torch.sac_helper``: a Gaussian squashed into (-1, 1), as a distribution of PyTorch."""

from torch import Tensor
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform


class SquashedNormal(TransformedDistribution):
    """``tanh`` of N(loc, scale^2), element by element."""

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc = loc
        self.scale = scale
        super().__init__(Normal(loc, scale), [TanhTransform(cache_size=1)])

    @property
    def mean(self) -> Tensor:
        """Tanh of ``loc``: the median."""
        return self.loc.tanh()

    def entropy(self) -> Tensor:
        """Return the entropy of the Gaussian before the tanh."""
        return self.base_dist.entropy()
