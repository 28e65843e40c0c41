"""Observers, self-play and thinned writers as RL Games' clients use them."""

import types

import numpy as np
import pytest
import torch
from rl_games.common import algo_observer as their_observers
from rl_games.common.interval_summary_writer import IntervalSummaryWriter as TheirWriter

from manybody.algos.a2c import A2CAgent
from manybody.compat.observers import ClientObserver
from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.compat.rl_games.algos_torch.self_play_manager import SelfPlayManager
from manybody.compat.rl_games.common import algo_observer, interval_summary_writer
from manybody.config import parse_params
from manybody.engine.observers import AlgoObserver as NativeObserver
from manybody.engine.observers import MultiObserver as NativeMulti


class Writer(list):
    def add_scalar(self, tag, value, step):
        self.append((tag, np.asarray(value).item(), step))


def algo(agents=1):
    return types.SimpleNamespace(games_to_track=5, ppo_device="cpu", device="cpu", num_agents=agents, writer=Writer())


def rows(*indices):
    return torch.tensor(indices, dtype=torch.long).reshape(-1, 1)


@pytest.mark.parametrize(
    ("infos", "agents"),
    [
        ({"scores": np.array([1.0, 2.0, 3.0])}, 1),
        ({"battle_won": torch.tensor([1.0, 2.0, 3.0]), "time_outs": 1}, 1),
        ({"scores": np.array([1.0, 2.0])}, 2),
        ({"lives": np.array([0, 1, 0]), "scores": np.array([1.0, 2.0, 5.0])}, 1),
        ([{"scores": 3.0}, {"battle_won": 1, "scores": 7}, {}], 1),
        ([{"battle_won": True}], 1),
        ([], 1),
        (None, 1),
        ({"nothing": 1}, 1),
        ([1, 2, 3], 1),
    ],
)
def test_default_observer(infos, agents):
    pair = []
    for module in (algo_observer, their_observers):
        observer, agent = module.DefaultAlgoObserver(), algo(agents)
        observer.after_init(agent)
        observer.process_infos(infos, rows(0, 2))
        observer.process_infos(infos, rows())
        observer.after_print_stats(100, 2, 3.5)
        pair.append((agent.writer, observer.game_scores.current_size))
        observer.after_clear_stats()
        assert observer.game_scores.current_size == 0
    assert pair[0] == pair[1]


def test_default_observer_goes_on_where_it_was():
    first, second = algo_observer.DefaultAlgoObserver(), algo_observer.DefaultAlgoObserver()
    for observer in (first, second):
        observer.after_init(algo())
    first.process_infos({"scores": [4.0, 2.0]}, rows(0, 1))
    second.load_state_dict(first.state_dict())
    assert (second.game_scores.get_mean().item(), second.game_scores.current_size) == (3.0, 2)


def test_isaac_observer():
    """``episode`` terms of both steps as one mean: (1 + 2 + 4) / 3; a term that only one step has, its own."""
    pair = []
    steps = [
        {"episode": {"r": torch.tensor([1.0, 2.0])}, "a": 1.0, "b": torch.tensor(2.0), "c": torch.zeros(2)},
        {"episode": {"r": 4.0}, "b": 3, "time_outs": torch.zeros(2)},
    ]
    for module in (algo_observer, their_observers):
        observer, agent = module.IsaacAlgoObserver(), algo()
        observer.after_init(agent)
        for step in steps:
            observer.process_infos({key: dict(x) if key == "episode" else x for key, x in step.items()}, rows(1))
        observer.mean_scores.update(torch.tensor([6.0]))
        observer.after_print_stats(100, 2, 3.5)
        observer.after_print_stats(200, 3, 7.5)
        observer.after_clear_stats()
        observer.after_print_stats(300, 4, 9.5)
        pair.append(agent.writer)
        with pytest.raises(ValueError, match=r"expected 'infos' as dict\. Received: <class 'list'>"):
            observer.process_infos([], rows())
    assert pair[0] == pair[1]
    assert pair[0][0] == ("Episode/r", pytest.approx(7 / 3), 2)


