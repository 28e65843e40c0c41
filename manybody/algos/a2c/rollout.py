"""``A2CBase``: collects rollouts for on-policy agents."""

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c.central_value import CentralValueTrain
from manybody.algos.a2c.config import OnPolicyConfig
from manybody.algos.a2c.types import RolloutBatch, TrainBatch, TrainResult
from manybody.algos.base import AgentParts, EnvAlgorithm
from manybody.algos.network import ModelOutput
from manybody.config import Params
from manybody.data.recurrent import RecurrentStates, States
from manybody.data.rollout import ExperienceBuffer, Field, FieldTree, swap_and_flatten01
from manybody.data.tree import tree_map
from manybody.engine.accelerate import compiled, eval_mode
from manybody.engine.checkpoint.parts import Parts, Stateful
from manybody.envs.base import EnvError, Obs, Step
from manybody.envs.spaces import observation_fields
from manybody.functional.returns import gae


class A2CBase(EnvAlgorithm):
    """Collects T steps from N environments and turns them into returns.

    Learning is left to subclasses: ``train``, ``train_epoch``, ``update_epoch``, ``prepare_dataset``,
    ``train_actor_critic`` and ``calc_gradients``. This class needs ``self.model``, which they build, and ``is_rnn``,
    ``seq_length`` and ``central_value`` where they differ from the defaults.

    Hooks, each with a default that changes nothing: :meth:`rollout_fields`, :meth:`shape_rewards`,
    :meth:`calc_advantages`.

    For the arguments see :class:`EnvAlgorithm`.
    """

    config: OnPolicyConfig
    is_rnn = False
    """Whether the policy is recurrent."""
    seq_length = 1
    """L; 1 for feed-forward policies."""
    central_value: CentralValueTrain | None = None
    """A critic that sees ``obs['states']``, or None: the policy's value head is the critic."""

    def __init__(self, base_name: str, params: Params[OnPolicyConfig], **parts: Unpack[AgentParts]) -> None:
        super().__init__(base_name, params, **parts)
        config = self.config
        self.horizon_length: int = config.horizon_length
        self.batch_size = self.horizon_length * self.rows
        self.tau: float = config.tau
        self.gae = compiled(gae, config.torch_compile)

    # --- left to subclasses --------------------------------------------------------------------------------------

    @abstractmethod
    def update_epoch(self) -> int:
        """Count the epoch; return its number."""

    @abstractmethod
    def prepare_dataset(self, batch: RolloutBatch) -> None:
        """Turn a rollout into the data that minibatches are taken from."""

    @abstractmethod
    def train_actor_critic(self, minibatch: TrainBatch) -> TrainResult:
        """Run one update; return the result of :meth:`calc_gradients`."""

    @abstractmethod
    def calc_gradients(self, minibatch: TrainBatch) -> TrainResult:
        """Compute losses and gradients and take an optimiser step."""

    # --- storage -------------------------------------------------------------------------------------------------

    @override
    def init_tensors(self) -> None:
        super().init_tensors()
        self.experience_buffer = self.make_experience_buffer()
        self.extras_metrics.used |= set(self.rollout_fields())
        self.init_rnn_from_model()
        if self.central_value is not None:
            self.central_value.init_tensors()

    def make_experience_buffer(self) -> ExperienceBuffer:
        """Allocate the storage of a rollout."""
        fields: dict[str, FieldTree] = {
            "obses": observation_fields(self.observation_space),
            "dones": Field((), torch.uint8),
            "rewards": Field((self.reward_size,), torch.float32),
            "bootstraps": Field((self.value_size,), torch.float32),
            **self.policy_fields(),
            **self.rollout_fields(),
        }
        return ExperienceBuffer(self.horizon_length, self.rows, fields, self.ppo_device)

    def init_rnn_from_model(self) -> None:
        """Allocate the recurrent state and storage for one state per sequence."""
        self.recurrent = RecurrentStates(
            self.model.get_default_rnn_state(),
            self.horizon_length,
            self.seq_length,
            self.config.zero_rnn_on_done,
            self.ppo_device,
        )

    def policy_fields(self) -> dict[str, Field]:
        """Return what each decision adds to the rollout; subclasses add what their policy returns."""
        return {"values": Field((self.value_size,), torch.float32), "neglogpacs": Field((), torch.float32)}

    def rollout_fields(self) -> dict[str, Field]:
        """Hook: tensors of ``Step.extras`` to keep with every step, by name (AMP: ``amp_obs``)."""
        return {}

    def shape_rewards(self, rollout: Mapping[str, Tensor]) -> Tensor:
        """Hook: rewards (T, N, V) to learn from, given the stored rollout (T, N, ...)."""
        return rollout["rewards"]

    def calc_advantages(self, rollout: Mapping[str, Tensor], last_values: Tensor) -> Tensor:
        """Hook: advantages (T, N, V) of the stored rollout, and ``last_values`` (N, V) of the observation after it."""
        return self.gae(
            self.shape_rewards(rollout) + rollout["bootstraps"],
            rollout["values"],
            rollout["dones"].float(),
            last_values,
            self.dones.float(),
            self.gamma,
            self.tau,
        )

    # --- the policy ----------------------------------------------------------------------------------------------

    def get_action_values(self, obs: Obs) -> ModelOutput:
        """Act on ``obs``: ``actions``, ``neglogpacs``, ``values`` (the central value's, if any), ``rnn_states``, ..."""
        decision = self.model(
            {
                "is_train": False,
                "prev_actions": None,
                "rnn_states": self.recurrent.current,
                "seq_length": 1,
                **obs,
            }
        )
        return decision if self.central_value is None else {**decision, "values": self.central_value.values(obs)}

    def get_values(self, obs: Obs) -> Tensor:
        """(N, V), units of shaped reward."""
        return self.get_action_values(obs)["values"]

    def bootstrap(self, n: int, step: Step) -> Tensor:
        """Return the value of truncated episodes' future, ``gamma V(final_obs)``; (N, V), zero elsewhere.

        Without a final observation: V(s_t) of the state before the step, which is RL Games' approximation.
        """
        truncated = step.truncated.unsqueeze(1)
        if step.final_obs is None:
            return self.gamma * self.experience_buffer.tensor_dict["values"][n] * truncated
        values = torch.zeros_like(self.experience_buffer.tensor_dict["values"][n])
        if self.ppo_device.type == "cpu" and not truncated.any():  # on the CPU, reading does not wait
            return values
        if self.ppo_device.type == "cpu" and not self.is_rnn and self.central_value is None:
            rows = step.truncated  # picking rows is cheap there
            last = tree_map(lambda x: x[rows], step.final_obs["obs"])  # ``states`` have rows of their own
            values[rows] = self.get_values({"obs": last})
            return self.gamma * values
        return torch.where(truncated, self.gamma * self.get_values(step.final_obs), values)

    # --- the rollout ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def play_steps(self) -> RolloutBatch:
        """Take T steps with the current policy in every environment; return them with their returns."""
        self.guard.start_epoch()
        step_time = 0.0
        critic = self.model if self.central_value is None else self.central_value.model
        with eval_mode(self.model), eval_mode(critic):
            for n in range(self.horizon_length):
                decision = self._decide(n)
                self._store_decision(n, decision)
                started = time.perf_counter()
                step = self._step(decision["actions"])
                step_time += time.perf_counter() - started
                self.recurrent.current = decision.get("rnn_states")
                if self.central_value is not None:
                    self.central_value.advance()
                self._store_outcome(n, step)
            last_values = self.get_values(self.obs)
        batch = self._finish_rollout(last_values)
        batch["step_time"] = step_time
        return batch

    def play_steps_rnn(self) -> RolloutBatch:
        """RL Games' name of :meth:`play_steps` for recurrent policies; here one method serves both."""
        return self.play_steps()

    def _decide(self, n: int) -> ModelOutput:
        """Act in step ``n``; a subclass that acts through another method calls it here."""
        return self.get_action_values(self.obs)

    def _step(self, actions: Tensor) -> Step:
        """Call :meth:`env_step`; a subclass whose ``env_step`` returns something else converts it here."""
        return self.env_step(actions)

    def _store_decision(self, n: int, decision: ModelOutput) -> None:
        buffer = self.experience_buffer
        buffer.update_data("obses", n, self.obs["obs"])
        buffer.update_data("dones", n, self.dones)
        for name in self.update_list:
            buffer.update_data(name, n, decision[name])
        self.recurrent.store(n)
        if self.central_value is not None:
            self.central_value.store(n, self.obs, self.dones)
        # Discrete actions are finite even if the weights are not; their log-probabilities show it.
        self.guard.clean("action", n, {name: decision[name] for name in ("actions", "neglogpacs")})

    def _store_outcome(self, n: int, step: Step) -> None:
        """Store the outcome of a step; episodes with non-finite values end there, without bootstrapping."""
        step, broken = self.quarantine(n, step)
        shaped = self.rewards_shaper(step.reward)
        self._store_rewards(n, shaped, step)
        for name in self.rollout_fields():
            kept, _ = self.guard.clean("extras", n, self._extra(step, name))
            self.experience_buffer.update_data(name, n, kept)
        self.count_episodes(step, shaped, broken)
        self.obs, self.dones = step.obs, step.done.to(torch.uint8)
        self.recurrent.forget(self.dones)
        if self.central_value is not None:
            self.central_value.after_step(self.dones)

    def _store_rewards(self, n: int, shaped: Tensor, step: Step) -> None:
        """Store shaped rewards (N, V), and separately what truncated episodes would still have earned."""
        self.experience_buffer.update_data("rewards", n, shaped)
        if self.value_bootstrap:
            self.experience_buffer.update_data("bootstraps", n, self.bootstrap(n, step))

    def _extra(self, step: Step, name: str) -> Tensor:
        if name not in step.extras:
            given = ", ".join(map(repr, step.extras)) or "nothing"
            raise EnvError(
                f"environment '{self.config.env_name}': step() gave no extras[{name!r}], which "
                f"'{self.params.algo.name}' learns from (given: {given})"
            )
        return step.extras[name].to(self.ppo_device)

    def _finish_rollout(self, last_values: Tensor) -> RolloutBatch:
        rollout = self.experience_buffer.tensor_dict
        advantages = self.calc_advantages(rollout, last_values)
        batch: dict[str, Any] = self.experience_buffer.get_transformed_list(swap_and_flatten01, self.tensor_list)
        batch["returns"] = swap_and_flatten01(advantages + rollout["values"])
        batch["played_frames"] = self.batch_size
        batch |= self.recurrent.sequences()
        return batch  # type: ignore[return-value]

    @property
    def rnn_states(self) -> States:
        """The policy's recurrent state between two steps (RL Games' name)."""
        return self.recurrent.current

    @property
    def update_list(self) -> list[str]:
        """What the policy's decision adds to the rollout each step."""
        return [*self.policy_fields()]

    @property
    def tensor_list(self) -> list[str]:
        """What the batch takes over from the rollout."""
        return [*self.update_list, "obses", "dones", *self.rollout_fields()]

    @override
    def interaction_parts(self) -> Parts:
        parts: dict[str, Stateful] = {**super().interaction_parts(), "rnn_states": self.recurrent}
        if self.central_value is not None:
            parts["central_value_rnn_states"] = self.central_value.recurrent
        return parts
