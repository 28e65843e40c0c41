"""Players: exactly so many games, as many in each environment, with the policy that was trained."""

import pytest
import torch
from toy import ToyEnv
from toy_env import toy_params

from manybody.algos.a2c import A2CAgent, PpoPlayerContinuous
from manybody.config import parse_params
from manybody.engine.checkpoint import CheckpointError, save_checkpoint
from manybody.envs.base import Step

LENGTH = 5


class Counting(ToyEnv):
    """Every game is worth what its environment and its number say, whatever is done: 100 i + k, in its last step."""

    def __init__(self, num_envs=8, lengths=None):
        super().__init__(num_envs, LENGTH)
        self.lengths = torch.full((num_envs,), LENGTH) if lengths is None else torch.tensor(lengths)

    def reset(self):
        self.steps = torch.zeros(self.num_envs, dtype=torch.long)
        self.games = torch.zeros(self.num_envs)
        return {"obs": self.observe()}

    def step(self, actions):
        self.steps = self.steps + 1
        ended = self.steps >= self.lengths
        reward = torch.where(ended, 100.0 * self.rows + self.games, 0.0)
        self.games += ended
        self.steps = torch.where(ended, 0, self.steps)
        return Step({"obs": self.observe()}, reward, ended, torch.zeros_like(ended), None, {})


def make(env, **player):
    params = parse_params(toy_params(player=player, num_actors=env.num_envs), training=False)
    torch.manual_seed(0)
    return PpoPlayerContinuous(params, vec_env=env)


def worth(games):
    """Mean and population deviation of the given (environment, number) games."""
    returns = torch.tensor([100.0 * i + k for i, k in games], dtype=torch.float64)
    return returns.mean().item(), returns.std(unbiased=False).item()


@pytest.mark.parametrize(
    "games_num,played",
    [
        (8, [(i, 0) for i in range(8)]),
        (16, [(i, k) for i in range(8) for k in range(2)]),
        (3, [(0, 0), (1, 0), (2, 0)]),
        (11, [(i, 0) for i in range(8)] + [(0, 1), (1, 1), (2, 1)]),  # 11 = 8 + 3
        (1, [(0, 0)]),
    ],
)
def test_exactly_the_first_games_of_each_environment_count(games_num, played):
    result = make(Counting(), games_num=games_num).run(quiet=True)
    mean, std = worth(played)
    assert result.games == games_num
    assert (result.mean_reward, result.std_reward, result.mean_steps) == pytest.approx((mean, std, LENGTH))


def test_short_games_do_not_count_more_often():
    # Environment 0 ends every step, environment 1 every tenth: of four games, two are of each.
    result = make(Counting(2, lengths=[1, 10]), games_num=4).run(quiet=True)
    mean, std = worth([(0, 0), (0, 1), (1, 0), (1, 1)])
    assert (result.mean_reward, result.std_reward, result.mean_steps) == pytest.approx(
        (mean, std, (1 + 1 + 10 + 10) / 4)
    )


def test_lives_make_a_game():
    assert make(Counting(), games_num=2, n_game_life=3).run(quiet=True).games == 6


def test_a_broken_reward_stays_in_its_own_game():
    class Broken(Counting):
        def step(self, actions):
            over = self.games[1] >= 1
            step = super().step(actions)
            if over:
                step.reward[1] = float("nan")
            return step

    # With four games the second one of environment 1 does not count, with five it does.
    result = make(Broken(3), games_num=4).run(quiet=True)
    assert result.mean_reward == pytest.approx(worth([(0, 0), (1, 0), (2, 0), (0, 1)])[0])
    player = make(Broken(3), games_num=5)
    result = player.run(quiet=True)
    assert (result.games, player.left_out) == (4, 1)
    assert result.mean_reward == pytest.approx(worth([(0, 0), (1, 0), (2, 0), (0, 1)])[0])


def test_watching_can_end_it():
    seen = []
    make(Counting(), games_num=800).run(on_step=lambda step: seen.append(step.reward) or len(seen) == 7, quiet=True)
    assert len(seen) == 7


