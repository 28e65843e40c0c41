import pytest
import torch

from manybody.engine.metrics import AverageMeter, EpochMeans, enough_games, mean_of, read_to_host

CPU = torch.device("cpu")


def test_the_meter_by_hand():
    meter = AverageMeter((), 4, CPU)
    yes = torch.ones(2, dtype=torch.bool)
    meter.update(torch.tensor([1.0, 3.0]), yes)
    assert (meter.mean.item(), meter.current_size.item()) == (2.0, 2.0)
    # Two more fill the window of 4: (2 * 2 + 2 * 6) / 4.
    meter.update(torch.tensor([4.0, 8.0]), yes)
    assert (meter.mean.item(), meter.current_size.item()) == (4.0, 4.0)
    # One more pushes one out: (3 * 4 + 8) / 4.
    meter.update(torch.tensor([8.0, 999.0]), torch.tensor([True, False]))
    assert (meter.mean.item(), meter.current_size.item()) == (5.0, 4.0)
    # More than the window at once: all of them count alike.
    meter.update(torch.arange(10.0), torch.ones(10, dtype=torch.bool))
    assert (meter.mean.item(), meter.current_size.item()) == (4.5, 4.0)


def test_no_finished_episode_changes_nothing():
    meter = AverageMeter((2,), 4, CPU)
    meter.update(torch.tensor([[1.0, 2.0]]), torch.tensor([True]))
    meter.update(torch.full((3, 2), float("nan")).nan_to_num(7.0), torch.zeros(3, dtype=torch.bool))
    assert meter.mean.tolist() == [1.0, 2.0] and meter.current_size.item() == 1.0


def test_the_meter_survives_a_resume():
    meter, other = AverageMeter((1,), 4, CPU), AverageMeter((1,), 4, CPU)
    meter.update(torch.tensor([[5.0]]), torch.tensor([True]))
    other.load_state_dict(meter.state_dict())
    meter.clear()
    assert other.mean.item() == 5.0 and other.current_size.item() == 1.0
    assert meter.mean.item() == 0.0 and meter.current_size.item() == 0.0


def test_finished_episodes_are_counted_beyond_the_window_and_over_a_resume():
    meter, other = AverageMeter((), 4, CPU), AverageMeter((), 4, CPU)
    meter.update(torch.arange(10.0), torch.arange(10) < 7)
    meter.clear()
    meter.update(torch.arange(10.0), torch.arange(10) < 3)
    assert (meter.finished.item(), meter.current_size.item()) == (10, 3)  # 7 + 3
    other.load_state_dict(meter.state_dict())
    assert other.finished.item() == 10
    other.load_state_dict({"mean": torch.tensor(1.0), "current_size": torch.tensor(3.0)})  # of an earlier version
    assert other.finished.item() == 3 and other.finished.dtype == torch.int64


@pytest.mark.parametrize(
    ("window", "rows", "enough"), [(100, 4096, 100), (100, 16, 16), (100, 1, 10), (5, 1, 5), (5, 4096, 5)]
)
def test_a_mean_counts_after_an_episode_of_each_row(window, rows, enough):
    assert enough_games(window, rows) == enough


def test_epoch_means():
    means = EpochMeans()
    means.add({"a": torch.tensor(1.0, requires_grad=True), "b": torch.tensor(5)})
    means.add({"a": torch.tensor(3.0)})
    result = means.means()
    assert {name: value.item() for name, value in result.items()} == {"a": 2.0, "b": 5.0}
    assert not result["a"].requires_grad
    assert EpochMeans().means() == {}


def test_one_read_brings_everything():
    scalars = {"a": torch.tensor(1.5), "b": torch.tensor([2], dtype=torch.int64), "c": torch.tensor(True)}
    assert read_to_host(scalars) == {"a": 1.5, "b": 2.0, "c": 1.0}
    assert read_to_host({}) == {}


def test_counts_beyond_float32_stay_exact():
    assert read_to_host({"frames": torch.tensor(2**53 - 1, dtype=torch.float64)}) == {"frames": 2.0**53 - 1}


def test_mean_of():
    assert mean_of([torch.tensor(1.0), torch.tensor([2.0]), torch.tensor(6)]).item() == pytest.approx(3.0)
