"""RL Games' ``rl_games.common.a2c_common``: base classes of agents."""

import time
from typing import Any

import torch
from torch import Tensor, optim

from manybody.algos.session import EpochMetrics
from manybody.compat.collect import Collector, swap_and_flatten01
from manybody.compat.rl_games.algos_torch import central_value, torch_ext
from manybody.compat.rl_games.algos_torch import model_builder as model_builder
from manybody.compat.rl_games.algos_torch.moving_mean_std import (
    GeneralizedMovingStats as GeneralizedMovingStats,
)
from manybody.compat.rl_games.algos_torch.self_play_manager import SelfPlayManager as SelfPlayManager
from manybody.compat.rl_games.common import common_losses as common_losses
from manybody.compat.rl_games.common import datasets
from manybody.compat.rl_games.common import schedulers as schedulers
from manybody.compat.rl_games.common import vecenv as vecenv
from manybody.compat.rl_games.common.diagnostics import DefaultDiagnostics as DefaultDiagnostics
from manybody.compat.rl_games.common.diagnostics import PpoDiagnostics as PpoDiagnostics
from manybody.compat.rl_games.common.experience import ExperienceBuffer as ExperienceBuffer
from manybody.compat.rl_games.common.interval_summary_writer import (
    IntervalSummaryWriter as IntervalSummaryWriter,
)
from manybody.compat.rl_games.interfaces.base_algorithm import BaseAlgorithm as BaseAlgorithm
from manybody.engine.console import say
from manybody.engine.observers import AlgoObserver
from manybody.functional.actions import rescale_actions

__all__ = [
    "A2CBase",
    "ContinuousA2CBase",
    "DiscreteA2CBase",
    "print_statistics",
    "rescale_actions",
    "swap_and_flatten01",
]

Losses = list[Tensor]


def print_statistics(
    print_stats: bool,
    curr_frames: int,
    step_time: float,
    step_inference_time: float,
    total_time: float,
    epoch_num: int,
    max_epochs: int,
    frame: int,
    max_frames: int,
) -> None:
    """Print RL Games' line of an epoch; times in seconds, -1 for no limit."""
    if not print_stats:
        return
    speeds = (curr_frames / max(seconds, 1e-9) for seconds in (step_time, step_inference_time, total_time))
    step, inference, total = speeds
    epochs = f"{epoch_num}" if max_epochs == -1 else f"{epoch_num}/{max_epochs}"
    frames = f"{frame}" if max_frames == -1 else f"{frame}/{max_frames}"
    say(
        f"fps step: {step:.0f} fps step and policy inference: {inference:.0f} fps total: {total:.0f} "
        f"epoch: {epochs} frames: {frames}"
    )


class A2CBase(Collector):
    """Collects; what learns is left to subclasses: ``train``, ``train_epoch``, ``prepare_dataset`` and so on."""

    def train(self) -> Any:
        """Left to subclasses."""

    def update_epoch(self) -> Any:
        """Left to subclasses."""

    def train_epoch(self) -> Any:
        """Pass the frame counter to the environment; the rest is left to subclasses."""
        if hasattr(self.vec_env, "set_train_info"):
            self.vec_env.set_train_info(self.frame, self)

    def prepare_dataset(self, batch_dict: Any) -> None:
        """Left to subclasses."""

    def train_actor_critic(self, input_dict: Any) -> Any:
        """Left to subclasses."""

    def calc_gradients(self, input_dict: Any) -> Any:
        """Left to subclasses."""

    def train_central_value(self) -> Any:
        """Let the central value learn from the rollout."""
        return self.central_value_net.train_net()

    def set_eval(self) -> None:
        """Evaluation mode; start new episodes where ``epochs_between_resets`` says so."""
        self.model.eval()
        if self.normalize_rms_advantage:
            self.advantage_mean_std.eval()
        if self.epochs_between_resets > 0 and self.epoch_num % self.epochs_between_resets == 0:
            self.reset_envs()
            rows = self.num_agents * self.num_actors
            self.init_current_rewards(rows, (rows, self.value_size))

    def set_train(self) -> None:
        """Training mode."""
        self.model.train()
        if self.normalize_rms_advantage:
            self.advantage_mean_std.train()

    def trancate_gradients_and_step(self) -> None:
        """Clip the gradients if ``truncate_grads`` asks for it, and step; not where they are not finite."""
        self.scaler.unscale_(self.optimizer)
        limit = self.grad_norm if self.truncate_grads else float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        if self.guard.healthy_update(norm, norm):
            self.scaler.step(self.optimizer)
        self.scaler.update()

    def write_stats(
        self,
        total_time: float,
        epoch_num: int,
        step_time: float,
        play_time: float,
        update_time: float,
        a_losses: Losses,
        c_losses: Losses,
        entropies: Losses,
        kls: Losses,
        last_lr: float,
        lr_mul: float,
        frame: int,
        scaled_time: float,
        scaled_play_time: float,
        curr_frames: int,
    ) -> None:
        """Write an epoch's scalars under RL Games' tags; times in seconds."""
        self.diagnostics.send_info(self.writer)
        scalars = {
            "performance/step_inference_rl_update_fps": curr_frames / max(scaled_time, 1e-9),
            "performance/step_inference_fps": curr_frames / max(scaled_play_time, 1e-9),
            "performance/step_fps": curr_frames / max(step_time, 1e-9),
            "performance/rl_update_time": update_time,
            "performance/step_inference_time": play_time,
            "performance/step_time": step_time,
            "losses/a_loss": torch_ext.mean_list(a_losses),
            "losses/c_loss": torch_ext.mean_list(c_losses),
            "losses/entropy": torch_ext.mean_list(entropies),
            **{f"losses/{name}": torch_ext.mean_list(loss) for name, loss in self.aux_loss_dict.items()},
            "info/last_lr": last_lr * lr_mul,
            "info/lr_mul": lr_mul,
            "info/e_clip": self.e_clip * lr_mul,
            "info/kl": torch_ext.mean_list(kls),
            "info/epochs": epoch_num,
        }
        for tag, value in scalars.items():
            self.writer.add_scalar(tag, value, frame)
        self.algo_observer.after_print_stats(frame, epoch_num, total_time)
        self.observer_reported = True