def test_isaac_observer_with_a_term_that_comes_later():
    observer, agent = algo_observer.IsaacAlgoObserver(), algo()
    observer.after_init(agent)
    observer.process_infos({"episode": {"r": 1.0}}, rows())
    observer.process_infos({"episode": {"r": 2.0, "late": 5}}, rows())
    observer.after_print_stats(1, 1, 1.0)
    assert agent.writer[:2] == [("Episode/r", 1.5, 1), ("Episode/late", 5.0, 1)]


def test_isaac_observer_sums_counts_over_an_epoch():
    observer, agent = algo_observer.IsaacAlgoObserver(), algo()
    observer.after_init(agent)
    for epoch, lost in ((1, (2, 0)), (2, (3, 4))):
        for count in lost:
            observer.process_infos({"unstable_envs": torch.tensor(count), "level": count}, rows())
        observer.after_print_stats(epoch, epoch, 1.0)
    written = {(tag, step): value for tag, value, step in agent.writer}
    assert (written["unstable_envs/frame", 1], written["unstable_envs/frame", 2]) == (2, 7)
    assert written["level/frame", 2] == 4  # the last one, as in RL Games


class RLGPUAlgoObserver(algo_observer.AlgoObserver):
    """As IsaacGymEnvs has it: looks up rows one by one."""

    def after_init(self, algo):
        self.algo = algo
        self.mean_scores = torch_ext.AverageMeter(1, algo.games_to_track).to(algo.ppo_device)
        self.seen = []

    def process_infos(self, infos, done_indices):
        assert isinstance(infos, dict)
        self.seen += [index.item() for index in done_indices]


class MultiObserver(algo_observer.AlgoObserver):
    """As IsaacGymEnvs has it: forwards everything by name."""

    def __init__(self, observers_):
        super().__init__()
        self.observers = observers_

    def _call_multi(self, method, *args_, **kwargs_):
        for observer in self.observers:
            getattr(observer, method)(*args_, **kwargs_)

    def before_init(self, base_name, config, experiment_name):
        self._call_multi("before_init", base_name, config, experiment_name)

    def after_init(self, algo):
        self._call_multi("after_init", algo)

    def process_infos(self, infos, done_indices):
        self._call_multi("process_infos", infos, done_indices)

    def after_steps(self):
        self._call_multi("after_steps")

    def after_clear_stats(self):
        self._call_multi("after_clear_stats")

    def after_print_stats(self, frame, epoch_num, total_time):
        self._call_multi("after_print_stats", frame, epoch_num, total_time)


def agent(num_actors, agents=1):
    return types.SimpleNamespace(**vars(algo(agents)), num_actors=num_actors)


@pytest.mark.parametrize("done", [torch.tensor([True, False, False, True]), rows(0, 3)])
def test_clients_are_told_rows(done):
    """Masks of this library's agents and rows of RL Games' arrive as the same thing."""
    child = RLGPUAlgoObserver()
    observer = ClientObserver(MultiObserver([child, algo_observer.AlgoObserver()]), {})
    observer.after_init(agent(4))
    observer.process_infos({}, done)
    observer.after_clear_stats()
    assert child.seen == [0, 3]


def test_one_row_for_each_environment():
    child = RLGPUAlgoObserver()
    observer = ClientObserver(child, {})
    observer.after_init(agent(2, agents=2))
    observer.process_infos({}, torch.tensor([False, False, True, True]))
    assert child.seen == [2]


