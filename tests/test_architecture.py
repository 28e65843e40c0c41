"""Import rules and rules for source files."""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "manybody"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

BOTTOM = {"config", "registry", "functional"}
MAY_IMPORT = {
    "config": {"config", "registry"},
    "registry": {"registry"},
    "functional": {"functional"},
    "nn": {"nn", "functional", "config"},
    "data": {"data", "functional", "config"},
    "sim": {"sim", "functional"},
    "motion": {"motion", "config", "functional"},
    "envs": {"envs", "data", "config"},
    "tasks": {"tasks", "envs", "sim", "motion", "functional", "config"},
    "engine": {"engine", "functional", "data", "config", "registry"},
    "model_builder": {"model_builder", "registry", "config"},
    "algos": {*BOTTOM, "nn", "data", "sim", "motion", "envs", "tasks", "engine", "model_builder", "algos"},
}
TOP = {"__main__", "cli", "export", "launch", "media", "play", "runner", "train"}
MAY_IMPORT |= {folder: {*MAY_IMPORT, *TOP} for folder in TOP}
MAY_IMPORT["compat"] = {*MAY_IMPORT, "compat"}
"""Folder or top-level module, and those it may import. Only ``compat`` may import ``compat``."""

NEVER = {
    "config": {"torch", "mujoco", "gymnasium", "hydra"},
    "registry": {"torch", "mujoco", "gymnasium", "hydra"},
    "functional": {"mujoco", "gymnasium", "hydra", "numpy"},
    "nn": {"mujoco", "gymnasium", "hydra"},
    "data": {"mujoco", "gymnasium", "hydra"},
    "motion": {"mujoco", "gymnasium", "hydra"},
    "engine": {"mujoco", "gymnasium", "hydra"},
    "algos": {"mujoco", "hydra"},
}
"""Folder, and the packages that it must not import."""

MAY_BUILD_ON = {"amp": {"a2c"}, "rnd": {"a2c"}}
"""Algorithm, and the algorithms whose public names it may import."""

SYNCHRONISING = {"item", "cpu", "tolist", "nonzero", "numpy"}
HOT_METHODS = {
    "play_steps",
    "play_steps_rnn",
    "env_step",
    "bootstrap",
    "get_action_values",
    "get_values",
    "preprocess_actions",
    "shape_rewards",
    "prepare_dataset",
    "extra_batch",
    "extra_losses",
    "policy_batch",
    "set_train",
    "train_actor_critic",
    "calc_gradients",
    "calc_losses",
    "forward_losses",
    "bounds_loss",
    "update_schedule",
    "update_lr",
    "forward",
    "norm_obs",
    "denorm_value",
    "standard_deviation",
    "get_action",
    "freeze_normalizers",
    "step_optimizer",
    "_one_pass",
    "_update",
    "_store_decision",
    "_store_outcome",
    "_store_rewards",
    "quarantine",
    "count_episodes",
    "_finish_rollout",
    "_with_masks",
    "acting_policy",
    "old_policy",
    "act",
    "choose",
    "forget",
    "store",
    "advance",
    "after_step",
    "train_net",
    "play_step",
    "update",
    "update_critic",
    "update_actor_and_alpha",
    "critic_losses",
    "actor_losses",
    "clean_obs",
}
"""Methods in ``algos/`` that run every step or every minibatch."""


@functools.cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


@functools.cache
def public_homes() -> dict[str, str]:
    """Return the module that defines each public name."""
    import manybody

    return manybody._MODULES


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node below ``node``, except in blocks for type checkers."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from executed(child)


