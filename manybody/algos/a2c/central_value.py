"""The central value: a separate critic with privileged observations (asymmetric actor-critic)."""

from typing import Any

import torch
from torch import Tensor, nn

from manybody.algos.a2c.config import CentralValueConfig, OnPolicyConfig
from manybody.algos.model import BaseModel, BaseModelNetwork
from manybody.algos.network import ModelInput, ModelOutput
from manybody.config import ConfigError, Problem
from manybody.data.minibatch import PPODataset
from manybody.data.recurrent import RecurrentStates, States
from manybody.data.rollout import ExperienceBuffer, Field, swap_and_flatten01
from manybody.data.tree import State
from manybody.engine.accelerate import autocast
from manybody.engine.checkpoint.parts import Attribute, ModulePart, OptimizerPart, Parts, Stateful
from manybody.engine.guard import Guard
from manybody.engine.metrics import EpochMeans
from manybody.engine.optim import GuardedAdam, LinearScheduler
from manybody.engine.precision import CENTRAL_BF16, choose_bf16
from manybody.envs.base import Obs
from manybody.envs.spaces import observation_fields
from manybody.functional.value import critic_loss

PATH = "params.config.central_value_config"


class CentralValueModelNetwork(BaseModelNetwork):
    """A live critic: normalises, predicts, and denormalises when acting."""

    def forward(self, input_dict: ModelInput) -> ModelOutput:
        """``values`` (M, V), in units of reward unless ``is_train``, and ``rnn_states``."""
        value, states = self.a2c_network({**input_dict, "obs": self.norm_obs(input_dict["obs"])})
        value = value.float()
        if not input_dict.get("is_train", True):
            value = self.denorm_value(value)
        return {"values": value, "rnn_states": states}


class ModelCentralValue(BaseModel):
    """``model.name: central_value``."""

    Network = CentralValueModelNetwork
    model_class = "cval"


