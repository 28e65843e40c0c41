"""Reads and calls everything that agents derived from A2CAgent read and call of their base class.

The attributes are those which six projects of the AMP family use; what each is has to be the same in any library that
answers to ``rl_games``: a number, a flag, a tensor of that shape, a module, something to call.
"""

import copy
import inspect

import torch
from isaac import register, run
from rl_games.algos_torch import central_value, torch_ext
from rl_games.algos_torch.a2c_continuous import A2CAgent
from rl_games.algos_torch.a2c_discrete import DiscreteA2CAgent
from rl_games.algos_torch.players import PpoPlayerContinuous
from rl_games.common import experience, schedulers, tr_helpers
from rl_games.common.a2c_common import A2CBase
from rl_games.common.player import BasePlayer
from torch import nn
from world import PointMass, last_checkpoint, network, report, settings

# By how many of the six use them; without what only releases before 1.2 had.
NAMES = """
_preproc_obs algo_observer batch_size batch_size_envs central_value_config clip_value config critic_coef
e_clip env_info env_step experience_buffer game_lengths game_rewards gamma get_masked_action_values
grad_norm has_central_value has_self_play_config horizon_length init_rnn_from_model is_rnn is_tensor_obses
max_epochs mini_epochs_num minibatch_size mixed_precision multi_gpu network normalize_input normalize_value
num_actors num_agents obs_shape obs_to_tensors play_steps_rnn ppo_device rewards_shaper save save_freq
scaler schedule_type scheduler seq_length set_eval set_train tau train_actor_critic train_central_value
truncate_grads update_epoch update_list update_lr use_action_masks value_size vec_env weight_decay writer
get_action_values nn_dir normalize_advantage print_stats rnn_states value_mean_std epoch_num
get_central_value set_weights cast_obs device ppo save_best_after value_bootstrap dataset diagnostics
discount_values env_reset get_values model prepare_dataset tensor_list write_stats actions_num
actor_loss_func bound_loss bound_loss_type bounds_loss_coef curr_frames experiment_dir game_shaped_rewards
games_to_track get_full_state_weights global_rank has_value_loss init_tensors last_rnn_indices
last_state_indices max_frames network_path normalize_rms_advantage optimizer preprocess_actions reg_loss
train_epoch trancate_gradients_and_step world_size zero_rnn_on_done last_lr entropy_coef current_rewards
current_lengths dones obs frame last_mean_rewards is_discrete clip_actions actions_low actions_high
experiment_name train_dir summaries_dir log_path name mean_rewards local_rank current_shaped_rewards
use_smooth_clamp linear_lr is_adaptive_lr kl_threshold self_play self_play_config observation_space
env_config env_name population_based_training use_diagnostics play_time update_time num_minibatches
games_num bptt_len epochs_between_resets aux_loss_dict is_train states use_experimental_cv calc_gradients
clear_stats get_weights get_stats_weights set_stats_weights set_full_state_weights restore get_param
set_param play_steps train discount_values_masks reset_envs load_networks init_current_rewards soft_aug
""".split()  # noqa: SIM905
CENTRAL = """
central_value_net state_shape state_space central_value_config has_central_value get_central_value
""".split()  # noqa: SIM905
FOUND = {}
PLAYER = """
config env env_info num_agents value_size action_space observation_space obs_shape states batch_size
has_batch_dimension has_central_value device_name render_env games_num is_deterministic n_game_life
print_stats max_steps device network actions_num actions_low actions_high mask normalize_input
normalize_value model is_rnn is_tensor_obses clip_actions player_config
""".split()  # noqa: SIM905
SIGNATURES = """
play_steps play_steps_rnn prepare_dataset train_actor_critic calc_gradients update_lr env_step env_reset
obs_to_tensors cast_obs get_action_values get_masked_action_values get_values discount_values
discount_values_masks set_eval set_train save restore get_full_state_weights set_full_state_weights
get_weights set_weights get_stats_weights set_stats_weights get_param set_param clear_stats
preprocess_actions bound_loss reg_loss init_rnn_from_model train_central_value get_central_value
_preproc_obs write_stats update_epoch
""".split()  # noqa: SIM905


