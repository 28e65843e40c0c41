"""A policy that is told a skill: latents beside the observation through agent, model, network and player."""

import torch
from amp_agent import AMPAgent
from amp_parts import AMPBuilder, ModelAMPContinuous
from amp_player import AMPPlayerContinuous
from amp_train import MotionPoint, Watcher, config
from isaac import RLGPUEnv, register
from rl_games.algos_torch import model_builder, network_builder
from rl_games.common import vecenv
from rl_games.torch_runner import Runner
from torch import nn
from world import report

LATENT = 3


class ASEBuilder(AMPBuilder):
    """Actor and critic read the latents; an encoder guesses them from the discriminator's observations."""

    class Network(AMPBuilder.Network):
        """Built from nothing but BaseNetwork's helpers and what A2CBuilder left."""

        def __init__(self, params, **kwargs):
            self.latent_dim = kwargs["ase_latent_shape"][-1]
            super().__init__(params, **kwargs)
            size = self._calc_input_size(kwargs["input_shape"], self.actor_cnn) + self.latent_dim
            build = {"units": self.units, "activation": self.activation, "dense_func": nn.Linear}
            self.actor_mlp = self._build_mlp(input_size=size, **build)
            self.critic_mlp = self._build_mlp(input_size=size, **build)
            self._enc = nn.Linear(self._disc_units[-1], self.latent_dim)
            self._enc_act = self.activations_factory.create("tanh")
            start = self.init_factory.create(**self.initializer)
            for module in [*self.actor_mlp.modules(), *self.critic_mlp.modules()]:
                if isinstance(module, nn.Linear):
                    start(module.weight)

        def load(self, params):
            super().load(params)
            self._enc_units = params.get("enc", {"units": []})["units"]

        def forward(self, obs_dict):
            obs, latents = obs_dict["obs"], obs_dict["ase_latents"]
            mu, sigma = self.eval_actor(obs, latents)
            return mu, sigma, self.eval_critic(obs, latents), obs_dict.get("rnn_states", None)

        def eval_actor(self, obs, ase_latents):
            return super().eval_actor(torch.cat([obs, ase_latents], dim=-1))

        def eval_critic(self, obs, ase_latents):
            return super().eval_critic(torch.cat([obs, ase_latents], dim=-1))

        def eval_enc(self, amp_obs):
            return nn.functional.normalize(self._enc_act(self._enc(self._disc_mlp(amp_obs))), dim=-1)

    def build(self, name, **kwargs):
        return ASEBuilder.Network(self.params, **kwargs)


class ModelASEContinuous(ModelAMPContinuous):
    """The inputs that RL Games does not know are there for the network, and after it for the encoder."""

    class Network(ModelAMPContinuous.Network):
        def forward(self, input_dict):
            result = super().forward(input_dict)
            if input_dict.get("is_train", True):
                result["enc_pred"] = self.a2c_network.eval_enc(input_dict["amp_obs"])
            return result


