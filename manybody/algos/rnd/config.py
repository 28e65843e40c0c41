"""What random network distillation adds to the settings of PPO and of ``actor_critic``."""

from typing import Annotated

from pydantic import Field

from manybody.algos.a2c.config import DiscretePPOConfig, PPOConfig
from manybody.config.network import ActorCriticConfig, InitializerConfig, MLPConfig
from manybody.config.section import Section
from manybody.config.types import Count, Flag, NotNegative, Number

ORTHOGONAL = InitializerConfig(name="orthogonal_initializer", gain=2**0.5)


class RNDConfig(Section):
    """Weights and discount of curiosity; the defaults are those of arXiv 1810.12894."""

    extrinsic_coef: NotNegative = 2.0
    """Weight of the environment's rewards, after ``reward_shaper``; 0: curiosity alone."""
    intrinsic_coef: NotNegative = 1.0
    """Weight of the normalised intrinsic reward."""
    gamma: Annotated[Number, Field(gt=0, lt=1)] = 0.99
    """Discount factor of intrinsic rewards."""
    episodic: Flag = False
    """True: intrinsic returns end with an episode. False: they continue in the next one, so that the end of
    an episode costs no curiosity."""
    update_proportion: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """Share of each minibatch that the predictor learns from, drawn at random each time. The paper uses 0.25 with 128
    environments; a smaller share keeps observations novel for longer."""


class RNDPPOConfig(PPOConfig):
    """PPO with curiosity and continuous actions: ``params.config`` of ``rnd_continuous``."""

    rnd_config: RNDConfig = RNDConfig()
    """*New* (RL Games accepts the key and never reads it). Random network distillation."""


class RNDDiscretePPOConfig(DiscretePPOConfig):
    """PPO with curiosity and discrete actions: ``params.config`` of ``rnd_discrete``."""

    rnd_config: RNDConfig = RNDConfig()
    """*New* (RL Games accepts the key and never reads it). Random network distillation."""


class CuriosityConfig(Section):
    """The two networks of curiosity. Images and dictionaries pass through encoders like those of the policy first."""

    features: Count = 64
    """Output size of target and predictor (F)."""
    target: MLPConfig = MLPConfig(units=(128,), activation="relu", initializer=ORTHOGONAL)
    """Hidden layers of the target, which is not trained."""
    predictor: MLPConfig = MLPConfig(units=(128, 128), activation="relu", initializer=ORTHOGONAL)
    """Hidden layers of the predictor; it should be at least as expressive as the target."""


class RNDCuriosityConfig(ActorCriticConfig):
    """The ``rnd_curiosity`` network: ``actor_critic``, and the networks of curiosity."""

    rnd: CuriosityConfig = CuriosityConfig()
    """Target and predictor, which the algorithms ``rnd_continuous`` and ``rnd_discrete`` use."""
