import types

import torch

from manybody.engine.extras import ExtrasMetrics
from manybody.engine.observers import AlgoObserver, DefaultAlgoObserver, MultiObserver


def test_scores_of_an_older_checkpoint_arrive():
    observer = DefaultAlgoObserver()
    observer.after_init(types.SimpleNamespace(extras_metrics=ExtrasMetrics(2, 1, 5, torch.device("cpu"))))
    observer.load_state_dict({"mean": torch.tensor(4.0), "current_size": torch.tensor(3.0)})
    assert observer.game_scores.mean.item() == 4.0
    observer.load_state_dict({})  # a checkpoint of today keeps them elsewhere
    assert observer.game_scores.current_size.item() == 3.0


def test_several_observers_log_as_one_of_them_does():
    class Logging(AlgoObserver):
        logs_extras = True

    assert MultiObserver([AlgoObserver(), Logging()]).logs_extras
    assert not MultiObserver([AlgoObserver()]).logs_extras


def test_several_observers_are_called_in_order():
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
