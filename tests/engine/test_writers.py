"""Writers: one line an epoch, readable event files, and disks that say no."""

import json
import resource

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from manybody.engine import console
from manybody.engine.run_folder import RunFolder
from manybody.engine.writers import Writer


@pytest.fixture
def folder(tmp_path):
    run = RunFolder.create(tmp_path, "Ant", "run")
    yield run
    run.close()


@pytest.fixture
def warned(monkeypatch):
    lines = []
    monkeypatch.setattr(console, "warn", lines.append)
    return lines


def lines_of(folder):
    return [json.loads(line) for line in folder.metrics_file.read_text().splitlines()]


def epochs_of(folder):
    return [line["epoch"] for line in lines_of(folder)]


def write_epochs(folder, *epochs):
    writer = Writer(folder)
    for epoch in epochs:
        writer.add_scalar("rewards/step", float(epoch), epoch * 100)
        writer.end_epoch(epoch, epoch * 100, 0.5)
    writer.close()


def test_one_line_an_epoch_with_everything_since_the_last(folder):
    writer = Writer(folder)
    writer.add_scalar("losses/a_loss", torch.tensor(0.25), 64)
    writer.add_scalar("losses/a_loss", 0.5, 64)
    writer.add_scalar("info/kl", float("nan"), 64)
    writer.add_scalar("info/lr", float("inf"), 64)
    writer.end_epoch(1, 64, 1.5)
    writer.end_epoch(2, 128, 3.0)
    # readable before the writer is closed
    assert lines_of(folder) == [
        {"epoch": 1, "frame": 64, "time": 1.5, "losses/a_loss": 0.5, "info/kl": None, "info/lr": None},
        {"epoch": 2, "frame": 128, "time": 3.0},
    ]


def test_tensorboard_reads_the_event_file(folder):
    writer = Writer(folder)
    assert not list(folder.summaries.iterdir())  # nothing before the first number
    for frame in (64, 128):
        writer.add_scalar("rewards/step", frame / 2, frame)
    writer.add_scalar("rewards/time", 7.5, 2.9)
    writer.flush()
    events = EventAccumulator(writer.log_dir).Reload()
    assert [(event.step, event.value) for event in events.Scalars("rewards/step")] == [
        (64, 32.0),
        (128, 64.0),
    ]
    assert [(event.step, event.value) for event in events.Scalars("rewards/time")] == [(2, 7.5)]
    writer.close()


def test_resuming_keeps_each_epoch_once(folder):
    write_epochs(folder, 1, 2, 3, 4, 5)
    write_epochs(folder, 4, 5, 6)  # from the checkpoint of epoch 3
    assert epochs_of(folder) == [1, 2, 3, 4, 5, 6]
    write_epochs(folder, 1)  # from the start
    assert epochs_of(folder) == [1]


def test_a_rolled_back_run_drops_the_epochs_it_repeats(folder):
    write_epochs(folder, 1, 2, 3, 2)
    assert epochs_of(folder) == [1, 2]


@pytest.mark.parametrize("rest", [b'{"epoch": 3, "fra', b'{"epoch": 3, "frame": 300}', b"\0" * 50, b"[]\n", b"\xff\n"])
def test_what_a_crash_left_unfinished_is_cut_off(folder, rest):
    write_epochs(folder, 1, 2)
    with open(folder.metrics_file, "ab") as file:
        file.write(rest)
    write_epochs(folder, 3)
    assert epochs_of(folder) == [1, 2, 3]


def test_a_full_disk_warns_once_for_each_file_and_loses_only_what_came_meanwhile(folder, warned):
    write_epochs(folder, 1)
    size = folder.metrics_file.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))  # the next line fits by its first ten bytes only
    try:
        writer = Writer(folder)
        for epoch in (2, 3):
            writer.add_scalar("rewards/step", 1.0, epoch)
            writer.end_epoch(epoch, epoch, 0.5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert folder.metrics_file.stat().st_size == size  # no half line
    assert sorted(line.split(":")[0] for line in warned) == ["TensorBoard", "metrics.jsonl"]
    writer.end_epoch(4, 4, 0.5)
    writer.close()
    assert epochs_of(folder) == [1, 4] and len(warned) == 2
    steps = [event.step for event in EventAccumulator(writer.log_dir).Reload().Scalars("rewards/step")]
    assert steps == [100, 2, 3]  # buffered while the disk was full


def test_a_folder_that_is_gone_does_not_stop_training(folder, warned):
    folder.summaries.rmdir()
    folder.summaries.write_text("in the way")
    writer = Writer(folder)
    for epoch in (1, 2):
        writer.add_scalar("a", 1.0, epoch)
        writer.end_epoch(epoch, 1, 0.1)
    writer.close()
    assert epochs_of(folder) == [1, 2] and len(warned) == 1


def test_a_writer_without_a_folder_writes_nothing():
    writer = Writer(None)
    writer.add_scalar("a", 1.0, 1)
    writer.end_epoch(1, 2, 3.0)
    writer.flush()
    writer.close()
    assert writer.log_dir == ""
