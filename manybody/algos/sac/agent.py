"""``SACAgent`` (``sac``): soft actor-critic, Haarnoja et al. 2018, arXiv 1812.05905."""

import math
import time
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, nn
from typing_extensions import override

from manybody.algos.base import AgentParts, EnvAlgorithm
from manybody.algos.model import check_part
from manybody.algos.network import ModelArguments
from manybody.algos.sac.checkpoint import (
    ACTION_BOUNDS,
    PARTS,
    are_unit,
    is_convertible,
    to_unit_actions,
)
from manybody.algos.sac.config import SACConfig
from manybody.algos.sac.models import action_bounds, notices, with_sizes
from manybody.algos.session import EpochMetrics
from manybody.config import Params
from manybody.data.replay import ReplayBatch, ReplayBuffer
from manybody.data.tree import State, Tree, tree_map
from manybody.engine.accelerate import autocast, compiled
from manybody.engine.checkpoint.parts import Attribute, NotRestoredError, OptimizerPart, Part, Parts
from manybody.engine.checkpoint.values import number
from manybody.engine.console import warn
from manybody.engine.metrics import EpochMeans
from manybody.engine.optim import GuardedAdam
from manybody.envs.base import Step
from manybody.envs.spaces import observation_fields
from manybody.functional import soft
from manybody.functional.policy import rescale_actions
from manybody.functional.stats import masked_mean