def kind(value):
    """What a client can rely on of ``value``."""
    if isinstance(value, torch.Tensor):
        return [list(value.shape), str(value.dtype)]
    if value is None or isinstance(value, (bool, str)):
        return value if not isinstance(value, str) or len(value) < 12 else "text"
    if isinstance(value, (nn.Module,)):
        return "module"
    if isinstance(value, dict):
        return "dictionary"
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, [item for item in value if isinstance(item, (str, int))]]
    if inspect.ismethod(value) or inspect.isfunction(value):
        return "callable"
    if hasattr(value, "__float__"):
        return round(float(value), 6)
    return "object"


def arguments(function):
    """Names of the positional arguments, those without a default in front of the rest."""
    parameters = list(inspect.signature(function).parameters.values())
    return [p.name for p in parameters if p.name != "self"]


class Surface(A2CAgent):
    """Looks at itself after the first rollout."""

    def prepare_dataset(self, batch_dict):
        batch_dict = dict(batch_dict)
        super().prepare_dataset(batch_dict)
        if self.epoch_num == 1:
            label = self.config["full_experiment_name"]
            names = NAMES + CENTRAL if self.has_central_value else NAMES
            missing = [name for name in names if not hasattr(self, name)]
            assert not missing, missing
            FOUND[label] = {
                name: kind(getattr(self, name))
                for name in names
                if name not in ("play_time", "update_time", "last_lr", "mean_rewards", "last_mean_rewards")
            }
            assert batch_dict.pop("step_time") > 0.0
            FOUND[label + " batch"] = {name: kind(value) for name, value in batch_dict.items()}
            FOUND[label + " values"] = {n: kind(v) for n, v in self.dataset.values_dict.items()}
            FOUND[label + " buffer"] = {n: kind(v) for n, v in self.experience_buffer.tensor_dict.items()}
            self.look_closer(label)

    def look_closer(self, label):
        item = self.dataset[1]
        FOUND[label + " minibatch"] = {name: kind(value) for name, value in item.items()}
        assert self.dataset.special_names == ["rnn_states"]
        assert self.dataset.last_range == (self.minibatch_size, 2 * self.minibatch_size)
        buffer = self.experience_buffer
        assert buffer.obs_base_shape == (self.horizon_length, self.num_actors)
        assert type(self.experience_buffer.obs_base_shape) is tuple
        assert self.scaler.scale(torch.ones(1)).item() == 1.0
        assert self.network is self.config["network"] and self.network is not self.model
        weights = self.get_full_state_weights()
        assert set(weights) >= {"model", "epoch", "frame", "optimizer", "last_mean_rewards", "env_state"}
        assert isinstance(self.get_stats_weights(), dict)
        stats = self.get_stats_weights(model_stats=True)
        FOUND[label + " stats"] = sorted(set(stats) - {"scaler"})
        self.set_weights(copy.deepcopy(self.get_weights()))
        self.set_param("gamma", 0.98)
        assert self.gamma == self.get_param("gamma") == 0.98
        mu = torch.tensor([[0.0, 2.1], [-1.2, 0.0]])
        # (2.1 - 1.1)^2 = 1 and (-1.2 + 1.1)^2 = 0.01; 2.1^2 = 4.41 and 1.2^2 = 1.44
        assert torch.allclose(self.bound_loss(mu), torch.tensor([1.0, 0.01]), atol=1e-5)
        assert torch.allclose(self.reg_loss(mu), torch.tensor([4.41, 1.44]), atol=1e-5)
        assert isinstance(self.model.is_rnn(), bool) and self.is_rnn == self.model.is_rnn()
        # 51 (of 255) is 0.2
        pixels = self._preproc_obs(torch.full((2, 3), 51, dtype=torch.uint8))
        assert torch.allclose(pixels, torch.full((2, 3), 0.2))
        obs = self.obs_to_tensors({"obs": torch.zeros(4, 4), "states": torch.zeros(4, 6)})
        assert sorted(obs) == ["obs", "states"] and list(self.obs_to_tensors(torch.zeros(4, 4))) == ["obs"]
        advantages = self.discount_values(
            torch.zeros(4),
            torch.zeros(4, 1),
            torch.zeros(8, 4),
            torch.zeros(8, 4, 1),
            torch.ones(8, 4, 1),
        )
        # With a reward of 1, no values and nothing done: the sum of (0.98 * 0.95)^k over the eight steps.
        expected = sum((0.98 * 0.95) ** k for k in range(8))
        assert torch.allclose(advantages[0], torch.full((4, 1), expected))
        fixed = self.actor_loss_func(torch.zeros(2), torch.zeros(2), torch.tensor([1.0, -1.0]), True, 0.2)
        assert torch.equal(fixed, torch.tensor([-1.0, 1.0]))
        lr, coef = self.scheduler.update(1e-3, 0.01, 3, 0, 0.0)
        assert abs(lr - 1.5e-3) < 1e-9 and coef == 0.01
        self.update_lr(self.last_lr)


