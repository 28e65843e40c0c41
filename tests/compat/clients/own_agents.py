"""Agents derived from RL Games', from a few lines to whole methods: each trains a little."""

import gymnasium
import numpy as np
import torch
from isaac import register, run
from rl_games.algos_torch import torch_ext
from rl_games.algos_torch.a2c_continuous import A2CAgent
from rl_games.algos_torch.a2c_discrete import DiscreteA2CAgent
from rl_games.algos_torch.players import PpoPlayerDiscrete
from rl_games.common import common_losses, datasets
from rl_games.common.a2c_common import (
    A2CBase,
    ContinuousA2CBase,
    DiscreteA2CBase,
    print_statistics,
    swap_and_flatten01,
)
from rl_games.common.experience import ExperienceBuffer
from rl_games.interfaces.base_algorithm import BaseAlgorithm
from torch import optim
from world import PointMass, last_checkpoint, network, report, settings

MADE = {}


class EarlyStop(A2CAgent):
    """Ends when the returns have not become better for ``patience`` epochs."""

    def __init__(self, base_name, params):
        super().__init__(base_name, params)
        self.best, self.waited = -np.inf, 0
        self.patience, self.step_up = (
            self.config["early_stop"]["patience"],
            self.config["early_stop"]["step_up"],
        )
        MADE["early"] = self

    def train_epoch(self):
        result = super().train_epoch()
        assert len(result) == 11
        if self.game_rewards.current_size > 0:
            mean = float(self.game_rewards.get_mean()[0])
            self.waited = 0 if mean > self.best + self.step_up else self.waited + 1
            self.best = max(self.best, mean)
        if self.waited > self.patience:
            self.max_epochs = self.epoch_num
        return result

    def write_stats(
        self,
        total_time,
        epoch_num,
        step_time,
        play_time,
        update_time,
        a_losses,
        c_losses,
        entropies,
        kls,
        last_lr,
        lr_mul,
        frame,
        scaled_time,
        scaled_play_time,
        curr_frames,
    ):
        super().write_stats(
            total_time,
            epoch_num,
            step_time,
            play_time,
            update_time,
            a_losses,
            c_losses,
            entropies,
            kls,
            last_lr,
            lr_mul,
            frame,
            scaled_time,
            scaled_play_time,
            curr_frames,
        )
        self.writer.add_scalar("early/waited", self.waited, frame)
        MADE["stats"] = [
            len(a_losses),
            len(kls),
            epoch_num,
            int(curr_frames),
            bool(torch_ext.mean_list(kls) < 1),
        ]

    def train(self):
        result = super().train()
        MADE["early result"] = [type(result).__name__, len(result), result[1]]
        return result


class OwnBuffer(A2CAgent):
    """Observations in a dictionary, in a buffer and a dataset of its own; rewrites how actions are had."""

    def init_tensors(self):
        super().init_tensors()
        algo_info = {
            "num_actors": self.num_actors,
            "horizon_length": self.horizon_length,
            "has_central_value": self.has_central_value,
            "use_action_masks": self.use_action_masks,
        }
        self.experience_buffer = ExperienceBuffer(
            self.env_info, algo_info, self.ppo_device, aux_tensor_dict={"teacher": (2,)}
        )
        self.dataset = DictDataset(
            self.batch_size,
            self.minibatch_size,
            self.is_discrete,
            self.is_rnn,
            self.ppo_device,
            self.seq_length,
        )
        self.update_list = [*self.update_list, "teacher"]
        self.tensor_list = [*self.tensor_list, "teacher"]
        MADE["shapes"] = {
            name: {key: list(t.shape) for key, t in value.items()} if isinstance(value, dict) else list(value.shape)
            for name, value in self.experience_buffer.tensor_dict.items()
        }

    def get_action_values(self, obs):
        processed = self._preproc_obs(obs["obs"])
        assert isinstance(processed, dict)
        self.model.eval()
        with torch.no_grad():
            result = self.model(
                {"is_train": False, "prev_actions": None, "obs": processed, "rnn_states": self.rnn_states}
            )
        result["teacher"] = -obs["obs"]["place"]
        return result

    def prepare_dataset(self, batch_dict):
        super().prepare_dataset(batch_dict)
        self.dataset.values_dict["teacher"] = batch_dict["teacher"]

    def calc_gradients(self, input_dict):
        assert set(input_dict["obs"]) == {"place", "speed"}
        assert torch.equal(input_dict["teacher"], -input_dict["obs"]["place"])
        super().calc_gradients(input_dict)
        MADE["dict result"] = len(self.train_result)


