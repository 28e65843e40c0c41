"""Converts checkpoints: RL Games' files to this library's, and back to files that RL Games 1.6 loads."""

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from manybody.config import ConfigError, Problem, load_yaml
from manybody.config.errors import Problems
from manybody.config.files import TEMPORARY
from manybody.data.tree import State
from manybody.engine.checkpoint import load_checkpoint, save_checkpoint, write_archive
from manybody.engine.checkpoint.kept import of_kind
from manybody.engine.checkpoint.rl_games import converted, layout_of
from manybody.engine.checkpoint.untrusted import CheckpointError, named_file
from manybody.engine.checkpoint.values import OPTIMIZERS, WEIGHTS, best_return, check_values, counter
from manybody.engine.run_folder import RunFolder, check_name
from manybody.launch.configuration import Configuration
from manybody.launch.interpolation import resolve_references
from manybody.launch.overrides import parse_overrides
from manybody.launch.resolve import ResolvedRun, validated
from manybody.launch.rl_games_yaml import compose_content
from manybody.launch.validate import Start
from manybody.play import load_player
from manybody.registry import built_in
from manybody.runner import Runner, build_runner
from manybody.tasks import TASKS

NO_REWARD = -1_000_000_000
"""RL Games' ``last_mean_rewards`` before the first episode has ended."""


# --- from RL Games ---------------------------------------------------------------------------------------------------


def import_checkpoint(path: str | os.PathLike, out: str | os.PathLike) -> State:
    """Write an RL Games checkpoint as one that ``manybody play`` and ``train checkpoint=`` take; returns it.

    Raises:
        CheckpointError: what is wrong with it, or it is a checkpoint of this library.
        OSError: ``out`` cannot be written; what was there stays.
    """
    state = as_ours(path)
    save_checkpoint(out, state)
    return state


def import_run(path: str | os.PathLike, folder: str | os.PathLike, file: str, overrides: Sequence[str] = ()) -> State:
    """Make a run folder of an RL Games checkpoint and its YAML file, if they fit each other; returns the state.

    Args:
        path: the checkpoint.
        folder: the run folder to make.
        file: RL Games' YAML; IsaacGymEnvs' ``config.yaml`` of a run too.
        overrides: ``key=value``; they win over the file.

    Raises:
        CheckpointError, ConfigError, EnvError: what is wrong; nothing was written.
        OSError: the folder cannot be written.
    """
    state, folder = as_ours(path), Path(folder)
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigError([Problem("OUT", f"{folder} exists; expected the name of a new run folder")])
    runner = build_runner()
    run, record = _resolved(runner, file, overrides)
    name = run.params.config.name
    check_name(name, "params.config.name")
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = RunFolder(folder.parent / f"{TEMPORARY}{uuid.uuid4().hex}")
    try:
        making.nn.mkdir(parents=True)
        making.config_file.write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
        checkpoint = making.nn / f"{name}.pth"
        save_checkpoint(checkpoint, of_kind("best", state))
        with named_file(path):
            player = load_player(runner, replace(run, start=Start(checkpoint)).with_envs(1))
        if hasattr(player.env, "close"):
            player.env.close()
        if folder.is_dir():
            folder.rmdir()
        os.replace(making.path, folder)
    finally:
        shutil.rmtree(making.path, ignore_errors=True)
    return state


def as_ours(path: str | os.PathLike) -> State:
    """Convert an RL Games checkpoint to this library's layout: the whole model under ``model``, plain numbers.

    Raises:
        CheckpointError: what is wrong with it, or it is a checkpoint of this library.
    """
    weights, path = load_checkpoint(path), os.fspath(path)
    if "algo" in weights:
        advice = "It plays and trains as it is."
        raise CheckpointError(path, "algo", f"{weights['algo']!r} of manybody", "a file of RL Games", advice)
    state = {**converted(weights, path)}
    check_values(state, path, WEIGHTS)  # moments that are not finite are left behind by training
    for key in ("epoch", "frame"):
        state[key] = counter(weights, key, path)
    state["last_mean_rewards"] = best_return(weights, path, NO_REWARD)
    return state


def _resolved(runner: Runner, file: str, texts: Sequence[str]) -> tuple[ResolvedRun, dict[str, Any]]:
    """An RL Games file under overrides, validated for playing, and the ``config.yaml`` of its run folder."""
    problems = Problems()
    overrides = parse_overrides(texts, problems)
    cfg = Configuration(compose_content(_content(file), overrides, problems) or {})
    device = cfg.config.get("device")
    cfg.use_available_device()
    run = validated(runner, cfg if cfg.content else None, problems, texts, Start())
    record = run.record()
    if device is not None:
        record["params"]["config"]["device"] = device
    return run, record


def _content(file: str) -> dict[str, Any]:
    """The content of an RL Games file; of IsaacGymEnvs' ``config.yaml`` of a run, the training settings."""
    content: dict[str, Any] = load_yaml(file)
    train = content.get("train")
    if "params" in content or not isinstance(train, dict):
        return content
    problems = Problems()
    tree = resolve_references(content, {}, problems)
    problems.refuse()
    params = tree["train"].get("params")
    task = tree.get("task_name") or (tree.get("task") or {}).get("name")
    if isinstance(params, dict) and isinstance(params.get("config"), dict) and task in TASKS:
        params["config"]["env_name"] = task
    return {"params": params}


# --- to RL Games -----------------------------------------------------------------------------------------------------


def export_checkpoint(path: str | os.PathLike, out: str | os.PathLike) -> State:
    """Write a checkpoint, or the best one of a run folder, as a file that RL Games 1.6 loads; returns it.

    Raises:
        CheckpointError: what is wrong with it, or RL Games has no such algorithm.
        RunFolderError: there is no checkpoint.
        OSError: ``out`` cannot be written; what was there stays.
    """
    checkpoint = RunFolder.resolve(path)[1]
    state = as_rl_games(load_checkpoint(checkpoint), os.fspath(checkpoint))
    write_archive(out, state)
    return state


def as_rl_games(state: State, path: str = "state") -> State:
    """Convert a checkpoint to the keys of RL Games' ``get_full_state_weights``, with Python numbers.

    Raises:
        CheckpointError: RL Games has no such algorithm, a part is missing, or its values are not finite.
    """
    algo = built_in().get(str(state.get("algo")))
    layout = algo.layout if algo else layout_of(_by_part(state))
    if layout is None:
        what = "an algorithm that RL Games has"
        raise CheckpointError(path, "algo", repr(state.get("algo")), what, "It cannot be played there.")
    check_values(state, path, (*WEIGHTS, *OPTIMIZERS))
    best = best_return(state, path, NO_REWARD)
    return {
        **layout.to_rl_games(state, path),
        "epoch": counter(state, "epoch", path),
        "frame": counter(state, "frame", path),
        "last_mean_rewards": max(best, NO_REWARD),
    }


def _by_part(state: State) -> dict[str, Any]:
    """``state`` of an algorithm from elsewhere with the parts of its model at the top, by which layouts are known."""
    model = state.get("model")
    parts = (
        {str(name).split(".")[1]: None for name in model if str(name).count(".")} if isinstance(model, Mapping) else {}
    )
    return {**parts, **state}
