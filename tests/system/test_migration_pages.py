"""The migration pages: their programs run, and their names and keys exist."""

import importlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from manybody.config import ActorCriticConfig, Params, PPOConfig, SACConfig
from manybody.config.algorithm import PlayerConfig
from manybody.config.network import ContinuousSpaceConfig, InitializerConfig, MLPConfig, RnnConfig
from manybody.envs.registration import _creators, create_vec_env

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "from_rl_games.md").read_text(encoding="utf-8")
OTHERS = (ROOT / "docs" / "from_others.md").read_text(encoding="utf-8")
EXAMPLES = ("rl_games_network.py", "rl_games_isaac_lab.py")
SETTINGS = (ROOT / "examples" / "rl_games_cartpole.yaml").read_text(encoding="utf-8")
SETTINGS = SETTINGS.replace("num_actors: 256", "num_actors: 32").replace("size: 4096", "size: 512")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def section(page, title):
    """Return the text below a heading, up to the next heading of the same or a higher level."""
    level = title.split(" ")[0]
    found = re.search(rf"^{re.escape(title)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(text):
    """Return the cells of the tables in ``text``, without the header rows."""
    table = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    rules = [n for n, cells in enumerate(table) if set("".join(cells)) == {"-"}]
    return [cells for n, cells in enumerate(table) if n not in rules and n + 1 not in rules]


def code(text):
    """Return the strings between backticks."""
    return re.findall(r"`([^`]+)`", text)


def program(page, name):
    """Return the Python block whose first line is ``# name``."""
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return next(block for block in blocks if block.startswith(f"# {name}\n"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder in which all programs for RL Games have run unchanged, one after another in one process."""
    folder = tmp_path_factory.mktemp("moving")
    for name in ("my.yaml", "rl_games_cartpole.yaml"):
        (folder / name).write_text(SETTINGS)
    (folder / "own_agent.py").write_text(program(PAGE, "own_agent.py"))
    scripts = [folder / "own_agent.py"]
    for name in EXAMPLES:
        assert f"(../examples/{name})" in PAGE
        scripts.append(shutil.copy(ROOT / "examples" / name, folder))
    (folder / "all.py").write_text(
        "import runpy\n" + "".join(f"runpy.run_path({str(path)!r}, run_name='__main__')\n" for path in scripts)
    )
    command = [sys.executable, "-m", "manybody.compat", "all.py"]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def checkpoint(folder, run):
    (path,) = (folder / "runs" / run / "nn").glob("last_*_ep_3_*.pth")
    return torch.load(path, weights_only=True)


def tags(folder, run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "runs" / run / "summaries"))
    events.Reload()
    return {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_the_custom_agent_logs_its_statistics(folder):
    # 32 environments x 16 steps, three times.
    assert checkpoint(folder, "centred")["frame"] == 3 * 32 * 16
    distances = tags(folder, "centred")["centre/distance"]
    assert len(distances) == 3 and all(0.0 < distance < 5.0 for distance in distances)


def test_the_custom_network_is_trained(folder):
    weights = checkpoint(folder, "gated")["model"]
    # The bias starts at 2 and changes.
    bias = weights["a2c_network.gate.bias"]
    assert bias.shape == (4,) and 0.0 < (bias - 2.0).abs().max() < 0.5


def test_the_isaac_lab_script_logs_its_episodes(folder):
    assert len(tags(folder, "lab")["Episode/distance"]) == 3
    assert checkpoint(folder, "lab")["model"]["running_mean_std.running_mean"].shape == (1,)


def test_the_agent_rewritten_with_hooks_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text(SETTINGS)
    Path("moved_agent.py").write_text(program(PAGE, "moved_agent.py"))
    runpy.run_path("moved_agent.py", run_name="__main__")
    last = json.loads(Path("runs/moved/metrics.jsonl").read_text().splitlines()[-1])
    assert last["epoch"] == 3 and 0.0 < last["losses/distance"] < 5.0


def test_an_environment_with_the_interface_of_rsl_rl(monkeypatch):
    class RslEnv:
        """Row 0 is truncated in every step, row 1 terminates."""

        num_actions, device = 2, "cpu"

        def __init__(self, num_envs):
            self.num_envs = num_envs

        def get_observations(self):
            return {"policy": torch.ones(self.num_envs, 3), "critic": torch.ones(self.num_envs, 5)}

        def step(self, actions):
            done = torch.tensor([1, 1, 0])
            extras = {"time_outs": torch.tensor([True, False, False]), "log": {}}
            return self.get_observations(), actions.sum(dim=1), done, extras

    monkeypatch.delitem(_creators, "mine", raising=False)
    exec(compile(program(OTHERS, "rsl_env.py"), "rsl_env.py", "exec"), {"make_env": RslEnv})
    env = create_vec_env("mine", 3)
    del _creators["mine"]
    assert {name: part.shape[1] for name, part in env.reset().items()} == {"obs": 3, "states": 5}
    step = env.step(torch.full((3, 2), 0.5))
    assert step.reward.tolist() == [1.0, 1.0, 1.0]
    assert step.truncated.tolist() == [True, False, False]
    assert step.terminated.tolist() == [False, True, False]


def resolve(path):
    """Return the attribute of a module that a dotted path names."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


MOVED = rows(section(PAGE, "## Moving to manybody's names").split("A hook replaces")[0])


@pytest.mark.parametrize(("theirs", "ours"), MOVED, ids=[cells[0][1:40] for cells in MOVED])
def test_imports_of_the_table_exist(theirs, ours):
    for path in code(theirs):
        assert resolve(f"manybody.compat.rl_games.{path}"), path
    assert code(ours)
    for path in code(ours):
        if path.startswith("manybody."):
            assert resolve(path.removesuffix("()")), path


def test_modules_listed_as_missing_do_not_exist():
    listed = next(cells[0] for cells in rows(section(PAGE, "## In one line")) if "wrappers" in cells[0])
    packages = [path.removeprefix("rl_games.") for path in code(listed)]
    paths = []
    for path in packages:
        base, _, many = path.partition("{")
        paths += [base + name.strip(" }") for name in many.split(",")] if many else [path]
    assert len(paths) == 11
    for path in paths:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"manybody.compat.rl_games.{path}")


KEYS = {
    key for schema in (PPOConfig, SACConfig, ActorCriticConfig, Params, PlayerConfig) for key in schema.model_fields
}
KEYS |= {
    key for schema in (ContinuousSpaceConfig, InitializerConfig, MLPConfig, RnnConfig) for key in schema.model_fields
}
WORDS = """num_mini_batches init_std vf_coef async sync constant linear adaptive isaaclab mjlab run runner
terminated truncated algo network manybody task policy""".split()  # noqa: SIM905
"""Other code in the right columns, which is not a configuration key."""


@pytest.mark.parametrize("title", ["## rsl_rl", "## Stable-Baselines3"])
def test_configuration_keys_of_the_tables_exist(title):
    named = [word for cells in rows(section(OTHERS, title)) for word in code(cells[1])]
    keys = {re.split(r"[:.]", word.removeprefix("network."))[0] for word in named}
    keys = {key for key in keys if re.fullmatch(r"[a-z_]+", key)} - set(WORDS)
    assert len(keys) > 20
    assert keys - KEYS == set()


def test_the_page_lists_every_task():
    cells = next(cells for cells in rows(section(OTHERS, "## IsaacGymEnvs")) if cells[0] == "tasks")
    files = {path.stem for path in (ROOT / "manybody" / "cfg" / "task").glob("*.yaml")}
    assert set(code(cells[1])) == files
