"""Self-play as TimeChamber has it: a pool of players as one batched model, and RL Games' manager."""

import torch
from isaac import RLGPUEnv, register, run
from rl_games.algos_torch import model_builder
from rl_games.algos_torch.model_builder import ModelBuilder
from rl_games.algos_torch.moving_mean_std import GeneralizedMovingStats
from rl_games.algos_torch.players import PpoPlayerContinuous, rescale_actions
from rl_games.algos_torch.running_mean_std import RunningMeanStd, RunningMeanStdObs
from rl_games.algos_torch.self_play_manager import SelfPlayManager
from rl_games.common import vecenv
from rl_games.common.tr_helpers import unsqueeze_obs
from torch import nn
from world import PointMass, network, report, settings

RECEIVED = []


class VectorizedRunningMeanStd(RunningMeanStd):
    """One normaliser for each of ``models``, in one tensor: ``(P, O)``."""

    def __init__(self, insize, models, epsilon=1e-05):
        super().__init__(insize, epsilon)
        self.register_buffer("running_mean", torch.zeros((models, *insize), dtype=torch.float64))
        self.register_buffer("running_var", torch.ones((models, *insize), dtype=torch.float64))
        self.register_buffer("count", torch.ones((models, 1), dtype=torch.float64))

    def take(self, index, other):
        self.running_mean[index] = other["running_mean_std.running_mean"]
        self.running_var[index] = other["running_mean_std.running_var"]
        self.count[index] = other["running_mean_std.count"]

    def forward(self, input, denorm=False, mask=None):
        assert not self.training and not denorm
        y = (input - self.running_mean.float()[:, None]) / torch.sqrt(self.running_var.float()[:, None] + self.epsilon)
        return torch.clamp(y, min=-5.0, max=5.0)


class Pool:
    """Players of several checkpoints whose first layer runs as one product."""

    def __init__(self, params, size):
        self.network = ModelBuilder().load(params)
        build = {
            "actions_num": 2,
            "input_shape": (4,),
            "num_seqs": 1,
            "normalize_input": True,
            "normalize_value": True,
        }
        self.models = [self.network.build(build).eval() for _ in range(size)]
        self.normalizer = VectorizedRunningMeanStd((4,), size).eval()

    def load(self, index, weights):
        self.models[index].load_state_dict(weights["model"])
        self.normalizer.take(index, weights["model"])

    def act(self, obs):
        normed = self.normalizer(obs)
        layers = [model.a2c_network.actor_mlp[0] for model in self.models]
        first = torch.baddbmm(
            torch.stack([layer.bias for layer in layers])[:, None],
            normed,
            torch.stack([layer.weight.T for layer in layers]),
        )
        outputs = []
        for index, model in enumerate(self.models):
            net = model.a2c_network
            outputs.append(net.mu_act(net.mu(net.actor_mlp[1:](first[index]))))
        return torch.stack(outputs)


class SelfPlayEnv(RLGPUEnv):
    """Keeps the weights that the manager sends for its opponents."""

    def set_weights(self, indices, weights):
        RECEIVED.append([int(index) for index in indices])
        self.opponent = weights


class Gathered(PpoPlayerContinuous):
    """A player that scales its actions itself."""

    def get_action(self, obs, is_deterministic=False):
        if self.has_batch_dimension is False:
            obs = unsqueeze_obs(obs)
        with torch.no_grad():
            result = self.model(
                {
                    "is_train": False,
                    "prev_actions": None,
                    "obs": self._preproc_obs(obs),
                    "rnn_states": self.states,
                }
            )
        self.states = result["rnn_states"]
        return rescale_actions(self.actions_low, self.actions_high, torch.clamp(result["mus"], -1.0, 1.0))


def main():
    register(PointMass)
    vecenv.register("RLGPU", lambda config_name, num_actors, **kwargs: SelfPlayEnv(config_name, num_actors, **kwargs))
    from rl_games.algos_torch.a2c_continuous import A2CAgent

    agents = []

    class Kept(A2CAgent):
        def __init__(self, base_name, params):
            super().__init__(base_name, params)
            assert isinstance(self.self_play_manager, SelfPlayManager)
            agents.append(self)

    manage = {"update_score": -100, "games_to_check": 4, "env_update_num": 2, "check_scores": False}
    cfg = settings(self_play_config=manage, full_experiment_name="chamber")
    cfg["params"]["config"]["player"] |= {"use_vecenv": True, "games_num": 2}
    runner = run(cfg, algo=Kept)
    (agent,) = agents
    agent.save("opponent")
    run(cfg, player=Gathered, train=False, play=True, checkpoint="opponent.pth")

    pool = Pool(settings(net=network())["params"], 2)
    for index in range(2):
        pool.load(index, agent.get_weights())
    obs = torch.randn(2, 5, 4)
    agent.model.eval()
    one = agent.model({"is_train": False, "obs": obs[1].clone(), "prev_actions": None, "rnn_states": None})["mus"]
    with torch.no_grad():
        assert torch.allclose(pool.act(obs)[1], one, atol=1e-5)

    both = RunningMeanStdObs({"a": (2,), "b": (3,)})
    seen = both({"a": torch.randn(6, 2), "b": torch.randn(6, 3)})
    moving = GeneralizedMovingStats((1,), decay=0.9)
    names = sorted(model_builder.NETWORK_REGISTRY)
    assert isinstance(both, nn.Module) and isinstance(moving, nn.Module) and isinstance(names, list)
    report(
        received=RECEIVED,
        indexes=[int(index) for index in agent.self_play_manager.env_indexes],
        seen={name: list(value.shape) for name, value in seen.items()},
        obs_state={name: list(value.shape) for name, value in both.state_dict().items()},
        weights=sorted(set(agent.get_weights()) & {"model"}),
        runner=runner.algo_name,
        squeezed=list(unsqueeze_obs(torch.zeros(3)).shape),
    )


if __name__ == "__main__":
    main()
