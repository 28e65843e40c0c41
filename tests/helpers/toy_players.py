"""Configurations of RL Games' players as dictionaries, and the spaces that its clients use."""

import copy

import numpy as np
from gymnasium import spaces
from toy import ToyEnv, toy_params

LSTM = {"rnn": {"name": "lstm", "units": 6, "layers": 1, "before_mlp": False}}


class Box:
    """Legacy gym's box, as Isaac Lab's wrapper builds it; the library recognises it by its class name."""

    def __init__(self, low, high, shape):
        self.shape, self.dtype = shape, np.dtype(np.float32)
        self.low, self.high = (np.full(shape, bound, np.float32) for bound in (low, high))


def raw(network=None, **config):
    """Return ``params`` as in a YAML file, for RL Games and for this library."""
    params = copy.deepcopy(toy_params(**config))
    params["network"] = {"normalization": None, **params["network"], **(network or {})}
    params["config"]["device_name"] = params["config"].pop("device")
    return params


def env_config(env=None, action_space=None, observation_space=None, **config):
    """Return the keys of ``config`` that hold a player's environments."""
    env = env or ToyEnv()
    info = env.get_env_info()
    info["action_space"] = action_space or info["action_space"]
    info["observation_space"] = observation_space or info["observation_space"]
    return {"env_info": info, "vec_env": env, **config}


def discrete(action_space, **config):
    several = isinstance(action_space, spaces.Tuple | spaces.MultiDiscrete)
    params = raw(**env_config(action_space=action_space), **config)
    params["algo"]["name"] = "a2c_discrete"
    params["model"]["name"] = "multi_discrete_a2c" if several else "discrete_a2c"
    params["network"]["space"] = {"multi_discrete" if several else "discrete": {}}
    return params


def sac():
    params = raw(**env_config())
    params["algo"]["name"] = params["model"]["name"] = "soft_actor_critic"
    params["network"] = {
        "name": "soft_actor_critic",
        "separate": True,
        "normalization": None,
        "space": {"continuous": {}},
        "log_std_bounds": [-5, 2],
        "mlp": {"units": [16, 8], "activation": "relu", "initializer": {"name": "default"}},
    }
    return params
