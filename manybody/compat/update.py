"""What the continuous and the discrete agent of RL Games' kind share: construction, and a minibatch's update."""

from typing import Any

import torch
from torch import Tensor, optim

from manybody.compat.rl_games.algos_torch import central_value, torch_ext
from manybody.compat.rl_games.common import common_losses, datasets


class Updater:
    """Mixed into an agent above its ``...A2CBase``: model, optimiser, dataset, losses, one update."""

    is_discrete: bool

    def build(self: Any) -> None:
        """Everything that a complete agent has beside what its base class's constructor set."""
        self.model = self.network.build(
            {
                "actions_num": self.actions_num,
                "input_shape": self.obs_shape,
                "num_seqs": self.num_actors * self.num_agents,
                "value_size": self.value_size,
                "normalize_value": self.normalize_value,
                "normalize_input": self.normalize_input,
            }
        ).to(self.ppo_device)
        self.states = None
        self.init_rnn_from_model(self.model)
        self.last_lr = float(self.last_lr)
        self.optimizer = optim.Adam(
            self.model.parameters(), self.last_lr, eps=1e-08, weight_decay=self.weight_decay, fused=True
        )
        if self.has_central_value:
            self.central_value_net = central_value.CentralValueTrain(
                state_shape=self.state_shape,
                value_size=self.value_size,
                ppo_device=self.ppo_device,
                num_agents=self.num_agents,
                horizon_length=self.horizon_length,
                num_actors=self.num_actors,
                num_actions=self.actions_num,
                seq_length=self.seq_length,
                normalize_value=self.normalize_value,
                network=self.central_value_config["network"],
                config=self.central_value_config,
                writter=self.writer,
                max_epochs=self.max_epochs,
                multi_gpu=self.multi_gpu,
                zero_rnn_on_done=self.zero_rnn_on_done,
            ).to(self.ppo_device)
        self.dataset = datasets.PPODataset(
            *(self.batch_size, self.minibatch_size, self.is_discrete, self.is_rnn),
            *(self.ppo_device, self.seq_length),
        )
        if self.normalize_value:
            critic = self.central_value_net.model if self.has_central_value else self.model
            self.value_mean_std = critic.value_mean_std
        self.algo_observer.after_init(self)

    def train_actor_critic(self: Any, input_dict: dict[str, Any]) -> Any:
        """One update from one minibatch; what :meth:`calc_gradients` left in ``train_result``."""
        if not self.model.training:  # in a later pass it is, but for the statistics, which saw the rollout already
            self.set_train()
        self.calc_gradients(input_dict)
        for group in self.optimizer.param_groups:
            group["lr"] = self.last_lr
        return self.train_result

    def ask(self: Any, input_dict: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The model's training outputs for a minibatch."""
        asked = {
            "is_train": True,
            "prev_actions": input_dict["actions"],
            "obs": self._preproc_obs(input_dict["obs"]),
            **more,
        }
        if self.is_rnn:
            asked["rnn_states"] = input_dict["rnn_states"]
            asked["seq_length"] = self.seq_length
            if self.zero_rnn_on_done:
                asked["dones"] = input_dict["dones"]
        answer: dict[str, Any] = self.model(asked)
        return answer

    def critic_losses(self: Any, values: Tensor, input_dict: dict[str, Any]) -> Tensor:
        """(M, V), or zero where the policy's own value head does not learn."""
        if not self.has_value_loss:
            return torch.zeros(1, device=self.ppo_device)
        loss: Tensor = common_losses.critic_loss(
            *(self.model, input_dict["old_values"], values, self.e_clip, input_dict["returns"]),
            self.clip_value,
        )
        return loss

    def step(self: Any, loss: Tensor) -> None:
        """Add the network's own losses to ``loss``, go back through it, and take an optimiser step."""
        self.aux_loss_dict = {}
        for name, value in (self.model.get_aux_loss() or {}).items():
            loss = loss + value
            self.aux_loss_dict[name] = [value.detach()]
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.trancate_gradients_and_step()

    def diagnose(self: Any, input_dict: dict[str, Any], action_log_probs: Tensor) -> None:
        """Tell the diagnostics of a minibatch."""
        self.diagnostics.mini_batch(
            self,
            {
                "values": input_dict["old_values"],
                "returns": input_dict["returns"],
                "new_neglogp": action_log_probs,
                "old_neglogp": input_dict["old_logp_actions"],
                "masks": input_dict.get("rnn_masks"),
            },
            self.e_clip,
            0,
        )

    def averaged(self: Any, losses: list[Tensor], input_dict: dict[str, Any]) -> tuple[list[Tensor], Any]:
        """Means of losses (M, 1), among the rows that a recurrent batch's ``rnn_masks`` names."""
        masks = input_dict.get("rnn_masks") if self.is_rnn else None
        means: tuple[list[Tensor], Any] = torch_ext.apply_masks(losses, masks)
        return means
