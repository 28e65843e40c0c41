"""Plays what the AMP agents learned, with a loop of its own."""

import torch
from rl_games.algos_torch import players, torch_ext
from rl_games.algos_torch.running_mean_std import RunningMeanStd
from rl_games.common.player import BasePlayer


class CommonPlayer(players.PpoPlayerContinuous):
    """Builds its network itself and resets what has ended before each step."""

    def __init__(self, params):
        BasePlayer.__init__(self, params)
        self.network = self.config["network"]
        self.normalize_input = self.config["normalize_input"]
        self.normalize_value = self.config.get("normalize_value", False)
        self.actions_num = self.action_space.shape[0]
        self.actions_low = torch.from_numpy(self.action_space.low.copy()).float().to(self.device)
        self.actions_high = torch.from_numpy(self.action_space.high.copy()).float().to(self.device)
        self.mask = [False]
        self._build_net(self._build_net_config())

    def _build_net_config(self):
        return {
            "actions_num": self.actions_num,
            "input_shape": torch_ext.shape_whc_to_cwh(self.obs_shape),
            "num_seqs": self.num_agents,
            "value_size": self.env_info.get("value_size", 1),
            "normalize_value": self.normalize_value,
            "normalize_input": self.normalize_input,
        }

    def _build_net(self, config):
        self.model = self.network.build(config)
        self.model.to(self.device)
        self.model.eval()
        self.is_rnn = self.model.is_rnn()

    def obs_to_torch(self, obs):
        return {"obs": super().obs_to_torch(obs)}

    def get_action(self, obs_dict, is_determenistic=False):
        return super().get_action(obs_dict["obs"], is_determenistic)

    def run(self):
        games, games_played, sum_rewards = self.games_num * self.n_game_life, 0, 0.0
        has_masks_func = getattr(self.env, "has_action_mask", None) is not None
        assert not has_masks_func and getattr(self.env, "create_agent", None) is None
        obs_dict = self.env_reset(self.env)
        batch_size = self.get_batch_size(obs_dict["obs"], 1)
        assert self.has_batch_dimension and batch_size == self.batch_size
        if self.is_rnn:
            self.init_rnn()
        cr = torch.zeros(batch_size, dtype=torch.float32, device=self.device)
        for _ in range(self.max_steps):
            obs_dict, _ = self._env_reset_done()
            action = self.get_action(obs_dict, self.is_deterministic)
            obs_dict, r, done, info = self.env_step(self.env, action)
            self._post_step(info)
            cr += r
            done_indices = done.nonzero(as_tuple=False)[:: self.num_agents]
            games_played += len(done_indices)
            sum_rewards += cr[done_indices].sum().item()
            cr = cr * (1.0 - done.float())
            if self.render_env:
                self.env.render(mode="human")
            if batch_size // self.num_agents == 1 or games_played >= games:
                break
        print("av reward:", sum_rewards / games_played)

    def _env_reset_done(self):
        obs, done_env_ids = self.env.reset_done()
        return self.obs_to_torch(obs), done_env_ids

    def _post_step(self, info):
        pass


class AMPPlayerContinuous(CommonPlayer):
    """Also tells what the discriminator thinks."""

    def __init__(self, params):
        config = params["config"]
        self._normalize_amp_input = config.get("normalize_amp_input", True)
        self._disc_reward_scale = config["disc_reward_scale"]
        self.opinions = []
        super().__init__(params)

    def _build_net_config(self):
        shape = self.env.amp_observation_space.shape if hasattr(self, "env") else self.env_info["amp_observation_space"]
        return super()._build_net_config() | {"amp_input_shape": shape}

    def _build_net(self, config):
        super()._build_net(config)
        if self._normalize_amp_input:
            self._amp_input_mean_std = RunningMeanStd(config["amp_input_shape"]).to(self.device)
            self._amp_input_mean_std.eval()

    def restore(self, fn):
        super().restore(fn)
        if self._normalize_amp_input:
            checkpoint = torch_ext.load_checkpoint(fn)
            self._amp_input_mean_std.load_state_dict(checkpoint["amp_input_mean_std"])

    def _post_step(self, info):
        super()._post_step(info)
        with torch.no_grad():
            logit = self.model.a2c_network.eval_disc(self._amp_input_mean_std(info["amp_obs"]))
        self.opinions.append(torch.sigmoid(logit).mean().item())
