"""PPO's players, with the intrinsic value head."""

from typing_extensions import override

from manybody.algos.a2c import PpoPlayerContinuous, PpoPlayerDiscrete


class RNDPlayerContinuous(PpoPlayerContinuous):
    """Plays ``rnd_continuous`` checkpoints: PPO's policy."""

    @override
    def value_heads(self) -> int:
        return super().value_heads() + 1


class RNDPlayerDiscrete(PpoPlayerDiscrete):
    """Plays ``rnd_discrete`` checkpoints: PPO's policy."""

    @override
    def value_heads(self) -> int:
        return super().value_heads() + 1
