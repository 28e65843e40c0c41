"""RL Games' ``rl_games.algos_torch.sac_agent``: soft actor-critic from raw settings."""

from collections.abc import Mapping
from typing import Any

from manybody.algos.sac import SACAgent as _SACAgent
from manybody.compat.fast import fast_parts

__all__ = ["SACAgent"]


class SACAgent(_SACAgent):
    """``sac``, to inherit from; ``params`` may be RL Games' dictionary."""

    def __init__(self, base_name: str, params: Any, **parts: Any) -> None:
        made = (
            fast_parts({**params, "algo": {"name": "sac"}})
            if isinstance(params, Mapping)
            else {"params": params}
        )
        super().__init__(base_name, **{**made, **parts})