class DictDataset(datasets.PPODataset):
    """Counts the minibatches that were taken."""

    taken = 0

    def __getitem__(self, idx):
        DictDataset.taken += 1
        return super().__getitem__(idx)


class DictPoint(PointMass):
    """The point's observations by name."""

    def __init__(self, **more):
        super().__init__(**more)
        self.observation_space = gymnasium.spaces.Dict(
            {name: gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32) for name in ("place", "speed")}
        )

    def observe(self):
        return {"place": self.position.clone(), "speed": self.velocity.clone()}


class OneOfFour(DiscreteA2CAgent):
    """A discrete agent whose update is written out, as those with further losses do."""

    def calc_gradients(self, input_dict):
        batch_dict = {
            "is_train": True,
            "prev_actions": input_dict["actions"],
            "obs": self._preproc_obs(input_dict["obs"]),
        }
        rnn_masks = None
        with torch.amp.autocast("cuda", enabled=self.mixed_precision):
            res_dict = self.model(batch_dict)
            neglogp, values = res_dict["prev_neglogp"], res_dict["values"]
            a_loss = self.actor_loss_func(
                input_dict["old_logp_actions"], neglogp, input_dict["advantages"], self.ppo, self.e_clip
            )
            assert self.has_value_loss
            c_loss = common_losses.critic_loss(
                self.model,
                input_dict["old_values"],
                values,
                self.e_clip,
                input_dict["returns"],
                self.clip_value,
            )
            losses, _ = torch_ext.apply_masks(
                [a_loss.unsqueeze(1), c_loss, res_dict["entropy"].unsqueeze(1)], rnn_masks
            )
            a_loss, c_loss, entropy = losses[0], losses[1], losses[2]
            loss = a_loss + 0.5 * c_loss * self.critic_coef - entropy * self.entropy_coef
            self.aux_loss_dict = {"logits": [res_dict["logits"].detach().square().mean()]}
            loss = loss + 1e-3 * res_dict["logits"].square().mean()
            for param in self.model.parameters():
                param.grad = None
        self.scaler.scale(loss).backward()
        self.trancate_gradients_and_step()
        with torch.no_grad():
            kl_dist = 0.5 * ((input_dict["old_logp_actions"] - neglogp) ** 2).mean()
        self.diagnostics.mini_batch(
            self,
            {
                "values": input_dict["old_values"],
                "returns": input_dict["returns"],
                "new_neglogp": neglogp,
                "old_neglogp": input_dict["old_logp_actions"],
                "masks": rnn_masks,
            },
            self.e_clip,
            0,
        )
        self.train_result = (a_loss, c_loss, entropy, kl_dist, self.last_lr, 1.0)
        MADE["discrete"] = [int(self.actions_num), self.is_multi_discrete, list(res_dict["logits"].shape)]


class ThinPlayer(PpoPlayerDiscrete):
    """Remembers the last action."""

    def get_action(self, obs, is_deterministic=False):
        action = super().get_action(obs, is_deterministic)
        MADE["discrete action"] = [list(action.shape), self.is_multi_discrete]
        return action


