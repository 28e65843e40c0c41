"""The agents: ``RNDAgent`` (``rnd_continuous``) and ``RNDDiscreteAgent`` (``rnd_discrete``)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c import A2CAgent, DiscreteA2CAgent, OnPolicyAgent
from manybody.algos.model import check_part
from manybody.algos.rnd.config import RNDConfig, RNDDiscretePPOConfig, RNDPPOConfig
from manybody.algos.rnd.networks import Curiosity
from manybody.data.tree import Tree, tree_map
from manybody.engine.checkpoint.parts import Attribute, Parts
from manybody.envs.base import Step
from manybody.functional.returns import forward_filter


class CuriousBase(OnPolicyAgent):
    """PPO with a reward for novel observations (Burda et al. 2018, arXiv 1810.12894).

    The intrinsic reward of a step is the predictor's error on the next observation, divided by the standard deviation
    of intrinsic returns; at the end of an episode that is the first observation of the next one, as in the paper's
    code. It has a separate value head, the last one (V is one more than the environment's reward components), and
    discount. The advantages of all heads are added up, and ``extrinsic_coef`` and ``intrinsic_coef`` weigh the rewards
    before. The predictor learns from the same minibatches as the policy.

    Raises:
        ConfigError: the network has no curiosity.
    """

    config: RNDPPOConfig | RNDDiscretePPOConfig

    @override
    def build_learner(self) -> None:
        super().build_learner()
        check_part(self.params, "network", self.model.a2c_network, ["curiosity"], "rnd_curiosity")

    @property
    def rnd(self) -> RNDConfig:
        """The ``rnd_config`` section."""
        return self.config.rnd_config

    @property
    def curiosity(self) -> Curiosity:
        """Target, predictor and their statistics."""
        return self.model.a2c_network.curiosity

    @override
    def value_heads(self) -> int:
        return super().value_heads() + 1

    @override
    def init_tensors(self) -> None:
        super().init_tensors()
        self.intrinsic_returns = torch.zeros(self.rows, device=self.ppo_device)
        """(N,) discounted sums of all novelty so far, over the borders of episodes."""

    # --- rewards and advantages ----------------------------------------------------------------------------------

    @override
    def shape_rewards(self, rollout: Mapping[str, Tensor]) -> Tensor:
        """(T, N, V): the environment's rewards and, last, the intrinsic one; each with its weight."""
        novelty = self._novelty(rollout["obses"])
        returns = forward_filter(novelty, self.intrinsic_returns, self.rnd.gamma)
        self.intrinsic_returns = returns[-1]
        intrinsic = self.curiosity.normalize(novelty, returns)
        self.epoch_extras["info/novelty"] = novelty.mean()
        self.epoch_extras["info/intrinsic_reward"] = intrinsic.mean()
        weighed = self.rnd.extrinsic_coef * super().shape_rewards(rollout)
        return torch.cat([weighed, self.rnd.intrinsic_coef * intrinsic.unsqueeze(-1)], dim=-1)

    def _novelty(self, obses: Tree) -> Tensor:
        """(T, N) of the observations after those of the rollout, (T, N, *shape), in portions of a minibatch."""
        after = tree_map(
            lambda seen, last: torch.cat([seen[1:], last.unsqueeze(0)]).flatten(0, 1), obses, self.obs["obs"]
        )
        size = self.config.resolved_minibatch_size
        portions = [
            tree_map(lambda x, start=start: x[start : start + size], after) for start in range(0, self.batch_size, size)
        ]
        for portion in portions:
            self.curiosity.observe(portion)
        novelty = torch.cat([self.curiosity.novelty(portion) for portion in portions])
        return novelty.unflatten(0, (self.horizon_length, self.rows))

    @override
    def bootstrap(self, n: int, step: Step) -> Tensor:
        # Intrinsic returns that continue in the next episode need none.
        future = super().bootstrap(n, step)
        share = self.rnd.gamma / self.gamma if self.rnd.episodic else 0.0
        return torch.cat([future[:, :-1], share * future[:, -1:]], dim=1)

    @override
    def calc_advantages(self, rollout: Mapping[str, Tensor], last_values: Tensor) -> Tensor:
        # The intrinsic head has its own discount and, unless ``episodic``, no ends.
        rewards = self.shape_rewards(rollout) + rollout["bootstraps"]
        heads = (
            (slice(None, -1), self.gamma, 1.0),
            (slice(-1, None), self.rnd.gamma, float(self.rnd.episodic)),
        )
        advantages = [
            self.gae(
                rewards[..., head],
                rollout["values"][..., head],
                ends * rollout["dones"].float(),
                last_values[..., head],
                ends * self.dones.float(),
                gamma,
                self.tau,
            )
            for head, gamma, ends in heads
        ]
        return torch.cat(advantages, dim=-1)

    # --- learning ------------------------------------------------------------------------------------------------

    def extra_losses(self, minibatch: Mapping[str, Any], losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add ``losses['predictor_loss']``, from ``update_proportion`` of the minibatch."""
        novelty = self.curiosity.novelty(minibatch["obs"])
        used = (torch.rand_like(novelty) < self.rnd.update_proportion).float()
        losses["predictor_loss"] = (used * novelty).sum() / used.sum().clamp_min(1.0)
        losses["loss"] = losses["loss"] + losses["predictor_loss"]
        return losses

    # --- checkpoints ---------------------------------------------------------------------------------------------

    @override
    def interaction_parts(self) -> Parts:
        returns = Attribute(self, "intrinsic_returns", self.ppo_device)
        return {**super().interaction_parts(), "intrinsic_returns": returns}


class RNDAgent(CuriousBase, A2CAgent):
    """``rnd_continuous``: PPO with curiosity and real-valued actions."""

    Config = RNDPPOConfig
    config: RNDPPOConfig


class RNDDiscreteAgent(CuriousBase, DiscreteA2CAgent):
    """``rnd_discrete``: PPO with curiosity and discrete actions."""

    Config = RNDDiscretePPOConfig
    config: RNDDiscretePPOConfig
