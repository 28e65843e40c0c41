"""Whether bf16 is used: a measurement says so, the log says which, and a resumed run keeps to it."""

import pytest
import torch
from torch import nn

from manybody.engine import precision
from manybody.engine.precision import BF16, bf16_speed, choose_bf16, has_bf16

CPU = torch.device("cpu")


@pytest.fixture
def speed(monkeypatch):
    """``speed(x)``: every measurement gives x; the list of what was measured."""

    def pretend(value):
        measured = []
        monkeypatch.setattr(precision, "has_bf16", lambda device: True)
        monkeypatch.setattr(precision, "bf16_speed", lambda *given: measured.append(given) or value)
        return measured

    return pretend


def choose(saved=None, wanted=True):
    model = nn.Sequential(nn.Linear(3, 16), nn.ELU(), nn.Linear(16, 2))
    return choose_bf16("mixed_precision", wanted, saved or {}, BF16, model, 64)


@pytest.mark.parametrize(
    ("measured", "used", "name"), [(0.58, False, "fp32"), (1.0, False, "fp32"), (1.7, True, "bf16")]
)
def test_the_faster_one_is_used_and_logged(speed, capsys, measured, used, name):
    calls = speed(measured)
    assert choose() is used
    assert capsys.readouterr().out == (
        f"mixed_precision: bf16 is {measured:.2f} times as fast as fp32; {name} is used\n"
    )
    assert calls == [(((3, 16), (16, 2)), 64, CPU, torch.get_num_threads())]


@pytest.mark.parametrize("used", [True, False])
def test_a_resumed_run_takes_what_was_saved(speed, capsys, used):
    calls = speed(0.5 if used else 2.0)
    assert choose({BF16: used}) is used
    assert calls == [] and "as in the saved run" in capsys.readouterr().out


def test_nothing_is_measured_unless_asked(speed, capsys):
    calls = speed(2.0)
    assert choose(wanted=False) is False and choose({BF16: True}, wanted=False) is False
    assert calls == [] and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False}, False),
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"sve_bf16": True}, True),
        ({}, False),
    ],
)
def test_a_cpu_without_units_is_not_measured(monkeypatch, capsys, units, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units)
    monkeypatch.setattr(precision, "bf16_speed", lambda *_: 2.0)
    assert has_bf16(CPU) is expected and has_bf16(torch.device("cuda"))
    assert choose() is expected
    assert ("no bf16 units" in capsys.readouterr().out) is not expected


def test_a_measurement_draws_nothing_and_is_kept():
    bf16_speed.cache_clear()
    before = torch.get_rng_state()
    shapes = ((3, 16), (16, 8), (8, 2), (8, 1))  # two heads side by side
    first = bf16_speed(shapes, 64, CPU, 1)
    assert 0.0 < first < float("inf")
    assert bf16_speed(shapes, 64, CPU, 1) == first
    assert bf16_speed.cache_info()[:2] == (1, 1)  # hits, misses
    assert torch.equal(torch.get_rng_state(), before)


def test_both_kinds_of_pass_are_measured(monkeypatch):
    """fp32 takes 2 s, bf16 1 s, and once something else held the machine up: twice as fast."""
    bf16_speed.cache_clear()
    slow = iter([9.0])
    monkeypatch.setattr(precision, "BUDGET", 0.0)
    monkeypatch.setattr(precision, "_seconds", lambda _, bf16: 1.0 if bf16 else next(slow, 2.0))
    assert bf16_speed(((3, 4),), 2, CPU, 1) == 2.0
    assert bf16_speed((), 2, CPU, 1) == 1.0  # nothing is multiplied
    bf16_speed.cache_clear()