class _Learner(A2CBase):
    """The loop, the epoch and the update, which continuous and discrete agents share."""

    actions_num: Any

    def update_epoch(self) -> int:
        """Count the epoch."""
        self.epoch_num += 1
        return self.epoch_num

    def train(self) -> tuple[Any, int]:
        """Train until a stop rule holds; returns the best mean return and the epochs done."""
        self.init_tensors()
        self.obs = self.env_reset()
        self.curr_frames = self.batch_size_envs
        own_stats = type(self).write_stats is not A2CBase.write_stats
        with self.run:
            while not self.run.finished:
                epoch_num = self.update_epoch()
                step_time, play_time, update_time, sum_time, *losses, kls, last_lr, lr_mul = self.train_epoch()
                self.dataset.update_values_dict(None)
                self.frame += self.curr_frames
                frame = self.frame // self.num_agents
                a_losses, c_losses, *b_losses, entropies = losses
                self.observer_reported = False
                if own_stats:
                    total_time = self.run.elapsed + sum_time
                    times = (total_time, epoch_num, step_time, play_time, update_time)
                    scaled = (self.num_agents * sum_time, self.num_agents * play_time, self.curr_frames)
                    results = (a_losses, c_losses, entropies, kls, last_lr, lr_mul, frame)
                    stats: Any = (*times, *results, *scaled)
                    self.write_stats(*stats)
                means = {
                    "losses/a_loss": a_losses,
                    "losses/c_loss": c_losses,
                    "losses/entropy": entropies,
                    "info/kl": kls,
                    **({"losses/bounds_loss": b_losses[0]} if b_losses and b_losses[0] else {}),
                    **{f"losses/{name}": loss for name, loss in self.aux_loss_dict.items()},
                }
                scalars = {tag: torch_ext.mean_list(values) for tag, values in means.items()}
                scalars |= {
                    "info/last_lr": torch.as_tensor(float(last_lr * lr_mul)),
                    "info/lr_mul": torch.as_tensor(float(lr_mul)),
                    "info/e_clip": torch.as_tensor(float(self.e_clip * lr_mul)),
                }
                self.diagnostics.epoch(self, current_epoch=epoch_num)
                updates = self.mini_epochs_num * self.num_minibatches
                observer = self.algo_observer
                if self.observer_reported:
                    self.algo_observer = AlgoObserver()
                self.run.end_epoch(EpochMetrics(self.curr_frames, step_time, play_time, update_time, updates, scalars))
                self.algo_observer = observer
                self.mean_rewards = self.run.mean_reward
                if self.has_self_play_config:
                    self.self_play_manager.update(self)
        return self.last_mean_rewards, self.epoch_num

    def train_epoch(self) -> tuple[Any, ...]:
        """One rollout, then ``mini_epochs`` passes over it.

        Returns:
            Seconds in the environments, of the rollout, of learning, of both; lists of the losses ``a``, ``c`` [``b``,
            continuous actions], entropies and divergences; the learning rate and its factor.
        """
        super().train_epoch()
        self.set_eval()
        started = time.perf_counter()
        with torch.no_grad():
            batch_dict = self.play_steps_rnn() if self.is_rnn else self.play_steps()
        played = time.perf_counter()
        self.set_train()
        self.curr_frames = batch_dict.pop("played_frames")
        self.prepare_dataset(batch_dict)
        self.algo_observer.after_steps()
        if self.has_central_value:
            self.train_central_value()

        losses: tuple[Losses, ...] = ([], [], [], [])
        kls: Losses = []
        last_lr, lr_mul = self.last_lr, 1.0
        for mini_epoch in range(self.mini_epochs_num):
            passed: Losses = []
            for index in range(len(self.dataset)):
                result = self.train_actor_critic(self.dataset[index])
                a_loss, c_loss, entropy, kl, last_lr, lr_mul = result[:6]
                bounds = result[8] if len(result) > 8 else None
                for kept, loss in zip(losses, (a_loss, c_loss, bounds, entropy), strict=True):
                    if loss is not None and (loss is not bounds or self.bounds_loss_coef is not None):
                        kept.append(loss)
                passed.append(kl)
                self._after_minibatch(result, kl)
            mean_kl = torch_ext.mean_list(passed)
            if self.schedule_type == "standard" or (self.is_discrete and self.schedule_type != "standard_epoch"):
                self._schedule(mean_kl)
            kls.append(mean_kl)
            self.diagnostics.mini_epoch(self, mini_epoch)
            if self.normalize_input:  # each rollout enters the statistics once
                self._normalizers()["running_mean_std"].eval()
        if self.schedule_type == "standard_epoch":
            self._schedule(torch_ext.mean_list(kls))
        ended = time.perf_counter()
        a_losses, c_losses, b_losses, entropies = losses
        means: Any = (a_losses, c_losses, entropies) if self.is_discrete else (a_losses, c_losses, b_losses, entropies)
        times = (batch_dict.get("step_time", 0.0), played - started, ended - played, ended - started)
        return (*times, *means, kls, last_lr, lr_mul)

    def _after_minibatch(self, result: Any, kl: Tensor) -> None:
        """What follows an update that gave ``result``."""

    def _schedule(self, kl: Tensor) -> None:
        """Let the schedule choose the learning rate of the next update."""
        self.last_lr, self.entropy_coef = self.scheduler.update(
            self.last_lr, self.entropy_coef, self.epoch_num, self.frame, kl.item()
        )
        self.update_lr(self.last_lr)

    def prepare_dataset(self, batch_dict: Any) -> None:
        """Turn a rollout into what minibatches are cut from: advantages, values normalised."""
        values, returns = batch_dict["values"], batch_dict["returns"]
        rnn_masks = batch_dict.get("rnn_masks")
        advantages = (returns - values).sum(dim=1)
        if self.normalize_value:
            self.value_mean_std.train(not self.config.get("freeze_critic", False))
            values, returns = self.value_mean_std(values), self.value_mean_std(returns)
            self.value_mean_std.eval()
        if self.normalize_advantage:
            if self.normalize_rms_advantage:
                advantages = self.advantage_mean_std(advantages, mask=rnn_masks)
            else:
                advantages = torch_ext.normalization_with_masks(advantages, rnn_masks)
        shared = {
            "old_values": values,
            "advantages": advantages,
            "returns": returns,
            "actions": batch_dict["actions"],
            "dones": batch_dict["dones"],
            "rnn_masks": rnn_masks,
        }
        self.dataset.update_values_dict(
            {
                **shared,
                "old_logp_actions": batch_dict["neglogpacs"],
                "obs": batch_dict["obses"],
                "rnn_states": batch_dict.get("rnn_states"),
                **self._policy_batch(batch_dict),
            }
        )
        if self.has_central_value:
            self.central_value_net.update_dataset({**shared, "obs": batch_dict["states"]})

    def _policy_batch(self, batch_dict: dict[str, Any]) -> dict[str, Tensor]:
        """Return the policy that the divergence is measured against, and masks."""
        raise NotImplementedError

    # --- construction and one update ------------------------------------------------------------------------------

    def build(self) -> None:
        """Build the model, the central value, the optimiser and the dataset."""
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
            )
            self.central_value_net.guard = self.guard
        self.dataset = datasets.PPODataset(
            *(self.batch_size, self.minibatch_size, self.is_discrete, self.is_rnn),
            *(self.ppo_device, self.seq_length),
        )
        if self.normalize_value:
            critic = self.central_value_net.model if self.has_central_value else self.model
            self.value_mean_std = critic.value_mean_std
        self.algo_observer.after_init(self)

    def train_actor_critic(self, input_dict: Any) -> Any:
        """Run one update; return the ``train_result`` of :meth:`calc_gradients`."""
        if not self.model.training:  # in a later pass it is, but for the statistics, which saw the rollout already
            self.set_train()
        self.calc_gradients(input_dict)
        for group in self.optimizer.param_groups:
            group["lr"] = self.last_lr
        return self.train_result

    def ask(self, input_dict: dict[str, Any], **more: Any) -> dict[str, Any]:
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

    def critic_losses(self, values: Tensor, input_dict: dict[str, Any]) -> Tensor:
        """(M, V), or zero where the policy's own value head does not learn."""
        if not self.has_value_loss:
            return torch.zeros(1, device=self.ppo_device)
        loss: Tensor = common_losses.critic_loss(
            *(self.model, input_dict["old_values"], values, self.e_clip, input_dict["returns"]),
            self.clip_value,
        )
        return loss

    def step(self, loss: Tensor) -> None:
        """Add the network's own losses to ``loss``, backpropagate, and take an optimiser step."""
        self.aux_loss_dict = {}
        for name, value in (self.model.get_aux_loss() or {}).items():
            loss = loss + value
            self.aux_loss_dict[name] = [value.detach()]
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.trancate_gradients_and_step()

    def diagnose(self, input_dict: dict[str, Any], action_log_probs: Tensor) -> None:
        """Pass a minibatch to the diagnostics."""
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

    def averaged(self, losses: list[Tensor], input_dict: dict[str, Any]) -> tuple[list[Tensor], Any]:
        """Means of losses (M, 1), among the rows that a recurrent batch's ``rnn_masks`` names."""
        masks = input_dict.get("rnn_masks") if self.is_rnn else None
        means: tuple[list[Tensor], Any] = torch_ext.apply_masks(losses, masks)
        return means


