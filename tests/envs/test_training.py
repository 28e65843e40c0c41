"""What adapters give is what agents take: a short training through each kind of row, state and mask."""

import pytest
from counting_env import Fading
from toy import ToyEnv, toy_params

from manybody.algos.a2c import DiscreteA2CAgent
from manybody.cli.exit_codes import exit_codes
from manybody.config import parse_params
from manybody.envs import registration
from manybody.envs.pettingzoo import PettingZooEnv
from manybody.runner import Runner


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
    taken = [action for copy in env.envs for actions in copy.received for action in actions.values()]
    # Its masks forbid action 0; without them it is taken a third of the time, of 4 x 2 episodes x (2+3+4) actions.
    assert (0 in taken) == (not use_action_masks)
    # Eight steps are two episodes of every row, agent k earning k + 1 in each of its 2 + k steps: 2, 6 and 12.
    assert agent.game_rewards.mean.item() == pytest.approx((2 + 6 + 12) / 3)
    assert agent.game_lengths.mean.item() == 4.0


def test_a_run_whose_environment_goes_wrong_ends_in_one_line_and_keeps_what_it_learned(tmp_path, monkeypatch, capsys):
    class Late(ToyEnv):
        def step(self, actions):
            step = super().step(actions)
            return step._replace(obs={"obs": step.obs["obs"][:, :1]}) if len(self.actions) > 20 else step

    monkeypatch.setattr(registration, "_creators", {"late": lambda num_actors, **_: Late(num_actors)})
    mapping = toy_params(env_name="late", max_epochs=4, train_dir=str(tmp_path))  # 8 steps an epoch: it ends in 3
    with pytest.raises(SystemExit) as stop, exit_codes():
        runner = Runner()
        runner.load({"params": mapping})
        runner.run({"train": True})
    *_, kept, line = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert kept == "warning: EnvError ended epoch 3; the weights of epoch 2 are saved"
    assert line.startswith("error: late: step() 'obs': got a tensor (8, 1) of torch.float32; expected a tensor (8, 3)")
    assert len(list(tmp_path.glob("*/nn/last_Toy_ep_2_*.pth"))) == 1
