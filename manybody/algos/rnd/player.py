"""PPO's players, with room for the intrinsic value head."""

from typing import Any

from manybody.algos.a2c import PpoPlayerContinuous, PpoPlayerDiscrete


def with_intrinsic_head(config: dict[str, Any]) -> dict[str, Any]:
    """What a model is built from, with one more value head."""
    return {**config, "value_size": config["value_size"] + 1}


class RNDPlayerContinuous(PpoPlayerContinuous):
    """Plays ``rnd_continuous`` checkpoints: PPO's policy."""

    def build_config(self) -> dict[str, Any]:
        """As in training."""
        return with_intrinsic_head(super().build_config())


class RNDPlayerDiscrete(PpoPlayerDiscrete):
    """Plays ``rnd_discrete`` checkpoints: PPO's policy."""

    def build_config(self) -> dict[str, Any]:
        """As in training."""
        return with_intrinsic_head(super().build_config())