class CentralValueTrain(nn.Module):
    """A critic on ``obs['states']`` (num_actors, S), one value per environment, shared by its agents.

    Trained on the mean of the agents' returns, before the policy. (RL Games takes the first agent's.)

    Args:
        config: the ``central_value_config`` section.
        recipe: what ``network`` and ``model`` in it describe.
        policy: the settings of the policy: ``num_actors``, ``horizon_length``, ``seq_length``, ``zero_rnn_on_done``,
            ``normalize_value``, and ``max_epochs`` or ``max_frames``, where a linear schedule ends.
        state_space: what ``states`` are.
        num_agents: rows per environment.
        value_size: V.
        guard: counts updates that are left out.
        device: where to compute.

    Raises:
        ConfigError: the network gives no value alone, or minibatches do not divide the batch.
    """

    def __init__(
        self,
        config: CentralValueConfig,
        recipe: BaseModel,
        policy: OnPolicyConfig,
        *,
        state_space: Any,
        num_agents: int,
        value_size: int,
        guard: Guard,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_actors, self.num_agents = policy.num_actors, num_agents
        self.horizon_length: int = policy.horizon_length
        self.zero_rnn_on_done: bool = policy.zero_rnn_on_done
        self.guard = guard
        self.device = device
        if not config.network.get("central_value", False):
            what = (
                "missing; expected true: without it the network gives actions, a value and a state, and not "
                "the value alone that a central value is"
            )
            raise ConfigError([Problem(f"{PATH}.network.central_value", what)])
        self.model = recipe.build(
            {
                "input_shape": state_space.shape,
                "actions_num": 0,
                "value_size": value_size,
                "num_seqs": self.num_actors,
                "normalize_value": policy.normalize_value,
                "normalize_input": config.normalize_input,
            }
        ).to(device)
        self.seq_length: int = policy.seq_length if self.model.is_rnn() else 1
        self.state_fields = observation_fields(state_space)
        batch_size = self.horizon_length * self.num_actors
        minibatch_size = config.minibatch_size or self.num_actors * (config.minibatch_size_per_env or 0)
        if not minibatch_size or batch_size % minibatch_size or minibatch_size % self.seq_length:
            what = (
                f"got {minibatch_size}; expected a divisor of {batch_size} (= horizon_length {self.horizon_length} x "
                f"num_actors {self.num_actors}) that {self.seq_length} divides"
            )
            raise ConfigError([Problem(f"{PATH}.minibatch_size", what)])
        self.minibatch_size: int = minibatch_size
        self.mixed_precision = False  # decided when the checkpoint is known
        self.dataset = PPODataset(batch_size, minibatch_size, seq_length=self.seq_length)
        self.optimizer = GuardedAdam(self.model.parameters(), config.learning_rate, config.weight_decay, device)
        self.lr = torch.tensor(float(config.learning_rate), device=device)
        self.scheduler: LinearScheduler | None = None
        if config.lr_schedule == "linear":
            by_epochs = policy.max_epochs > 0
            end = policy.max_epochs if by_epochs else policy.max_frames
            self.scheduler = LinearScheduler(config.learning_rate, 1e-6, end, by_epochs)

    @property
    def value_mean_std(self) -> Any:
        """The statistics of returns, None without ``normalize_value``; not a part of its own in checkpoints."""
        return self.model.value_mean_std if self.model.normalize_value else None

    # --- collecting ----------------------------------------------------------------------------------------------

    def init_tensors(self) -> None:
        """Allocate storage for a rollout."""
        fields = {"states": self.state_fields, "dones": Field((), torch.uint8)}
        self.buffer = ExperienceBuffer(self.horizon_length, self.num_actors, fields, self.device)
        self._pending: States = None
        initial = self.model.get_default_rnn_state()
        self.recurrent = RecurrentStates(
            initial, self.horizon_length, self.seq_length, self.zero_rnn_on_done, self.device
        )

    def values(self, obs: Obs) -> Tensor:
        """Return (N, V) in units of reward, from ``obs['states']`` (num_actors, S)."""
        out = self.model(
            {"is_train": False, "obs": obs["states"], "rnn_states": self.recurrent.current, "seq_length": 1}
        )
        self._pending = out["rnn_states"]
        return out["values"].repeat_interleave(self.num_agents, dim=0)

    def store(self, n: int, obs: Obs, dones: Tensor) -> None:
        """Store the inputs of step ``n``; ``dones`` (N,) marks observations that begin an episode."""
        self.buffer.update_data("states", n, obs["states"])
        self.buffer.update_data("dones", n, self._per_env(dones))
        self.recurrent.store(n)

    def advance(self) -> None:
        """Make the recurrent state of the last :meth:`values` the current one, after a step."""
        self.recurrent.current = self._pending

    def after_step(self, dones: Tensor) -> None:
        """Reset the recurrent state where an episode ended; ``dones`` (N,)."""
        self.recurrent.forget(self._per_env(dones))

    def _per_env(self, dones: Tensor) -> Tensor:
        """(num_actors,): an environment's episode ends when all of its agents are done."""
        return dones.reshape(self.num_actors, self.num_agents).amin(dim=1)

    def _team_mean(self, x: Tensor) -> Tensor:
        """(num_actors T, V) from (num_actors agents T, V)."""
        team = x.reshape(self.num_actors, self.num_agents, self.horizon_length, -1).mean(dim=1)
        return team.flatten(0, 1)

    # --- learning ------------------------------------------------------------------------------------------------

    @property
    def updates(self) -> int:
        """Gradient steps per epoch."""
        return 0 if self.config.freeze_critic else self.config.mini_epochs * len(self.dataset)

    def train_net(self, values: Tensor, returns: Tensor, epoch: int, frame: int) -> dict[str, Tensor]:
        """Learn from a rollout in ``mini_epochs`` passes.

        Args:
            values: (B, V) in the normalised value space.
            returns: likewise.
            epoch: for the schedule.
            frame: likewise.

        Returns:
            () tensors by TensorBoard tag.
        """
        if self.config.freeze_critic:
            return {}
        batch: dict[str, Any] = {
            "old_values": self._team_mean(values),
            "returns": self._team_mean(returns),
            "obs": swap_and_flatten01(self.buffer.tensor_dict["states"]),
            "dones": swap_and_flatten01(self.buffer.tensor_dict["dones"]),
            **self.recurrent.sequences(),
        }
        self.dataset.update_values_dict(batch)
        if self.scheduler is not None:
            self.lr, _ = self.scheduler.update(self.lr, self.lr, epoch, frame, self.lr)
            self.optimizer.set_lr(self.lr)
        means = EpochMeans()
        self.model.train()
        if self.value_mean_std is not None:
            self.value_mean_std.eval()
        for _ in range(self.config.mini_epochs):
            for minibatch in self.dataset:
                means.add({"losses/cval_loss": self._update(minibatch)})
            if self.config.normalize_input:
                self.model.running_mean_std.eval()  # each rollout enters the statistics once
        self.dataset.update_values_dict(None)
        return {**means.means(), "info/cval_lr": self.lr}

    def _update(self, minibatch: dict[str, Any]) -> Tensor:
        config = self.config
        with autocast(self.device, self.mixed_precision):
            values = self.model(
                {
                    "is_train": True,
                    "obs": minibatch["obs"],
                    "rnn_states": minibatch.get("rnn_states"),
                    "seq_length": self.seq_length,
                    "dones": minibatch["dones"] if self.zero_rnn_on_done else None,
                }
            )["values"]
        loss = critic_loss(
            minibatch["old_values"], values, config.e_clip, minibatch["returns"], config.clip_value
        ).mean()
        self.optimizer.minimize(loss, config.grad_norm if config.truncate_grads else None, self.guard)
        return loss.detach()

    # --- checkpoints ---------------------------------------------------------------------------------------------

    def choose_precision(self, saved: State) -> None:
        """Decide whether updates run in bf16: as in the run that was saved, else by a measurement."""
        key, wanted = f"{PATH}.mixed_precision", self.config.mixed_precision
        self.mixed_precision = choose_bf16(key, wanted, saved, CENTRAL_BF16, self.model, self.minibatch_size)

    def learner_parts(self) -> Parts:
        """Weights and optimiser, under RL Games' keys."""
        parts: dict[str, Stateful] = {
            "assymetric_vf_nets": ModulePart(self, "assymetric_vf_nets"),
            "assymetric_vf_optimizer": OptimizerPart(
                self.optimizer, "assymetric_vf_optimizer", dict(self.named_parameters()), weights="assymetric_vf_nets"
            ),
        }
        if self.config.mixed_precision:
            parts[CENTRAL_BF16] = Attribute(self, "mixed_precision", self.device, optional=True)
        return parts
