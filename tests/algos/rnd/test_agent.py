"""Agents with curiosity: whatever users put together trains, plays and resumes; rewards and advantages by hand."""

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from toy_env import all_finite, differences
from toy_family import ACTION_SPACES, OBSERVATIONS, FamilyEnv, family_params

from manybody.algos.rnd import RNDAgent, RNDDiscreteAgent, RNDPlayerContinuous, RNDPlayerDiscrete
from manybody.config import ConfigError, parse_params
from manybody.engine.run_folder import RunFolder
from manybody.runner import Runner


def rnd_params(action: str = "discrete", *args: Any, **config: Any) -> dict[str, Any]:
    """:func:`family_params` with curiosity."""
    mapping = family_params(action, *args, **config)
    mapping["algo"]["name"] = "rnd_continuous" if action == "box" else "rnd_discrete"
    small = {"units": [8], "activation": "relu"}
    mapping["network"] |= {
        "name": "rnd_curiosity",
        "rnd": {"features": 5, "target": small, "predictor": small},
    }
    return mapping


def make_agent(mapping: dict[str, Any], env: FamilyEnv, **parts: Any) -> Any:
    torch.manual_seed(0)
    agent = RNDAgent if mapping["algo"]["name"] == "rnd_continuous" else RNDDiscreteAgent
    return agent("run", parse_params(mapping), vec_env=env, **parts)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    database=None,
    phases=[Phase.generate],
)
@given(
    action=st.sampled_from(list(ACTION_SPACES)),
    observation=st.sampled_from(OBSERVATIONS),
    agents=st.sampled_from([1, 2]),
    rnn=st.sampled_from([None, "lstm"]),
    central=st.sampled_from([None, "mlp"]),
    masks=st.booleans(),
    config=st.fixed_dictionaries(
        {
            name: st.booleans()
            for name in ("normalize_input", "normalize_value", "value_bootstrap", "shuffle_minibatches")
        }
    ),
    episodic=st.booleans(),
)
@pytest.mark.slow
def test_every_combination_trains_and_plays(action, observation, agents, rnn, central, masks, config, episodic):
    if masks and action != "box":
        config = {**config, "use_action_masks": True}
    rnd = {"episodic": episodic, "update_proportion": 0.5}
    mapping = rnd_params(action, observation, rnn, central, rnd_config=rnd, **config)
    agent = make_agent(mapping, FamilyEnv(action, observation, agents=agents))
    before = {name: value.clone() for name, value in agent.model.named_parameters()}
    agent.train()
    assert agent.epoch_num == 2 and all_finite(agent.model.state_dict())
    moved = {name for name, value in agent.model.named_parameters() if (value != before[name]).any()}
    assert any(".predictor." in name for name in moved) and not any(".target." in name for name in moved)
    assert any("_mlp" in name and ".curiosity." not in name for name in moved)
    player = RNDPlayerContinuous if action == "box" else RNDPlayerDiscrete
    played = player(parse_params(mapping), vec_env=FamilyEnv(action, observation, agents=agents))
    played.model.load_state_dict(agent.model.state_dict())
    played.games_num = 8
    assert played.run(quiet=True).games == 8