class StatesPoint(PointMass):
    """With states for a central value, as IsaacGymEnvs' tasks give them."""

    def reset(self):
        return super().reset() | {"states": self.observe_all()}

    def step(self, actions):
        obs, reward, done, extras = super().step(actions)
        return obs | {"states": self.observe_all()}, reward, done, extras


def functions():
    """Functions that clients call, and in what order they take their arguments."""
    meter, buffer = torch_ext.AverageMeter, experience.ExperienceBuffer
    given = {
        "policy_kl": torch_ext.policy_kl,
        "apply_masks": torch_ext.apply_masks,
        "normalization_with_masks": torch_ext.normalization_with_masks,
        "save_checkpoint": torch_ext.save_checkpoint,
        "load_checkpoint": torch_ext.load_checkpoint,
        "AverageMeter": meter.__init__,
        "unsqueeze_obs": tr_helpers.unsqueeze_obs,
        "ExperienceBuffer": buffer.__init__,
        "update_data": buffer.update_data,
        "get_transformed_list": buffer.get_transformed_list,
        "AdaptiveScheduler": schedulers.AdaptiveScheduler.update,
        "CentralValueTrain": central_value.CentralValueTrain.get_value,
        "A2CBase": A2CBase.__init__,
    }
    for name in (
        "env_step",
        "env_reset",
        "get_batch_size",
        "obs_to_torch",
        "cast_obs",
        "_preproc_obs",
        "create_env",
    ):
        given[name] = getattr(BasePlayer, name)
    for name in ("get_action", "restore", "reset"):
        given[name] = getattr(PpoPlayerContinuous, name)
    return {name: arguments(function) for name, function in given.items()}


def main():
    from isaac import RLGPUEnv

    class WithStates(RLGPUEnv):
        def get_env_info(self):
            return super().get_env_info() | {"state_space": self.env.state_space}

    cfg = settings(full_experiment_name="plain", max_epochs=1)
    register(PointMass)
    run(cfg, algo=Surface)
    lstm = {"name": "lstm", "units": 8, "layers": 1}
    run(settings(net=network(rnn=lstm), full_experiment_name="lstm", max_epochs=1), algo=Surface)

    from lab_train import CRITIC
    from rl_games.common import vecenv

    register(StatesPoint)
    vecenv.register("RLGPU", lambda config_name, num_actors, **kwargs: WithStates(config_name, num_actors, **kwargs))
    cfg = settings(central_value_config=CRITIC, full_experiment_name="central", max_epochs=2)
    run(cfg, algo=Surface)
    path = last_checkpoint("runs/central")
    player = run(cfg, train=False, play=True, checkpoint=path).create_player()
    report(
        found=FOUND,
        signatures={name: arguments(getattr(A2CAgent, name)) for name in SIGNATURES},
        discrete={
            name: arguments(getattr(DiscreteA2CAgent, name))
            for name in SIGNATURES
            if "bound" not in name and name != "reg_loss"
        },
        functions=functions(),
        player={name: kind(getattr(player, name)) for name in PLAYER},
    )


if __name__ == "__main__":
    main()
