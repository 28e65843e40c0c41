"""What the clients train on: a point mass on a plane, as the GPU simulators offer their tasks. Knows no RL library."""

import glob
import json
import os

import gymnasium
import numpy as np
import torch

DISCRETE_PUSHES = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


class PointMass:
    """``num_envs`` points pushed towards the origin; an episode runs out after ``episode_length`` steps.

    Observations are position and velocity ``(N, 4)``. An episode also ends, as a failure, more than 3 m away.
    """

    def __init__(self, num_envs=4, episode_length=5, seed=0, discrete=False, device="cpu"):
        self.num_envs, self.episode_length, self.device = num_envs, episode_length, device
        self.discrete = discrete
        self.random = torch.Generator().manual_seed(seed)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
        self.action_space = (
            gymnasium.spaces.Discrete(4) if discrete else gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        )
        self.state_space = gymnasium.spaces.Box(-np.inf, np.inf, (6,), np.float32)
        self.position, self.velocity = torch.zeros(num_envs, 2), torch.zeros(num_envs, 2)
        self.progress = torch.zeros(num_envs, dtype=torch.long)
        self.lesson = 0
        self.restart(torch.ones(num_envs, dtype=torch.bool))

    def restart(self, mask):
        """Puts the points of ``mask`` ``(N,)`` at new places, at rest."""
        places = torch.rand(self.num_envs, 2, generator=self.random) * 2.0 - 1.0
        self.position = torch.where(mask[:, None], places, self.position)
        self.velocity = torch.where(mask[:, None], torch.zeros(()), self.velocity)
        self.progress = torch.where(mask, 0, self.progress)

    def observe(self):
        """Position and velocity, ``(N, 4)``."""
        return torch.cat([self.position, self.velocity], dim=1)

    def observe_all(self):
        """What only a critic may see, ``(N, 6)``: the observation, the distance and the progress."""
        distance = self.position.norm(dim=1, keepdim=True)
        return torch.cat([self.observe(), distance, self.progress[:, None] / self.episode_length], dim=1)

    def push(self, actions):
        """One step without any reset: reward ``(N,)``, failed ``(N,)``, run out ``(N,)``."""
        pushes = DISCRETE_PUSHES[actions.long()] if self.discrete else actions
        self.velocity = 0.8 * self.velocity + 0.1 * pushes
        self.position = self.position + self.velocity
        self.progress = self.progress + 1
        distance = self.position.norm(dim=1)
        return 1.0 - distance, distance > 3.0, self.progress >= self.episode_length

    def set_train_info(self, env_frames, *args, **kwargs):
        """Hears how far the training is: a lesson takes 32 frames."""
        self.lesson = env_frames // 32

    def get_env_state(self):
        """What a checkpoint keeps."""
        return {"lesson": self.lesson}

    def set_env_state(self, env_state):
        """Puts back what :meth:`get_env_state` gave."""
        self.lesson = env_state["lesson"]

    def reset(self):
        """A new episode everywhere."""
        self.restart(torch.ones(self.num_envs, dtype=torch.bool))
        return {"obs": self.observe()}

    def step(self, actions):
        """As Isaac Gym's tasks: what has ended starts anew within the step, ``dones`` are whole numbers."""
        assert isinstance(actions, torch.Tensor)
        assert actions.shape == ((self.num_envs,) if self.discrete else (self.num_envs, 2))
        reward, failed, run_out = self.push(actions)
        self.restart(failed | run_out)
        extras = {"time_outs": run_out & ~failed, "distance": self.position.norm(dim=1).mean()}
        return {"obs": self.observe()}, reward, (failed | run_out).long(), extras


def network(separate=False, space=None, **more):
    """The network section of a small actor and critic."""
    gaussian = {
        "mu_activation": "None",
        "sigma_activation": "None",
        "mu_init": {"name": "default"},
        "sigma_init": {"name": "const_initializer", "val": 0},
        "fixed_sigma": True,
    }
    return {
        "name": "actor_critic",
        "separate": separate,
        "space": {"continuous": gaussian} if space is None else space,
        "mlp": {"units": [16, 16], "activation": "elu", "d2rl": False, "initializer": {"name": "default"}},
    } | more


def settings(algo="a2c_continuous", model="continuous_a2c_logstd", net=None, **config):
    """A whole YAML file as a dictionary: four points, rollouts of eight steps, two minibatches."""
    return {
        "params": {
            "seed": 7,
            "torch_threads": 1,
            "algo": {"name": algo},
            "model": {"name": model},
            "network": network() if net is None else net,
            "load_checkpoint": False,
            "load_path": "",
            "config": {
                "name": "Point",
                "full_experiment_name": None,
                "env_name": "rlgpu",
                "multi_gpu": False,
                "device": "cpu",
                "device_name": "cpu",
                "ppo": True,
                "mixed_precision": False,
                "normalize_input": True,
                "normalize_value": True,
                "value_bootstrap": True,
                "num_actors": 4,
                "reward_shaper": {"scale_value": 0.1},
                "normalize_advantage": True,
                "gamma": 0.99,
                "tau": 0.95,
                "learning_rate": 3e-4,
                "lr_schedule": "adaptive",
                "schedule_type": "standard",
                "kl_threshold": 0.008,
                "score_to_win": 20000,
                "max_epochs": 3,
                "save_best_after": 1,
                "save_frequency": 2,
                "print_stats": True,
                "grad_norm": 1.0,
                "entropy_coef": 0.0,
                "truncate_grads": True,
                "e_clip": 0.2,
                "horizon_length": 8,
                "minibatch_size": 16,
                "mini_epochs": 2,
                "critic_coef": 2,
                "clip_value": True,
                "seq_length": 4,
                "bounds_loss_coef": 0.0001,
                "torch_compile": False,
                "player": {"games_num": 4, "deterministic": True, "print_stats": True},
            }
            | config,
        }
    }


def last_checkpoint(folder):
    """The checkpoint of the last epoch in a run's folder."""
    paths = glob.glob(os.path.join(folder, "nn", "last_*_ep_*_rew_*.pth"))
    return max(paths, key=lambda path: int(path.split("_ep_")[1].split("_")[0]))


def report(**facts):
    """The last line of a client: what it found, to be the same whichever library answers to ``rl_games``."""
    print("FACTS " + json.dumps(facts, sort_keys=True))