class SACAgent(EnvAlgorithm):
    """Learns from a replay buffer. An epoch is ``num_steps_per_episode`` steps of N rows, with updates after each.

    The policy acts in [-1, 1], per dimension. Its log-probabilities, the target entropy, the replay buffer and the
    critics use these numbers, so the units of the action space change nothing. The critics of RL Games see actions in
    the environment's units; those of its checkpoints are converted.

    The critics bootstrap a truncated episode from its final observation; where the environment gives none, from the
    observation before the step, which is RL Games' approximation.

    Args:
        base_name, params, parts: see :class:`EnvAlgorithm`.
        folder: makes the run folder; called last. None: nothing is written.
        checkpoint: the file to resume from.

    Raises:
        EnvError: unknown environment, or actions that are no Box with finite bounds.
        ConfigError: the environment's size is not ``num_actors``, or model and network are not SAC's.
        CheckpointError: what is wrong with the checkpoint; no run folder was made.
    """

    Config = SACConfig
    config: SACConfig
    PARAMS: ClassVar[dict[str, str]] = {
        "gamma": "gamma",
        "critic_tau": "critic_tau",
        "target_entropy_coef": "target_entropy_coef",
    }

    def __init__(self, base_name: str, params: Params[SACConfig], **parts: Unpack[AgentParts]) -> None:
        super().__init__(base_name, params, **parts)
        config = self.config
        self.actions_low, self.actions_high = action_bounds(self.env_info, self.ppo_device)
        for notice in notices(self.env_info):
            warn(notice)
        self.batch_size: int = config.batch_size
        self.n_step: int = config.n_step
        self.critic_tau: float = config.critic_tau
        self.policy_frequency: int = config.policy_frequency
        self.num_steps_per_episode: int = config.num_steps_per_episode
        self.learnable_temperature: bool = config.learnable_temperature
        self.target_entropy_coef: float = config.target_entropy_coef
        self.update_counter = 0
        frames_per_epoch = self.num_actors * self.num_steps_per_episode
        warmup = config.num_warmup_frames
        self.num_warmup_frames: int = config.num_warmup_steps * frames_per_epoch if warmup is None else warmup
        self.model = self._build_model()
        self._build_optimizers()
        self.replay_buffer = ReplayBuffer(
            config.replay_buffer_size,
            self.rows,
            observation_fields(self.observation_space),
            self.actions_num,
            self.ppo_device,
        )
        warmup_rows = max(self.num_warmup_frames, 1) * self.num_agents
        self.learning_starts = min(warmup_rows, self.replay_buffer.capacity)
        self._critic_losses = compiled(self.critic_losses, config.torch_compile)
        self._actor_losses = compiled(self.actor_losses, config.torch_compile)
        self.open_run()

    @override
    def build_config(self) -> ModelArguments:
        return with_sizes(super().build_config())

    def _build_model(self) -> nn.Module:
        model = self.network.build(self.build_config())
        check_part(self.params, "model", model, ["sac_network"], "soft_actor_critic")
        check_part(self.params, "network", model.sac_network, PARTS, "soft_actor_critic")
        return model.to(self.ppo_device)

    def _build_optimizers(self) -> None:
        config, network, device = self.config, self.model.sac_network, self.ppo_device
        self._actor_parameters = list(network.actor.parameters())
        self._critic_parameters = list(network.critic.parameters())
        self._target_parameters = list(network.critic_target.parameters())
        self.log_alpha = torch.tensor(math.log(config.init_alpha), device=device, requires_grad=True)
        decay = config.weight_decay
        self.actor_optimizer = GuardedAdam(self._actor_parameters, config.actor_lr, decay, device, config.actor_betas)
        self.critic_optimizer = GuardedAdam(
            self._critic_parameters, config.critic_lr, decay, device, config.critic_betas
        )
        self.log_alpha_optimizer = GuardedAdam([self.log_alpha], config.alpha_lr, 0.0, device, config.alphas_betas)

    @property
    def alpha(self) -> Tensor:
        """() the temperature: the weight of the entropy."""
        return self.log_alpha.detach().exp()

    @property
    def target_entropy(self) -> float:
        """The entropy that the temperature drives the policy to."""
        return -self.target_entropy_coef * self.actions_num

    @property
    @override
    def rows_per_update(self) -> int:
        return self.batch_size

    def init_tensors(self) -> None:
        """Reset the episode counters; running episodes end in the replay buffer."""
        super().init_tensors()
        self.broken = torch.zeros(self.rows, dtype=torch.bool, device=self.ppo_device)
        self.replay_buffer.cut()

    def train(self) -> tuple[float, int]:
        """Train until a stop rule holds; return the last mean return and the number of epochs.

        Raises:
            TrainingAbortedError: values stayed non-finite; the last good state was saved.
        """
        self.start_training()
        with self.run:
            while not self.run.finished:
                self.run.begin_epoch()
                self.update_epoch()
                self.run.end_epoch(self.train_epoch())
        return self.run.mean_reward, self.epoch_num

    def update_epoch(self) -> int:
        """Count the epoch; return its number."""
        self.epoch_num += 1
        return self.epoch_num

    def train_epoch(self) -> EpochMetrics:
        """Step every environment; run the updates that are due after each step."""
        self.vec_env.set_train_info(self.frame, self)
        self.guard.start_epoch()
        self.means = EpochMeans()
        step_time = update_time = 0.0
        updates = 0
        began = time.perf_counter()
        for n in range(self.num_steps_per_episode):
            self.set_train(collecting=True)
            step_time += self.play_step(n)
            started = time.perf_counter()
            self.set_train(collecting=False)
            for _ in range(self.updates_due()):
                updates += self.update()
            update_time += time.perf_counter() - started
        play_time = time.perf_counter() - began - update_time
        self.algo_observer.after_steps()
        frames = self.num_actors * self.num_steps_per_episode
        return EpochMetrics(frames, step_time, play_time, update_time, updates, self.means.means())

    @override
    def summary(self) -> dict[str, object]:
        return {
            **super().summary(),
            "epoch": f"{self.num_steps_per_episode} steps x {self.rows} rows",
            "replay buffer": f"{self.replay_buffer.capacity} frames, batches of {self.batch_size}",
            "learning rates": f"actor {self.config.actor_lr:g}, critics {self.config.critic_lr:g}",
            "critics' tau": self.critic_tau,
        }

    def set_train(self, collecting: bool) -> None:
        """Each fresh observation enters the statistics once, when it is acted on, and never in an update."""
        self.model.train(not collecting)
        if self.normalize_input:
            self.model.running_mean_std.train(collecting)

    def updates_due(self) -> int:
        """Gradient steps of the critics after this step; 0 until the replay buffer holds the warm-up."""
        if self.frame < self.num_warmup_frames or len(self.replay_buffer) < self.learning_starts:
            return 0
        ratio = self.config.utd_ratio
        if ratio is None:
            return self.config.num_updates_per_step
        return math.floor(self.frame * ratio) - math.floor((self.frame - self.num_actors) * ratio)

    def explore(self, obs: Tree) -> Tensor:
        """Return actions (N, A) in [-1, 1]: the policy's, or random ones in the warm-up."""
        if self.frame < self.num_warmup_frames:
            self.model.norm_obs(obs)  # every observation enters the statistics
            return torch.rand((self.rows, self.actions_num), device=self.ppo_device) * 2.0 - 1.0
        return self.act(obs)

    def act(self, obs: Tree) -> Tensor:
        """Return the policy's actions (N, A) in [-1, 1], sampled."""
        seen = self.model.norm_obs(obs)
        with autocast(self.ppo_device, self.mixed_precision):
            return self.model.actor(seen).sample()

    @override
    def preprocess_actions(self, actions: Tensor) -> Tensor:
        """Map actions from [-1, 1] to the bounds of the action space."""
        return super().preprocess_actions(rescale_actions(self.actions_low, self.actions_high, actions))

    @torch.no_grad()
    def play_step(self, n: int) -> float:
        """Take and store step ``n`` of this epoch; return the seconds spent in the environments."""
        obs = self.obs["obs"]
        action = self.explore(obs)
        self.guard.clean("action", n, action)
        started = time.perf_counter()
        step = self.env_step(action)
        seconds = time.perf_counter() - started
        step, broken = self.quarantine(n, step)
        shaped, bad_shaped = self.guard.clean("reward", n, self.rewards_shaper(step.reward))
        terminated = step.terminated if self.value_bootstrap else step.done
        # The action after a non-finite observation was chosen from zeros.
        valid = ~(broken | bad_shaped | self.broken)
        self.replay_buffer.add(obs, action, shaped.sum(dim=1), self.successor(step), terminated, step.truncated, valid)
        self.count_episodes(step, shaped, broken)
        self.obs, self.dones, self.broken = step.obs, step.done.to(torch.uint8), broken
        self.frame += self.num_actors
        return seconds

    def successor(self, step: Step) -> Tree:
        """Return the next observations (N, ...) of the same episodes: final ones where an episode was truncated."""
        last = self.obs if step.final_obs is None else step.final_obs

        def choose(following: Tensor, final: Tensor) -> Tensor:
            return torch.where(step.truncated.reshape(-1, *[1] * (final.ndim - 1)), final, following)

        return tree_map(choose, step.obs["obs"], last["obs"])

    def update(self) -> int:
        """Update the critics, and every ``policy_frequency`` times actor and temperature; return the gradient steps."""
        batch = self.replay_buffer.sample(self.batch_size, self.gamma, self.n_step)
        batch = batch._replace(obs=self.model.norm_obs(batch.obs), next_obs=self.model.norm_obs(batch.next_obs))
        self.update_counter += 1
        self.update_critic(batch)
        updates_actor = self.update_counter % self.policy_frequency == 0
        if updates_actor:
            self.update_actor_and_alpha(batch)
        self.update_target_weights()
        return 1 + updates_actor

    def update_critic(self, batch: ReplayBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Update both critics unless values are non-finite; return their loss, and each one's."""
        loss, c1_loss, c2_loss = self._critic_losses(batch, torch.randn_like(batch.action), self.alpha)
        self.critic_optimizer.minimize(loss, self.config.critic_grad_clip, self.guard)
        self.means.add({"losses/c1_loss": c1_loss, "losses/c2_loss": c2_loss})
        return loss.detach(), c1_loss.detach(), c2_loss.detach()

    def update_actor_and_alpha(self, batch: ReplayBatch) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Update the actor and the temperature unless values are non-finite.

        Returns:
            () each: the actor's loss, the entropy, the temperature before, and its loss if it learns.
        """
        alpha = self.alpha
        self.actor_optimizer.zero_grad(set_to_none=True)
        self.log_alpha_optimizer.zero_grad(set_to_none=True)
        for parameter in self._critic_parameters:  # so that no gradient is computed for them
            parameter.requires_grad_(False)
        a_loss, entropy, alpha_loss = self._actor_losses(batch, torch.randn_like(batch.action), self.log_alpha)
        learned, loss = self._actor_parameters, a_loss
        if self.learnable_temperature:
            learned, loss = [*learned, self.log_alpha], a_loss + alpha_loss
        loss.backward()
        for parameter in self._critic_parameters:
            parameter.requires_grad_(True)
        grad_norm = nn.utils.get_total_norm([x.grad for x in learned if x.grad is not None])
        healthy = self.guard.healthy_update(loss, grad_norm)
        self.actor_optimizer.guarded_step(healthy)
        scalars = {"losses/a_loss": a_loss, "losses/entropy": entropy, "info/alpha": alpha}
        if self.learnable_temperature:
            self.log_alpha_optimizer.guarded_step(healthy)
            scalars["losses/alpha_loss"] = alpha_loss
        self.means.add(scalars)
        return a_loss.detach(), entropy, alpha, alpha_loss.detach() if self.learnable_temperature else None

    @torch.no_grad()
    def update_target_weights(self) -> None:
        """Move the target critics by ``critic_tau`` towards the critics."""
        torch._foreach_lerp_(self._target_parameters, self._critic_parameters, self.critic_tau)

    def critic_losses(self, batch: ReplayBatch, noise: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Half the sum of both critics' losses, and each, () all, from a batch of normalised observations.

        Args:
            batch: M transitions.
            noise: (M, A) standard normal, for the policy's actions at ``batch.next_obs``.
            alpha: () the temperature.
        """
        with autocast(self.ppo_device, self.mixed_precision):
            with torch.no_grad():
                action, neglogp = self.model.actor(batch.next_obs).draw(noise)
                q1, q2 = self.model.critic_target(batch.next_obs, action)
                value = soft.soft_value(q1, q2, neglogp, alpha)
                target = soft.soft_target(batch.reward, batch.discount, value)
            q1, q2 = self.model.critic(batch.obs, batch.action)
        c1_loss = soft.q_loss(q1, target, batch.valid)
        c2_loss = soft.q_loss(q2, target, batch.valid)
        return 0.5 * (c1_loss + c2_loss), c1_loss, c2_loss

    def actor_losses(self, batch: ReplayBatch, noise: Tensor, log_alpha: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The actor's loss, the policy's entropy and the temperature's loss, () each, at ``batch.obs``.

        Args:
            batch: M transitions; only observations count.
            noise: (M, A) standard normal, for the policy's actions.
            log_alpha: () logarithm of the temperature.
        """
        with autocast(self.ppo_device, self.mixed_precision):
            action, neglogp = self.model.actor(batch.obs).draw(noise)
            q1, q2 = self.model.critic(batch.obs, action)
        a_loss = soft.actor_loss(q1, q2, neglogp, log_alpha.detach().exp(), batch.valid)
        entropy = masked_mean(neglogp, batch.valid).detach()
        return a_loss, entropy, soft.alpha_loss(log_alpha, entropy, self.target_entropy)

    # --- checkpoints ---------------------------------------------------------------------------------------------

    @property
    def action_bounds(self) -> Tensor:
        """(2, A) the environment's lowest and highest action."""
        return torch.stack([self.actions_low, self.actions_high])

    def get_weights(self) -> State:
        """Return the policy; the bounds mark that the critics take actions in [-1, 1]."""
        return {**super().get_weights(), ACTION_BOUNDS: self.action_bounds}

    def set_weights(self, weights: State) -> None:
        """Load the policy; critics that take actions in the environment's units are converted."""
        super().set_weights(weights)
        if self.converts(weights):
            self.model.load_state_dict(to_unit_actions(self.model.state_dict(), self.action_bounds))

    def converts(self, weights: State) -> bool:
        """Whether the critics of a checkpoint take actions in the environment's units, and these differ."""
        return ACTION_BOUNDS not in weights and not are_unit(self.action_bounds)

    @override
    def complete(self, state: State, path: str) -> tuple[dict[str, Any], list[str]]:
        whole, restarted = super().complete(state, path)
        del whole[ACTION_BOUNDS]  # the critics of RL Games see actions in the environment's units
        critic, temperature = "the moments of critic_optimizer", "the moments of log_alpha_optimizer"
        if "log_alpha" in state:
            whole["log_alpha"] = torch.tensor(number(state, "log_alpha", path, 0.0))
        else:  # RL Games up to 1.6.5 saves the moments of a temperature that is not there
            whole["log_alpha_optimizer"]["state"] = {}
            restarted = ["the temperature", *filter(temperature.__ne__, restarted)]
        if self.converts(whole):
            restarted = [*filter(critic.__ne__, restarted), f"{critic} ({self._conversion()})"]
        return whole, restarted

    @override
    def learner_parts(self) -> Parts:
        config = self.config
        rates = {"actor": config.actor_lr, "critic": config.critic_lr, "log_alpha": config.alpha_lr}
        named = {**dict(self.model.named_parameters()), "log_alpha": self.log_alpha}
        optimizers = {}
        for name, rate in rates.items():
            key, prefixes = f"{name}_optimizer", (f"sac_network.{name}.", name)
            learned = {each: parameter for each, parameter in named.items() if each.startswith(prefixes)}
            optimizers[key] = OptimizerPart(getattr(self, key), key, learned, rate)
        return {
            "log_alpha": Part(self.log_alpha.detach, self._set_log_alpha),
            **optimizers,
            "update_counter": Attribute(self, "update_counter", self.ppo_device),
        }

    @override
    def set_learner_state(self, state: State, path: str = "state") -> None:
        super().set_learner_state(state, path)
        if self.converts(state):
            self._forget_critic_moments()

    def _forget_critic_moments(self) -> None:
        """The squares of the gradients do not convert with the critics."""
        self.critic_optimizer.state.clear()

    def _conversion(self) -> str:
        if is_convertible(self.model.state_dict()):
            return "the critics are converted to actions in [-1, 1]"
        return "the critics took actions in the environment's units and have to learn again, from actions in [-1, 1]"

    def set_full_state_weights(self, weights: State, set_epoch: bool = True, path: str = "weights") -> None:
        """Resume from a checkpoint; report the conversion of critics that an earlier version saved."""
        super().set_full_state_weights(weights, set_epoch, path)
        if "algo" in weights and self.converts(weights):
            warn(f"{path}: an earlier version saved it; {self._conversion()}; the moments of critic_optimizer restart")

    def _set_log_alpha(self, value: Tensor) -> None:
        with torch.no_grad():
            self.log_alpha.copy_(value.reshape(()))

    @override
    def memory_parts(self) -> Parts:
        return {"replay_buffer": Part(self._replay_state, self._load_replay, optional=True)}

    def _replay_state(self) -> State | None:
        return self.replay_buffer.state_dict() if self.config.save_replay_buffer else None

    def _load_replay(self, state: State | None) -> None:
        why = "it holds no replay buffer (save_replay_buffer was off)"
        self.replay_buffer.clear()
        if state is not None:
            try:
                self.replay_buffer.load_state_dict(state)
                return
            except ValueError as error:
                why = f"its replay buffer does not fit: {error}"
        raise NotRestoredError(
            f"{why}; the policy acts until the replay buffer holds {self.learning_starts} transitions, then learning "
            "resumes"
        )

    @override
    def interaction_parts(self) -> Parts:
        return {**super().interaction_parts(), "broken": Attribute(self, "broken", self.ppo_device)}