class FromBase(ContinuousA2CBase):
    """Behaviour cloning next to PPO, on ContinuousA2CBase alone: brings all that A2CAgent would."""

    def __init__(self, base_name, params):
        ContinuousA2CBase.__init__(self, base_name, params)
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
        self.dataset = datasets.PPODataset(
            self.batch_size, self.minibatch_size, self.is_discrete, self.is_rnn, self.ppo_device, 4
        )
        if self.normalize_value:
            self.value_mean_std = self.model.value_mean_std
        self.algo_observer.after_init(self)
        MADE["base"] = self

    def update_epoch(self):
        self.epoch_num += 1
        return self.epoch_num

    def save(self, fn):
        torch_ext.save_checkpoint(fn, self.get_full_state_weights())

    def restore(self, fn, set_epoch=True):
        self.set_full_state_weights(torch_ext.load_checkpoint(fn), set_epoch)

    def get_masked_action_values(self, obs, action_masks):
        raise AssertionError("continuous")

    def train_actor_critic(self, input_dict):
        self.set_train()
        self.calc_gradients(input_dict)
        for param_group in self.optimizer.param_groups:
            param_group["lr"] = self.last_lr
        return self.train_result

    def calc_gradients(self, input_dict):
        res_dict = self.model(
            {
                "is_train": True,
                "prev_actions": input_dict["actions"],
                "obs": self._preproc_obs(input_dict["obs"]),
            }
        )
        teacher = (-input_dict["obs"][:, :2]).clamp(-1.0, 1.0)
        a_loss = (res_dict["mus"] - teacher).square().sum(dim=-1).mean()
        c_loss = common_losses.default_critic_loss(
            input_dict["old_values"], res_dict["values"], self.e_clip, input_dict["returns"], self.clip_value
        ).mean()
        self.optimizer.zero_grad()
        (a_loss + c_loss).backward()
        self.trancate_gradients_and_step()
        mu, sigma = res_dict["mus"].detach(), res_dict["sigmas"].detach()
        kl = torch_ext.policy_kl(mu, sigma, input_dict["mu"], input_dict["sigma"])
        zero = torch.zeros(1)
        entropy = res_dict["entropy"].mean()
        self.train_result = (a_loss, c_loss, entropy, kl, self.last_lr, 1.0, mu, sigma, zero)


class Rewarded(A2CAgent):
    """Changes the rollout's rewards after the fact and computes the returns once more."""

    def play_steps(self):
        batch_dict = super().play_steps()
        rewards = self.experience_buffer.tensor_dict["rewards"] + 1.0
        values = self.experience_buffer.tensor_dict["values"]
        dones = self.experience_buffer.tensor_dict["dones"].float()
        last_values = self.get_values(self.obs)
        advantages = self.discount_values(self.dones.float(), last_values, dones, values, rewards)
        before = batch_dict["returns"]
        batch_dict["returns"] = swap_and_flatten01(advantages + values)
        assert (batch_dict["returns"] >= before + 1.0 - 1e-4).all()
        MADE["batch"] = {
            name: [list(value.shape), str(value.dtype)] if isinstance(value, torch.Tensor) else type(value).__name__
            for name, value in batch_dict.items()
        }
        return batch_dict

    def env_step(self, actions):
        obs, rewards, dones, infos = super().env_step(actions)
        assert set(obs) == {"obs"} and rewards.shape == (4, 1) and dones.shape == (4,)
        return obs, rewards, dones, infos


def main():
    assert issubclass(A2CAgent, ContinuousA2CBase) and issubclass(DiscreteA2CAgent, DiscreteA2CBase)
    assert issubclass(DiscreteA2CBase, A2CBase) and issubclass(A2CBase, BaseAlgorithm)
    print_statistics(True, 32, 0.1, 0.2, 0.3, 1, 3, 32, -1)

    register(PointMass)
    # Better by 1000 it is only than nothing: the third epoch is the second one without.
    stop = {"patience": 1, "step_up": 1000.0}
    cfg = settings(max_epochs=9, full_experiment_name="early", schedule_type="legacy", early_stop=stop)
    run(cfg, algo=EarlyStop)
    early = MADE.pop("early")
    assert early.epoch_num == 3
    run(settings(full_experiment_name="base"), algo=FromBase)
    base = MADE.pop("base")
    # Once more in the same folder, as scripts do that train twice within a second.
    run(settings(full_experiment_name="base", max_epochs=1), algo=FromBase)
    MADE.pop("base")
    run(settings(full_experiment_name="rewarded", value_bootstrap=False), algo=Rewarded)

    from own_agents_network import register_dict_network

    register_dict_network()
    register(DictPoint)
    # RL Games 1.6.5 cannot script its normaliser of dictionaries.
    cfg = settings(net=network(name="dictionary"), full_experiment_name="dict", normalize_input=False)
    run(cfg, algo=OwnBuffer)

    register(lambda **kwargs: PointMass(discrete=True))
    cfg = settings("a2c_discrete", "discrete_a2c", network(space={"discrete": {}}), full_experiment_name="discrete")
    run(cfg, algo=OneOfFour)
    path = last_checkpoint("runs/discrete")
    run(cfg, player=ThinPlayer, train=False, play=True, checkpoint=path)
    report(early=early.epoch_num, frame=int(base.frame), taken=DictDataset.taken, **MADE)


if __name__ == "__main__":
    main()
