"""The agents: ``A2CAgent`` (``a2c_continuous``) and ``DiscreteA2CAgent`` (``a2c_discrete``)."""

from typing import Any, ClassVar, Unpack

import torch
from gymnasium import spaces
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c.config import DiscretePPOConfig, PPOConfig
from manybody.algos.a2c.on_policy import OnPolicyAgent
from manybody.algos.a2c.types import RolloutBatch, TrainBatch
from manybody.algos.base import AgentParts
from manybody.algos.network import ModelOutput
from manybody.config import ConfigError, Params, Problem
from manybody.data.rollout import Field
from manybody.engine.console import warn
from manybody.envs.base import EnvError, Obs, Step
from manybody.envs.spaces import blocked_rows, head_sizes
from manybody.functional import policy as policy_maths
from manybody.functional.policy import rescale_actions
from manybody.nn.distributions import Categorical, Distribution, Gaussian, joined


class ContinuousA2CBase(OnPolicyAgent):
    """Actions are real vectors: Gaussian policies over a Box."""

    Config = PPOConfig
    SOFT_BOUND: ClassVar[float] = 1.1
    """Size of mean actions beyond which :meth:`bounds_loss` penalises them."""
    config: PPOConfig

    def __init__(self, base_name: str, params: Params[PPOConfig], **parts: Unpack[AgentParts]) -> None:
        super().__init__(base_name, params, **parts)
        self.clip_actions: bool = self.config.clip_actions
        self.bounds_loss_coef = self.config.bounds_loss_coef
        self.bound_loss_type: str = self.config.bound_loss_type
        space = self.env_info["action_space"]
        check_kind(params, space, spaces.Box, "a2c_discrete")
        if self.clip_actions and not space.is_bounded():
            what = (
                f"got True, which maps [-1, 1] to the range of each action, but '{self.config.env_name}' "
                f"takes actions {space}; expected False, which passes them on as sampled"
            )
            raise ConfigError([Problem("params.config.clip_actions", what)])
        self.actions_low = torch.as_tensor(space.low, dtype=torch.float32, device=self.ppo_device)
        self.actions_high = torch.as_tensor(space.high, dtype=torch.float32, device=self.ppo_device)

    @override
    def acting_policy(self, result: ModelOutput) -> Distribution:
        return Gaussian(result["mus"], result["sigmas"])

    @override
    def old_policy(self, minibatch: TrainBatch) -> Distribution:
        return Gaussian(minibatch["mu"], minibatch["sigma"])

    @override
    def bounds_loss(self, result: ModelOutput) -> Tensor | None:
        if self.bounds_loss_coef is None:
            return None
        if self.bound_loss_type == "bound":
            return policy_maths.bound_loss(result["mus"], self.SOFT_BOUND).mean()
        return policy_maths.reg_loss(result["mus"]).mean()

    @override
    def policy_fields(self) -> dict[str, Field]:
        per_action = Field((self.actions_num,), torch.float32)
        return {**super().policy_fields(), "actions": per_action, "mus": per_action, "sigmas": per_action}

    @override
    def policy_batch(self, batch: RolloutBatch) -> dict[str, Tensor]:
        return {"mu": batch["mus"], "sigma": batch["sigmas"]}

    @override
    def preprocess_actions(self, actions: Tensor) -> Tensor:
        """With ``clip_actions``: clamp to [-1, 1], then map to the action space's own range; else as sampled."""
        if self.clip_actions:
            actions = rescale_actions(self.actions_low, self.actions_high, actions.clamp(-1.0, 1.0))
        return super().preprocess_actions(actions)


class A2CAgent(ContinuousA2CBase):
    """``a2c_continuous``: PPO with real-valued actions; for the arguments see ``EnvAlgorithm``."""

    def __init__(self, base_name: str, params: Params[PPOConfig], **parts: Unpack[AgentParts]) -> None:
        super().__init__(base_name, params, **parts)
        self.build_learner()
        self.open_run()


