"""A SACAgent of one's own, its player, and RL Games' replay buffer used alone."""

import os

import torch
from isaac import register, run
from rl_games.algos_torch.sac_agent import SACAgent
from rl_games.common.experience import VectorizedReplayBuffer
from world import PointMass, last_checkpoint, network, report, settings

MADE = {}
COMMON = """
name env_name multi_gpu device device_name normalize_input num_actors reward_shaper gamma score_to_win save_best_after
save_frequency print_stats torch_compile player
""".split()  # noqa: SIM905


class MTSAC(SACAgent):
    """Remembers its updates, and may hold alpha."""

    def __init__(self, base_name, params):
        super().__init__(base_name, params)
        self.updates, self.tasks = 0, self.config["number_of_tasks"]
        MADE["agent"] = self
        MADE["log_dir"] = os.path.basename(os.path.normpath(self.writer.log_dir))
        assert os.path.samefile(os.path.dirname(os.path.normpath(self.writer.log_dir)), self.experiment_dir)

    def update_critic(self, obs, action, reward, next_obs, not_done, step):
        assert obs.shape == next_obs.shape == (16, 4) and reward.shape == not_done.shape == (16, 1)
        result = super().update_critic(obs, action, reward, next_obs, not_done, step)
        self.updates += 1
        assert len(result) == 3
        return result

    def act(self, obs, action_dim, sample=False):
        actions = super().act(obs, action_dim, sample)
        assert actions.shape == (4, 2) and actions.abs().max() <= 1.0
        return actions


def main():
    register(PointMass)
    net = network(separate=True, name="soft_actor_critic", log_std_bounds=[-5, 2])
    net["space"] = {"continuous": {}}
    cfg = settings("sac", "soft_actor_critic", net)
    config = {name: cfg["params"]["config"][name] for name in COMMON}
    config |= {
        "batch_size": 16,
        "init_alpha": 1,
        "learnable_temperature": True,
        "replay_buffer_size": 256,
        "num_warmup_steps": 2,
        "num_steps_per_episode": 4,
        "critic_tau": 0.005,
        "actor_lr": 0.0005,
        "critic_lr": 0.0005,
        "alpha_lr": 0.005,
        "max_epochs": 5,
        "full_experiment_name": "sac",
        # What stands in IsaacGymEnvs' files for SAC and nothing reads, and what only the client reads.
        "ppo": True,
        "num_seed_steps": 5,
        "number_of_tasks": 3,
    }
    cfg["params"]["config"] = config
    run(cfg, algo=MTSAC)
    agent = MADE["agent"]
    path = last_checkpoint("runs/sac")
    weights = torch.load(path, weights_only=False)
    run(cfg, train=False, play=True, checkpoint=path)

    buffer = VectorizedReplayBuffer((3,), (2,), 8, "cpu")
    rows = torch.arange(15.0).view(5, 3)
    for _ in range(2):
        buffer.add(rows, rows[:, :2], rows[:, :1], rows + 1.0, torch.zeros(5, 1, dtype=torch.bool))
    obs, actions, rewards, next_obs, dones = buffer.sample(6)
    assert torch.equal(next_obs, obs + 1.0) and torch.equal(actions, obs[:, :2])
    report(
        learned=agent.updates >= 12,  # four epochs of four steps; how long the warm-up is depends on who counts
        tasks=agent.tasks,
        frame=int(agent.frame),
        replay=[agent.replay_buffer.idx, agent.replay_buffer.full, agent.replay_buffer.capacity],
        own=[buffer.idx, buffer.full, list(rewards.shape), str(dones.dtype), list(buffer.obses.shape)],
        log_dir=MADE["log_dir"],
        alpha=[list(agent.alpha.shape), agent.log_alpha.requires_grad],
        keys=sorted(
            set(weights)
            & {
                "actor",
                "critic",
                "critic_target",
                "actor_optimizer",
                "critic_optimizer",
                "log_alpha_optimizer",
                "epoch",
                "frame",
                "running_mean_std",
            }
        ),
        actor={name: list(value.shape) for name, value in weights["actor"].items()},
        critic={name: list(value.shape) for name, value in weights["critic"].items()},
        model=sorted(agent.model.state_dict()),
    )


if __name__ == "__main__":
    main()
