"""``AMPAgent``: PPO with an adversarial style reward (Peng et al. 2021, arXiv 2104.02180)."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from gymnasium import spaces
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c import A2CAgent
from manybody.algos.amp.config import AMPConfig
from manybody.algos.model import check_part
from manybody.algos.network import ModelArguments
from manybody.data.ring import RingBuffer
from manybody.data.rollout import Field
from manybody.data.tree import State
from manybody.engine.accelerate import eval_mode
from manybody.engine.checkpoint.parts import NotRestoredError, Part, Parts
from manybody.envs.base import EnvError, EnvInfo, Step, VecEnv
from manybody.envs.validation import check_tensor
from manybody.functional import adversarial
from manybody.functional.stats import LARGEST, rows_finite

NON_FINITE_DEMOS = "guard/demonstrations"
"""Metric: demonstrations of this epoch that were not finite."""


class AMPAgent(A2CAgent):
    """``amp_continuous``: PPO whose reward comes from a discriminator of motions, trained against the policy.

    The discriminator sees ``extras['amp_obs']`` (N, D) of every step and rewards motion that looks like a
    demonstration. In each minibatch it learns to separate demonstrations from steps of this and of earlier policies.
    The environment's ``fetch_amp_obs_demo(count)`` returns demonstrations (count, D).

    Raises:
        EnvError: the environment shows no motion.
    """

    Config = AMPConfig
    SOFT_BOUND = 1.0
    config: AMPConfig

    @override
    def build_learner(self) -> None:
        """Build the model, the optimiser and the buffers of motions.

        Raises:
            ConfigError: model or network have no discriminator.
            EnvError: the environment's demonstrations are wrong.
        """
        super().build_learner()
        check_part(self.params, "model", self.model, ["discriminate"], "continuous_amp")
        check_part(self.params, "network", self.model.a2c_network, ["eval_disc"], "amp")
        self.fill_buffers()

    @override
    def build_config(self) -> ModelArguments:
        if not callable(getattr(self.vec_env, "fetch_amp_obs_demo", None)):
            raise no_motion(self.vec_env)
        self.amp_shape = amp_shape(self.vec_env, self.env_info)
        return super().build_config() | amp_build_config(self.amp_shape, self.config)

    def fill_buffers(self) -> None:
        """Make the demonstration buffer, full, and the replay buffer, empty."""
        config, (size,) = self.config, self.amp_shape
        self.demos = RingBuffer(config.amp_obs_demo_buffer_size, size, self.ppo_device)
        self.replay = RingBuffer(config.amp_replay_buffer_size, size, self.ppo_device)
        while len(self.demos) < self.demos.capacity:
            missing = self.demos.capacity - len(self.demos)
            self.demos.add(self.fetch_demos(min(config.amp_minibatch_size, missing)))

    def fetch_demos(self, count: int) -> Tensor:
        """Return ``count`` demonstrations (count, D), on the learner's device.

        Raises:
            EnvError: the environment gave something else.
        """
        env: Any = self.vec_env
        where = f"{self.config.env_name}: fetch_amp_obs_demo({count})"
        check_call(where, env.fetch_amp_obs_demo, count)
        try:
            demos = env.fetch_amp_obs_demo(count)
        except Exception as error:
            error.add_note(f"in {where}, which is to give demonstrations")
            raise
        check_tensor(where, demos, (count, *self.amp_shape), torch.float32)
        broken = ~rows_finite(demos)
        if demos.device.type != "cpu":  # reading it here would wait for the device; the epoch's one read has it
            counted = self.epoch_extras.get(NON_FINITE_DEMOS, torch.zeros((), device=demos.device))
            self.epoch_extras[NON_FINITE_DEMOS] = counted + broken.sum()
        elif broken.any():
            raise self._non_finite_demos(where)
        return demos.masked_fill(broken.unsqueeze(1), 0.0).to(self.ppo_device)

    @override
    def end_epoch(self, read: Mapping[str, float]) -> None:
        super().end_epoch(read)
        if read.get(NON_FINITE_DEMOS):
            raise self._non_finite_demos(f"{self.config.env_name}: fetch_amp_obs_demo")

    def _non_finite_demos(self, where: str) -> EnvError:
        return EnvError(f"{where}: NaN or infinite, or above {LARGEST:.0e}; expected finite numbers")

    @override
    def env_step(self, actions: Tensor) -> Step:
        step = super().env_step(actions)
        check_amp_obs(self.config.env_name, step, (self.rows, *self.amp_shape))
        return step

    # --- rewards -------------------------------------------------------------------------------------------------

    @override
    def rollout_fields(self) -> dict[str, Field]:
        return {**super().rollout_fields(), "amp_obs": Field(self.amp_shape, torch.float32)}

    @override
    def shape_rewards(self, rollout: Mapping[str, Tensor]) -> Tensor:
        """(T, N, V): the weighed sum of the environment's reward and of style."""
        with eval_mode(self.model):
            logits = torch.cat([self.model.discriminate(seen) for seen in rollout["amp_obs"]])
        style = adversarial.style_reward(logits, self.config.disc_reward_scale)
        self.epoch_extras["info/disc_reward_mean"] = style.mean()
        self.epoch_extras["info/disc_reward_std"] = style.std()
        task = self.config.task_reward_w * super().shape_rewards(rollout)
        return task + self.config.disc_reward_w * style.reshape(*task.shape[:2], 1)

    # --- learning ------------------------------------------------------------------------------------------------

    @override
    def extra_batch(self, rollout: Any) -> dict[str, Tensor]:
        """Add the observations of the discriminator; store them and new demonstrations in the buffers."""
        seen = rollout["amp_obs"]
        self.demos.add(self.fetch_demos(self.config.amp_batch_size))
        if len(self.replay) == self.replay.capacity:
            count = max(int(self.config.amp_replay_keep_prob * len(seen)), 1)
            self.replay.add(seen[torch.randint(len(seen), (count,), device=seen.device)])
        else:
            self.replay.add(seen)
        return {**super().extra_batch(rollout), "amp_obs": seen}

    @override
    def train_actor_critic(self, minibatch: Any) -> Any:
        rows = min(self.config.amp_minibatch_size, len(minibatch["amp_obs"]))
        motions = {
            "amp_obs": minibatch["amp_obs"][:rows],
            "amp_obs_replay": self.replay.sample(rows),
            "amp_obs_demo": self.demos.sample(rows),
        }
        return super().train_actor_critic(cast(Any, {**minibatch, **motions}))

    @override
    def set_train(self) -> None:
        super().set_train()
        self.model.amp_input_mean_std.train()

    @override
    def freeze_normalizers(self) -> None:
        super().freeze_normalizers()
        self.model.amp_input_mean_std.eval()

    @override
    def extra_losses(self, minibatch: Any, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        config, network = self.config, self.model.a2c_network
        agent, replay, demo = (
            self.model.norm_amp_obs(minibatch[name]) for name in ("amp_obs", "amp_obs_replay", "amp_obs_demo")
        )
        agent_logits = network.eval_disc(torch.cat([agent, replay]))
        demo_logits, penalty = adversarial.logits_and_penalty(network.eval_disc, demo)
        logit_loss = adversarial.sum_of_squares([network.get_disc_logit_weights()])
        disc_loss = (
            adversarial.discriminator_loss(agent_logits, demo_logits)
            + config.disc_logit_reg * logit_loss
            + config.disc_grad_penalty * penalty
            + config.disc_weight_decay * adversarial.sum_of_squares(network.get_disc_weights())
        )
        agent_right, demo_right = adversarial.accuracy(agent_logits, demo_logits)
        return losses | {
            "loss": losses["loss"] + config.disc_coef * disc_loss,
            "disc_loss": disc_loss,
            "info/disc_agent_acc": agent_right,
            "info/disc_demo_acc": demo_right,
            "info/disc_agent_logit": agent_logits.detach().mean(),
            "info/disc_demo_logit": demo_logits.detach().mean(),
            "info/disc_grad_penalty": penalty.detach(),
            "info/disc_logit_loss": logit_loss.detach(),
        }

    # --- checkpoints ---------------------------------------------------------------------------------------------

    @override
    def memory_parts(self) -> Parts:
        return {**super().memory_parts(), "amp_buffers": Part(self._buffers, self._load_buffers, optional=True)}

    def _buffers(self) -> State | None:
        if not self.config.save_amp_buffers:
            return None
        return {"demos": self.demos.state(), "replay": self.replay.state(), "clips": imitated(self.vec_env)}

    def _load_buffers(self, state: State | None) -> None:
        self.replay.clear()
        if state is None:
            raise NotRestoredError(
                "it has no demonstration and replay buffers (save_amp_buffers); demonstrations are drawn again, and "
                "the run resumes, but not bit for bit"
            )
        self.replay.set_state(state["replay"])
        if not same_clips(state.get("clips", []), imitated(self.vec_env)):
            raise NotRestoredError("its demonstrations are of other clips than this run's; they are drawn again")
        self.demos.set_state(state["demos"])


def imitated(env: object) -> list[Tensor]:
    """Return the clips of ``env``, (R, B, 3) each, bodies relative to the root, on the CPU; [] if it reports none."""
    return [clip.cpu() for clip in getattr(env, "reference_positions", list)()]


def same_clips(saved: Sequence[Tensor], current: Sequence[Tensor]) -> bool:
    """Whether clips (R, B, 3) are the same up to rounding; if one side is empty, they count as the same."""
    if not (saved and current):
        return True
    return len(saved) == len(current) and all(
        one.shape == other.shape and torch.allclose(one, other, atol=1e-4)
        for one, other in zip(saved, current, strict=True)
    )


def amp_shape(env: VecEnv, env_info: EnvInfo) -> tuple[int, ...]:
    """(D,) of what the discriminator sees.

    Raises:
        EnvError: the environment has no space for it, or another one than a ``Box`` with one axis.
    """
    space = env_info.get("amp_observation_space")
    if space is None:
        raise no_motion(env)
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise EnvError(f"{type(env).__name__}: amp_observation_space is {space}; expected a Box with one axis")
    return space.shape


def no_motion(env: object) -> EnvError:
    """Return the error about an environment that is not for AMP."""
    return EnvError(
        f"{type(env).__name__} has no motion to imitate: amp_continuous needs amp_observation_space in "
        "get_env_info(), extras['amp_obs'] in every step, and fetch_amp_obs_demo(count)"
    )


def check_call(where: str, function: Callable[[int], object], count: int) -> None:
    """Raise EnvError unless ``function`` can be called with one ``count``."""
    try:
        inspect.signature(function).bind(count)
    except TypeError as error:
        raise EnvError(f"{where}: {error}; expected a function of one argument, the count") from None
    except ValueError:  # functions in C have no signature
        pass


def check_amp_obs(env_name: str, step: Step, shape: tuple[int, ...]) -> None:
    """Raise EnvError unless ``extras['amp_obs']`` of ``step`` is a float32 tensor of ``shape``."""
    check_tensor(f"{env_name}: step() extras['amp_obs']", step.extras.get("amp_obs"), shape, torch.float32)


def amp_build_config(shape: tuple[int, ...], config: AMPConfig) -> ModelArguments:
    """Return the arguments that ``continuous_amp`` is built from in addition to PPO's."""
    return {"amp_input_shape": shape, "normalize_amp_input": config.normalize_amp_input}