def test_every_hook_is_there():
    observer = algo_observer.AlgoObserver()
    observer.before_init("run", {}, "name")
    observer.after_init(None)
    observer.process_infos(None, None)
    observer.after_steps()
    observer.after_clear_stats()
    observer.after_print_stats(0, 0, 0.0)
    assert observer.state_dict() == {}
    assert isinstance(observer, NativeObserver)
    hooks = {name for name in vars(their_observers.AlgoObserver) if not name.startswith("_")}
    assert hooks <= set(dir(observer))


def test_they_watch_an_agent_of_this_library(toy_env):
    """Through two epochs of four steps: each row of the toy ends its episodes."""
    child = RLGPUAlgoObserver()
    isaac = algo_observer.IsaacAlgoObserver()
    mapping, env = toy_env
    own = (MultiObserver([child]), isaac, algo_observer.DefaultAlgoObserver())
    observer = NativeMulti([ClientObserver(one, {}) for one in own])
    agent = A2CAgent("run", parse_params(mapping), vec_env=env, observer=observer)
    agent.init_tensors()
    agent.obs = agent.env_reset()
    for _ in range(2):
        agent.train_epoch()
    observer.after_print_stats(agent.frame, 2, 1.0)
    agent.clear_stats()
    assert child.seen
    assert all(type(row) is int and 0 <= row < agent.num_actors for row in child.seen)


@pytest.fixture
def toy_env():
    from toy import ToyEnv, toy_params

    return toy_params(), ToyEnv()


@pytest.mark.parametrize("place", ["returns", "observer", "agent"])
def test_self_play(place):
    """Three games of mean 2 beat a score of 1: environments 0 and 1 get the weights, the next time 1 and 2."""
    config = {
        "update_score": 1.0,
        "games_to_check": 3,
        "env_update_num": 2,
        "check_scores": place != "returns",
    }
    given, cleared, writer = [], [], Writer()
    meters = torch_ext.AverageMeter(1, 10), torch_ext.AverageMeter(1, 10)
    agent = types.SimpleNamespace(
        game_rewards=meters[0],
        algo_observer=types.SimpleNamespace(game_scores=meters[1]),
        vec_env=types.SimpleNamespace(set_weights=lambda rows, weights: given.append((list(rows), weights))),
        clear_stats=lambda: cleared.append(1),
        get_weights=lambda: "weights",
        frame=64,
        num_actors=3,
    )
    if place == "agent":
        agent.game_scores, agent.algo_observer = meters[1], None
    manager = SelfPlayManager(config, writer)
    watched = meters[0 if place == "returns" else 1]
    watched.update(torch.tensor([2.0, 2.0]))
    manager.update(agent)
    assert given == []  # two games are too few
    watched.update(torch.tensor([2.0]))
    manager.update(agent)
    manager.update(agent)
    assert given == [([0, 1], "weights"), ([1, 2], "weights")]
    assert writer == [("selfplay/iters_update_weigths", 2.0, 64), ("selfplay/iters_update_weigths", 1.0, 64)]
    assert len(cleared) == 2
    watched.clear()
    watched.update(torch.zeros(5))
    manager.update(agent)
    assert len(given) == 2


def test_thinned_writers(monkeypatch):
    """Numbers of one tag 5 s apart at first, 10 s apart after 2000 s; nothing in the first 5 s or at step 0."""
    now, pair = [1000.0], []
    monkeypatch.setattr("time.time", lambda: now[0])
    for made in (interval_summary_writer.IntervalSummaryWriter, TheirWriter):
        now[0], writer = 1000.0, Writer()
        thinned = made(writer, {"summaries_interval_sec_max": 50})
        for seconds in (1, 6, 8, 12, 1900, 2500, 2507, 2512, 2513):
            now[0] = 1000.0 + seconds
            thinned.add_scalar("a", seconds, seconds)
            thinned.add_scalar("never", seconds, 0)
        assert thinned.count == writer.count  # everything else is the writer's own
        pair.append(list(writer))
    assert pair[0] == pair[1]
    assert [value for _, value, _ in pair[0]] == [6, 12, 1900, 2500, 2513]
