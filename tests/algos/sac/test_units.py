"""Critics of SAC see actions in [-1, 1]; those that saw the environment's units convert exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy import ToyEnv

from manybody.algos.sac.checkpoint import to_env_actions, to_unit_actions
from manybody.data.replay import ReplayBatch
from manybody.launch.rl_games_checkpoint import as_rl_games

LOW, HIGH = (0.0, -5.0), (1000.0, 3.0)
BOUNDS = torch.tensor([LOW, HIGH])


class Wide(ToyEnv):
    """The toy environment whose actions lie within ``LOW`` and ``HIGH``."""

    def __init__(self):
        super().__init__()
        box = spaces.Box(np.array(LOW, np.float32), np.array(HIGH, np.float32))
        self.spec = replace(self.spec, action_space=box)


def in_units(action):
    """(M, 2) from [-1, 1]: 0 to 1000, and -5 to 3."""
    return torch.stack([500.0 * (action[:, 0] + 1.0), 4.0 * action[:, 1] - 1.0], dim=1)


def batch(actions):
    return ReplayBatch(
        torch.zeros(4, 3), actions, torch.zeros(4), torch.zeros(4, 3), torch.ones(4), torch.ones(4).bool()
    )


def test_critics_see_actions_within_one(make_sac):
    """What is remembered, and what the policy would do: 0 to 1000 or -5 to 3 never reaches a critic."""
    agent = make_sac(Wide(), num_warmup_frames=0, policy_frequency=1)
    seen = []
    for critic in (agent.model.sac_network.critic, agent.model.sac_network.critic_target):
        critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1].detach()))
    agent.init_tensors()
    agent.obs = agent.env_reset()
    agent.train_epoch()
    assert len(seen) >= 3  # both critics of an update, and the actor's
    actions = torch.cat(seen)
    assert actions.abs().max() <= 1.0 and actions.std(dim=0).min() > 0.1
    assert torch.cat(agent.vec_env.actions).max() > 10.0  # the environment gets its own units


def test_losses_do_not_depend_on_the_bounds(make_sac):
    actions = torch.tensor([[-1.0, 0.5], [1.0, -0.25], [0.0, 1.0], [0.3, -1.0]])
    noise = torch.ones(4, 2)
    losses = [
        torch.stack(
            [
                *agent.critic_losses(batch(actions), noise, agent.alpha),
                *agent.actor_losses(batch(actions), noise, agent.log_alpha),
            ]
        )
        for agent in (make_sac(Wide()), make_sac())
    ]
    torch.testing.assert_close(*losses, rtol=0.0, atol=0.0)


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"normalization": "layer_norm"},
        {"mlp": {"units": [8, 8, 4], "activation": "elu", "d2rl": True}},
        {"mlp": {"units": [], "activation": "elu"}},
    ],
    ids=["plain", "layer_norm", "d2rl", "no hidden layer"],
)
def test_conversion_is_exact(make_sac, network):
    model = make_sac(Wide(), network).model
    obs, action = torch.randn(32, 3), 2.0 * torch.rand(32, 2) - 1.0
    state = {name: x.clone() for name, x in model.state_dict().items()}
    before = [torch.stack(part(obs, in_units(action))) for part in (model.critic, model.critic_target)]
    converted = to_unit_actions(state, BOUNDS)
    model.load_state_dict(converted)
    after = [torch.stack(part(obs, action)) for part in (model.critic, model.critic_target)]
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-3)  # values of some hundreds
    back = to_env_actions(converted, BOUNDS)
    torch.testing.assert_close(back, state, rtol=1e-4, atol=1e-4)


def earlier(agent):
    """What an earlier version saved: critics that see the environment's units, and no bounds."""
    state = agent.get_full_state_weights()
    state["model"] = to_env_actions(state["model"], state.pop("action_bounds"))
    return state


def trained(make_sac, env):
    agent = make_sac(env, num_warmup_frames=0, max_epochs=2)
    agent.train()
    return agent


def test_checkpoints_of_earlier_versions_are_converted(make_sac, capsys):
    agent = trained(make_sac, Wide())
    resumed = make_sac(Wide(), num_warmup_frames=0)
    state = earlier(agent)
    resumed.set_full_state_weights(state, path="old.pth")
    told = capsys.readouterr().err
    assert told.count("old.pth: an earlier version saved it; the critics are converted to actions in") == 1
    torch.testing.assert_close(resumed.model.state_dict(), agent.model.state_dict(), rtol=1e-4, atol=1e-4)
    assert not resumed.critic_optimizer.state and resumed.actor_optimizer.state
    resumed.init_tensors()
    resumed.obs = resumed.env_reset()
    resumed.train_epoch()  # Adam begins again
    assert resumed.update_counter > agent.update_counter


def test_a_notice_only_where_something_changes(make_sac, capsys):
    """Bounds of [-1, 1] have no other units; a checkpoint of today is read as it is."""
    one = ToyEnv()
    one.spec = replace(one.spec, action_space=spaces.Box(-1.0, 1.0, (2,)))
    for env, state in ((one, earlier(trained(make_sac, one))), (Wide(), None)):
        saved = state or trained(make_sac, Wide()).get_full_state_weights()
        resumed = make_sac(env)
        resumed.set_full_state_weights(saved)
        torch.testing.assert_close(resumed.model.state_dict(), saved["model"], rtol=0.0, atol=0.0)
        assert resumed.critic_optimizer.state
    assert "converted" not in capsys.readouterr().err


def test_rl_games_gets_its_units(make_sac):
    """An exported critic sees 0 to 1000, and comes back as it was."""
    agent = trained(make_sac, Wide())
    state = agent.get_full_state_weights()
    theirs = as_rl_games(state)
    assert theirs["critic_optimizer"]["state"] == {} and theirs["actor_optimizer"]["state"]
    back = make_sac(Wide())
    back.set_full_state_weights(theirs)
    torch.testing.assert_close(back.model.state_dict(), state["model"], rtol=1e-4, atol=1e-4)
    weight = "Q1.0.weight"
    columns = state["model"][f"sac_network.critic.{weight}"][:, -2:]
    expected = columns / torch.tensor([500.0, 4.0])  # W / half
    torch.testing.assert_close(theirs["critic"][weight][:, -2:], expected)


def test_a_checkpoint_with_rl_games_keys_is_ours(make_sac):
    """RL Games' interface saves both; the critics in [-1, 1] count."""
    state = trained(make_sac, Wide()).get_full_state_weights()
    other = make_sac(Wide())
    other.set_full_state_weights({**as_rl_games(state), **state})
    torch.testing.assert_close(other.model.state_dict(), state["model"], rtol=0.0, atol=0.0)
