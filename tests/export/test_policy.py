"""``manybody.load_policy``: a run as a function of observations, and a run's ``config.yaml`` given to a runner."""

import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces
from toy import ToyEnv, toy_params
from toy_family import FamilyEnv, family_params
from toy_sac import sac_params

import manybody
from manybody.config import ConfigError, load_yaml
from manybody.engine.checkpoint import CheckpointError, save_checkpoint
from manybody.engine.run_folder import RunFolderError
from manybody.envs import registration
from manybody.launch.hydra_tree import compose
from manybody.runner import build_runner

LSTM = {"rnn": {"name": "lstm", "units": 6, "layers": 1, "before_mlp": False}}


def curious():
    mapping = toy_params(rnd_config={})
    mapping["algo"]["name"] = "rnd_continuous"
    small = {"units": [8], "activation": "relu"}
    curiosity = {"features": 5, "target": small, "predictor": small}
    mapping["network"] |= {"name": "rnd_curiosity", "rnd": curiosity}
    return mapping


def recurrent():
    mapping = toy_params()
    mapping["network"] |= LSTM
    return mapping


def family(action="discrete", observation="vector", **keys):
    return lambda: family_params(action, observation, env_config={"action": action, "observation": observation}, **keys)


KINDS = {
    "continuous": toy_params,
    "without clipping": lambda: toy_params(clip_actions=False),
    "lstm": recurrent,
    "rnd": curious,
    "sac": sac_params,
    "central value": family("box", central="mlp"),
    "discrete": family("discrete"),
    "masked": family("discrete", use_action_masks=True),
    "multi_discrete": family("multi_discrete"),
    "tuple": family("tuple"),
    "dict": family("discrete", "dict"),
    "image": family("box", "image"),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """``run(params)``: a run folder with fresh weights, and its player in the environment."""
    made = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registration, "_creators", dict(registration._creators))
    registration.register("toy", lambda num_actors, **_: made.append("toy") or ToyEnv(num_actors))
    registration.register(
        "family",
        lambda num_actors, seed, **sizes: made.append("family") or FamilyEnv(**sizes, num_envs=num_actors),
    )

    def make(params):
        folder = tmp_path / "runs" / "X"
        (folder / "nn").mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump({"params": params}))
        runner = build_runner()
        runner.load({"params": params}, training=False)
        player = runner.create_player()
        state = {"algo": params["algo"]["name"], "epoch": 1, "model": player.model.state_dict()}
        save_checkpoint(folder / "nn" / f"{params['config']['name']}.pth", state)
        made.clear()
        return folder, player, made

    return make


def pick(tree, row):
    return {key: x[row] for key, x in tree.items()} if isinstance(tree, dict) else tree[row]


def arrays(tree):
    return {key: x.numpy() for key, x in tree.items()} if isinstance(tree, dict) else tree.numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_it_acts_as_the_player_does(run, kind):
    folder, player, made = run(KINDS[kind]())
    obs = player.env_reset()["obs"]
    expected = player.get_action({"obs": obs}, True).detach()
    policy = manybody.load_policy(folder)
    assert len(made) <= 1  # one environment, for its spaces
    batch = policy(obs)
    assert isinstance(batch, torch.Tensor) and torch.allclose(batch.double(), expected.double(), atol=1e-6)
    policy.reset()
    rows = policy(arrays(obs))
    assert isinstance(rows, np.ndarray) and np.allclose(rows, expected.numpy(), atol=1e-6)
    policy.reset()
    if kind != "dict":
        assert torch.equal(policy({"obs": obs}), batch)
    policy.reset()
    one = policy(arrays(pick(obs, 1)))
    assert np.allclose(one, expected[1].numpy(), atol=1e-6) and isinstance(one, int | np.ndarray)
    if not isinstance(policy.action_space, spaces.Tuple):
        assert policy.action_space.contains(one) or kind == "without clipping"
    policy.reset()
    single = policy(pick(obs, 1))
    assert isinstance(single, torch.Tensor) and torch.allclose(single, batch[1], atol=1e-6)


def test_recurrent_state_is_kept_until_reset(run):
    folder, player, _ = run(recurrent())
    policy, obs = manybody.load_policy(str(folder / "nn" / "Toy.pth")), player.env_reset()["obs"]
    player.reset()
    both = [(policy(obs), player.get_action({"obs": obs}, True).detach()) for _ in range(3)]
    for ours, theirs in both:
        torch.testing.assert_close(ours, theirs)
    assert not torch.equal(both[0][0], both[1][0])
    done = torch.zeros(8, dtype=torch.bool)
    done[2] = True
    policy.reset(done)
    after = policy(obs)
    torch.testing.assert_close(after[2], both[0][0][2])
    assert not torch.allclose(after[3], both[0][0][3])
    with pytest.raises(ValueError, match=r"obs: got 3 rows; expected 8, whose recurrent state is kept"):
        policy(obs[:3])
    with pytest.raises(ValueError, match=r"done: got shape \(3,\); expected \(8,\)"):
        policy.reset(done[:3])
    policy.reset()
    torch.testing.assert_close(policy(obs[:3]), both[0][0][:3])


