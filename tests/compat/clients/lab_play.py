"""Isaac Lab's play.py: a recurrent policy, step by step under inference mode, and its export."""

import math

import torch
from lab_train import train
from lab_wrapper import ManagerEnv, RlGamesVecEnvWrapper
from rl_games.common.player import BasePlayer
from rl_games.torch_runner import Runner
from world import last_checkpoint, network, report, settings

LSTM = {"name": "lstm", "units": 8, "layers": 1, "before_mlp": True, "layer_norm": True, "concat_input": True}


class Exported(torch.nn.Module):
    """Normaliser and network in one module: observation and states in, action and states out."""

    def __init__(self, model):
        super().__init__()
        self.running_mean_std = model.running_mean_std
        self.network = model.a2c_network

    def forward(self, obs, h, c):
        mu, _, _, states = self.network({"obs": self.running_mean_std(obs), "rnn_states": (h, c), "seq_length": 1})
        return mu, states[0], states[1]


def play(agent_cfg, env, checkpoint, steps):
    agent_cfg["params"]["load_checkpoint"] = True
    agent_cfg["params"]["load_path"] = checkpoint
    agent_cfg["params"]["config"]["num_actors"] = env.num_envs
    runner = Runner()
    runner.load(agent_cfg)
    agent: BasePlayer = runner.create_player()
    agent.restore(checkpoint)
    agent.reset()

    obs = env.reset()
    if isinstance(obs, dict):
        obs = obs["obs"]
    _ = agent.get_batch_size(obs, 1)
    if agent.is_rnn:
        agent.init_rnn()
    ended = 0
    for _ in range(steps):
        with torch.inference_mode():
            obs = agent.obs_to_torch(obs)
            actions = agent.get_action(obs, is_deterministic=agent.is_deterministic)
            assert actions.shape == (env.num_envs, 2) and actions.abs().max() <= 1.0
            obs, _, dones, _ = env.step(actions)
            if len(dones) > 0 and agent.is_rnn and agent.states is not None:
                for s in agent.states:
                    s[:, dones, :] = 0.0
                    assert s.shape == (1, env.num_envs, 8) and not s[:, dones].any()
            ended += int(dones.sum())
    return agent, ended


def main():
    def make_env():
        return RlGamesVecEnvWrapper(ManagerEnv(), "cpu", math.inf, 1.0)

    def recurrent():
        return settings(net=network(rnn=LSTM), max_epochs=2, seq_length=4, schedule_type="legacy")

    checkpoint = last_checkpoint(train("lstm", recurrent(), make_env()))
    agent, ended = play(recurrent(), make_env(), checkpoint, steps=12)
    assert agent.is_rnn and ended >= 8  # four points, two episodes of at most five steps each within twelve

    # As an exporter does: scripting off, the module's own parts put into another one and traced.
    torch.jit._state.disable()
    try:
        player_again, _ = play(recurrent(), make_env(), checkpoint, steps=1)
    finally:
        torch.jit._state.enable()
    exported = Exported(player_again.model).eval()
    obs, h, c = torch.randn(1, 4), torch.zeros(1, 1, 8), torch.zeros(1, 1, 8)
    with torch.no_grad():
        traced = torch.jit.trace(exported, (obs, h, c))
        given = exported(obs, h, c)
        result = player_again.model({"is_train": False, "obs": obs.clone(), "rnn_states": (h, c), "prev_actions": None})
        assert torch.allclose(traced(obs, h, c)[0], given[0], atol=1e-6)
    assert torch.allclose(result["mus"], given[0], atol=1e-6)
    report(
        states=[list(state.shape) for state in agent.states],
        ended=ended,
        deterministic=agent.is_deterministic,
        model=sorted(agent.model.state_dict()),
    )


if __name__ == "__main__":
    main()
