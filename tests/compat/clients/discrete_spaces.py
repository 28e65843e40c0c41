"""Discrete agents with masks, with several actions at once, with several agents, on an environment of numpy arrays."""

import gymnasium
import numpy as np
from isaac import run
from rl_games.algos_torch import torch_ext
from rl_games.algos_torch.a2c_discrete import DiscreteA2CAgent
from rl_games.common import env_configurations, vecenv
from rl_games.common.algo_observer import DefaultAlgoObserver
from rl_games.common.tr_helpers import dicts_to_dict_with_arrays
from world import last_checkpoint, network, report, settings

FOUND = {}


class Grid:
    """Four places; the reward is 1 for the choice that the observation names. Only it and the next are allowed."""

    def __init__(self, rows=4, choices=(3,), agents=1, pixels=False, masked=False, **kwargs):
        self.rows, self.choices, self.agents, self.pixels, self.masked = rows, choices, agents, pixels, masked
        heads = tuple(gymnasium.spaces.Discrete(n) for n in choices)
        self.action_space = heads[0] if len(heads) == 1 else gymnasium.spaces.Tuple(heads)
        shape = (8, 8, 3) if pixels else (3,)
        kind = (0, 255, shape, np.uint8) if pixels else (-1.0, 1.0, shape, np.float32)
        self.observation_space = gymnasium.spaces.Box(*kind)
        self.random, self.step_count = np.random.default_rng(0), 0

    def get_number_of_agents(self):
        return self.agents

    def has_action_mask(self):
        return self.masked

    def get_action_mask(self):
        allowed = np.zeros((self.rows, self.choices[0]), dtype=bool)
        for shift in (0, 1):
            allowed[np.arange(self.rows), (self.target + shift) % self.choices[0]] = True
        return allowed

    def observe(self):
        self.target = self.random.integers(0, self.choices[0], self.rows)
        if self.pixels:
            picture = np.zeros((self.rows, 8, 8, 3), dtype=np.uint8)
            picture[np.arange(self.rows), self.target] = 255
            return picture
        return np.eye(3, dtype=np.float32)[self.target]

    def reset(self):
        return self.observe()

    def step(self, actions):
        actions = np.asarray(actions).reshape(self.rows, -1)
        assert actions.shape[1] == len(self.choices) and actions.dtype == np.int64
        if self.has_action_mask():
            assert self.get_action_mask()[np.arange(self.rows), actions[:, 0]].all()
        reward = (actions[:, 0] == self.target).astype(np.float32)
        self.step_count += 1
        done = np.full(self.rows, self.step_count % 4 == 0)
        infos = {"scores": reward[:: self.agents]}
        return self.observe(), reward, done, infos


class NumpyEnv(vecenv.IVecEnv):
    """The grid as RL Games' other vector environments."""

    def __init__(self, config_name, num_actors, **kwargs):
        self.env = env_configurations.configurations[config_name]["env_creator"](**kwargs)

    def step(self, actions):
        return self.env.step(actions)

    def reset(self):
        return self.env.reset()

    def has_action_masks(self):
        return True

    def get_action_masks(self):
        return self.env.get_action_mask()

    def get_number_of_agents(self):
        return self.env.agents

    def get_env_info(self):
        info = env_configurations.get_env_info(self.env)
        assert info["agents"] == self.env.agents and info["value_size"] == 1
        return info


class Scores(DefaultAlgoObserver):
    """RL Games' own observer, with a look at what it gathers."""

    def after_print_stats(self, frame, epoch_num, total_time):
        super().after_print_stats(frame, epoch_num, total_time)
        FOUND["scores"] = [
            int(self.game_scores.current_size),
            bool(0.0 <= float(self.game_scores.get_mean()) <= 1.0),
        ]


class Looking(DiscreteA2CAgent):
    """Notes what its dataset holds."""

    def prepare_dataset(self, batch_dict):
        super().prepare_dataset(batch_dict)
        FOUND[self.config["full_experiment_name"]] = {
            name: [list(value.shape), str(value.dtype)]
            for name, value in self.dataset.values_dict.items()
            if value is not None
        } | {"actions_num": np.asarray(self.actions_num).tolist(), "multi": self.is_multi_discrete}

    def get_masked_action_values(self, obs, action_masks):
        result = super().get_masked_action_values(obs, action_masks)
        FOUND["masks"] = [list(result["action_masks"].shape), str(result["action_masks"].dtype)]
        return result


def train(name, make, model, net, **config):
    vecenv.register("NUMPY", lambda config_name, num_actors, **kwargs: NumpyEnv(config_name, num_actors, **kwargs))
    env_configurations.register("grid", {"vecenv_type": "NUMPY", "env_creator": make})
    cfg = settings("a2c_discrete", model, net, env_name="grid", full_experiment_name=name, max_epochs=2, **config)
    run(cfg, observer=Scores(), algo=Looking)
    run(cfg, train=False, play=True, checkpoint=last_checkpoint(f"runs/{name}"))
    weights = torch_ext.load_checkpoint(last_checkpoint(f"runs/{name}"))["model"]
    return {key: list(value.shape) for key, value in weights.items() if "logits" in key or "cnn" in key}


def main():
    one, several = network(space={"discrete": {}}), network(space={"multi_discrete": {}})
    convs = [{"filters": 4, "kernel_size": 4, "strides": 2, "padding": 0}]
    cnn = {"type": "conv2d", "activation": "relu", "initializer": {"name": "default"}, "convs": convs}
    report(
        masked=train(
            "masked", lambda **kwargs: Grid(masked=True, **kwargs), "discrete_a2c", one, use_action_masks=True
        ),
        heads=train("heads", lambda **kwargs: Grid(choices=(3, 2), **kwargs), "multi_discrete_a2c", several),
        agents=train("agents", lambda **kwargs: Grid(rows=8, agents=2, choices=(3,)), "discrete_a2c", one),
        pixels=train(
            "pixels",
            lambda **kwargs: Grid(pixels=True, choices=(3, 2)),
            "multi_discrete_a2c",
            several | {"cnn": cnn},
            normalize_input=False,
            lr_schedule="linear",
        ),
        arrays={
            key: list(value.shape)
            for key, value in dicts_to_dict_with_arrays([{"a": np.zeros(2)}, {"a": np.ones(2)}], True).items()
        },
        found=FOUND,
    )


if __name__ == "__main__":
    main()