class ContinuousA2CBase(_Learner):
    """Actions are real vectors in a box."""

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        super().__init__(base_name, params)
        space = self.env_info["action_space"]
        self.actions_num = space.shape[0]
        self.bounds_loss_coef = self.config.typed.bounds_loss_coef
        self.clip_actions = self.config.typed.clip_actions
        self.actions_low, self.actions_high = (
            torch.as_tensor(edge.copy(), dtype=torch.float32, device=self.ppo_device)
            for edge in (space.low, space.high)
        )

    def preprocess_actions(self, actions: Tensor) -> Any:
        """With ``clip_actions``: clamp to [-1, 1], then map to the action space's own range; else as sampled."""
        if self.clip_actions:
            actions = rescale_actions(self.actions_low, self.actions_high, actions.clamp(-1.0, 1.0))
        return super().preprocess_actions(actions)

    def init_tensors(self) -> None:
        """Also name the outputs of the policy that a rollout stores."""
        super().init_tensors()
        self.update_list = ["actions", "neglogpacs", "values", "mus", "sigmas"]
        self.tensor_list = [*self.update_list, "obses", "states", "dones"]

    def _after_minibatch(self, result: Any, kl: Tensor) -> None:
        self.dataset.update_mu_sigma(*result[6:8])
        if self.schedule_type in ("legacy", "per_minibatch"):
            self._schedule(kl)

    def _policy_batch(self, batch_dict: dict[str, Any]) -> dict[str, Tensor]:
        return {"mu": batch_dict["mus"], "sigma": batch_dict["sigmas"]}


