"""``Collector``: agents with RL Games' interface step environments and collect rollouts."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from manybody.compat.agent import LegacyAgent
from manybody.compat.rl_games.common.experience import ExperienceBuffer
from manybody.data import rollout
from manybody.data.recurrent import RecurrentStates
from manybody.data.tree import leaves, tree_map
from manybody.envs.base import EnvError, Step
from manybody.functional.returns import gae


def swap_and_flatten01(arr: Any) -> Any:
    """(N*T, ...) from (T, N, ...), all steps of row 0 first; None of None."""
    return None if arr is None else rollout.swap_and_flatten01(arr)


def _time_outs(infos: Any, rows: int) -> Any:
    """Return the truncated episodes (``rows``,) in ``infos``, a dictionary or one per environment; None without."""
    if isinstance(infos, dict):
        return infos.get("time_outs")
    if infos and all(isinstance(info, dict) and "time_outs" in info for info in infos):
        return np.array([info["time_outs"] for info in infos]).repeat(rows // len(infos))
    return None


class Collector(LegacyAgent):
    """Observations become tensors, actions what the environment takes; T steps become a batch with returns."""

    update_list: list[str]
    tensor_list: list[str]

    def cast_obs(self, obs: Any) -> Any:
        """An array as a tensor on the learner's device (floats as float32); a tensor as it is."""
        if isinstance(obs, Tensor):
            self.is_tensor_obses = True
            return obs
        if isinstance(obs, np.ndarray):
            cast = torch.from_numpy(obs if obs.dtype == np.uint8 else obs.astype(np.float32))
            return cast.to(self.ppo_device)
        return obs

    def obs_to_tensors(self, obs: Any) -> dict[str, Any]:
        """What the environment gave as ``{'obs': tensors[, 'states': tensors]}``."""
        tensors = self._obs_to_tensors_internal(obs)
        return tensors if isinstance(obs, dict) and "obs" in obs else {"obs": tensors}

    def _obs_to_tensors_internal(self, obs: Any) -> Any:
        if isinstance(obs, dict):
            return {key: self._obs_to_tensors_internal(value) for key, value in obs.items()}
        return self.cast_obs(obs)

    def _preproc_obs(self, obs_batch: Any) -> Any:
        """Observations (N, O), or a dictionary of such; bytes become 0 to 1."""
        return tree_map(lambda x: x.float() / 255.0 if x.dtype == torch.uint8 else x, obs_batch)

    def preprocess_actions(self, actions: Tensor) -> Any:
        """Sampled actions (N, A) as the environment takes them: tensors where it gives tensors."""
        return actions if self.is_tensor_obses else actions.cpu().numpy()

    def env_step(self, actions: Tensor) -> Any:
        """Observations, rewards (N, V), dones (N,) and infos after one step with ``actions`` (N, A)."""
        obs, rewards, dones, infos = self.vec_env.step(self.preprocess_actions(actions))
        rewards = torch.as_tensor(rewards, device=self.ppo_device)
        if not self.is_tensor_obses:
            rewards = rewards.float()
        if self.value_size == 1:
            rewards = rewards.unsqueeze(1)
        return self.obs_to_tensors(obs), rewards, torch.as_tensor(dones, device=self.ppo_device), infos

    def env_reset(self) -> dict[str, Any]:
        """The first observations."""
        return self.obs_to_tensors(self.vec_env.reset())

    def reset_envs(self) -> None:
        """Start new episodes everywhere."""
        self._forget_states()
        self.obs = self.env_reset()

    def init_tensors(self) -> None:
        """Allocate the rollout, the running episode counters and the recurrent state."""
        rows = self.num_actors * self.num_agents
        self.experience_buffer = ExperienceBuffer(
            self.env_info,
            {
                "num_actors": self.num_actors,
                "horizon_length": self.horizon_length,
                "has_central_value": self.has_central_value,
                "use_action_masks": self.use_action_masks,
            },
            self.ppo_device,
        )
        self.init_current_rewards(rows, (rows, self.value_size))
        self._forget_states()

    def init_current_rewards(self, batch_size: int, current_rewards_shape: tuple[int, ...]) -> None:
        """Forget the episodes that are under way."""
        self.current_rewards = torch.zeros(current_rewards_shape, device=self.ppo_device)
        self.current_shaped_rewards = torch.zeros_like(self.current_rewards)
        self.current_lengths = torch.zeros(batch_size, device=self.ppo_device)
        self.dones = torch.ones(batch_size, dtype=torch.uint8, device=self.ppo_device)

    def init_rnn_from_model(self, model: Any) -> None:  # type: ignore[override]
        """Note whether ``model`` is recurrent."""
        self.is_rnn = model.is_rnn()

    def _forget_states(self) -> None:
        initial = self.model.get_default_rnn_state() if self.is_rnn else None
        self.recurrent = RecurrentStates(
            initial, self.horizon_length, self.seq_length, self.zero_rnn_on_done, self.ppo_device
        )

    @property
    def rnn_states(self) -> Any:
        """(layers, N, units) each, the policy's state between two steps; None of a feed-forward network."""
        recurrent = self.__dict__.get("recurrent")
        return None if recurrent is None else recurrent.current

    @rnn_states.setter
    def rnn_states(self, states: Any) -> None:
        if "recurrent" in self.__dict__:
            self.recurrent.current = states

    def _ask(self, obs: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The model's acting outputs, with the central value's values where there is one."""
        self.model.eval()
        asked = {"is_train": False, "prev_actions": None, "rnn_states": self.rnn_states, **more}
        with torch.no_grad():
            answer: dict[str, Any] = self.model({**asked, "obs": self._preproc_obs(obs["obs"])})
            if self.has_central_value:
                answer["values"] = self.get_central_value({"is_train": False, "states": obs["states"]})
        return answer

    def get_action_values(self, obs: dict[str, Any]) -> dict[str, Any]:
        """``actions``, ``neglogpacs``, ``values``, ``rnn_states``, ... for ``obs``."""
        return self._ask(obs)

    def get_masked_action_values(self, obs: dict[str, Any], action_masks: Any) -> dict[str, Any]:
        """:meth:`get_action_values` among what ``action_masks`` (N, choices) allows; discrete actions only.

        Raises:
            EnvError: there are none.
        """
        if action_masks is None:
            raise EnvError(
                f"environment '{self.env_name}': get_action_masks() gave none; expected (N, choices) before every "
                "step, because use_action_masks is on"
            )
        masks = torch.as_tensor(action_masks, dtype=torch.bool, device=self.ppo_device)
        rows = len(next(leaves(obs["obs"])))
        if len(masks) != rows:
            raise EnvError(
                f"environment '{self.env_name}': get_action_masks(): got the shape {tuple(masks.shape)}; expected "
                f"({rows}, choices)"
            )
        return {**self._ask(obs, action_masks=masks), "action_masks": masks}

    def get_values(self, obs: dict[str, Any]) -> Tensor:
        """(N, V), units of shaped reward."""
        if self.has_central_value:  # the policy draws no action for this: a client's random numbers stay as they were
            with torch.no_grad():
                return self.get_central_value({"is_train": False, "states": obs["states"], "is_done": self.dones})
        values: Tensor = self._ask(obs)["values"]
        return values

    def get_central_value(self, obs_dict: dict[str, Any]) -> Tensor:
        """(N, V) of ``obs_dict['states']``."""
        value: Tensor = self.central_value_net.get_value(obs_dict)
        return value

    @override
    def _decide(self, n: int) -> dict[str, Any]:
        if self.has_central_value:
            self.central_value_net.pre_step_rnn(n)
        if self.use_action_masks:
            return self.get_masked_action_values(self.obs, self.vec_env.get_action_masks())
        return self.get_action_values(self.obs)

    @override
    def _store_decision(self, n: int, decision: dict[str, Any]) -> None:
        buffer = self.experience_buffer
        buffer.update_data("obses", n, self.obs["obs"])
        buffer.update_data("dones", n, self.dones.byte())
        for name in self.update_list:
            buffer.update_data(name, n, decision[name])
        if self.has_central_value:
            buffer.update_data("states", n, self.obs["states"])
        self.recurrent.store(n)

    @override
    def _step(self, actions: Tensor) -> Step:
        obs, rewards, self.dones, infos = self.env_step(actions)
        done, time_outs = self.dones.bool(), _time_outs(infos, len(rewards))
        cut_short = torch.zeros_like(done) if time_outs is None else self.cast_obs(time_outs).to(done)
        return Step(obs, rewards, done & ~cut_short, done & cut_short, None, infos)

    @override
    def _store_outcome(self, n: int, step: Step) -> None:
        step, broken = self.quarantine(n, step)
        self.obs, self.dones = step.obs, torch.where(broken, torch.ones_like(self.dones), self.dones)
        shaped = self.rewards_shaper(step.reward)
        if self.value_bootstrap:
            shaped = shaped + self.bootstrap(n, step)
        self.experience_buffer.update_data("rewards", n, shaped)
        self._count(step.reward, shaped, step.extras)

    def _count(self, rewards: Tensor, shaped: Tensor, infos: Any) -> None:
        """Episode statistics; recurrent states of ended episodes are forgotten."""
        self.current_rewards += rewards
        self.current_shaped_rewards += shaped
        self.current_lengths += 1
        ended = self.dones.nonzero(as_tuple=False)
        self.recurrent.forget(self.dones)
        if self.has_central_value:
            self.central_value_net.post_step_rnn(ended)
        environments = ended[:: self.num_agents]
        self.game_rewards.update(self.current_rewards[environments])
        self.game_shaped_rewards.update(self.current_shaped_rewards[environments])
        self.game_lengths.update(self.current_lengths[environments])
        self.algo_observer.process_infos(infos, environments)
        going_on = 1.0 - self.dones.float()
        self.current_rewards *= going_on.unsqueeze(1)
        self.current_shaped_rewards *= going_on.unsqueeze(1)
        self.current_lengths *= going_on

    @override
    def _finish_rollout(self, last_values: Tensor) -> Any:
        stored = self.experience_buffer.tensor_dict
        advantages = self.discount_values(
            self.dones.float(), last_values, stored["dones"].float(), stored["values"], stored["rewards"]
        )
        batch = self.experience_buffer.get_transformed_list(swap_and_flatten01, self.tensor_list)
        batch["returns"] = swap_and_flatten01(advantages + stored["values"])
        batch["played_frames"] = self.batch_size
        return {**batch, **{name: list(states) for name, states in self.recurrent.sequences().items()}}

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
        """:meth:`discount_values` where masks (T, N) leave steps out: their advantage is 0, and carries nothing."""
        advantages = torch.zeros_like(mb_rewards)
        following, carried = last_extrinsic_values, torch.zeros_like(last_extrinsic_values)
        done = fdones
        for t in reversed(range(len(mb_rewards))):
            going_on = (1.0 - done).unsqueeze(1)
            delta = mb_rewards[t] + self.gamma * following * going_on - mb_extrinsic_values[t]
            carried = (delta + self.gamma * self.tau * going_on * carried) * mb_masks[t].unsqueeze(1)
            advantages[t] = carried
            following, done = mb_extrinsic_values[t], mb_fdones[t]
        return advantages
