"""A PPO agent with its own loop, between RL Games' A2CAgent and agents that imitate motions."""

import os
import time
from datetime import datetime

import torch
from amp_parts import AMPDataset
from rl_games.algos_torch import a2c_continuous, central_value, torch_ext
from rl_games.common import a2c_common, datasets, schedulers, vecenv
from torch import optim

assert central_value and datasets and schedulers and vecenv  # such clients import more than they use


class CommonAgent(a2c_continuous.A2CAgent):
    """Resets what has ended before a step, evaluates the critic after it, and returns dictionaries."""

    def __init__(self, base_name, params):
        # Not super(): the constructors of ContinuousA2CBase and of A2CAgent are left out.
        a2c_common.A2CBase.__init__(self, base_name, params)
        config = params["config"]
        self._load_config_params(config)
        self.is_discrete = False
        self._setup_action_space()
        self.bounds_loss_coef = config.get("bounds_loss_coef", None)
        self.clip_actions = config.get("clip_actions", True)
        self._save_intermediate = config.get("save_intermediate", False)

        self.model = self.network.build(self._build_net_config())
        self.model.to(self.ppo_device)
        self.states = None
        self.init_rnn_from_model(self.model)
        self.last_lr = float(self.last_lr)
        self.optimizer = optim.Adam(
            self.model.parameters(), float(self.last_lr), eps=1e-08, weight_decay=self.weight_decay
        )
        assert not self.has_central_value and self.central_value_config is None
        self.dataset = AMPDataset(
            self.batch_size, self.minibatch_size, self.is_discrete, self.is_rnn, self.ppo_device, self.seq_len
        )
        self.algo_observer.after_init(self)

    def _load_config_params(self, config):
        self.last_lr = config["learning_rate"]

    def _setup_action_space(self):
        space = self.env_info["action_space"]
        self.actions_num = space.shape[0]
        self.actions_low = torch.from_numpy(space.low.copy()).float().to(self.ppo_device)
        self.actions_high = torch.from_numpy(space.high.copy()).float().to(self.ppo_device)

    def _build_net_config(self):
        return {
            "actions_num": self.actions_num,
            "input_shape": torch_ext.shape_whc_to_cwh(self.obs_shape),
            "num_seqs": self.num_actors * self.num_agents,
            "value_size": self.env_info.get("value_size", 1),
            "normalize_value": self.normalize_value,
            "normalize_input": self.normalize_input,
        }

    def init_tensors(self):
        super().init_tensors()
        buffer = self.experience_buffer.tensor_dict
        buffer["next_obses"] = torch.zeros_like(buffer["obses"])
        buffer["next_values"] = torch.zeros_like(buffer["values"])
        self.tensor_list += ["next_obses"]

    def set_eval(self):
        super().set_eval()

    def set_train(self):
        super().set_train()

    def train(self):
        self.init_tensors()
        self.last_mean_rewards = -100500
        total_time = 0.0
        self.frame = 0
        self.obs = self.env_reset()
        self.curr_frames = self.batch_size_envs
        stamp = datetime.now().strftime("_%d-%H-%M-%S")
        self.model_output_file = os.path.join(self.nn_dir, self.config["name"] + stamp)
        self._init_train()
        self.global_rank = int(os.getenv("RANK", "0"))
        while True:
            epoch_num = self.update_epoch()
            train_info = self.train_epoch()
            total_time += train_info["total_time"]
            frame = self.frame
            self.frame += self.curr_frames
            if self.print_stats:
                print(f"fps total: {self.curr_frames / train_info['total_time']:.1f}")
            self.writer.add_scalar("performance/total_fps", self.curr_frames / train_info["total_time"], frame)
            self.writer.add_scalar("info/epochs", epoch_num, frame)
            self._log_train_info(train_info, frame)
            self.algo_observer.after_print_stats(frame, epoch_num, total_time)
            if self.game_rewards.current_size > 0:
                mean_rewards, mean_lengths = self._get_mean_rewards(), self.game_lengths.get_mean()
                for head in range(self.value_size):
                    self.writer.add_scalar(f"rewards{head}/frame", mean_rewards[head], frame)
                self.writer.add_scalar("episode_lengths/frame", mean_lengths, frame)
                if self.has_self_play_config:
                    self.self_play_manager.update(self)
            if self.save_freq > 0 and epoch_num % self.save_freq == 0 and self._save_intermediate:
                self.save(self.model_output_file + "_" + str(epoch_num))
            if epoch_num > self.max_epochs:
                self.save(self.model_output_file)
                print("MAX EPOCHS NUM!")
                return self.last_mean_rewards, epoch_num

    def _get_mean_rewards(self):
        return self.game_rewards.get_mean()

    def _init_train(self):
        pass

    def train_epoch(self):
        start = time.time()
        with torch.no_grad():
            batch_dict = self.play_steps_rnn() if self.is_rnn else self.play_steps()
        played = time.time()
        assert batch_dict.get("rnn_masks", None) is None
        self.set_train()
        self.curr_frames = batch_dict.pop("played_frames")
        self.prepare_dataset(batch_dict)
        self.algo_observer.after_steps()
        if self.has_central_value:
            self.train_central_value()

        train_info = {}
        for _ in range(self.mini_epochs_num):
            for i in range(len(self.dataset)):
                now = self.train_actor_critic(self.dataset[i])
                if self.schedule_type == "legacy":
                    self._schedule(now["kl"].item())
                for name, value in now.items():
                    train_info.setdefault(name, []).append(value)
            if self.schedule_type == "standard":
                self._schedule(torch_ext.mean_list(train_info["kl"]).item())
        if self.schedule_type == "standard_epoch":
            self._schedule(torch_ext.mean_list(train_info["kl"]).item())

        end = time.time()
        train_info |= {"play_time": played - start, "update_time": end - played, "total_time": end - start}
        self._record_train_batch_info(batch_dict, train_info)
        return train_info

    def _schedule(self, kl):
        self.last_lr, self.entropy_coef = self.scheduler.update(self.last_lr, self.entropy_coef, self.epoch_num, 0, kl)
        self.update_lr(self.last_lr)

    def play_steps(self):
        self.set_eval()
        for n in range(self.horizon_length):
            self.obs, _ = self._env_reset_done()
            self.experience_buffer.update_data("obses", n, self.obs["obs"])
            if self.use_action_masks:
                res_dict = self.get_masked_action_values(self.obs, self.vec_env.get_action_masks())
            else:
                res_dict = self.get_action_values(self.obs)
            for name in self.update_list:
                self.experience_buffer.update_data(name, n, res_dict[name])
            if self.has_central_value:
                self.experience_buffer.update_data("states", n, self.obs["states"])
            self.obs, rewards, self.dones, infos = self.env_step(res_dict["actions"])
            assert rewards.shape == (self.num_actors, 1)
            self.experience_buffer.update_data("rewards", n, self.rewards_shaper(rewards))
            self.experience_buffer.update_data("next_obses", n, self.obs["obs"])
            self.experience_buffer.update_data("dones", n, self.dones)
            self._store_step(n, infos)
            alive = 1.0 - infos["terminate"].float().unsqueeze(-1)
            self.experience_buffer.update_data("next_values", n, self._eval_critic(self.obs) * alive)
            self._count_games(rewards, infos)

        done = self.experience_buffer.tensor_dict["dones"].float()
        values = self.experience_buffer.tensor_dict["values"]
        next_values = self.experience_buffer.tensor_dict["next_values"]
        advantages = self.discount_values(done, values, self._total_rewards(), next_values)
        batch_dict = self.experience_buffer.get_transformed_list(a2c_common.swap_and_flatten01, self.tensor_list)
        batch_dict["returns"] = a2c_common.swap_and_flatten01(advantages + values)
        batch_dict["played_frames"] = self.batch_size
        return batch_dict

    def _count_games(self, rewards, infos):
        self.current_rewards += rewards
        self.current_lengths += 1
        done_indices = self.dones.nonzero(as_tuple=False)[:: self.num_agents]
        self.game_rewards.update(self.current_rewards[done_indices])
        self.game_lengths.update(self.current_lengths[done_indices])
        self.algo_observer.process_infos(infos, done_indices)
        not_dones = 1.0 - self.dones.float()
        self.current_rewards = self.current_rewards * not_dones.unsqueeze(1)
        self.current_lengths = self.current_lengths * not_dones

    def _store_step(self, n, infos):
        pass

    def _total_rewards(self):
        return self.experience_buffer.tensor_dict["rewards"]

    def discount_values(self, mb_fdones, mb_values, mb_rewards, mb_next_values):
        """Advantages ``(T, N, 1)``; other arguments than the library's method of this name."""
        advantages, last = torch.zeros_like(mb_rewards), 0.0
        for t in reversed(range(self.horizon_length)):
            alive = (1.0 - mb_fdones[t]).unsqueeze(1)
            delta = mb_rewards[t] + self.gamma * mb_next_values[t] - mb_values[t]
            advantages[t] = last = delta + self.gamma * self.tau * alive * last
        return advantages

    def prepare_dataset(self, batch_dict):
        returns, values = batch_dict["returns"], batch_dict["values"]
        advantages = self._calc_advs(batch_dict)
        if self.normalize_value:
            self.value_mean_std.train()
            values, returns = self.value_mean_std(values), self.value_mean_std(returns)
            self.value_mean_std.eval()
        self.dataset.update_values_dict(
            {
                "old_values": values,
                "old_logp_actions": batch_dict["neglogpacs"],
                "advantages": advantages,
                "returns": returns,
                "actions": batch_dict["actions"],
                "obs": batch_dict["obses"],
                "rnn_states": batch_dict.get("rnn_states", None),
                "rnn_masks": batch_dict.get("rnn_masks", None),
                "mu": batch_dict["mus"],
                "sigma": batch_dict["sigmas"],
            }
        )

    def _calc_advs(self, batch_dict):
        advantages = torch.sum(batch_dict["returns"] - batch_dict["values"], axis=1)
        if self.normalize_advantage:
            if self.is_rnn:
                return torch_ext.normalization_with_masks(advantages, batch_dict.get("rnn_masks"))
            return (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        return advantages

    def train_actor_critic(self, input_dict):
        self.calc_gradients(input_dict)
        return self.train_result

    def _actor_loss(self, old_neglogp, neglogp, advantage):
        ratio = torch.exp(old_neglogp - neglogp)
        clipped = torch.clamp(ratio, 1.0 - self.e_clip, 1.0 + self.e_clip)
        outside = torch.abs(ratio - 1.0) > self.e_clip
        return {
            "actor_loss": torch.max(-advantage * ratio, -advantage * clipped),
            "actor_clip_frac": outside.float().detach(),
        }

    def _critic_loss(self, old_values, values, returns):
        loss = (returns - values) ** 2
        if self.clip_value:
            near = old_values + (values - old_values).clamp(-self.e_clip, self.e_clip)
            loss = torch.max(loss, (near - returns) ** 2)
        return {"critic_loss": loss}

    def bound_loss(self, mu):
        outside = torch.clamp_max(mu + 1.0, 0.0) ** 2 + torch.clamp_min(mu - 1.0, 0.0) ** 2
        return outside.sum(axis=-1)

    def _env_reset_done(self):
        obs, done_env_ids = self.vec_env.reset_done()
        return self.obs_to_tensors(obs), done_env_ids

    def _eval_critic(self, obs_dict):
        self.model.eval()
        obs = self._preproc_obs(obs_dict["obs"])
        if self.normalize_input:
            obs = self.model.norm_obs(obs)
        value = self.model.a2c_network.eval_critic(obs)
        return self.value_mean_std(value, True) if self.normalize_value else value

    def _record_train_batch_info(self, batch_dict, train_info):
        pass

    def _log_train_info(self, train_info, frame):
        self.writer.add_scalar("losses/a_loss", torch_ext.mean_list(train_info["actor_loss"]).item(), frame)
        self.writer.add_scalar("losses/c_loss", torch_ext.mean_list(train_info["critic_loss"]).item(), frame)
        self.writer.add_scalar("info/last_lr", train_info["last_lr"][-1] * train_info["lr_mul"][-1], frame)
        self.writer.add_scalar("info/e_clip", self.e_clip * train_info["lr_mul"][-1], frame)
        self.writer.add_scalar("info/kl", torch_ext.mean_list(train_info["kl"]).item(), frame)
