"""AMP learns a motion from the discriminator's reward alone."""

import pytest
import torch
from toy_amp import TURN, OrbitEnv, orbit_params

from manybody.engine.run_folder import RunFolder
from manybody.runner import build_runner


@pytest.mark.learning
def test_a_point_learns_to_walk_around_a_circle(tmp_path):
    """Within 10 % of the demonstrator, who stays at distance 1 and turns by TURN each step; nothing else pays."""
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
