"""AMP learns a motion from the discriminator's reward only."""

import pytest
import torch
from toy_amp import TURN, OrbitEnv, orbit_params

from manybody.engine.run_folder import RunFolder
from manybody.runner import build_runner


@pytest.mark.learning
def test_a_point_learns_to_move_along_a_circle(tmp_path):
    """Distance and angle per step are within 10 % of the demonstrations, 1 and ``TURN``; the task reward is 0."""
    runner = build_runner()
    settings = orbit_params(max_epochs=70, lr_schedule="linear", disc_grad_penalty=1.0)
    params = runner.parse({"params": settings})
    torch.manual_seed(1)
    agent = runner.algo_factory.create(
        "amp_continuous",
        base_name="run",
        params=params,
        vec_env=OrbitEnv(),
        folder=lambda: RunFolder.create(tmp_path, "orbit"),
    )
    agent.train()
    env = OrbitEnv(seed=7)
    player = runner.player_factory.create("amp_continuous", params=params, vec_env=env)
    player.restore(str(next(agent.run.folder.nn.glob("last*"))))
    player.run(quiet=True)
    distance, turn = (float(torch.stack(values).mean()) for values in (env.distance, env.turn))
    assert distance == pytest.approx(1.0, rel=0.1)
    assert turn == pytest.approx(TURN, rel=0.1)
