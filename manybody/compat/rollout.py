"""``ClientRollout``: on-policy agents collect from environments of RL Games' protocol, with RL Games' methods."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c.agent import check_masks
from manybody.algos.a2c.on_policy import OnPolicyAgent
from manybody.compat.agent import cast_array, time_outs
from manybody.compat.rl_games.common.experience import ExperienceBuffer
from manybody.data import rollout
from manybody.data.tree import tree_map
from manybody.envs.base import Step
from manybody.envs.spaces import head_sizes
from manybody.functional.returns import gae


def swap_and_flatten01(arr: Any) -> Any:
    """(N*T, ...) from (T, N, ...), all steps of row 0 first; None of None."""
    return None if arr is None else rollout.swap_and_flatten01(arr)


class ClientRollout(OnPolicyAgent):
    """Observations become tensors, actions what the environment takes; T steps become a batch with returns."""

    is_tensor_obses = False
    update_list: Any = ()
    tensor_list: Any = ()
    experience_buffer: Any
    vec_env: Any
    has_central_value: bool
    use_action_masks: bool
    central_value: Any

    def cast_obs(self, obs: Any) -> Any:
        """Return an array as a tensor on the learner's device, floats as float32; a tensor unchanged."""
        self.is_tensor_obses = self.is_tensor_obses or isinstance(obs, Tensor)
        return cast_array(obs, self.ppo_device)

    def obs_to_tensors(self, obs: Any) -> dict[str, Any]:
        """Return an environment's observation as ``{'obs': tensors[, 'states': tensors]}``."""
        tensors = tree_map(self.cast_obs, obs)
        return tensors if isinstance(obs, dict) and "obs" in obs else {"obs": tensors}

    def _preproc_obs(self, obs_batch: Any) -> Any:
        """Return observations (N, O), or a dictionary of them, with bytes scaled to [0, 1]."""
        return tree_map(lambda x: x.float() / 255.0 if x.dtype == torch.uint8 else x, obs_batch)

    @override
    def preprocess_actions(self, actions: Tensor) -> Any:
        """Return sampled actions (N, A) as tensors if the environment returns tensors, else as arrays."""
        return actions if self.is_tensor_obses else actions.cpu().numpy()

    def env_step(self, actions: Tensor) -> Any:
        """Take one step with ``actions`` (N, A); return observations, rewards (N, V), dones (N,) and infos."""
        obs, rewards, dones, infos = self.vec_env.step(self.preprocess_actions(actions))
        rewards = torch.as_tensor(rewards, device=self.ppo_device)
        if not self.is_tensor_obses:
            rewards = rewards.float()
        if self.value_size == 1:
            rewards = rewards.unsqueeze(1)
        return self.obs_to_tensors(obs), rewards, torch.as_tensor(dones, device=self.ppo_device), infos

    @override
    def env_reset(self) -> dict[str, Any]:
        return self.obs_to_tensors(self.vec_env.reset())

    def reset_envs(self) -> None:
        """Start new episodes everywhere."""
        self.init_rnn_from_model()
        self.obs = self.env_reset()

    def init_current_rewards(self, batch_size: int, current_rewards_shape: tuple[int, ...]) -> None:
        """Reset the counters of running episodes."""
        self.current_rewards = torch.zeros(current_rewards_shape, device=self.ppo_device)
        self.current_shaped_rewards = torch.zeros_like(self.current_rewards)
        self.current_lengths = torch.zeros(batch_size, device=self.ppo_device)
        self.dones = torch.ones(batch_size, dtype=torch.uint8, device=self.ppo_device)

    @override
    def init_tensors(self) -> None:
        super().init_tensors()
        self.update_list = ["actions", "neglogpacs", "values", *self._policy_outputs()]
        self.tensor_list = [*self.update_list, "obses", "states", "dones"]
        if self.central_value is not None:  # a client's play_steps stores them there
            self.central_value.buffer.tensor_dict["states"] = self.experience_buffer.tensor_dict["states"]

    def _policy_outputs(self) -> list[str]:
        """Return what the policy adds to a rollout besides actions."""
        return []

    @override
    def make_experience_buffer(self) -> Any:
        algo_info = {
            "num_actors": self.num_actors,
            "horizon_length": self.horizon_length,
            "has_central_value": self.has_central_value,
            "use_action_masks": self.use_action_masks,
        }
        return ExperienceBuffer(self.env_info, algo_info, self.ppo_device)

    @override
    def init_rnn_from_model(self, model: Any = None) -> None:
        """Set ``is_rnn`` and reset the recurrent state; ``model`` has no effect."""
        self.is_rnn = self.model.is_rnn()
        super().init_rnn_from_model()

    @property
    def rnn_states(self) -> Any:
        """(layers, N, units) each, the policy's state between two steps; None of a feed-forward network."""
        return self.recurrent.current

    @rnn_states.setter
    def rnn_states(self, states: Any) -> None:
        self.recurrent.current = states

    @override
    def get_action_values(self, obs: dict[str, Any]) -> dict[str, Any]:
        self.model.eval()
        if self.central_value is not None:
            self.central_value.eval()
        with torch.no_grad():
            return super().get_action_values({**obs, "obs": self._preproc_obs(obs["obs"])})

    def get_masked_action_values(self, obs: dict[str, Any], action_masks: Any) -> dict[str, Any]:
        """Act among the choices that ``action_masks`` (N, sum of head sizes) allow. Raises EnvError without masks."""
        expected = self.rows, sum(head_sizes(self.env_info["action_space"]))
        check_masks(self.config["env_name"], "get_action_masks()", action_masks, expected)
        masks = torch.as_tensor(action_masks, dtype=torch.bool, device=self.ppo_device)
        return {**ClientRollout.get_action_values(self, {**obs, "action_masks": masks}), "action_masks": masks}

    @override
    def get_values(self, obs: dict[str, Any]) -> Tensor:
        if self.central_value is None:
            values: Tensor = ClientRollout.get_action_values(self, obs)["values"]
            return values
        with torch.no_grad():  # the policy draws no action for this
            return self.central_value.eval().values(self._preproc_obs(obs))

    def get_central_value(self, obs_dict: dict[str, Any]) -> Tensor:
        """Return the values (N, V) of ``obs_dict['states']`` and advance the recurrent state."""
        value: Tensor = self.central_value.get_value(obs_dict)
        return value

    # --- the rollout ----------------------------------------------------------------------------------------------

    @override
    def _step(self, actions: Tensor) -> Step:
        obs, rewards, dones, infos = self.env_step(actions)
        self._done_type = dones.dtype
        done, shortened = dones.bool(), time_outs(infos, len(rewards))
        truncated = torch.zeros_like(done) if shortened is None else done & self.cast_obs(shortened).to(done)
        return Step(obs, rewards, done & ~truncated, truncated, None, infos)

    @override
    def _store_outcome(self, n: int, step: Step) -> None:
        super()._store_outcome(n, step)
        self.dones = self.dones.to(self._done_type)

    @override
    def _store_rewards(self, n: int, shaped: Tensor, step: Step) -> None:
        earned = shaped + self.bootstrap(n, step) if self.value_bootstrap else shaped
        self.experience_buffer.update_data("rewards", n, earned)

    @override
    def calc_advantages(self, rollout: Mapping[str, Any], last_values: Tensor) -> Tensor:
        stored = rollout["dones"].float(), rollout["values"], rollout["rewards"]
        return self.discount_values(self.dones.float(), last_values, *stored)

    @override
    def _finish_rollout(self, last_values: Tensor) -> Any:
        batch: dict[str, Any] = dict(super()._finish_rollout(last_values))
        if self.is_rnn:
            batch["rnn_states"] = list(batch["rnn_states"])
        return batch

    def discount_values(
        self,
        fdones: Tensor,
        last_extrinsic_values: Tensor,
        mb_fdones: Tensor,
        mb_extrinsic_values: Tensor,
        mb_rewards: Tensor,
    ) -> Tensor:
        """Advantages (T, N, V) by generalised advantage estimation, as :func:`~manybody.functional.returns.gae`."""
        return gae(mb_rewards, mb_extrinsic_values, mb_fdones, last_extrinsic_values, fdones, self.gamma, self.tau)

    def discount_values_masks(
        self,
        fdones: Tensor,
        last_extrinsic_values: Tensor,
        mb_fdones: Tensor,
        mb_extrinsic_values: Tensor,
        mb_rewards: Tensor,
        mb_masks: Tensor,
    ) -> Tensor:
        """Compute :meth:`discount_values` without the steps where masks (T, N) are 0: their advantage is 0."""
        advantages = torch.zeros_like(mb_rewards)
        following, carried = last_extrinsic_values, torch.zeros_like(last_extrinsic_values)
        done = fdones
        for t in reversed(range(len(mb_rewards))):
            continues = (1.0 - done).unsqueeze(1)
            delta = mb_rewards[t] + self.gamma * following * continues - mb_extrinsic_values[t]
            carried = (delta + self.gamma * self.tau * continues * carried) * mb_masks[t].unsqueeze(1)
            advantages[t] = carried
            following, done = mb_extrinsic_values[t], mb_fdones[t]
        return advantages