def collected(episodic: bool = False, **rnd: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """An agent after one rollout of eight steps; every other environment truncates after six."""
    mapping = rnd_params(value_bootstrap=True, rnd_config={"episodic": episodic, "gamma": 0.8, **rnd})
    agent = make_agent(mapping, FamilyEnv())
    agent.start_training()
    agent.play_steps()
    return agent, agent.experience_buffer.tensor_dict


def test_novelty_is_the_mean_squared_error_about_the_following_observation():
    agent, rollout = collected()
    curiosity, gamma = agent.curiosity, agent.rnd.gamma
    following = torch.cat([rollout["obses"][1:], agent.obs["obs"].unsqueeze(0)])
    # The statistics hold the 8 x 4 observations, beside one assumed sample with mean 0 and variance 1.
    mean, var = following.flatten(0, 1).mean(dim=0), following.flatten(0, 1).var(dim=0, correction=0)
    both = (var * 32 + 1 + mean.square() * 32 / 33) / 33
    stats = curiosity.obs_mean_std
    torch.testing.assert_close(stats.running_var.float(), both)
    seen = ((following - mean * 32 / 33) / (both + 1e-5).sqrt()).clamp(-5, 5)
    expected = [
        (curiosity.predictor({"obs": x}).value - curiosity.target({"obs": x}).value).square().mean(dim=1) for x in seen
    ]
    returns, last = [], torch.zeros(4)
    for reward in expected:
        last = reward + gamma * last
        returns.append(last)
    deviation = torch.stack(returns).std(correction=0)
    agent.intrinsic_returns = torch.zeros(4)
    curiosity.return_mean_std.count.fill_(0.0)
    shaped = agent.shape_rewards(rollout)
    assert shaped.shape == (8, 4, 2)
    # extrinsic_coef 2, intrinsic_coef 1
    torch.testing.assert_close(shaped[..., :1], 2.0 * rollout["rewards"])
    torch.testing.assert_close(shaped[..., 1], torch.stack(expected) / deviation, rtol=0.03, atol=0.03)
    torch.testing.assert_close(agent.intrinsic_returns, returns[-1], rtol=0.03, atol=0.03)


@pytest.mark.parametrize("episodic", [False, True])
def test_intrinsic_returns_have_their_own_discount_and_ends(episodic):
    agent, rollout = collected(episodic)
    last_values = torch.tensor([[1.0, 2.0]]).expand(4, 2)
    rewards = torch.rand(8, 4, 2)
    agent.shape_rewards = lambda _: rewards
    advantages = agent.calc_advantages(rollout, last_values)
    values, dones = rollout["values"], torch.cat([rollout["dones"], agent.dones.unsqueeze(0)]).float()
    assert dones[1:].sum() == 4  # rows begin at steps 0 to 3 of 6: each ends once in 8
    following = torch.cat([values[1:], last_values.unsqueeze(0)])
    for head, gamma, ends in ((0, 0.9, 1.0), (1, 0.8, float(episodic))):
        carried = torch.zeros(4)
        for t in reversed(range(8)):
            going_on = 1.0 - ends * dones[t + 1]
            reward = rewards[t, :, head] + rollout["bootstraps"][t, :, head]
            delta = reward + gamma * following[t, :, head] * going_on - values[t, :, head]
            carried = delta + gamma * 0.95 * going_on * carried
            torch.testing.assert_close(advantages[t, :, head], carried)
    cut = rollout["bootstraps"][..., 1] != 0.0
    assert cut.any() == episodic and (rollout["bootstraps"][..., 0] != 0.0).any()


@torch.no_grad()
def test_the_coefficients_weigh_the_rewards():
    agent, rollout = collected(extrinsic_coef=0.0, intrinsic_coef=3.0)
    shaped = agent.shape_rewards(rollout)
    assert not shaped[..., 0].any()
    agent.config = agent.config.model_copy(update={"rnd_config": agent.rnd.model_copy(update={"intrinsic_coef": 1.0})})
    agent.intrinsic_returns, once = torch.zeros(4), agent.shape_rewards(rollout)
    assert (shaped[..., 1] / once[..., 1]).mean() == pytest.approx(3.0, rel=0.2)


@pytest.mark.slow
def test_what_was_often_met_is_no_longer_new():
    agent = make_agent(rnd_params(max_epochs=60, learning_rate=3e-3), FamilyEnv())
    agent.start_training()
    agent.play_steps()
    first = agent.epoch_extras["info/novelty"].clone()
    agent.train()
    agent.play_steps()
    assert agent.epoch_extras["info/novelty"] < 0.2 * first
    strange = agent.curiosity.novelty(torch.full((1, 3), 30.0))
    assert strange > 10.0 * agent.epoch_extras["info/novelty"]


def test_a_resumed_run_is_the_same_run(tmp_path):
    def run(name: str, epochs: int, checkpoint: str | None = None) -> Any:
        mapping = rnd_params(
            "discrete",
            "dict",
            "lstm",
            max_epochs=epochs,
            train_dir=str(tmp_path),
            rnd_config={"update_proportion": 0.5},
        )
        agent = make_agent(
            mapping,
            FamilyEnv("discrete", "dict"),
            folder=lambda: RunFolder.create(str(tmp_path), "family", name),
            checkpoint=checkpoint,
        )
        agent.train()
        return agent

    whole, half = run("whole", 4), run("half", 2)
    (file,) = half.run.folder.nn.glob("last_*_ep_2_*.pth")
    rest = run("rest", 4, str(file))
    state, resumed = whole.get_full_state_weights(), rest.get_full_state_weights()
    assert differences(state, resumed) == ["/elapsed"]
    moved = differences(half.get_full_state_weights(), state)
    for part in (
        "/model/a2c_network.curiosity.predictor.value.weight",
        "/model/a2c_network.curiosity.return_mean_std.running_var",
        "/interaction/intrinsic_returns",
    ):
        assert part in moved


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_broken_observations_do_not_reach_curiosity(value):
    class Breaking(FamilyEnv):
        def _observe(self):
            obs = super()._observe()
            obs["obs"][1] = value
            return obs

        def reset(self):
            return super().reset() | {"obs": torch.zeros(4, 3)}

    agent = make_agent(rnd_params(max_epochs=3, normalize_input=True), Breaking())
    agent.train()
    assert agent.epoch_num == 3 and all_finite(agent.model.state_dict())
    assert agent.intrinsic_returns.isfinite().all()


def test_without_its_network_it_is_refused():
    mapping = family_params("discrete")
    mapping["algo"]["name"] = "rnd_discrete"
    with pytest.raises(ConfigError, match="got 'actor_critic'; expected 'rnd_curiosity'"):
        make_agent(mapping, FamilyEnv())


@pytest.mark.slow
def test_the_runner_knows_it(tmp_path):
    runner = Runner()
    runner.load({"params": rnd_params(train_dir=str(tmp_path))})
    agent = runner.run({"train": True, "vec_env": FamilyEnv()})
    names = {line.split('"')[0] for line in agent.run.folder.metrics_file.read_text().split(', "')}
    assert {"losses/predictor_loss", "info/novelty", "info/intrinsic_reward"} <= names
    assert "rewards1/step" not in names  # the environment has one reward
    player = runner.create_player(FamilyEnv())
    player.restore(str(agent.run.folder.newest()))
    assert player.run(quiet=True).games == 100


@pytest.mark.slow
def test_compiled_and_eager_agree(monkeypatch):
    torch_compile = torch.compile

    def aot_eager(function, **options):
        return torch_compile(function, backend="aot_eager", fullgraph=True, dynamic=options["dynamic"])

    monkeypatch.setattr(torch, "compile", aot_eager)

    def trained(**config: Any) -> dict[str, torch.Tensor]:
        agent = make_agent(rnd_params(**config), FamilyEnv())
        agent.train()
        return agent.model.state_dict()

    eager, traced = trained(), trained(torch_compile=True)
    for name, value in eager.items():
        torch.testing.assert_close(traced[name], value, rtol=1e-5, atol=1e-6)