class DiscreteA2CBase(OnPolicyAgent):
    """Actions are choices: one (``Discrete``) or one per head (``MultiDiscrete``, ``Tuple`` of ``Discrete``).

    With ``use_action_masks`` the environment reports the allowed actions: ``action_masks`` (N, sum of head sizes) bool
    in its observation, or ``get_action_masks()``. Masked actions have probability zero.
    """

    Config = DiscretePPOConfig
    config: DiscretePPOConfig

    def __init__(self, base_name: str, params: Params[DiscretePPOConfig], **parts: Unpack[AgentParts]) -> None:
        super().__init__(base_name, params, **parts)
        self.use_action_masks: bool = self.config.use_action_masks
        space = self.env_info["action_space"]
        self._mask_sizes = head_sizes(space)
        self._sizes = self._mask_sizes if isinstance(self.actions_num, tuple) else None
        check_kind(params, space, (spaces.Discrete, spaces.MultiDiscrete, spaces.Tuple), "a2c_continuous")
        model = params.model["name"]
        expected = "multi_discrete_a2c" if isinstance(self.actions_num, tuple) else "discrete_a2c"
        if model in ("discrete_a2c", "multi_discrete_a2c") and model != expected:
            what = f"got {model!r}; expected {expected!r} for the actions {space}"
            raise ConfigError([Problem("params.model.name", what)])

    @override
    def acting_policy(self, result: ModelOutput) -> Distribution:
        return Categorical(joined(result["logits"]), self._sizes)

    @override
    def old_policy(self, minibatch: TrainBatch) -> Distribution:
        return Categorical(minibatch["logits"], self._sizes)

    @override
    def policy_fields(self) -> dict[str, Field]:
        total = sum(self._mask_sizes)
        fields = {
            **super().policy_fields(),
            "actions": Field(() if self._sizes is None else (len(self._sizes),), torch.int64),
            "logits": Field((total,), torch.float32),
        }
        return {**fields, "action_masks": Field((total,), torch.bool)} if self.use_action_masks else fields

    @override
    def policy_batch(self, batch: RolloutBatch) -> dict[str, Tensor]:
        masks = {"action_masks": batch["action_masks"]} if self.use_action_masks else {}
        return {"logits": batch["logits"], **masks}

    @override
    def env_reset(self) -> Obs:
        obs = super().env_reset()
        if "action_masks" in obs and not self.use_action_masks:
            warn(
                f"environment '{self.config.env_name}' reports allowed actions, but use_action_masks is False: "
                "the policy takes others too"
            )
        return self._with_masks(obs, "reset()")

    @override
    def env_step(self, actions: Tensor) -> Step:
        step = super().env_step(actions)
        return step._replace(obs=self._with_masks(step.obs, "step()"))

    def _with_masks(self, obs: Obs, call: str) -> Obs:
        if not self.use_action_masks:
            return {key: value for key, value in obs.items() if key != "action_masks"}
        masks: Any = obs.get("action_masks")
        masks = self.vec_env.get_action_masks() if masks is None else masks
        check_masks(self.config.env_name, call, masks, (self.rows, sum(self._mask_sizes)))
        return {**obs, "action_masks": masks.to(self.ppo_device, torch.bool)}

    @override
    def get_action_values(self, obs: Obs) -> ModelOutput:
        decision = super().get_action_values(obs)
        decision["logits"] = joined(decision["logits"])
        return {**decision, "action_masks": obs["action_masks"]} if "action_masks" in obs else decision

    def get_masked_action_values(self, obs: Obs, action_masks: Tensor) -> ModelOutput:
        """Act on ``obs`` among what ``action_masks`` (N, sum of head sizes) allow."""
        return self.get_action_values({**obs, "action_masks": action_masks.to(self.ppo_device, torch.bool)})

    @override
    def _store_decision(self, n: int, decision: ModelOutput) -> None:
        super()._store_decision(n, decision)
        if self.use_action_masks:
            blocked = blocked_rows(decision["action_masks"], self._mask_sizes)
            # Other devices report it with the one read of the epoch.
            if self.ppo_device.type == "cpu":
                refuse_blocked(self.config.env_name, blocked)
            self.guard.count("action_masks", n, blocked)


class DiscreteA2CAgent(DiscreteA2CBase):
    """``a2c_discrete``: PPO with discrete actions; for the arguments see ``EnvAlgorithm``."""

    def __init__(self, base_name: str, params: Params[DiscretePPOConfig], **parts: Unpack[AgentParts]) -> None:
        super().__init__(base_name, params, **parts)
        self.build_learner()
        self.open_run()


def check_masks(env_name: str, call: str, masks: Any, expected: tuple[int, int]) -> None:
    """Raise EnvError unless ``masks``, from ``call`` of the environment, have the shape ``expected``."""
    if masks is None or tuple(masks.shape) != expected:
        given = "none" if masks is None else f"the shape {tuple(masks.shape)}"
        raise EnvError(
            f"environment '{env_name}': {call} action_masks: got {given}; expected {expected} bool in every reset and "
            "step, in the observation or from get_action_masks(), because use_action_masks is on"
        )


def refuse_blocked(env_name: str, blocked: Tensor) -> None:
    """Raise EnvError when ``blocked`` (N,) bool names a row that allows no action; on the host."""
    if blocked.any():
        row = int(blocked.int().argmax())
        raise EnvError(f"environment '{env_name}': action_masks of row {row} allow no action at all")


def check_kind(params: Params, space: Any, kinds: Any, other: str) -> None:
    """Raise ConfigError unless ``space`` is of one of ``kinds``; ``other`` is the algorithm for the rest."""
    if not isinstance(space, kinds):
        what = f"got '{params.algo.name}', but '{params.config.env_name}' takes actions {space}; expected '{other}'"
        raise ConfigError([Problem("params.algo.name", what)])
