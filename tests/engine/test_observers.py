import types

import pytest
import torch

from manybody.engine.observers import AlgoObserver, DefaultAlgoObserver, IsaacAlgoObserver, MultiObserver


class Scalars:
    """A writer that keeps what it is given."""

    def __init__(self):
        self.written = {}

    def add_scalar(self, tag, value, step):
        self.written[tag] = (pytest.approx(value), step)


@pytest.fixture
def algo():
    return types.SimpleNamespace(games_to_track=100, device=torch.device("cpu"), writer=Scalars())


def attached(observer, algo):
    observer.after_init(algo)
    return observer


def test_scores_of_finished_episodes_are_averaged(algo):
    observer = attached(DefaultAlgoObserver(), algo)
    observer.after_print_stats(64, 1, 2.0)
    assert algo.writer.written == {}  # no episode has ended yet
    # Environments 0 and 2 ended: (1 + 5) / 2.
    observer.process_infos({"scores": torch.tensor([1.0, 3.0, 5.0])}, torch.tensor([True, False, True]))
    observer.process_infos({}, torch.tensor([True, True, True]))
    observer.after_print_stats(128, 2, 4.0)
    assert algo.writer.written == {
        "scores/mean": (3.0, 128),
        "scores/iter": (3.0, 2),
        "scores/time": (3.0, 4.0),
    }


def test_scores_survive_a_resume_and_not_a_clear(algo):
    observer, other = (attached(DefaultAlgoObserver(), algo) for _ in range(2))
    observer.process_infos({"scores": torch.tensor([2.0])}, torch.tensor([True]))
    other.load_state_dict(observer.state_dict())
    assert other.game_scores.mean.item() == 2.0
    other.load_state_dict({})  # a checkpoint of another observer
    assert other.game_scores.mean.item() == 2.0
    other.after_clear_stats()
    assert other.game_scores.current_size.item() == 0.0


def test_isaac_terms(algo):
    observer = attached(IsaacAlgoObserver(), algo)
    done = torch.tensor([False, False])
    for height, count in ((1.0, 3), (2.0, 4)):
        infos = {
            "episode": {"height": torch.tensor([height, height + 1.0])},
            "consecutive": torch.tensor(count),
            "flag": True,
            "amp_obs": torch.zeros(2, 5),
        }
        observer.process_infos(infos, done)
    observer.after_print_stats(64, 1, 2.5)
    # Episode terms: the mean of 1.5 and 2.5, against the epoch. Other scalars: the last value of the epoch.
    expected = {"Episode/height": (2.0, 1)}
    for key, value in (("consecutive", 4.0), ("flag", 1.0)):
        expected |= {f"{key}/frame": (value, 64), f"{key}/iter": (value, 1), f"{key}/time": (value, 2.5)}
    assert algo.writer.written == expected


def test_isaac_terms_are_forgotten_after_each_epoch(algo):
    observer = attached(IsaacAlgoObserver(), algo)
    observer.process_infos({"episode": {"height": torch.tensor(100.0)}, "x": 1}, torch.tensor([False]))
    observer.after_print_stats(64, 1, 1.0)
    algo.writer.written.clear()
    observer.process_infos({"episode": {"height": torch.tensor(2.0)}}, torch.tensor([False]))
    observer.after_print_stats(128, 2, 2.0)
    assert algo.writer.written == {"Episode/height": (2.0, 2)}


def test_several_observers_are_told_in_order():
    calls = []

    def named(name):
        class Observer(AlgoObserver):
            def __getattribute__(self, hook):
                if hook.startswith(("before", "after", "process", "load")):
                    calls.append((hook, name))
                return super().__getattribute__(hook)

            def state_dict(self):
                return {"name": name}

        return Observer()

    both = MultiObserver([named("first"), named("second")])
    both.before_init("run", None, "Ant")
    both.after_init(None)
    both.process_infos({}, torch.tensor([True]))
    both.after_steps()
    both.after_print_stats(1, 1, 1.0)
    both.after_clear_stats()
    state = both.state_dict()
    both.load_state_dict(state)
    assert state == {"0": {"name": "first"}, "1": {"name": "second"}}
    hooks = [
        "before_init",
        "after_init",
        "process_infos",
        "after_steps",
        "after_print_stats",
        "after_clear_stats",
    ]
    expected = [(hook, name) for hook in [*hooks, "load_state_dict"] for name in ("first", "second")]
    assert calls == expected


def test_the_null_observer_takes_everything():
    observer = AlgoObserver()
    observer.before_init("run", None, "Ant")
    observer.after_init(None)
    observer.process_infos({}, torch.tensor([True]))
    observer.after_steps()
    observer.after_clear_stats()
    observer.after_print_stats(1, 1, 1.0)
    assert observer.state_dict() == {}