@functools.cache
def imports(name: str) -> tuple[str, ...]:
    """Return all imports of a module, also inside functions: this package in full, others by top level."""
    found = []
    for node in executed(tree(name)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import; write it in full"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in MODULES:
                    found.append(full)
                elif node.module == "manybody":
                    found.append(public_homes().get(alias.name, "manybody"))
                else:
                    found.append(node.module)
    return tuple(x if x.split(".")[0] == "manybody" else x.split(".")[0] for x in found)


def folder(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def own_imports(name: str) -> list[str]:
    return [x for x in imports(name) if x.startswith("manybody.")]


INSIDE = [name for name in MODULES if name != "manybody"]


def test_every_module_belongs_to_a_folder_with_a_rule():
    unknown = {folder(name) for name in INSIDE} - set(MAY_IMPORT)
    assert not unknown, f"give {unknown} a line in MAY_IMPORT"


@pytest.mark.parametrize("name", INSIDE)
def test_imports_point_down(name):
    allowed = MAY_IMPORT[folder(name)]
    wrong = [x for x in own_imports(name) if folder(x) not in allowed]
    assert not wrong, f"{name} imports {wrong}; {folder(name)} may import {sorted(allowed)}"


@pytest.mark.parametrize("name", INSIDE)
def test_forbidden_packages_are_not_imported(name):
    wrong = NEVER.get(folder(name), set()) & {x.split(".")[0] for x in imports(name)}
    assert not wrong, f"{name} imports {wrong}"


def test_one_module_imports_mujoco():
    """``manybody.sim`` handles a ``MUJOCO_GL`` that cannot be loaded."""
    direct = [
        name
        for name in INSIDE
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "mujoco" for alias in node.names)
    ]
    assert set(direct) == {"manybody.sim"}


@pytest.mark.parametrize("name", [name for name in INSIDE if folder(name) == "algos"])
def test_algorithms_import_only_each_others_public_names(name):
    def algorithm(module):
        parts = module.split(".")
        return parts[2] if len(parts) > 2 and (PACKAGE / "algos" / parts[2]).is_dir() else None

    own = algorithm(name)
    for imported in own_imports(name):
        other = algorithm(imported)
        if other is None or other == own:
            continue
        assert other in MAY_BUILD_ON.get(own or "", set()), f"{name} imports {imported}"
        public = (f"manybody.algos.{other}", f"manybody.algos.{other}.config")
        assert imported in public, f"{name} imports {imported}, not the public names of {other}"


def test_no_import_cycles():
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name in done or name not in MODULES:
            return
        for imported in own_imports(name):
            if imported != name:
                visit(imported, (*path, name))
        done.add(name)

    for name in INSIDE:
        visit(name, ())


def test_only_the_console_and_the_command_line_print():
    calls = [
        f"{name}:{node.lineno}"
        for name in MODULES
        if name not in ("manybody.engine.console", "manybody.cli")
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not calls, f"{calls}: use manybody.engine.console.say"


def test_no_file_is_longer_than_600_lines():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in ("manybody", "tests", "benchmarks", "examples")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert not {name: lines for name, lines in lengths.items() if lines > 600}


def hot_code(name: str) -> Iterator[ast.AST]:
    if folder(name) in ("functional", "nn", "data") or name == "manybody.motion.library":
        yield tree(name)
    elif folder(name) == "algos":
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.FunctionDef) and node.name in HOT_METHODS:
                yield node


@pytest.mark.parametrize(
    "name", [name for name in INSIDE if folder(name) in ("functional", "nn", "data", "algos", "motion")]
)
def test_every_device_synchronisation_has_a_comment(name):
    lines = MODULES[name].read_text(encoding="utf-8").splitlines()
    waits = [
        f"{MODULES[name].relative_to(ROOT)}:{node.end_lineno}: .{node.func.attr}()"
        for code in hot_code(name)
        for node in ast.walk(code)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in SYNCHRONISING
        and "#" not in lines[(node.end_lineno or node.lineno) - 1]
    ]
    assert not waits


def test_the_hot_methods_exist():
    """A renamed method must be renamed in ``HOT_METHODS``, too."""
    defined = {
        node.name
        for name in INSIDE
        if folder(name) == "algos"
        for node in ast.walk(tree(name))
        if isinstance(node, ast.FunctionDef)
    }
    recurrent = {"play_steps_rnn"}
    assert HOT_METHODS - recurrent <= defined


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout


@pytest.mark.parametrize("module", ["manybody", "manybody.config"])
def test_importing_does_not_import_heavy_libraries(module):
    heavy = "{'torch', 'mujoco', 'gymnasium', 'hydra', 'matplotlib', 'tensorboard', 'rich'}"
    assert run_python(f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))").strip() == "[]"


def test_importing_is_fast():
    """Measure processor time, which is independent of other processes."""
    code = "import time; t = time.process_time(); import manybody; print(time.process_time() - t)"
    assert min(float(run_python(code)) for _ in range(3)) < 0.2


@pytest.mark.slow
def test_importing_everything_resolves_every_public_name_and_changes_no_global_setting():
    """Importing changes no flag of torch, print option or random state, and prints nothing."""
    code = """
import random, torch, numpy as np
def settings():
    cuda, prints = torch.backends.cuda.matmul.allow_tf32, vars(torch._tensor_str.PRINT_OPTS)
    flags = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision(), torch.get_default_dtype()
    states = torch.get_rng_state().sum().item(), random.getstate(), np.random.get_state()[1].sum()
    return repr((cuda, prints, flags, states, torch.get_num_threads()))
before = settings()
import manybody, manybody.cli
assert all(hasattr(manybody, name) for name in manybody.__all__)
assert settings() == before
"""
    assert run_python(code) == ""