def test_the_lines_that_scripts_parse(capsys):
    result = make(Counting(), games_num=8).run()
    out = capsys.readouterr().out
    assert f"av reward: {result.mean_reward} av steps: {result.mean_steps}\n" in out
    assert f"reward: {result.mean_reward:.2f} +- {result.std_reward:.2f} steps: 5.0\n" in out
    make(Counting(), games_num=8, print_stats=False).run()
    assert capsys.readouterr().out == f"av reward: {result.mean_reward} av steps: {result.mean_steps}\n"


# --- the policy ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    params = parse_params(toy_params(max_epochs=3))
    torch.manual_seed(0)
    agent = A2CAgent("run", params, vec_env=ToyEnv())
    agent.train()
    save_checkpoint(folder / "toy.pth", agent.get_full_state_weights())
    return agent, folder / "toy.pth"


def test_the_deterministic_action_is_the_mean_of_training(trained):
    agent, file = trained
    player = make(ToyEnv())
    player.restore(str(file))
    obs = {"obs": 3.0 * torch.randn(8, 3)}
    agent.model.eval()
    with torch.inference_mode():
        mean = agent.model({"is_train": False, "obs": obs["obs"], "prev_actions": None})["mus"]
        action = player.get_action(obs, is_deterministic=True)
    # clip_actions: [-1, 1] is mapped to the action space's [-2, 2]
    assert torch.equal(action, 2.0 * mean.clamp(-1.0, 1.0))
    assert torch.equal(action, agent.preprocess_actions(mean))


def test_a_sampled_action_is_drawn_as_in_training(trained):
    agent, file = trained
    player = make(ToyEnv())
    player.restore(str(file))
    obs = {"obs": torch.randn(8, 3)}
    agent.model.eval()
    with torch.inference_mode():
        torch.manual_seed(5)
        sampled = agent.preprocess_actions(agent.get_action_values(obs)["actions"])
        torch.manual_seed(5)
        action = player.get_action(obs)
        again = player.get_action(obs)
    assert torch.equal(action, sampled) and not torch.equal(action, again)


def test_normalisers_do_not_learn_while_playing(trained):
    _, file = trained
    player = make(ToyEnv(), games_num=8)
    player.restore(str(file))
    before = {name: value.clone() for name, value in player.model.state_dict().items()}
    player.run(quiet=True)
    assert all(torch.equal(before[name], value) for name, value in player.model.state_dict().items())


def test_deterministic_play_repeats_itself_and_sampled_play_does_not(trained):
    _, file = trained
    results = {}
    for deterministic in (True, False):
        player = make(ToyEnv(), games_num=8, deterministic=deterministic)
        player.restore(str(file))
        results[deterministic] = [player.run(quiet=True) for _ in range(2)]
    assert results[True][0] == results[True][1]
    assert results[False][0] != results[False][1]
    assert results[True][0].mean_reward > results[False][0].mean_reward  # noise costs reward in the toy


def test_a_checkpoint_of_another_network_is_told_parameter_by_parameter(trained, tmp_path):
    _, file = trained
    mapping = toy_params()
    mapping["network"]["mlp"]["units"] = [16, 4]
    player = PpoPlayerContinuous(parse_params(mapping), vec_env=ToyEnv())
    with pytest.raises(
        CheckpointError, match=r"a2c_network.actor_mlp.2.weight has shape \(8, 16\), the network \(4, 16\)"
    ):
        player.restore(str(file))
    with pytest.raises(CheckpointError, match="a readable checkpoint"):
        player.restore(str(tmp_path / "none.pth"))


def test_without_clip_actions_the_policy_speaks_in_the_units_of_the_environment(trained):
    _, file = trained
    params = parse_params(toy_params(clip_actions=False))
    player = PpoPlayerContinuous(params, vec_env=ToyEnv())
    player.restore(str(file))
    obs = {"obs": torch.randn(8, 3)}
    with torch.inference_mode():
        mean = player.model({"is_train": False, "obs": obs["obs"], "prev_actions": None})["mus"]
        assert torch.equal(player.get_action(obs, is_deterministic=True), mean)
