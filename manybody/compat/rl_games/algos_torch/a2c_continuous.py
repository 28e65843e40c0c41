"""RL Games' ``rl_games.algos_torch.a2c_continuous``: PPO with real-valued actions, as clients extend it."""

from typing import Any

import torch
from torch import Tensor

from manybody.compat.rl_games.algos_torch import central_value as central_value
from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.compat.rl_games.algos_torch.running_mean_std import RunningMeanStd as RunningMeanStd
from manybody.compat.rl_games.algos_torch.running_mean_std import RunningMeanStdObs as RunningMeanStdObs
from manybody.compat.rl_games.common import a2c_common
from manybody.compat.rl_games.common import common_losses as common_losses
from manybody.compat.rl_games.common import datasets as datasets
from manybody.engine.accelerate import autocast_off_cpu
from manybody.functional import policy as policy_maths

__all__ = ["A2CAgent"]


class A2CAgent(a2c_common.ContinuousA2CBase):
    """``a2c_continuous`` with RL Games' methods, to inherit from."""

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        a2c_common.ContinuousA2CBase.__init__(self, base_name, params)
        self.build()

    def get_masked_action_values(self, obs: dict[str, Any], action_masks: Any) -> dict[str, Any]:
        """There is nothing to mask. Raises NotImplementedError."""
        raise NotImplementedError("a2c_continuous: real-valued actions have no masks; use_action_masks must be False")

    def calc_losses(
        self,
        actor_loss_func: Any,
        old_action_log_probs_batch: Tensor,
        action_log_probs: Tensor,
        advantage: Tensor,
        curr_e_clip: float,
        value_preds_batch: Tensor,
        values: Tensor,
        return_batch: Tensor,
        mu: Tensor,
        entropy: Tensor,
        rnn_masks: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Any]:
        """Total, actor, critic, entropy and bounds loss, () each, and the sum of the mask."""
        a_loss = actor_loss_func(old_action_log_probs_batch, action_log_probs, advantage, self.ppo, curr_e_clip)
        c_loss = self.critic_losses(values, {"old_values": value_preds_batch, "returns": return_batch})
        bounds = {"bound": self.bound_loss, "regularisation": self.reg_loss}.get(self.bound_loss_type)
        b_loss = torch.zeros_like(a_loss) if bounds is None else bounds(mu)
        parts = [a_loss.unsqueeze(1), c_loss, entropy.unsqueeze(1), b_loss.unsqueeze(1)]
        (a_loss, c_loss, entropy, b_loss), mask = torch_ext.apply_masks(parts, rnn_masks)
        loss = a_loss + 0.5 * c_loss * self.critic_coef - entropy * self.entropy_coef
        loss = loss + b_loss * (self.bounds_loss_coef or 0.0)
        return loss, a_loss, c_loss, entropy, b_loss, mask

    def calc_gradients(self, input_dict: Any) -> None:
        """Losses, gradients and an optimiser step; leaves its nine results in ``train_result``."""
        rnn_masks = input_dict.get("rnn_masks") if self.is_rnn else None
        with autocast_off_cpu(self.ppo_device, self.mixed_precision):
            answer = self.ask(input_dict)
            mu, sigma = answer["mus"], answer["sigmas"]
            loss, a_loss, c_loss, entropy, b_loss, _ = self.calc_losses(
                self.actor_loss_func,
                input_dict["old_logp_actions"],
                answer["prev_neglogp"],
                input_dict["advantages"],
                self.e_clip,
                input_dict["old_values"],
                answer["values"],
                input_dict["returns"],
                mu,
                answer["entropy"],
                rnn_masks,
            )
        self.step(loss)
        with torch.no_grad():
            kl = torch_ext.policy_kl(mu, sigma, input_dict["mu"], input_dict["sigma"], rnn_masks is None)
            if rnn_masks is not None:
                kl = (kl * rnn_masks).sum() / rnn_masks.numel()
        self.diagnose(input_dict, answer["prev_neglogp"].detach())
        shared = (a_loss.detach(), c_loss.detach(), entropy.detach(), kl, self.last_lr, 1.0)
        self.train_result = (*shared, mu.detach(), sigma.detach(), b_loss.detach())

    def calc_grad(self, input_dict: dict[str, Any]) -> None:
        """The name that ISAAC_GYM.md uses for :meth:`calc_gradients`."""
        self.calc_gradients(input_dict)

    def reg_loss(self, mu: Tensor) -> Tensor:
        """(M,) squared mean actions (M, A); zero without ``bounds_loss_coef``."""
        return policy_maths.reg_loss(mu) if self.bounds_loss_coef is not None else torch.zeros_like(mu[:, 0])

    def bound_loss(self, mu: Tensor) -> Tensor:
        """(M,) squared excess of mean actions (M, A) over 1.1; zero without ``bounds_loss_coef``."""
        return policy_maths.bound_loss(mu) if self.bounds_loss_coef is not None else torch.zeros_like(mu[:, 0])
