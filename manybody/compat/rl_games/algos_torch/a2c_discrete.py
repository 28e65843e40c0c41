"""RL Games' ``rl_games.algos_torch.a2c_discrete``: PPO with discrete actions, as clients extend it."""

from typing import Any

import torch

from manybody.compat.rl_games.algos_torch import central_value as central_value
from manybody.compat.rl_games.algos_torch import torch_ext as torch_ext
from manybody.compat.rl_games.algos_torch.running_mean_std import RunningMeanStd as RunningMeanStd
from manybody.compat.rl_games.algos_torch.running_mean_std import RunningMeanStdObs as RunningMeanStdObs
from manybody.compat.rl_games.common import a2c_common
from manybody.compat.rl_games.common import common_losses as common_losses
from manybody.compat.rl_games.common import datasets as datasets
from manybody.engine.accelerate import autocast_off_cpu

__all__ = ["DiscreteA2CAgent"]


class DiscreteA2CAgent(a2c_common.DiscreteA2CBase):
    """``a2c_discrete`` with RL Games' methods, to inherit from."""

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        a2c_common.DiscreteA2CBase.__init__(self, base_name, params)
        self.build()

    def calc_gradients(self, input_dict: Any) -> None:
        """Losses, gradients and an optimiser step; leaves its six results in ``train_result``."""
        masks = {"action_masks": input_dict["action_masks"]} if self.use_action_masks else {}
        with autocast_off_cpu(self.ppo_device, self.mixed_precision):
            answer = self.ask(input_dict, **masks)
            neglogp, old_neglogp = answer["prev_neglogp"], input_dict["old_logp_actions"]
            a_loss = self.actor_loss_func(old_neglogp, neglogp, input_dict["advantages"], self.ppo, self.e_clip)
            c_loss = self.critic_losses(answer["values"], input_dict)
            parts = [a_loss.unsqueeze(1), c_loss, answer["entropy"].unsqueeze(1)]
            (a_loss, c_loss, entropy), _ = self.averaged(parts, input_dict)
            loss = a_loss + 0.5 * c_loss * self.critic_coef - entropy * self.entropy_coef
        self.step(loss)
        with torch.no_grad():
            kl = 0.5 * (old_neglogp - neglogp).square()
            rnn_masks = input_dict.get("rnn_masks") if self.is_rnn else None
            kl = kl.mean() if rnn_masks is None else (kl * rnn_masks).sum() / rnn_masks.numel()
        self.diagnose(input_dict, neglogp.detach())
        self.train_result = (a_loss.detach(), c_loss.detach(), entropy.detach(), kl, self.last_lr, 1.0)

    def calc_grad(self, input_dict: dict[str, Any]) -> None:
        """The name that ISAAC_GYM.md uses for :meth:`calc_gradients`."""
        self.calc_gradients(input_dict)
