"""``print(agent)``."""

import pytest
from toy import ToyEnv, toy_params
from toy_sac import sac_params

from manybody.algos.a2c import A2CAgent
from manybody.algos.sac import SACAgent
from manybody.config import parse_params
from manybody.tasks import make


def test_an_agent_describes_itself_and_its_task():
    settings = toy_params(env_name="Ant", num_actors=8, normalize_input=False)
    text = str(A2CAgent("run", parse_params(settings), vec_env=make("Ant", 8)))
    # 8 steps x 8 environments, 2 mini-epochs of 64 / 32 minibatches
    for expected in ("a2c_continuous", "8 steps x 8 rows = 64 frames, 4 updates", "force and torque in each ankle"):
        assert expected in text
    assert "headingWeight" not in text and "facing the target" in text


@pytest.mark.parametrize(
    "agent",
    [
        lambda: A2CAgent("run", parse_params(toy_params()), vec_env=ToyEnv()),
        lambda: SACAgent("run", parse_params(sac_params()), vec_env=ToyEnv()),
    ],
)
def test_other_environments_show_their_spaces(agent):
    text = str(agent())
    assert "observation" in text and "(3,)" in text and "learning rate" in text
