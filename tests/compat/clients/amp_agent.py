"""PPO with a style reward from a discriminator: the agent."""

import torch
from amp_common_agent import CommonAgent
from amp_parts import Memory
from rl_games.algos_torch import torch_ext
from rl_games.algos_torch.running_mean_std import RunningMeanStd
from rl_games.common.a2c_common import swap_and_flatten01
from torch import nn


class AMPAgent(CommonAgent):
    """Rewards what its discriminator takes for the demonstration."""

    def __init__(self, base_name, params):
        super().__init__(base_name, params)
        if self.normalize_value:
            self.value_mean_std = self.model.value_mean_std
        if self._normalize_amp_input:
            self._amp_input_mean_std = RunningMeanStd(self._amp_observation_space.shape).to(self.ppo_device)

    def _load_config_params(self, config):
        super()._load_config_params(config)
        self._task_reward_w = config["task_reward_w"]
        self._disc_reward_w = config["disc_reward_w"]
        self._amp_observation_space = self.env_info["amp_observation_space"]
        self._amp_batch_size = int(config["amp_batch_size"])
        self._amp_minibatch_size = int(config["amp_minibatch_size"])
        assert self._amp_minibatch_size <= self.minibatch_size
        self._disc_coef = config["disc_coef"]
        self._disc_logit_reg = config["disc_logit_reg"]
        self._disc_grad_penalty = config["disc_grad_penalty"]
        self._disc_weight_decay = config["disc_weight_decay"]
        self._disc_reward_scale = config["disc_reward_scale"]
        self._normalize_amp_input = config.get("normalize_amp_input", True)

    def _build_net_config(self):
        return super()._build_net_config() | {"amp_input_shape": self._amp_observation_space.shape}

    def init_tensors(self):
        super().init_tensors()
        shape = self.experience_buffer.obs_base_shape + self._amp_observation_space.shape
        self.experience_buffer.tensor_dict["amp_obs"] = torch.zeros(shape, device=self.ppo_device)
        self._demo_memory = Memory(int(self.config["amp_obs_demo_buffer_size"]), self.ppo_device)
        self._replay_memory = Memory(int(self.config["amp_replay_buffer_size"]), self.ppo_device)
        self.tensor_list += ["amp_obs"]

    def set_eval(self):
        super().set_eval()
        if self._normalize_amp_input:
            self._amp_input_mean_std.eval()

    def set_train(self):
        super().set_train()
        if self._normalize_amp_input:
            self._amp_input_mean_std.train()

    def get_stats_weights(self):
        state = super().get_stats_weights()
        if self._normalize_amp_input:
            state["amp_input_mean_std"] = self._amp_input_mean_std.state_dict()
        return state

    def set_stats_weights(self, weights):
        super().set_stats_weights(weights)
        if self._normalize_amp_input:
            self._amp_input_mean_std.load_state_dict(weights["amp_input_mean_std"])

    def _init_train(self):
        super()._init_train()
        for _ in range(2):
            self._demo_memory.store(self._fetch_demo(self._amp_batch_size))

    def _fetch_demo(self, count):
        return self.vec_env.env.fetch_amp_obs_demo(count)

    def _store_step(self, n, infos):
        self.experience_buffer.update_data("amp_obs", n, infos["amp_obs"])

    def _total_rewards(self):
        rewards = super()._total_rewards()
        self._disc_rewards = self._calc_disc_rewards(self.experience_buffer.tensor_dict["amp_obs"])
        return self._task_reward_w * rewards + self._disc_reward_w * self._disc_rewards

    def _calc_disc_rewards(self, amp_obs):
        with torch.no_grad():
            prob = torch.sigmoid(self.model.a2c_network.eval_disc(self._preproc_amp_obs(amp_obs)))
            return -torch.log(torch.clamp_min(1.0 - prob, 1e-4)) * self._disc_reward_scale

    def _preproc_amp_obs(self, amp_obs):
        return self._amp_input_mean_std(amp_obs) if self._normalize_amp_input else amp_obs

    def prepare_dataset(self, batch_dict):
        super().prepare_dataset(batch_dict)
        values = self.dataset.values_dict
        values["amp_obs"] = batch_dict["amp_obs"]
        values["amp_obs_demo"] = batch_dict["amp_obs_demo"]
        values["amp_obs_replay"] = batch_dict["amp_obs_replay"]

    def play_steps(self):
        batch_dict = super().play_steps()
        rows = len(batch_dict["amp_obs"])
        assert rows == self.batch_size
        self._demo_memory.store(self._fetch_demo(self._amp_batch_size))
        batch_dict["amp_obs_demo"] = self._demo_memory.sample(rows)
        seen = self._replay_memory.get_total_count()
        batch_dict["amp_obs_replay"] = self._replay_memory.sample(rows) if seen else batch_dict["amp_obs"]
        self._replay_memory.store(batch_dict["amp_obs"])
        batch_dict["disc_rewards"] = swap_and_flatten01(self._disc_rewards)
        return batch_dict

    def _record_train_batch_info(self, batch_dict, train_info):
        super()._record_train_batch_info(batch_dict, train_info)
        train_info["disc_rewards"] = batch_dict["disc_rewards"]

    def calc_gradients(self, input_dict):
        self.set_train()
        few = self._amp_minibatch_size
        amp_obs = self._preproc_amp_obs(input_dict["amp_obs"][:few])
        replay = self._preproc_amp_obs(input_dict["amp_obs_replay"][:few])
        demo = self._preproc_amp_obs(input_dict["amp_obs_demo"][:few])
        demo.requires_grad_(True)
        batch_dict = {
            "is_train": True,
            "prev_actions": input_dict["actions"],
            "obs": self._preproc_obs(input_dict["obs"]),
            "amp_obs": amp_obs,
            "amp_obs_replay": replay,
            "amp_obs_demo": demo,
        }
        if self.is_rnn:
            batch_dict["rnn_states"] = input_dict["rnn_states"]
            batch_dict["seq_length"] = self.seq_len
        old_neglogp = input_dict["old_logp_actions"]
        with torch.amp.autocast("cuda", enabled=self.mixed_precision):
            res_dict = self.model(batch_dict)
            info = self._actor_loss(old_neglogp, res_dict["prev_neglogp"], input_dict["advantages"])
            info |= self._critic_loss(input_dict["old_values"], res_dict["values"], input_dict["returns"])
            b_loss = self.bound_loss(res_dict["mus"])
            means, _ = torch_ext.apply_masks(
                [
                    info["actor_loss"].unsqueeze(1),
                    info["critic_loss"],
                    res_dict["entropy"].unsqueeze(1),
                    b_loss.unsqueeze(1),
                ],
                input_dict.get("rnn_masks"),
            )
            a_loss, c_loss, entropy, b_loss = means
            fake = torch.cat([res_dict["disc_agent_logit"], res_dict["disc_replay_logit"]], dim=0)
            info |= self._disc_loss(fake, res_dict["disc_demo_logit"], demo)
            loss = a_loss + self.critic_coef * c_loss - self.entropy_coef * entropy
            loss = loss + self.bounds_loss_coef * b_loss + self._disc_coef * info["disc_loss"]
            for param in self.model.parameters():
                param.grad = None
        self.scaler.scale(loss).backward()
        if self.truncate_grads:
            assert not self.multi_gpu
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with torch.no_grad():
            kl = torch_ext.policy_kl(
                res_dict["mus"].detach(),
                res_dict["sigmas"].detach(),
                input_dict["mu"],
                input_dict["sigma"],
                not self.is_rnn,
            )
        self.train_result = {"entropy": entropy, "kl": kl, "last_lr": self.last_lr, "lr_mul": 1.0}
        self.train_result |= {"b_loss": b_loss, "actor_loss": a_loss, "critic_loss": c_loss}
        self.train_result |= {name: value.detach() for name, value in info.items() if "disc" in name}

    def _disc_loss(self, agent_logit, demo_logit, demo):
        bce = torch.nn.BCEWithLogitsLoss()
        loss = bce(agent_logit, torch.zeros_like(agent_logit)) + bce(demo_logit, torch.ones_like(demo_logit))
        weights = self.model.a2c_network.disc_weights()
        loss = 0.5 * loss + self._disc_logit_reg * weights[-1].square().sum()
        (slope,) = torch.autograd.grad(
            demo_logit, demo, grad_outputs=torch.ones_like(demo_logit), create_graph=True, retain_graph=True
        )
        penalty = slope.square().sum(dim=-1).mean()
        loss = loss + self._disc_grad_penalty * penalty
        loss = loss + self._disc_weight_decay * torch.cat(weights).square().sum()
        return {"disc_loss": loss, "disc_grad_penalty": penalty}

    def _log_train_info(self, train_info, frame):
        super()._log_train_info(train_info, frame)
        for name in ("disc_loss", "disc_grad_penalty"):
            self.writer.add_scalar("losses/" + name, torch_ext.mean_list(train_info[name]).item(), frame)
        self.writer.add_scalar("info/disc_reward_mean", train_info["disc_rewards"].mean().item(), frame)
