import os

import pytest
import torch

from manybody.engine.accelerate import autocast, compiled, eval_mode, set_threads

CPU = torch.device("cpu")


def double(x):
    return 2.0 * x


def test_without_compiling_the_function_itself_comes_back():
    assert compiled(double, False) is double


def test_compiling_asks_torch_with_the_mode(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: asked.append(options) or function)
    compiled(double, True)
    compiled(double, "max-autotune")
    assert asked == [{"dynamic": False, "mode": None}, {"dynamic": False, "mode": "max-autotune"}]


def test_autocast_only_when_asked():
    a, b = torch.ones(2, 2), torch.ones(2, 2)
    with autocast(CPU, True):
        assert (a @ b).dtype == torch.bfloat16
    with autocast(CPU, False):
        assert (a @ b).dtype == torch.float32


def test_eval_mode_returns_to_what_was():
    module = torch.nn.Sequential(torch.nn.Dropout())
    for was in (True, False):
        module.train(was)
        with eval_mode(module):
            assert not module.training and not module[0].training
        assert module.training is was and module[0].training is was


def test_threads():
    set_threads(3)
    assert torch.get_num_threads() == 3
    set_threads(0)
    assert torch.get_num_threads() == 3
    set_threads("auto")
    assert 1 <= torch.get_num_threads() <= min(8, os.cpu_count() or 1)


@pytest.mark.slow
def test_updates_are_the_same_compiled(make_agent, monkeypatch):
    """Through torch.compile's tracer, in one graph; what the compiler then does with it is PyTorch's business."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **_: compile_(f, backend="eager", fullgraph=True))
    torch.compiler.reset()
    agents = [make_agent(torch_compile=how) for how in (False, True)]
    for agent in agents:
        torch.manual_seed(1)
        agent.start_training()
        for _ in range(2):
            agent.update_epoch()
            agent.train_epoch()
    plain, traced = (agent.model.state_dict() for agent in agents)
    assert list(plain) == list(traced)
    for name, value in plain.items():
        torch.testing.assert_close(traced[name], value, atol=1e-6, rtol=1e-6)
