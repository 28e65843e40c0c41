"""RL Games' ``rl_games.algos_torch.central_value``: a critic that an agent hands rollouts to."""

from typing import Any

import torch
from torch import Tensor, nn

from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.compat.rl_games.algos_torch.running_mean_std import RunningMeanStd as RunningMeanStd
from manybody.compat.rl_games.algos_torch.running_mean_std import RunningMeanStdObs as RunningMeanStdObs
from manybody.compat.rl_games.common import common_losses, datasets, schedulers
from manybody.config import ConfigError, Problem
from manybody.engine.accelerate import autocast_off_cpu

__all__ = ["CentralValueTrain"]


class CentralValueTrain(nn.Module):
    """A critic on ``states`` (num_actors, S), one value per environment, shared by its agents.

    Args:
        state_shape: of one state, or shapes by key.
        value_size: V.
        ppo_device: where to compute.
        num_agents: rows per environment.
        horizon_length: T.
        num_actors: environments.
        num_actions: A, which a network may read.
        seq_length: L of recurrent networks.
        normalize_value: keep running statistics of returns.
        network: the model's recipe, with ``build``.
        config: the ``central_value_config`` section.
        writter: where ``losses/cval_loss`` goes (RL Games' spelling).
        max_epochs: end of a linear schedule.
        multi_gpu: not used; training has one process.
        zero_rnn_on_done: forget at the end of an episode.

    Raises:
        ConfigError: minibatches do not divide the batch.
    """

    def __init__(
        self,
        state_shape: Any,
        value_size: int,
        ppo_device: Any,
        num_agents: int,
        horizon_length: int,
        num_actors: int,
        num_actions: Any,
        seq_length: int,
        normalize_value: bool,
        network: Any,
        config: dict[str, Any],
        writter: Any,
        max_epochs: int,
        multi_gpu: bool,
        zero_rnn_on_done: bool,
    ) -> None:
        super().__init__()
        self.state_shape, self.value_size, self.num_actions = state_shape, value_size, num_actions
        self.num_agents, self.num_actors, self.horizon_length = num_agents, num_actors, horizon_length
        self.ppo_device, self.multi_gpu = ppo_device, multi_gpu
        self.seq_length, self.zero_rnn_on_done = seq_length, zero_rnn_on_done
        self.normalize_value, self.normalize_input = normalize_value, config["normalize_input"]
        self.config, self.writter, self.max_epochs = config, writter, max_epochs
        self.mini_epoch = int(config["mini_epochs"])
        self.clip_value, self.e_clip = config["clip_value"], float(config.get("e_clip", 0.2))
        self.truncate_grads = config.get("truncate_grads", False)
        self.grad_norm = float(config.get("grad_norm", 1))
        self.mixed_precision = config.get("mixed_precision", False)
        self.weight_decay = float(config.get("weight_decay", 0.0))
        self.model = network.build(
            {
                "value_size": value_size,
                "input_shape": state_shape,
                "actions_num": num_actions,
                "num_agents": num_agents,
                "num_seqs": num_actors,
                "normalize_input": self.normalize_input,
                "normalize_value": normalize_value,
            }
        ).to(ppo_device)
        self.lr = float(config["learning_rate"])
        self.linear_lr = config.get("lr_schedule") == "linear"
        self.scheduler: Any = (
            schedulers.LinearScheduler(self.lr, max_steps=max_epochs, apply_to_entropy=False, start_entropy_coef=0)
            if self.linear_lr
            else schedulers.IdentityScheduler()
        )
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), self.lr, eps=1e-08, weight_decay=self.weight_decay, fused=True
        )
        self.frame = self.epoch_num = 0
        self.batch_size = horizon_length * num_actors
        per_env = int(config.get("minibatch_size_per_env") or 0)
        self.minibatch_size = int(config.get("minibatch_size") or num_actors * per_env)
        if self.minibatch_size <= 0 or self.batch_size % self.minibatch_size:
            product = f"horizon_length {horizon_length} x num_actors {num_actors}"
            what = f"given {self.minibatch_size}; expected a divisor of {self.batch_size} (= {product})"
            raise ConfigError([Problem("params.config.central_value_config.minibatch_size", what)])
        self.num_minibatches = self.batch_size // self.minibatch_size
        self.is_rnn = self.model.is_rnn()
        self.rnn_states: Any = None
        if self.is_rnn:
            self.rnn_states = [state.to(ppo_device) for state in self.model.get_default_rnn_state()]
            sequences = horizon_length // seq_length
            self.mb_rnn_states = [
                torch.zeros((sequences, len(state), num_actors, state.shape[2]), device=ppo_device)
                for state in self.rnn_states
            ]
        self.dataset = datasets.PPODataset(
            self.batch_size, self.minibatch_size, True, self.is_rnn, ppo_device, seq_length
        )

    def update_lr(self, lr: float) -> None:
        """Set the learning rate of the optimiser."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def get_stats_weights(self, model_stats: bool = False) -> dict[str, Any]:
        """With ``model_stats``: the running statistics, which are part of the model too."""
        wanted = {"running_mean_std": self.normalize_input, "value_mean_std": self.normalize_value}
        keys = {"running_mean_std": "running_mean_std", "value_mean_std": "reward_mean_std"}
        return {
            keys[name]: getattr(self.model, name).state_dict()
            for name, there in wanted.items()
            if there and model_stats
        }

    def set_stats_weights(self, weights: dict[str, Any]) -> None:
        """Nothing: the statistics come with the model."""

    def _preproc_obs(self, obs: Any) -> Any:
        if isinstance(obs, dict):
            return {key: self._preproc_obs(value) for key, value in obs.items()}
        return obs.float() / 255.0 if obs.dtype == torch.uint8 else obs

    def update_dataset(self, batch_dict: dict[str, Any]) -> None:
        """Take a rollout: ``obs`` states (num_actors T, S), ``old_values`` and ``returns`` (rows T, V), ``dones``."""
        batch_dict = dict(batch_dict)
        if self.num_agents > 1:
            for name in ("old_values", "returns"):
                batch_dict[name] = self._per_agent(batch_dict[name]).mean(dim=1).flatten(0, 1)
            batch_dict["dones"] = self._per_agent(batch_dict["dones"]).amin(dim=1).flatten()
        if self.is_rnn:
            batch_dict["rnn_states"] = [
                stored.permute(1, 2, 0, 3).flatten(1, 2).contiguous() for stored in self.mb_rnn_states
            ]
        self.dataset.update_values_dict(batch_dict)

    def _per_agent(self, x: Tensor) -> Tensor:
        """(num_actors, agents, T, ...) from (rows T, ...)."""
        return x.reshape(self.num_actors, self.num_agents, self.horizon_length, *x.shape[1:])

    def pre_step_rnn(self, n: int) -> None:
        """Keep the state that the sequence beginning at step ``n`` starts with."""
        if self.is_rnn and n % self.seq_length == 0:
            for stored, state in zip(self.mb_rnn_states, self.rnn_states, strict=True):
                stored[n // self.seq_length] = state

    def post_step_rnn(self, all_done_indices: Tensor, zero_rnn_on_done: bool = True) -> None:
        """Forget the state of environments whose rows (K, 1) are done."""
        if self.is_rnn and self.zero_rnn_on_done and zero_rnn_on_done:
            environments = all_done_indices.flatten()[:: self.num_agents] // self.num_agents
            for state in self.rnn_states:
                state[:, environments] = 0.0

    def forward(self, input_dict: dict[str, Any]) -> dict[str, Any]:
        """The model's."""
        answer: dict[str, Any] = self.model(input_dict)
        return answer

    def get_value(self, input_dict: dict[str, Any]) -> Tensor:
        """(num_actors agents, V) in units of reward, from ``states``; the recurrent state moves on."""
        self.eval()
        answer = self.forward(
            {
                "obs": self._preproc_obs(input_dict["states"]),
                "actions": input_dict.get("actions"),
                "rnn_states": self.rnn_states,
                "is_train": False,
            }
        )
        self.rnn_states = answer["rnn_states"]
        values: Tensor = answer["values"]
        return values.repeat_interleave(self.num_agents, dim=0)

    def train_net(self) -> float:
        """``mini_epochs`` passes over the rollout; the mean loss."""
        self.train()
        losses: list[Tensor] = []
        for _ in range(0 if self.config.get("freeze_critic", False) else self.mini_epoch):
            losses += [self.calc_gradients(self.dataset[index]) for index in range(len(self.dataset))]
            if self.normalize_input:
                self.model.running_mean_std.eval()  # each rollout enters the statistics once
        self.epoch_num += 1
        self.frame += self.batch_size
        self.lr, _ = self.scheduler.update(self.lr, 0, self.epoch_num, 0, 0)
        self.update_lr(self.lr)
        mean = float(torch.stack(losses).mean()) if losses else 0.0
        if self.writter is not None:
            self.writter.add_scalar("losses/cval_loss", mean, self.frame)
            self.writter.add_scalar("info/cval_lr", self.lr, self.frame)
        return mean

    def train_critic(self, input_dict: dict[str, Any]) -> float:
        """:meth:`calc_gradients` of one minibatch in training mode; the loss as a number."""
        self.train()
        return float(self.calc_gradients(input_dict))

    def calc_loss(
        self, value_preds_batch: Tensor, values: Tensor, returns_batch: Tensor, rnn_masks_batch: Tensor | None
    ) -> Tensor:
        """() the value loss of a minibatch."""
        loss = common_losses.critic_loss(
            self.model, value_preds_batch, values, self.e_clip, returns_batch, self.clip_value
        )
        (loss,), _ = torch_ext.apply_masks([loss], rnn_masks_batch)
        return loss

    def calc_gradients(self, batch: dict[str, Any]) -> Tensor:
        """Loss, gradients and an optimiser step from a minibatch."""
        asked = {
            "obs": self._preproc_obs(batch["obs"]),
            "actions": batch["actions"],
            "seq_length": self.seq_length,
            "dones": batch["dones"] if self.zero_rnn_on_done else None,
        }
        if self.is_rnn:
            asked["rnn_states"] = batch["rnn_states"]
        with autocast_off_cpu(self.ppo_device, self.mixed_precision):
            values = self.model(asked)["values"]
            loss = self.calc_loss(batch["old_values"], values, batch["returns"], batch.get("rnn_masks"))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        limit = self.grad_norm if self.truncate_grads else float("inf")
        if nn.utils.clip_grad_norm_(self.model.parameters(), limit).isfinite():
            self.optimizer.step()
        return loss.detach()