def test_masks(run):
    folder, player, _ = run(KINDS["masked"]())
    policy, obs = manybody.load_policy(folder), player.env_reset()["obs"]
    for allowed in range(3):
        masks = np.zeros((4, 3), bool)
        masks[:, allowed] = True
        assert policy(obs.numpy(), action_masks=masks).tolist() == [allowed] * 4
        assert policy(obs.numpy()[0], action_masks=masks[0]) == allowed
        assert policy({"obs": obs, "action_masks": torch.as_tensor(masks)}).tolist() == [allowed] * 4
    with pytest.raises(ValueError, match=r"action_masks: got shape \(4, 2\); expected \(4, 3\)"):
        policy(obs, action_masks=masks[:, :2])


def test_draws(run):
    folder, player, _ = run(toy_params())
    policy, obs = manybody.load_policy(folder, deterministic=False), player.env_reset()["obs"]
    torch.manual_seed(0)
    assert not torch.equal(policy(obs), policy(obs))


@pytest.mark.parametrize("shape", [(2,), (3, 2), (0, 3), (2, 4, 3), ()])
def test_wrong_shapes(run, shape):
    policy = manybody.load_policy(run(toy_params())[0])
    for obs in (np.zeros(shape), torch.zeros(shape), {"obs": np.zeros(shape)}):
        with pytest.raises(ValueError, match="obs: got shape") as refused:
            policy(obs)
        assert str(refused.value) == f"obs: got shape {shape}; expected (3,) or (N, 3)"


def test_observations_that_are_not_finite(run):
    policy = manybody.load_policy(run(toy_params())[0])
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="obs: got NaN or infinity; expected finite numbers"):
            policy(np.array([0.0, value, 0.0]))
    with pytest.raises(ValueError, match="obs: got None; expected an observation"):
        policy(None)


def test_wrong_keys_and_rows(run):
    policy = manybody.load_policy(run(KINDS["dict"]())[0])
    image, vector = np.zeros((4, 8, 8, 2), np.uint8), np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"obs: got keys \['image'\]; expected .* \['image', 'vector'\]"):
        policy({"image": image})
    with pytest.raises(ValueError, match=r"obs.vector: got shape \(4, 2\); expected \(3,\) or \(N, 3\)"):
        policy({"image": image, "vector": vector[:, :2]})
    with pytest.raises(ValueError, match="expected the same number of rows"):
        policy({"image": image, "vector": vector[:2]})


def test_what_is_not_there_or_not_finite(run, tmp_path):
    with pytest.raises(RunFolderError, match="runs/none: got a path that does not exist"):
        manybody.load_policy("runs/none")
    folder, player, _ = run(toy_params())
    weights = player.model.state_dict()
    weights["a2c_network.mu.bias"][0] = np.nan
    save_checkpoint(folder / "nn" / "Toy.pth", {"algo": "a2c_continuous", "model": weights})
    with pytest.raises(CheckpointError, match=r"Toy\.pth: a2c_network\.mu\.bias: got 1 of 2 values not finite"):
        manybody.load_policy(folder)
    with pytest.raises(ConfigError, match="cuda:77"):
        manybody.load_policy(folder, device="cuda:77")


@pytest.mark.parametrize("task,sizes", [("Cartpole", (4, 1)), ("HumanoidAMP", (105, 28))])
def test_tasks_need_no_simulator_and_no_motion(run, tmp_path, monkeypatch, task, sizes):
    tree = compose([f"task={task}", "num_envs=4"])
    folder, _, _ = run(toy_params())
    if task == "HumanoidAMP":
        tree["task"]["env"]["motion_file"] = str(tmp_path / "gone.npz")
        tree["train"]["params"]["network"]["mlp"]["units"] = [8, 4]
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    monkeypatch.setattr(manybody.tasks.base, "make_simulation", None)  # whoever calls it fails
    from manybody.export import policy as module

    saved = {}
    monkeypatch.setattr(module.RunFolder, "resolve", lambda path: (module.RunFolder(folder), "some.pth"))
    kind = build_runner().player_factory.builders[tree["train"]["params"]["algo"]["name"]]
    monkeypatch.setattr(kind, "restore", lambda self, fn: saved.update(fn=fn))
    policy = manybody.load_policy(folder)
    assert saved == {"fn": "some.pth"}
    assert policy(np.zeros((3, sizes[0]))).shape == (3, sizes[1])


@pytest.mark.slow
def test_the_record_of_a_run_of_the_tree_loads_into_a_runner(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = compose(["task=Cartpole", "num_envs=8", "max_iterations=1", "train.params.config.minibatch_size=64"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    from manybody.compat.rl_games.torch_runner import Runner as Theirs

    for kind in (manybody.Runner, build_runner, Theirs):
        runner = kind()
        runner.load(load_yaml(tmp_path / "config.yaml"))
        agent = runner.run({"train": True})
        assert agent.epoch_num == 1 and agent.env_info["observation_space"].shape == (4,)
    runner.params["config"]["player"] = {"games_num": 8}
    assert runner.create_player().action_space.shape == (1,)
    ours = build_runner()
    ours.load(load_yaml(tmp_path / "config.yaml"), training=False)
    assert ours.run_config["task_name"] == "Cartpole" and ours.run_config["train"]["params"]["seed"] == 42
    for key, value, told in (
        ("task_name", None, "task_name: got None; expected the resolved tree"),
        ("sim_device", "cuda:0", "sim_device: got 'cuda:0'; expected 'cpu'"),
    ):
        with pytest.raises(ConfigError) as refused:
            build_runner().load({**tree, key: value})
        assert told in str(refused.value)
    with pytest.raises(ConfigError, match=r"train\.params\.config\.gamma: got 'x'"):
        tree["train"]["params"]["config"]["gamma"] = "x"
        build_runner().load(tree)
