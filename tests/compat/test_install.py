"""``rl_games`` as another name of this library, in processes of their own: the tests' own knows the real one."""

import subprocess
import sys

import pytest


def run(*arguments, folder):
    """Run Python in ``folder``; return its output and errors."""
    result = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=60)
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize("arguments", [["client.py"], ["-m", "client"]])
def test_an_unmodified_script(arguments, tmp_path):
    (tmp_path / "beside.py").write_text("name = 'beside'\n")
    (tmp_path / "client.py").write_text(
        "import sys, beside\nimport rl_games.common\nfrom rl_games import algos_torch\n"
        "print(__name__, sys.argv[1:], rl_games.common.__name__, beside.name)\n"
    )
    code, out, err = run("-m", "manybody.compat", *arguments, "a", "--b", folder=tmp_path)
    assert (code, err) == (0, "")
    assert out == "__main__ ['a', '--b'] manybody.compat.rl_games.common beside\n"


def test_a_missing_module_is_reported(tmp_path):
    (tmp_path / "client.py").write_text("import rl_games.nowhere\n")
    code, _, err = run("-m", "manybody.compat", "client.py", folder=tmp_path)
    assert code == 1
    assert "No module named 'rl_games.nowhere': manybody stands in for rl_games" in err


def test_the_real_package_must_not_be_there_already(tmp_path):
    (tmp_path / "rl_games").mkdir()
    (tmp_path / "rl_games/__init__.py").write_text("")
    (tmp_path / "client.py").write_text(
        "import rl_games\nimport manybody.compat.rl_games as compat\ncompat.install()\n"
    )
    code, _, err = run("client.py", folder=tmp_path)
    assert code == 1
    assert "ImportError: rl_games is already imported, from " in err
    assert "python -m manybody.compat script.py" in err


def test_installing_twice_is_the_same(tmp_path):
    (tmp_path / "client.py").write_text(
        "import manybody.compat.rl_games as compat\ncompat.install()\nimport rl_games.common\ncompat.install()\n"
        "import sys\nassert sys.modules['rl_games'] is compat\nassert 'torch' not in sys.modules\n"
    )
    assert run("client.py", folder=tmp_path)[0] == 0


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["gone.py"], 2), (["--help"], 0)])
def test_without_a_script(arguments, code, tmp_path):
    given = run("-m", "manybody.compat", *arguments, folder=tmp_path)
    assert given[0] == code
    assert "usage: python -m manybody.compat" in given[1] + given[2]


def test_packages_that_clients_import_besides(tmp_path):
    """``gym`` is not among the packages of the tests: scripts get Gymnasium under its name."""
    (tmp_path / "client.py").write_text(
        "import gym, gym.spaces\nfrom gym import spaces\n"
        "print(gym.__name__, gym.spaces is spaces, spaces.Box(0, 1, (2,)).shape)\n"
    )
    assert run("-m", "manybody.compat", "client.py", folder=tmp_path)[:2] == (0, "gymnasium True (2,)\n")


def test_a_wrong_configuration_is_one_line(tmp_path):
    (tmp_path / "client.py").write_text(
        "from rl_games.torch_runner import Runner\n"
        "Runner().load({'params': {'algo': {'name': 'sac'}, 'config': {'gama': 1}}})\n"
    )
    code, _, err = run("-m", "manybody.compat", "client.py", folder=tmp_path)
    assert code == 2
    assert "error: configuration: " in err and "Traceback" not in err