class DiscreteA2CBase(_Learner):
    """Actions are choices: one, or one per head."""

    is_discrete = True

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        super().__init__(base_name, params)
        space, rows = self.env_info["action_space"], self.num_agents * self.num_actors
        sizes = head_sizes(space)
        self.is_multi_discrete = sizes is not None
        self.actions_num: Any = space.n if sizes is None else sizes
        heads = () if sizes is None else (len(sizes),)
        self.actions_shape = (self.horizon_length, rows, *heads)

    def init_tensors(self) -> None:
        """Also name the outputs of the policy that a rollout stores."""
        super().init_tensors()
        masks = ["action_masks"] if self.use_action_masks else []
        self.update_list = ["actions", "neglogpacs", "values", *masks]
        self.tensor_list = [*self.update_list, "obses", "states", "dones"]

    def _policy_batch(self, batch_dict: dict[str, Any]) -> dict[str, Tensor]:
        return {"action_masks": batch_dict["action_masks"]} if self.use_action_masks else {}


def head_sizes(space: Any) -> list[int] | None:
    """Choices of each head; None of a space with one. Told by the names of its class, whoever's it is."""
    kind = type(space).__name__
    if kind == "Tuple":
        return [part.n for part in space]
    return [int(size) for size in space.nvec] if kind == "MultiDiscrete" else None
