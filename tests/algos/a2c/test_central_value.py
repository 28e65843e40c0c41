"""The central value: what its network reads when it acts and when it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy_family import FamilyEnv, family_params

from manybody.algos.a2c import A2CAgent
from manybody.compat.environments import legacy_env
from manybody.compat.rl_games.algos_torch.a2c_continuous import A2CAgent as ClientAgent
from manybody.compat.rl_games.common.algo_observer import AlgoObserver
from manybody.config import parse_params


class ByteStates(FamilyEnv):
    """States are bytes, as those of images."""

    def __init__(self):
        super().__init__("box")
        self.spec = replace(self.spec, state_space=spaces.Box(0, 255, (5,), np.uint8))

    def _observe(self):
        obs = super()._observe()
        return {**obs, "states": (obs["states"] * 127.0 + 128.0).to(torch.uint8)}


def library_agent(params):
    return A2CAgent("run", parse_params(params), vec_env=ByteStates())


def client_agent(params):
    env = legacy_env(ByteStates())
    params["config"] |= {"vec_env": env, "env_info": env.get_env_info(), "features": {"observer": AlgoObserver()}}
    return ClientAgent("run", params)


@pytest.mark.parametrize("make", [library_agent, client_agent])
def test_states_of_bytes_are_divided_by_255_in_acting_and_in_learning(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = family_params("box", central="mlp")
    params["config"]["central_value_config"]["normalize_input"] = False
    agent = make(params)
    acting, learning = [], []

    def read(network, args):
        (learning if torch.is_grad_enabled() else acting).append(args[0]["obs"])

    agent.central_value.model.a2c_network.register_forward_pre_hook(read)
    agent.init_tensors()
    agent.obs = agent.env_reset()
    agent.update_epoch()
    agent.train_epoch()
    acted, learned = torch.cat(acting), torch.cat(learning)
    assert 0.0 < learned.max() <= 1.0
    assert set(learned.flatten().tolist()) <= set(acted.flatten().tolist())
