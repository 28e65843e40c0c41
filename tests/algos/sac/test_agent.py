"""How SAC collects and learns on the toy environment: 8 rows, actions from -2 to 2, episodes of 5 steps."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy import ToyEnv
from toy_env import Fault, FaultyEnv, all_finite
from toy_family import LENGTH, FamilyEnv
from toy_sac import sac_params

from manybody.algos.a2c.models import ModelA2CContinuousLogStd
from manybody.algos.sac import SACAgent
from manybody.config import ConfigError, parse_params
from manybody.envs.base import EnvError, EnvSpec
from manybody.model_builder import MODEL_REGISTRY


class Bounded(ToyEnv):
    """The toy environment with bounds of its own for each action."""

    def __init__(self, low=(-2.0, 0.0), high=(2.0, 10.0), space=None):
        super().__init__()
        box = spaces.Box(np.array(low, np.float32), np.array(high, np.float32), dtype=np.float32)
        self.spec = EnvSpec(self.spec.observation_space, space or box)


def epochs(agent, number):
    agent.start_training()
    result = None
    for _ in range(number):
        agent.update_epoch()
        result = agent.train_epoch()
    return result


# --- construction ----------------------------------------------------------------------------------------------------


def test_the_target_critics_are_copies_at_the_start(make_sac):
    """RL Games draws them anew after copying (defect 7)."""
    agent = make_sac(network={"mlp": {"units": [8], "activation": "relu", "initializer": {"name": "orthogonal"}}})
    network = agent.model.sac_network
    pairs = zip(network.critic.parameters(), network.critic_target.parameters(), strict=True)
    assert all(torch.equal(critic, target) and not target.requires_grad for critic, target in pairs)
    q1, q2 = (x.weight for x in (network.critic.Q1[0], network.critic.Q2[0]))
    assert not torch.equal(q1, q2)  # the two critics differ


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Discrete(3), "sac acts in a Box.*Use a2c_discrete"),
        (spaces.Box(-np.inf, np.inf, (2,)), "infinite ones. Give the environment finite bounds"),
    ],
)
def test_action_spaces_that_cannot_be(make_sac, space, words):
    with pytest.raises(EnvError, match=words):
        make_sac(Bounded(space=space))


def test_a_model_of_another_kind_is_refused(monkeypatch):
    monkeypatch.setitem(MODEL_REGISTRY, "mine", (ModelA2CContinuousLogStd, None))
    params = sac_params()
    params["model"]["name"] = "mine"
    with pytest.raises(ConfigError, match="got 'mine', which has no sac_network; expected 'soft_actor_critic'"):
        SACAgent("run", parse_params(params, models={"mine": None}), vec_env=ToyEnv())


def test_hidden_layers_of_every_kind_train(make_sac):
    for change in (
        {"normalization": "layer_norm"},
        {"mlp": {"units": [8, 8], "activation": "elu", "d2rl": True}},
        {"mlp": {"units": [], "activation": "elu"}},
    ):
        agent = make_sac(network=change)
        epochs(agent, 3)
        assert agent.update_counter > 0 and all_finite(agent.model.state_dict())


# --- collecting ------------------------------------------------------------------------------------------------------


def test_actions_span_each_dimensions_own_bounds(make_sac):
    env = Bounded(low=(-2.0, 0.0), high=(2.0, 10.0))
    agent = make_sac(env, num_warmup_steps=25)
    epochs(agent, 25)
    taken = torch.cat(env.actions)  # 800 random actions
    low, high = taken.amin(dim=0), taken.amax(dim=0)
    torch.testing.assert_close(low, torch.tensor([-2.0, 0.0]), atol=0.1, rtol=0)
    torch.testing.assert_close(high, torch.tensor([2.0, 10.0]), atol=0.1, rtol=0)
    assert agent.update_counter == 1  # the warm-up's last step is the first with enough to learn from


def test_warm_up_in_frames_wins_and_learning_begins_after_it(make_sac):
    agent = make_sac(num_warmup_frames=24, num_warmup_steps=1000, num_updates_per_step=3)
    epochs(agent, 1)  # 4 steps of 8: updates after the third and the fourth
    assert (agent.frame, agent.update_counter) == (32, 6)


def test_updates_per_frame(make_sac):
    """0.3 updates per frame are 2.4 per step of 8: after 8, 16, 24, 32 frames 2, 4, 7 and 9."""
    agent = make_sac(num_warmup_frames=0, utd_ratio=0.3, num_updates_per_step=50)
    done = []
    agent.update = lambda: done.append(agent.frame) or 1
    epochs(agent, 1)
    assert [done.count(frame) for frame in (8, 16, 24, 32)] == [2, 2, 3, 2]


def test_what_is_remembered(make_sac):
    """Rows 1, 3, 5, 7 are cut short in their fifth step and go on from their true last observation, sin(.. 1.3 * 5)."""
    env = ToyEnv()
    agent = make_sac(env, num_warmup_steps=100)
    epochs(agent, 1)
    fields = agent.replay_buffer.fields
    for n in range(4):
        rows = slice(8 * n, 8 * n + 8)
        t = (torch.arange(8) % 5 + n) % 5
        phase = 0.7 * torch.arange(8).unsqueeze(1) + torch.arange(3)
        torch.testing.assert_close(fields["obs"][rows], torch.sin(phase + 1.3 * t.unsqueeze(1)))
        torch.testing.assert_close(env.actions[n], 2.0 * fields["action"][rows])
        odd = torch.arange(8) % 2 == 1
        assert torch.equal(fields["ended"][rows], t == 4)
        assert torch.equal(fields["terminated"][rows], (t == 4) & ~odd)
        goes_on = ~fields["terminated"][rows]
        following = torch.sin(phase + 1.3 * (t + 1).unsqueeze(1))
        torch.testing.assert_close(fields["next_obs"][rows][goes_on], following[goes_on])
    assert fields["valid"][:32].all()


def test_an_environment_that_does_not_tell_its_last_observation(make_sac):
    """What it saw before the step stands in for it, as in RL Games; never the next episode."""
    agent = make_sac(ToyEnv(gives_final_obs=False), num_warmup_steps=100)
    epochs(agent, 1)
    fields = agent.replay_buffer.fields
    cut = fields["ended"] & ~fields["terminated"]
    assert cut.any() and torch.equal(fields["next_obs"][cut], fields["obs"][cut])


def test_without_value_bootstrap_nothing_follows_a_cut(make_sac):
    agent = make_sac(num_warmup_steps=100, value_bootstrap=False)
    epochs(agent, 2)
    fields = agent.replay_buffer.fields
    assert torch.equal(fields["terminated"], fields["ended"]) and fields["ended"].any()


def test_each_frame_enters_the_statistics_once(make_sac):
    agent = make_sac(num_updates_per_step=4, num_warmup_steps=0)
    epochs(agent, 3)  # 3 x 4 x 8 = 96 frames, and the count begins at 1; RL Games adds every sampled batch
    assert agent.model.running_mean_std.count.item() == 97


# --- learning --------------------------------------------------------------------------------------------------------


def test_actor_and_temperature_learn_at_every_second_update(make_sac):
    agent = make_sac(num_warmup_frames=0, policy_frequency=2)
    epochs(agent, 1)
    watched = {"critic": agent.model.sac_network.critic, "actor": agent.model.sac_network.actor}

    def moved():
        before = {name: [x.clone() for x in part.parameters()] for name, part in watched.items()}
        alpha = agent.alpha
        steps = agent.update()
        changed = {
            name: any(not torch.equal(*pair) for pair in zip(before[name], part.parameters(), strict=True))
            for name, part in watched.items()
        }
        return steps, changed["critic"], changed["actor"], bool(agent.alpha != alpha)

    assert agent.update_counter % 2 == 0
    assert moved() == (1, True, False, False)
    assert moved() == (2, True, True, True)


def test_the_target_follows_by_critic_tau(make_sac):
    agent = make_sac(critic_tau=0.25)
    network = agent.model.sac_network
    with torch.no_grad():
        for x in network.critic.parameters():
            x.fill_(1.0)
        for x in network.critic_target.parameters():
            x.zero_()
    agent.update_target_weights()
    assert all((x == 0.25).all() for x in network.critic_target.parameters())


def test_a_fixed_temperature_stays(make_sac):
    agent = make_sac(learnable_temperature=False, num_warmup_frames=0)
    metrics = epochs(agent, 4)
    assert agent.alpha.item() == pytest.approx(0.5)
    assert "losses/alpha_loss" not in metrics.scalars and "info/alpha" in metrics.scalars


def test_the_target_entropy(make_sac):
    assert make_sac().target_entropy == -2.0
    assert make_sac(target_entropy_coef=0.5).target_entropy == -1.0


def test_losses_by_hand(make_sac):
    """Critics that say 3 and 2, target critics that say 5 and 4; alpha 0.5."""
    agent = make_sac()
    agent.model.critic = lambda obs, action: (torch.full((2,), 3.0), torch.full((2,), 2.0))
    agent.model.critic_target = lambda obs, action: (torch.full((2,), 5.0), torch.full((2,), 4.0))
    batch = agent_batch(reward=[1.0, 7.0], discount=[0.9, 0.0])
    noise = torch.zeros(2, 2)
    neglogp = agent.model.actor(batch.next_obs).draw(noise)[1]
    targets = [1.0 + 0.9 * (4.0 + 0.5 * neglogp[0].item()), 7.0]
    loss, c1, c2 = agent.critic_losses(batch, noise, torch.tensor(0.5))
    assert c1.item() == pytest.approx(sum((3.0 - t) ** 2 for t in targets) / 2, rel=1e-5)
    assert c2.item() == pytest.approx(sum((2.0 - t) ** 2 for t in targets) / 2, rel=1e-5)
    assert loss.item() == pytest.approx(0.5 * (c1 + c2).item())
    neglogp = agent.model.actor(batch.obs).draw(noise)[1].mean().item()
    a_loss, entropy, alpha_loss = agent.actor_losses(batch, noise, torch.tensor(math.log(0.5)))
    assert a_loss.item() == pytest.approx(-(2.0 + 0.5 * neglogp), rel=1e-5)
    assert entropy.item() == pytest.approx(neglogp, rel=1e-5)
    assert alpha_loss.item() == pytest.approx(0.5 * (neglogp + 2.0), rel=1e-5)


def agent_batch(reward, discount):
    from manybody.data.replay import ReplayBatch

    draw = torch.Generator().manual_seed(0)
    obs, next_obs = torch.randn(2, 2, 3, generator=draw)
    action = torch.zeros(2, 2)
    valid = torch.ones(2, dtype=torch.bool)
    return ReplayBatch(obs, action, torch.tensor(reward), next_obs, torch.tensor(discount), valid)


def test_the_actor_step_leaves_no_gradient_on_the_critics(make_sac):
    agent = make_sac(num_warmup_frames=0, policy_frequency=1)
    epochs(agent, 1)
    for x in agent.model.sac_network.critic.parameters():
        x.grad = None
    agent.update_actor_and_alpha(agent.replay_buffer.sample(32, 0.9))
    assert all(x.grad is None and x.requires_grad for x in agent.model.sac_network.critic.parameters())
    assert all(x.grad is not None for x in agent.model.sac_network.actor.parameters())


def test_every_update_is_logged_and_the_warm_up_logs_none(make_sac):
    agent = make_sac(num_warmup_steps=2)
    assert epochs(agent, 1).scalars == {}
    metrics = epochs(agent, 2)
    losses = {f"losses/{name}" for name in ("a_loss", "c1_loss", "c2_loss", "entropy", "alpha_loss")}
    assert set(metrics.scalars) == losses | {"info/alpha"}
    assert metrics.frames == 32 and metrics.updates == 4 + 2  # four of the critics, two of the actor


def test_training_stops_although_no_episode_ended(make_sac):
    """RL Games 1.6.5 goes on for ever (defect 8d)."""
    agent = make_sac(ToyEnv(length=1000), max_epochs=3)
    assert agent.train() == (float("-inf"), 3)


def test_several_reward_components_are_added_up(make_sac, capsys):
    agent = make_sac(ToyEnv(value_size=2), num_warmup_steps=100)
    assert "warning: sac learns from the sum of the environment's 2 rewards" in capsys.readouterr().err
    one = make_sac(num_warmup_steps=100)
    for x in (agent, one):
        torch.manual_seed(3)
        epochs(x, 1)
    fields, alone = agent.replay_buffer.fields, one.replay_buffer.fields
    torch.testing.assert_close(fields["reward"], 2.0 * alone["reward"])


# --- non-finite values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["obs", "reward", "final_obs"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_rows_are_never_learned_from(make_sac, key, value):
    env = FaultyEnv(Fault(key, value, row=3, first=6, last=6))  # row 3 is cut short in that step
    agent = make_sac(env, num_warmup_frames=0, n_step=3, max_epochs=4)
    agent.train()
    fields = agent.replay_buffer.fields
    expected = torch.ones(128, dtype=torch.bool)
    expected[[6 * 8 + 3, 7 * 8 + 3]] = False  # the step, and the one that was taken blindly
    assert torch.equal(fields["valid"][:128], expected)
    assert all_finite({name: x for name, x in fields.items() if name not in ("ended", "terminated", "valid")})
    assert all_finite(agent.model.state_dict())
    assert agent.guard.skipped_updates.item() == 0


def test_a_loss_that_is_not_finite_changes_nothing(make_sac):
    agent = make_sac(num_warmup_frames=0, policy_frequency=1)
    epochs(agent, 1)
    agent.replay_buffer.fields["reward"][:] = float("nan")
    before = [x.clone() for x in agent.model.sac_network.critic.parameters()]
    agent.update()
    assert all(torch.equal(*pair) for pair in zip(before, agent.model.sac_network.critic.parameters(), strict=True))
    assert agent.guard.skipped_updates.item() == 1  # the actor does not look at rewards


def test_rewards_that_shaping_breaks_are_named(make_sac, capsys):
    """The logarithm of a negative reward."""
    agent = make_sac(reward_shaper={"log_val": True, "shift_value": -5.0}, max_epochs=2, num_warmup_frames=0)
    agent.train()
    assert "reward of environment 0 at step 0" in capsys.readouterr().err
    assert all_finite(agent.model.state_dict())


# --- settings --------------------------------------------------------------------------------------------------------


def test_parameters_that_may_change_while_training(make_sac):
    agent = make_sac()
    agent.set_param("gamma", 0.5)
    assert agent.get_param("gamma") == agent.gamma == 0.5
    with pytest.raises(KeyError, match="batch_size: cannot change during training"):
        agent.set_param("batch_size", 1)


def test_forced_resets_keep_the_memory(make_sac):
    agent = make_sac(epochs_between_resets=1, max_epochs=3, num_warmup_frames=0)
    agent.train()
    assert len(agent.replay_buffer) == 96
    assert agent.replay_buffer.fields["ended"][3 * 8 : 4 * 8].all()  # no return reaches over the reset


# --- what else may be put together ------------------------------------------------------------------------------------


class Parts(ToyEnv):
    """The toy environment whose observation has two parts, one of them bytes."""

    def __init__(self):
        super().__init__()
        image = spaces.Box(0, 255, (2, 2), np.uint8)
        self.spec = EnvSpec(spaces.Dict({"image": image, "speed": self.spec.observation_space}), self.spec.action_space)

    def parts(self, obs):
        speed = obs["obs"]
        return {"obs": {"image": torch.full((8, 2, 2), 200, dtype=torch.uint8), "speed": speed}}

    def reset(self):
        return self.parts(super().reset())

    def step(self, actions):
        step = super().step(actions)
        return step._replace(obs=self.parts(step.obs), final_obs=self.parts(step.final_obs))


@pytest.mark.parametrize("normalize_input", [True, False])
def test_dictionaries_of_observations_and_bytes(make_sac, normalize_input, capsys):
    agent = make_sac(Parts(), num_warmup_frames=0, n_step=2, normalize_input=normalize_input, max_epochs=2)
    assert "sac has no convolutions: of image (2, 2) every number is an input" in capsys.readouterr().err
    agent.train()
    assert agent.replay_buffer.fields["obs"]["image"].dtype == torch.uint8
    assert agent.model.sac_network.actor.trunk[0].in_features == 4 + 3
    assert agent.update_counter == 8 and all_finite(agent.model.state_dict())


@pytest.mark.parametrize("losses", ["critic_losses", "actor_losses"])
@pytest.mark.slow
def test_losses_are_one_graph(make_sac, losses):
    """Without a break, and the same numbers and gradients as uncompiled."""
    agent = make_sac()
    batch = agent_batch(reward=[1.0, 7.0], discount=[0.9, 0.0])
    arguments = (batch, torch.ones(2, 2), agent.log_alpha.detach())
    part = agent.model.sac_network.critic if losses == "critic_losses" else agent.model.sac_network.actor
    eager = getattr(agent, losses)
    results = []
    for function in (eager, torch.compile(eager, backend="aot_eager", fullgraph=True)):
        part.zero_grad()
        values = function(*arguments)
        values[0].backward()
        results.append([x.detach() for x in values] + [x.grad.clone() for x in part.parameters()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("observation", ["vector", "dict"])
def test_every_agent_of_an_environment_is_remembered_and_learned_from(make_sac, observation):
    """4 environments of 2 agents: 8 rows, of which the statistics know 2 ends per environment."""
    agent = make_sac(FamilyEnv("box", observation, num_envs=4, agents=2), num_actors=4, num_steps_per_episode=8)
    before = [parameter.clone() for parameter in agent.model.parameters()]
    epochs(agent, 3)
    assert agent.frame == 4 * 8 * 3 and len(agent.replay_buffer) == 8 * 8 * 3
    assert agent.game_rewards.current_size == 8 * (24 // LENGTH) and agent.update_counter > 0
    changed = [not torch.equal(*pair) for pair in zip(before, agent.model.parameters(), strict=True)]
    assert any(changed) and all_finite(agent.model.state_dict())