class ASEAgent(AMPAgent):
    """Draws a skill for each environment, and acts now and then without noise."""

    def _build_net_config(self):
        return super()._build_net_config() | {"ase_latent_shape": (self.num_actors, LATENT)}

    def init_tensors(self):
        super().init_tensors()
        shape = self.experience_buffer.obs_base_shape
        self.experience_buffer.tensor_dict["ase_latents"] = torch.zeros((*shape, LATENT), device=self.ppo_device)
        self.experience_buffer.tensor_dict["rand_action_mask"] = torch.zeros(shape, device=self.ppo_device)
        self._ase_latents = nn.functional.normalize(torch.randn(self.num_actors, LATENT), dim=-1)
        self.tensor_list += ["ase_latents", "rand_action_mask"]

    def _env_reset_done(self):
        obs, done_env_ids = super()._env_reset_done()
        fresh = nn.functional.normalize(torch.randn(len(done_env_ids), LATENT), dim=-1)
        self._ase_latents[done_env_ids] = fresh
        return obs, done_env_ids

    def get_action_values(self, obs_dict):
        self.model.eval()
        with torch.no_grad():
            res_dict = self.model(
                {
                    "is_train": False,
                    "prev_actions": None,
                    "obs": self._preproc_obs(obs_dict["obs"]),
                    "ase_latents": self._ase_latents,
                    "rnn_states": self.rnn_states,
                }
            )
        mask = torch.bernoulli(torch.full((self.num_actors,), 0.5))
        quiet = mask == 0.0
        res_dict["actions"][quiet] = res_dict["mus"][quiet]
        self._mask = mask
        return res_dict

    def _store_step(self, n, infos):
        super()._store_step(n, infos)
        self.experience_buffer.update_data("ase_latents", n, self._ase_latents)
        self.experience_buffer.update_data("rand_action_mask", n, self._mask)

    def _eval_critic(self, obs_dict):
        self.model.eval()
        obs = self.model.norm_obs(self._preproc_obs(obs_dict["obs"]))
        return self.model.denorm_value(self.model.a2c_network.eval_critic(obs, self._ase_latents))

    def prepare_dataset(self, batch_dict):
        super().prepare_dataset(batch_dict)
        for name in ("ase_latents", "rand_action_mask"):
            self.dataset.values_dict[name] = batch_dict[name]

    def calc_gradients(self, input_dict):
        # The model gets its latents through a dictionary that the parent makes: by the network's own forward.
        latents = input_dict["ase_latents"]
        inner = self.model.forward
        self.model.forward = lambda given: inner(given | {"ase_latents": latents})
        super().calc_gradients(input_dict)
        self.model.forward = inner
        self.train_result["latents"] = latents.norm(dim=-1).mean()


class ASEPlayer(AMPPlayerContinuous):
    """Keeps one skill."""

    def _build_net_config(self):
        return super()._build_net_config() | {"ase_latent_shape": (4, LATENT)}

    def get_action(self, obs_dict, is_determenistic=False):
        obs = obs_dict["obs"]
        latents = nn.functional.normalize(torch.ones(len(obs), LATENT), dim=-1)
        with torch.no_grad():
            result = self.model(
                {
                    "is_train": False,
                    "prev_actions": None,
                    "obs": obs,
                    "ase_latents": latents,
                    "rnn_states": self.states,
                }
            )
        self.states = result["rnn_states"]
        return torch.clamp(result["mus" if is_determenistic else "actions"].detach(), -1.0, 1.0)


class SkillEnv(RLGPUEnv):
    """Also resets what has ended."""

    def reset_done(self):
        return self.env.reset_done()


def main():
    assert issubclass(ASEBuilder.Network, network_builder.NetworkBuilder.BaseNetwork)
    register(MotionPoint)
    vecenv.register("RLGPU", lambda config_name, num_actors, **kwargs: SkillEnv(config_name, num_actors, **kwargs))
    watcher = Watcher()
    runner = Runner(watcher)
    runner.algo_factory.register_builder("ase", lambda **kwargs: ASEAgent(**kwargs))
    runner.player_factory.register_builder("ase", lambda **kwargs: ASEPlayer(**kwargs))
    model_builder.register_model("ase", lambda network, **kwargs: ModelASEContinuous(network))
    model_builder.register_network("ase", lambda **kwargs: ASEBuilder())
    cfg = config()
    cfg["params"]["algo"]["name"] = cfg["params"]["model"]["name"] = cfg["params"]["network"]["name"] = "ase"
    cfg["params"]["config"] |= {"max_epochs": 1, "lr_schedule": "adaptive", "full_experiment_name": "ase"}
    runner.load(cfg)
    runner.run({"train": True, "play": False, "checkpoint": "", "sigma": None})
    agent = watcher.algo
    agent.save("skills")
    runner.run({"train": False, "play": True, "checkpoint": "skills.pth", "sigma": None})
    report(
        parameters={name: list(value.shape) for name, value in agent.model.state_dict().items()},
        changed=agent.last_lr != cfg["params"]["config"]["learning_rate"],  # 'legacy': after every minibatch
        batch={name: list(value.shape) for name, value in agent.dataset[0].items()},
        latents=round(float(agent.train_result["latents"]), 5),
    )


if __name__ == "__main__":
    main()
