"""The documentation is correct: links resolve, commands parse, pages are up to date."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from manybody import play, train
from manybody.launch import sweep

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()


def anchors(page: Path) -> set[str]:
    """Return GitHub's anchors for the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_the_configuration_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.PAGE.read_text() == generate.page(), "run python docs/generate.py"


def commands(verb: str) -> list[str]:
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", README, flags=re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith(f"manybody {verb}")]


@pytest.mark.parametrize("command", [line for line in commands("train") if "num_env=512" not in line])
def test_train_commands_parse(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    arguments = [x for x in shlex.split(command)[2:] if not x.startswith(("test=", "checkpoint="))]
    monkeypatch.setattr(train, "launch", lambda *_: None)
    monkeypatch.setattr(sweep, "_print_table", lambda runs: None)
    train.main(arguments)


@pytest.mark.parametrize("command", commands("play"))
def test_play_commands_parse(command):
    play.parse(shlex.split(command)[2:])


def test_python_blocks_compile():
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        compile(block, "README.md", "exec")


CONCEPTS = (ROOT / "docs" / "concepts.md").read_text()


def test_every_metric_is_documented():
    source = "".join(path.read_text() for path in (ROOT / "manybody" / "algos").rglob("*.py"))
    tags = set(re.findall(r'"((?:losses|info)/[a-z_0-9]+)"', source))
    tags |= {f"performance/{name}" for name in re.findall(r'"(step_[a-z_]+|rl_update_time)":', source)}
    assert len(tags) > 25
    assert [tag for tag in sorted(tags) if tag.partition("/")[2] not in CONCEPTS] == []


def test_the_table_of_rl_games_names_lists_configuration_keys():
    """The first column contains configuration keys, except for the names in ``others``."""
    table = CONCEPTS.split("## RL Games' names")[1].split("## ")[0]
    names = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([a-z_.]+)[^`]*`", line.split("|")[1])
    }
    known = (ROOT / "docs" / "configuration.md").read_text()
    others = {"a_loss", "c_loss", "b_loss", "mu", "sigma", "neglogp", "rlgpu"}
    assert len(names) > 30
    assert [name for name in sorted(names - others) if name.rpartition(".")[2] not in known] == []


def test_the_readme_starts_with_the_setup_commands():
    first = README.split("## ")[1]
    assert re.findall(r"^make \w+$", first, flags=re.MULTILINE) == ["make train", "make test", "make play"]
    assert re.search(r"`make test` .*about \d+ minutes", first.replace("\n", " "))
