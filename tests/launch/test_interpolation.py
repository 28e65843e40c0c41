"""References in a file: what they become, and what is said where they lead nowhere."""

import pytest

from manybody.config import load_yaml
from manybody.config.errors import Problems
from manybody.launch.interpolation import resolve_references

TEXT = """\
params:
  seed: ${...seed}
  load_checkpoint: ${if:${...checkpoint},True,False}
  load_path: ${...checkpoint}
  config:
    name: ${resolve_default:MyHand,${....experiment}}
    full_experiment_name: ${.name}
    num_actors: ${....task.env.numEnvs}
    minibatch_size: ${params.config.num_actors}
    max_epochs: ${resolve_default:100,${....max_iterations}}
    multi_gpu: ${....multi_gpu}
    bounds: [1, "${.0}"]
    wide: ${if:${eq:${....rl_device},"CPU"},a,b}
    defer_summaries_sec: ${if:${....pbt},150,5}
"""


@pytest.fixture
def read(tmp_path):
    def read(text, **root):
        path = tmp_path / "file.yaml"
        path.write_text(text)
        problems = Problems()
        return resolve_references(load_yaml(path), root, problems), problems

    return read


def test_a_training_file_of_isaacgymenvs_has_what_its_tree_would_give(read):
    content, problems = read(TEXT, num_envs=16)
    assert problems == []
    assert content == {
        "params": {
            "seed": 42,  # IsaacGymEnvs' default
            "load_checkpoint": False,
            "load_path": "",
            "config": {
                "name": "MyHand",
                "full_experiment_name": "MyHand",
                "num_actors": 16,
                "minibatch_size": 16,
                "max_epochs": 100,
                "multi_gpu": False,
                "bounds": [1, 1],
                "wide": "a",
                "defer_summaries_sec": 5,  # no population is trained
            },
        }
    }


def test_root_keys_of_the_command_line_are_seen(read):
    content, _ = read(
        TEXT, num_envs=4, seed=7, experiment="walk", max_iterations=3, checkpoint="a.pth", rl_device="cuda"
    )
    params, config = content["params"], content["params"]["config"]
    assert (params["seed"], params["load_checkpoint"], params["load_path"]) == (7, True, "a.pth")
    assert (config["name"], config["full_experiment_name"], config["max_epochs"]) == ("walk", "walk", 3)
    assert config["wide"] == "b"


def test_lines_are_kept_and_the_content_is_not_changed(read, tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text(TEXT)
    before = load_yaml(path)
    content = resolve_references(before, {"num_envs": 1}, Problems())
    assert content["params"]["config"].where("name") == f"{path}:6"
    assert before["params"]["seed"] == "${...seed}"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            "${....task.env.numEnvs}",
            "there is no 'task.env.numEnvs'; write the number of environments",
        ),
        (
            "${....task.name}",
            "there is no 'task.name'; write the value here, or add params.config.x=<value>",
        ),
        ("${.nowhere}", "there is no 'nowhere'"),
        ("${.......x}", "expected a reference that has a value"),
        ("${.x}", "expected a reference that has a value: Recursive interpolation detected"),
        ("${mine:1}", "expected a reference that has a value: Unsupported interpolation type mine"),
        ("${.x", "expected a reference such as ${.name}: "),
        ("???", "write a value, or add params.config.x=<value>"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named_once(read, value, said):
    content, (problem,) = read(f'params:\n  config:\n    x: "{value}"\n    y: ${{.x}}\n')
    assert (problem.path, problem.location and problem.location[-2:]) == ("params.config.x", ":3")
    assert problem.message.startswith(f"got '{value}'; ") and said in problem.message
    assert content["params"]["config"]["x"] == value


def test_a_circle_is_named(read):
    _, (problem,) = read("params:\n  a: ${.b}\n  b: ${.a}\n")
    assert problem.path == "params.a" and "expected a reference that has a value" in problem.message


def test_a_recorded_tree_refers_to_itself(read):
    content, problems = read("seed: 3\ntrain:\n  params:\n    seed: ${...seed}\n", seed=9)
    assert (content["train"]["params"]["seed"], problems) == (3, [])


def test_a_file_without_references_is_passed_on_as_it_is(read, tmp_path):
    content = {"params": {"config": {"name": "$x {y}"}}}
    assert resolve_references(content, {}, Problems()) is content
