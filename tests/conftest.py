"""Fixtures of all tests."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toy import ToyEnv, toy_params


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Reset the number of threads, which a ``Runner`` sets for the whole process."""
    torch.set_num_threads(1)


@pytest.fixture
def make_agent() -> Callable[..., Any]:
    """``make_agent(**config)``: an ``A2CAgent`` on eight toy environments that writes no files."""

    def make(
        env: ToyEnv | None = None,
        network: dict[str, Any] | None = None,
        agent_class: Any = None,
        **config: Any,
    ) -> Any:
        from manybody.algos.a2c import A2CAgent
        from manybody.config import parse_params

        mapping = toy_params(**config)
        mapping["network"] |= network or {}
        torch.manual_seed(0)
        return (agent_class or A2CAgent)("run", parse_params(mapping), vec_env=env or ToyEnv())

    return make


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Run in an empty folder, without videos, with the environments ``toy`` and ``faulty`` registered."""
    from toy import ToyEnv
    from toy_env import Fault, FaultyEnv

    from manybody import train
    from manybody.envs import registration

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "show_results", lambda *_: None)
    monkeypatch.setattr(registration, "_creators", dict(registration._creators))
    registration.register("toy", lambda num_actors, **_: ToyEnv(num_actors))
    registration.register("faulty", lambda num_actors, **_: FaultyEnv(Fault("obs", float("nan")), num_envs=num_actors))


@pytest.fixture
def refused(capsys, tmp_path):
    """``refused(*overrides)``: the error message of a command that exits with 2 and writes no files."""

    from manybody import train

    def refuse(*overrides, code=2):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as stop:
            train.main(list(overrides))
        out, err = capsys.readouterr()
        assert stop.value.code == code
        assert sorted(tmp_path.rglob("*")) == before
        assert "Traceback" not in out + err and err.startswith("error: ")
        return err

    return refuse
