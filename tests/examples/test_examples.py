"""Every example runs for a few epochs and does what its docstring says."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from manybody import tasks
from manybody.algos.network import BaseNetwork
from manybody.config import ConfigWarning, load_yaml
from manybody.launch.hydra_tree import compose
from manybody.model_builder import NETWORK_REGISTRY
from manybody.runner import Runner

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def _restore_registries(monkeypatch):
    monkeypatch.setattr(tasks, "TASKS", dict(tasks.TASKS))
    before = dict(NETWORK_REGISTRY)
    yield
    NETWORK_REGISTRY.clear()
    NETWORK_REGISTRY.update(before)


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic looks a model's module up
    spec.loader.exec_module(module)
    return module


def test_ppo_in_one_file_learns():
    # An untrained policy balances the pole for about 20 steps with rewards below 1.
    assert example("ppo_one_file").train(epochs=30, num_envs=128, goal=60.0) >= 60.0


def test_ppo_in_one_file_imports_only_base_packages():
    text = (EXAMPLES / "ppo_one_file.py").read_text()
    folders = {line.split()[1].split(".")[1] for line in text.splitlines() if line.startswith("from manybody.")}
    assert folders <= {"functional", "nn", "data", "envs", "tasks"}


def test_the_arm_of_the_custom_task_learns(tmp_path):
    agent = example("custom_task").train(epochs=30, num_envs=64, train_dir=str(tmp_path))
    # The return of an arm that does not move is about 100 x exp(-10 x 0.15) = 22.
    assert agent.run.mean_reward > 32.0
    assert agent.run.folder.newest().is_file()
    first, *_, last = map(json.loads, agent.run.folder.metrics_file.read_text().splitlines())
    assert {"distance/frame", "unstable_envs/frame"} <= set(first)
    assert last["Episode/reward_near"] > 0 > last["Episode/reward_effort"]
    # Episodes have 100 steps and epochs 20: none ends in the first. The final distance is below the average.
    assert "Episode/final_distance" not in first and 0 < last["Episode/final_distance"] < last["distance/frame"]


def test_the_fingertip_of_the_custom_task_agrees_with_mujoco():
    import mujoco

    module = example("custom_task")
    model = mujoco.MjModel.from_xml_string(module.MODEL)
    data = mujoco.MjData(model)
    data.qpos[:2] = 0.3, -1.1
    mujoco.mj_forward(model, data)
    tip = 2 * data.geom(2).xpos - data.body(2).xpos  # the centre of the lower link is halfway from the elbow
    expected = torch.tensor(tip[:2], dtype=torch.float32)
    assert torch.allclose(module.fingertip(torch.tensor([[0.3, -1.1]]))[0], expected, atol=1e-6)


def test_the_custom_agent_adds_next_observations(tmp_path):
    agent = example("custom_agent").train(epochs=1, num_envs=4, target_speed=1.0, train_dir=str(tmp_path))
    agent.rows, agent.horizon_length = 1, 4
    # Steps 0 1 | 2 3, where an episode starts at 2: 1 follows 0 and 3 follows 2; 1 and 3 are last steps and repeat.
    rollout = {
        "obses": torch.arange(4.0).unsqueeze(1),
        "dones": torch.tensor([1, 0, 1, 0], dtype=torch.uint8),
    }
    assert agent.extra_batch(rollout)["next_obs"].flatten().tolist() == [1, 1, 3, 3]


def test_the_custom_agent_shapes_rewards(tmp_path):
    agent = example("custom_agent").train(epochs=1, num_envs=4, target_speed=1.0, train_dir=str(tmp_path))
    rollout = {"true_objective": torch.tensor([[3.0, 0.5]]), "rewards": torch.zeros(1, 2, 1)}
    # errors of 2 and 0.5 m/s, times Ant's reward scale 0.01
    assert agent.shape_rewards(rollout).flatten().tolist() == pytest.approx([-0.02, -0.005])


def test_the_custom_agents_loss_is_logged(tmp_path):
    agent = example("custom_agent").train(epochs=2, num_envs=4, target_speed=1.0, train_dir=str(tmp_path))
    assert '"losses/smoothness"' in agent.run.folder.metrics_file.read_text()


def test_the_custom_agents_key_is_validated(tmp_path):
    from manybody.config import ConfigError

    with pytest.raises(ConfigError, match="target_speed"):
        example("custom_agent").train(epochs=1, num_envs=4, target_speed=-1.0, train_dir=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_custom_network_is_built_from_its_own_keys(tmp_path):
    agent = example("custom_network").train(epochs=2, num_envs=16, blocks=3, train_dir=str(tmp_path))
    network = agent.model.a2c_network
    assert isinstance(network, BaseNetwork)
    assert len(network.trunk) == 1 + 3 + 1  # the first layer, the blocks, the last activation


@pytest.mark.parametrize("interface", ["manybody", "rl_games"])
def test_a_custom_agent_and_a_custom_network_train_together(interface, tmp_path):
    """With RL Games' interface, the network returns a plain tuple."""
    agents, networks = example("custom_agent"), example("custom_network")
    if interface == "rl_games":
        from manybody.compat.rl_games.algos_torch.network_builder import NetworkBuilder

        class Network(networks.ResidualNetwork, NetworkBuilder.BaseNetwork):
            def forward(self, input_dict):
                return tuple(super().forward(input_dict))

        networks.ResidualBuilder.Network = Network
    runner = Runner()
    agents.register(runner)
    tree = compose(["task=Ant", "num_envs=4", "max_iterations=1", "train.params.algo.name=paced"])
    params = tree["train"]["params"]
    params["network"] = {"name": "residual", "width": 8, "blocks": 1}
    params["config"] |= {
        "env_name": "Ant",
        "target_speed": 1.0,
        "minibatch_size": 32,
        "train_dir": str(tmp_path),
    }
    runner.load({"params": params})
    agent = runner.run({"train": True})
    (line,) = map(json.loads, agent.run.folder.metrics_file.read_text().splitlines())
    assert line["losses/smoothness"] > 0
    obs = torch.ones(3, 60)
    network = agent.model.a2c_network
    torch.testing.assert_close(network.eval_actor(obs), tuple(network({"obs": obs})[:2]))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ppo_one_file", ["--epochs", "1", "--num-envs", "16"]),
        ("custom_task", ["--epochs", "1", "--num-envs", "16"]),
        ("custom_agent", ["--epochs", "1", "--num-envs", "16", "--target-speed", "1"]),
        ("custom_network", ["--epochs", "1", "--num-envs", "16", "--blocks", "1"]),
    ],
)
def test_main(name, arguments, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    example(name).main()


def test_the_rl_games_file_trains(tmp_path):
    content = load_yaml(EXAMPLES / "rl_games_cartpole.yaml")
    content["params"]["config"] |= {
        "num_actors": 8,
        "minibatch_size": 128,
        "max_epochs": 1,
        "train_dir": str(tmp_path),
    }
    runner = Runner()
    with pytest.warns(ConfigWarning, match="regularizer"):
        runner.load(content)
    assert runner.run({"train": True}).epoch_num == 1


def test_connect_four_learns_from_self_play(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Random moves against random moves win about half of the games.
    assert example("connect_four").main(epochs=10, num_envs=64) > 0.7
