"""PPO in one file: the algorithm, written with this library's base packages.

This example uses no runner, agent, configuration file or checkpoint. A task provides the steps, ``functional`` the
formulas, ``nn`` the network parts and ``data`` the buffers; this file contains the algorithm.

    python examples/ppo_one_file.py --epochs 100 --num-envs 512

T is the horizon, N the number of environments, M the minibatch, O and A the sizes of observation and action.
"""

import argparse

import torch
from torch import Tensor, nn

import manybody
from manybody.data.minibatch import PPODataset
from manybody.data.rollout import ExperienceBuffer, Field, swap_and_flatten01
from manybody.functional.policy import actor_loss
from manybody.functional.returns import gae
from manybody.functional.schedules import adaptive_lr
from manybody.functional.stats import normalize_advantage
from manybody.functional.value import critic_loss
from manybody.nn.distributions import Gaussian
from manybody.nn.mlp import build_mlp
from manybody.nn.normalizer import RunningMeanStd

GAMMA, TAU = 0.99, 0.95
HORIZON = 16
MINI_EPOCHS, MINIBATCHES = 8, 1
E_CLIP, CRITIC_COEF, KL_THRESHOLD, GRAD_NORM = 0.2, 4.0, 0.008, 1.0
REWARD_SCALE = 0.1


class ActorCritic(nn.Module):
    """Gaussian policy and value on a shared trunk, with normalised observations and values."""

    def __init__(self, num_obs: int, num_actions: int, units: tuple[int, ...] = (32, 32)) -> None:
        super().__init__()
        self.norm_obs, self.norm_value = RunningMeanStd(num_obs), RunningMeanStd(1)
        self.trunk = build_mlp(num_obs, units, "elu")
        self.mu, self.value = nn.Linear(units[-1], num_actions), nn.Linear(units[-1], 1)
        self.log_sigma = nn.Parameter(torch.zeros(num_actions))
        self.eval()  # the algorithm updates the normalisers explicitly

    def forward(self, obs: Tensor) -> tuple[Gaussian, Tensor]:
        """Return the policy (M, A) and the normalised value (M, 1) for ``obs`` (M, O)."""
        features = self.trunk(self.norm_obs(obs))
        mu = self.mu(features)
        return Gaussian(mu, self.log_sigma.exp().expand_as(mu)), self.value(features)

    def value_of(self, obs: Tensor) -> Tensor:
        """Return the value (M, 1) in units of the scaled reward."""
        return self.norm_value(self(obs)[1], denorm=True)


class Episodes:
    """Returns of the last 100 finished episodes."""

    def __init__(self, num_envs: int) -> None:
        self.running = torch.zeros(num_envs)
        self.ended: list[float] = []

    def add(self, reward: Tensor, done: Tensor) -> None:
        self.running += reward
        self.ended = [*self.ended, *self.running[done].tolist()][-100:]
        self.running *= ~done

    @property
    def mean(self) -> float:
        return sum(self.ended) / max(len(self.ended), 1)


@torch.no_grad()
def collect(
    env: manybody.VecEnv,
    policy: ActorCritic,
    buffer: ExperienceBuffer,
    obs: Tensor,
    done: Tensor,
    episodes: Episodes,
) -> tuple[Tensor, Tensor]:
    """Store T steps of the policy in ``buffer``; return the last observation (N, O) and dones (N,)."""
    for t in range(HORIZON):
        action_distribution, value = policy(obs)
        action = action_distribution.sample()
        step = env.step(action)
        # Bootstrap a truncated episode: add the value of its final observation to the last reward.
        bootstrap = step.truncated.unsqueeze(1) * GAMMA * policy.value_of(step.final_obs["obs"])
        row = {
            "obs": obs,
            "dones": done,
            "actions": action,
            "neglogp": action_distribution.neglogp(action),
            "mu": action_distribution.mu,
            "sigma": action_distribution.sigma,
            "values": policy.norm_value(value, denorm=True),
            "rewards": REWARD_SCALE * step.reward.unsqueeze(1) + bootstrap,
        }
        for name, tensor in row.items():
            buffer.update_data(name, t, tensor)
        episodes.add(step.reward, step.done)
        obs, done = step.obs["obs"], step.done.float()
    return obs, done


