"""What adversarial motion priors add to the settings of PPO and of ``actor_critic``; names are IsaacGymEnvs'."""

from collections.abc import Iterator, Mapping
from typing import Any

from manybody.algos.a2c.config import PPOConfig
from manybody.config.network import ActorCriticConfig, MLPConfig
from manybody.config.types import Count, Flag, NotNegative, Number, Positive


class AMPConfig(PPOConfig):
    """PPO with a reward for motion that looks like a clip: ``params.config`` of ``amp_continuous``."""

    value_bootstrap: Flag = True
    """Bootstrap truncated episodes from the value of their last observation."""
    shuffle_minibatches: Flag = True
    """Draw minibatches from the whole batch at random."""

    task_reward_w: Number = 0.0
    """Weight of the environment's reward, after ``reward_shaper``."""
    disc_reward_w: Number = 1.0
    """Weight of the style reward, which the discriminator gives."""
    disc_reward_scale: Positive = 2.0
    """Factor of the style reward."""
    disc_coef: NotNegative = 5.0
    """Weight of the discriminator's loss."""
    disc_logit_reg: NotNegative = 0.05
    """Weight, inside that loss, of the squares of its last layer's weights."""
    disc_grad_penalty: NotNegative = 5.0
    """Weight, inside that loss, of the squared gradient at the demonstrations. The most important setting of AMP: start
    high; where the imitation stays coarse, lower it (0.2 in IsaacGymEnvs' LowGP)."""
    disc_weight_decay: NotNegative = 1e-4
    """Weight, inside that loss, of the squares of all its weights."""
    normalize_amp_input: Flag = True
    """Normalise the discriminator's input by running mean and variance."""

    amp_batch_size: Count = 512
    """Demonstrations that are added each epoch."""
    amp_minibatch_size: Count = 4096
    """Samples of each source (policy, replay buffer, demonstrations) in each update of the discriminator; at most
    ``minibatch_size``."""
    amp_obs_demo_buffer_size: Count = 200_000
    """Demonstrations to draw from; filled when training begins."""
    amp_replay_buffer_size: Count = 1_000_000
    """Size of the replay buffer: steps of earlier policies from which the discriminator learns."""
    amp_replay_keep_prob: NotNegative = 0.01
    """Share of an epoch's steps that enter the replay buffer once it is full."""
    save_amp_buffers: Flag = False
    """*New.* Save the replay buffer and the demonstration buffer in every checkpoint, so that a resumed run is
    identical. Without it, both are filled again after a resume."""

    @classmethod
    def rules(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """There is something to be rewarded for."""
        if given.get("task_reward_w") == given.get("disc_reward_w") == 0:
            yield "disc_reward_w", "another weight than 0, because task_reward_w is 0 too"
        if given.get("amp_replay_keep_prob", 0) > 1:
            yield "amp_replay_keep_prob", "a share, at most 1"
        yield from super().rules(given)


class AMPNetworkConfig(ActorCriticConfig):
    """The ``amp`` network: ``actor_critic``, and a discriminator."""

    disc: MLPConfig
    """The hidden layers of the discriminator."""
