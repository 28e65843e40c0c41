"""Each variant of PPO reaches a threshold on a task with a known optimum (benchmarks/family)."""

from typing import Any

import pytest
import torch
from family_tasks import DeepSea, Market, Recall, Tide
from toy_family import family_params

from manybody.algos.a2c import A2CAgent, DiscreteA2CAgent
from manybody.algos.rnd import RNDDiscreteAgent
from manybody.config import parse_params

MLP = {"units": [32], "activation": "elu"}


def train(agent: type[Any], env: Any, mapping: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    learner = agent("run", parse_params(mapping), vec_env=env)
    learner.train()
    return learner


def params(env: Any, action: str, **settings: Any) -> dict[str, Any]:
    keys = {"num_actors": env.num_envs, "mini_epochs": 4, "games_to_track": 128, **settings}
    return family_params(action, network_keys={"mlp": MLP}, **keys)


@pytest.mark.learning
@pytest.mark.parametrize("heads,masked", [((8,), False), ((8,), True), ((3, 4, 6), True)])
def test_the_best_price_is_found(heads, masked):
    # The optimum is 1 per step. A random choice has about 0.6: 1/2 divided by the mean of the best of a few.
    env = Market(64, heads, masked)
    mapping = params(
        env,
        "discrete" if len(heads) == 1 else "multi_discrete",
        horizon_length=16,
        minibatch_size=256,
        learning_rate=1e-2,
        gamma=0.1,  # a choice does not affect later rewards
        tau=0.1,
        max_epochs=30,
        use_action_masks=masked,
    )
    agent = train(DiscreteA2CAgent, env, mapping)
    assert agent.run.mean_reward / env.length > 0.98
    assert env.forbidden_taken == 0 and env.taken == 30 * 16 * 64 * len(heads)


@pytest.mark.learning
@pytest.mark.parametrize("rnn", ["lstm", "gru", None])
def test_only_a_recurrent_policy_recalls_a_cue(rnn):
    env = Recall(64, delay=4, cues=4)
    mapping = params(
        env,
        "discrete",
        rnn=rnn,
        horizon_length=24,
        seq_length=6,
        minibatch_size=384,
        learning_rate=5e-3,
        gamma=0.95,
        entropy_coef=0.01,
        max_epochs=25 if rnn is not None else 15,
        score_to_win=0.96,
    )
    if rnn is not None:
        mapping["network"]["rnn"]["units"] = 32
    reward = train(DiscreteA2CAgent, env, mapping).run.mean_reward
    if rnn is None:
        assert reward < 0.45  # guessing: 1/4; 0.45 is five standard deviations above for 128 games
    else:
        assert reward > 0.95


@pytest.mark.learning
def test_a_critic_with_states_lowers_the_cost():
    def cost(central: str | None) -> float:
        env = Tide(64)
        mapping = params(
            env,
            "box",
            central=central,
            horizon_length=32,
            minibatch_size=1024,
            learning_rate=2e-3,
            gamma=0.97,
            normalize_value=True,
            normalize_input=True,
            max_epochs=32,
        )
        if central is not None:
            section = mapping["config"]["central_value_config"]
            section |= {"minibatch_size": 1024, "mini_epochs": 4, "learning_rate": 2e-3}
            section["network"]["mlp"] = MLP
        train(A2CAgent, env, mapping)
        return env.cost

    with_states, without = cost("mlp"), cost(None)
    assert with_states < 0.05 and with_states < without / 2.0, (with_states, without)


@pytest.mark.learning
@pytest.mark.parametrize("curious", [True, False])
def test_only_curiosity_finds_the_treasure(curious):
    # A random policy finds it in one of 2^14 = 16384 episodes. 50 epochs are 6400 episodes, most of them after the
    # policy has learned to stay left.
    env = DeepSea(32, depth=14)
    mapping = params(
        env,
        "discrete",
        horizon_length=56,
        minibatch_size=448,
        learning_rate=1e-3,
        gamma=0.99,
        entropy_coef=0.01,
        normalize_value=True,
        max_epochs=50,
        score_to_win=0.9,
    )
    if curious:
        mapping["algo"]["name"], mapping["network"]["name"] = "rnd_discrete", "rnd_curiosity"
        mapping["config"]["rnd_config"] = {"gamma": 0.95}
    reward = train(RNDDiscreteAgent if curious else DiscreteA2CAgent, env, mapping).run.mean_reward
    assert reward >= 0.9 if curious else reward < 0.01
