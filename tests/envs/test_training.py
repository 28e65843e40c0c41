"""What adapters give is what agents take: a short training through each kind of row, state and mask."""

import pytest
from counting_env import Fading
from toy import toy_params

from manybody.algos.a2c import DiscreteA2CAgent
from manybody.config import parse_params
from manybody.envs.pettingzoo import PettingZooEnv


@pytest.mark.parametrize("use_action_masks", [False, True])
def test_agents_that_leave_early_with_states_and_masks(use_action_masks):
    mapping = toy_params(num_actors=4, horizon_length=8, minibatch_size=32, use_action_masks=use_action_masks)
    mapping["algo"]["name"], mapping["model"]["name"] = "a2c_discrete", "discrete_a2c"
    mapping["network"]["space"] = {"discrete": {}}
    env = PettingZooEnv(lambda: Fading(masked=True), 4)
    agent = DiscreteA2CAgent("run", parse_params(mapping), vec_env=env)
    agent.init_tensors()
    agent.obs = agent.env_reset()
    assert ("action_masks" in agent.obs) == use_action_masks
    agent.train_epoch()
    taken = [action for copy in env.envs for actions in copy.told for action in actions.values()]
    # Its masks forbid action 0; without them it is taken a third of the time, of 4 x 2 episodes x (2+3+4) actions.
    assert (0 in taken) == (not use_action_masks)
    # Eight steps are two episodes of every row, agent k earning k + 1 in each of its 2 + k steps: 2, 6 and 12.
    assert agent.game_rewards.mean.item() == pytest.approx((2 + 6 + 12) / 3)
    assert agent.game_lengths.mean.item() == 4.0
