"""Signals: the first asks, the second ends, nothing stays changed."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from manybody.engine import console
from manybody.engine.signals import graceful_stop


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(console, "notice", lines.append)
    return lines


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_for_a_stop(said, number, code):
    before = signal.getsignal(number)
    with graceful_stop() as stop:
        assert (stop.requested, stop.exit_code) == (None, 0)
        os.kill(os.getpid(), number)
        assert (stop.requested, stop.exit_code) == (number, code)  # 128 + 2, 128 + 15
        assert not stop.save_requested
    assert signal.getsignal(number) is before
    assert len(said) == 1 and number.name in said[0] and "checkpoint" in said[0]


def test_sigusr1_asks_for_a_checkpoint_only(said):
    with graceful_stop() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert (stop.save_requested, stop.requested, said) == (True, None, [])


def test_handlers_return_after_an_exception():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError), graceful_stop():
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_nothing_happens():
    before, stops = signal.getsignal(signal.SIGINT), []

    def work():
        with graceful_stop() as stop:
            stops.append((signal.getsignal(signal.SIGINT), stop.requested))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert stops == [(before, None)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_ends_at_once_even_while_printing(number, code):
    script = """
from manybody.engine import console
from manybody.engine.signals import graceful_stop
with graceful_stop():
    print('ready', flush=True)
    while True:
        console.say('x' * 100)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    drain = threading.Thread(target=process.stdout.read)
    drain.start()
    process.send_signal(number)
    time.sleep(0.2)
    assert process.poll() is None  # still running, and the print it interrupted went on
    process.send_signal(number)
    assert process.wait(timeout=5) == code
    drain.join()
    assert (
        process.stderr.read()
        == f"{number.name}: stopping after this epoch, with a checkpoint. A second signal stops at once, without it.\n"
    )
