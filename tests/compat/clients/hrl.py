"""An agent of two levels: the upper one's actions are goals of a lower policy, which is loaded and stepped k times."""

import copy

import gymnasium
import numpy as np
import torch
from isaac import register, run
from rl_games.algos_torch import torch_ext
from rl_games.algos_torch.a2c_continuous import A2CAgent
from rl_games.algos_torch.players import PpoPlayerContinuous
from rl_games.algos_torch.running_mean_std import RunningMeanStd
from rl_games.common import a2c_common, datasets, vecenv
from rl_games.common.player import BasePlayer
from rl_games.torch_runner import Runner
from torch import optim
from world import PointMass, last_checkpoint, report, settings

STEPS = 3


class LowPlayer(PpoPlayerContinuous):
    """The lower policy; makes no environment of its own, since it is handed one's description."""

    def __init__(self, params):
        BasePlayer.__init__(self, params)
        self.network = self.config["network"]
        self.normalize_input = self.config["normalize_input"]
        self.normalize_value = self.config.get("normalize_value", False)
        self.actions_num = self.action_space.shape[0]
        self.actions_low = torch.from_numpy(self.action_space.low.copy()).float().to(self.device)
        self.actions_high = torch.from_numpy(self.action_space.high.copy()).float().to(self.device)
        self.mask = [False]
        self.model = self.network.build(
            {
                "actions_num": self.actions_num,
                "input_shape": self.obs_shape,
                "num_seqs": self.num_agents,
                "value_size": self.env_info.get("value_size", 1),
                "normalize_value": self.normalize_value,
                "normalize_input": self.normalize_input,
            }
        )
        self.model.to(self.device)
        self.model.eval()
        self.is_rnn = self.model.is_rnn()


class HRLAgent(A2CAgent):
    """Learns the goals. Its constructor goes past ContinuousA2CBase's and A2CAgent's."""

    def __init__(self, base_name, params):
        config = params["config"]
        self._llc_steps = config["llc_steps"]
        a2c_common.A2CBase.__init__(self, base_name, params)
        self.is_discrete = False
        self.actions_num = config["goal_dim"]
        self.actions_low = torch.full((self.actions_num,), -1.0)
        self.actions_high = torch.full((self.actions_num,), 1.0)
        self.bounds_loss_coef = config.get("bounds_loss_coef", None)
        self.clip_actions = config.get("clip_actions", True)
        self.model = self.network.build(
            {
                "actions_num": self.actions_num,
                "input_shape": self.obs_shape,
                "num_seqs": self.num_actors * self.num_agents,
                "value_size": self.env_info.get("value_size", 1),
                "normalize_value": self.normalize_value,
                "normalize_input": self.normalize_input,
            }
        )
        self.model.to(self.ppo_device)
        self.states = None
        self.init_rnn_from_model(self.model)
        self.last_lr = float(self.last_lr)
        self.optimizer = optim.Adam(self.model.parameters(), self.last_lr, eps=1e-08)
        self.bound_loss_type = self.config.get("bound_loss_type", "bound")
        self.use_experimental_cv = self.config.get("use_experimental_cv", True)
        self.has_value_loss = True
        self.dataset = datasets.PPODataset(
            self.batch_size, self.minibatch_size, self.is_discrete, self.is_rnn, self.ppo_device, 4
        )
        if self.normalize_value:
            self.value_mean_std = self.model.value_mean_std
        self._build_llc(config["llc_config"], config["llc_checkpoint"])
        self.algo_observer.after_init(self)

    def _build_llc(self, cfg, checkpoint):
        params = copy.deepcopy(cfg)["params"]
        params["config"]["env_info"] = {
            "action_space": self.env_info["action_space"],
            "observation_space": self.env_info["observation_space"],
        }
        params["config"]["num_actors"] = self.num_actors
        self._llc_agent = LowPlayer(params)
        self._llc_agent.restore(checkpoint)
        self._llc_agent.model.eval()
        self._llc_agent.has_batch_dimension = True
        assert isinstance(self._llc_agent.model.running_mean_std, RunningMeanStd) or hasattr(
            self._llc_agent.model.running_mean_std, "running_mean"
        )

    def preprocess_actions(self, actions):
        return torch.clamp(actions, -1.0, 1.0)

    def env_step(self, actions):
        goals = self.preprocess_actions(actions)
        obs, rewards = self.obs["obs"], 0.0
        done_count, timeouts = 0.0, torch.zeros(self.num_actors, dtype=torch.bool)
        for _ in range(self._llc_steps):
            shifted = torch.cat([obs[:, :2] - goals, obs[:, 2:]], dim=1)
            low = self._llc_agent.get_action(shifted, True)
            obs_dict, now, dones, infos = self.vec_env.step(low)
            obs = obs_dict["obs"]
            rewards, done_count = rewards + now, done_count + dones
            timeouts = timeouts | infos["time_outs"]
        infos["time_outs"] = timeouts
        rewards = (rewards / self._llc_steps).unsqueeze(1)
        return self.obs_to_tensors(obs_dict), rewards, (done_count > 0).to(torch.uint8), infos

    def cast_obs(self, obs):
        obs = super().cast_obs(obs)
        self._llc_agent.is_tensor_obses = self.is_tensor_obses
        return obs

    def init_tensors(self):
        # The buffer takes its sizes from env_info, where the actions are the lower level's.
        del self.env_info["action_space"]
        self.env_info["action_space"] = gymnasium.spaces.Box(-1.0, 1.0, (self.actions_num,), np.float32)
        super().init_tensors()
        assert self.update_list == ["actions", "neglogpacs", "values", "mus", "sigmas"]


def main():
    assert vecenv and torch_ext
    register(lambda **kwargs: PointMass(episode_length=9))
    low = settings(full_experiment_name="low", max_epochs=2)
    run(low)
    checkpoint = last_checkpoint("runs/low")

    agents = []

    class Kept(HRLAgent):
        def __init__(self, base_name, params):
            super().__init__(base_name, params)
            agents.append(self)

    high = settings(
        full_experiment_name="high",
        max_epochs=2,
        llc_steps=STEPS,
        llc_config=low,
        llc_checkpoint=checkpoint,
        goal_dim=2,
    )
    run(high, algo=Kept, runner=Runner())
    (agent,) = agents
    frozen = torch_ext.load_checkpoint(checkpoint)["model"]
    assert all(torch.equal(value, frozen[name]) for name, value in agent._llc_agent.model.state_dict().items())
    report(frame=agent.frame, epoch=agent.epoch_num, frames=agent.vec_env.frames)


if __name__ == "__main__":
    main()