@torch.no_grad()
def prepare(policy: ActorCritic, buffer: ExperienceBuffer, obs: Tensor, done: Tensor) -> dict[str, Tensor]:
    """Return the rollout as a flat batch (T*N, ...) with normalised returns and advantages."""
    rollout = buffer.tensor_dict
    advantages = gae(rollout["rewards"], rollout["values"], rollout["dones"], policy.value_of(obs), done, GAMMA, TAU)
    returns = swap_and_flatten01(advantages + rollout["values"])
    policy.norm_value.update(returns)
    return {
        **buffer.get_transformed_list(swap_and_flatten01, ["obs", "actions", "neglogp", "mu", "sigma"]),
        "values": policy.norm_value(swap_and_flatten01(rollout["values"])),
        "returns": policy.norm_value(returns),
        "advantages": normalize_advantage(swap_and_flatten01(advantages).squeeze(1)),
    }


def improve(policy: ActorCritic, optimizer: torch.optim.Optimizer, lr: Tensor, dataset: PPODataset) -> None:
    """Run one mini-epoch: update the policy and the learning rate with each minibatch."""
    for batch in dataset:
        new, value = policy(batch["obs"])
        a_loss = actor_loss(batch["neglogp"], new.neglogp(batch["actions"]), batch["advantages"], True, E_CLIP)
        c_loss = critic_loss(batch["values"], value, E_CLIP, batch["returns"], clip_value=True)
        optimizer.zero_grad()
        (a_loss.mean() + 0.5 * CRITIC_COEF * c_loss.mean()).backward()
        nn.utils.clip_grad_norm_(policy.parameters(), GRAD_NORM)
        optimizer.step()
        with torch.no_grad():
            kl = new.kl(Gaussian(batch["mu"], batch["sigma"])).mean()
            lr.copy_(adaptive_lr(lr, kl, KL_THRESHOLD, min_lr=1e-6, max_lr=1e-2, multiplier=1.5))


def train(task: str = "Cartpole", epochs: int = 100, num_envs: int = 512, goal: float = 450.0, seed: int = 0) -> float:
    """Train until the mean return of the last 100 episodes reaches ``goal``; return that mean."""
    torch.manual_seed(seed)
    env = manybody.make(task, num_envs=num_envs, seed=seed)
    num_obs, num_actions = env.spec.observation_space.shape[0], env.spec.action_space.shape[0]
    policy = ActorCritic(num_obs, num_actions)
    lr = torch.tensor(3e-4)
    optimizer = torch.optim.Adam(policy.parameters(), lr=lr, fused=True)
    sizes = {
        "obs": num_obs,
        **dict.fromkeys(("actions", "mu", "sigma"), num_actions),
        "values": 1,
        "rewards": 1,
    }
    fields = {name: Field((size,), torch.float32) for name, size in sizes.items()}
    fields |= dict.fromkeys(("dones", "neglogp"), Field((), torch.float32))
    buffer = ExperienceBuffer(HORIZON, num_envs, fields, env.device)
    dataset = PPODataset(HORIZON * num_envs, HORIZON * num_envs // MINIBATCHES)
    episodes = Episodes(num_envs)
    obs, done = env.reset()["obs"], torch.ones(num_envs)
    for epoch in range(1, epochs + 1):
        obs, done = collect(env, policy, buffer, obs, done, episodes)
        dataset.update_values_dict(prepare(policy, buffer, obs, done))
        for _ in range(MINI_EPOCHS):
            improve(policy, optimizer, lr, dataset)
        policy.norm_obs.update(swap_and_flatten01(buffer.tensor_dict["obs"]))
        print(f"epoch {epoch:3d}  frames {epoch * HORIZON * num_envs:8d}  return {episodes.mean:7.2f}  lr {lr:.1e}")
        if episodes.mean >= goal:
            break
    return episodes.mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="Cartpole")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--num-envs", type=int, default=512)
    parser.add_argument("--goal", type=float, default=450.0, help="mean return at which to stop")
    parser.add_argument("--seed", type=int, default=0)
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
