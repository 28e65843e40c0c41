"""Every algorithm trains on a device other than the CPU: no operation mixes devices, and each epoch is read once.

``tests/system/test_second_device.py`` runs this file in a separate process: PyTorch counts the devices only once, in
the first backward pass of a process.
"""

import itertools
import re
from typing import Any

import pytest
import strict_device
import torch
from strict_device import Strict
from torch import Tensor
from torch.utils._pytree import tree_map
from toy_amp import OrbitEnv, orbit_params
from toy_cases import CASES

from manybody.algos.amp import register as register_amp
from manybody.config import types
from manybody.engine.observers import AlgoObserver, IsaacAlgoObserver, MultiObserver
from manybody.envs.base import EnvError, Obs, Step, VecEnv
from manybody.runner import Runner

EPOCHS = 2


class OnDevice(VecEnv):
    """Environments whose tensors are on the strict device; the wrapped environment computes on the CPU."""

    def __init__(self, env: Any) -> None:
        self.env = env
        self.num_envs, self.spec = env.num_envs, env.spec
        self.device = torch.device("strict", 0)

    def get_env_info(self) -> dict[str, Any]:
        return self.env.get_env_info()

    def reset(self) -> Obs:
        return to_strict(self.env.reset())

    def step(self, actions: Tensor) -> Step:
        step = self.env.step(actions.host)
        extras = {**step.extras, "speed": step.reward.clone(), "stumbles": step.terminated.sum(), "gain": 2.0}
        terms = {"episode": {"effort": step.reward.clone()}, "scores": step.reward.clone()}
        return to_strict(step._replace(extras={**extras, **terms}))

    def fetch_amp_obs_demo(self, count: int) -> Tensor:
        return to_strict(self.env.fetch_amp_obs_demo(count))


def to_strict(tree: Any) -> Any:
    """Copy every tensor of ``tree`` to the strict device."""
    return tree_map(lambda x: Strict(x.clone()) if isinstance(x, Tensor) else x, tree)


class Watch(AlgoObserver):
    """Record the library's reads to the host at the end of each epoch."""

    def __init__(self) -> None:
        self.after: list[dict[str, int]] = []

    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:
        self.after.append(dict(strict_device.reads))


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    strict_device.install()
    strict_device.reads.clear()
    monkeypatch.setattr(types, "_DEVICE", re.compile("strict|cpu"))


@pytest.mark.parametrize("case", CASES)
def test_an_epoch_mixes_no_devices_and_is_read_once(case):
    make, params = CASES[case]
    params = {
        **params,
        "torch_threads": 1,
        "config": {**params["config"], "device": "strict", "max_epochs": EPOCHS},
    }
    watch = Watch()
    runner = Runner(MultiObserver([IsaacAlgoObserver(), watch]))
    register_amp(runner)
    runner.load({"params": params})
    agent = runner.algo_factory.create(
        params["algo"]["name"],
        base_name="run",
        params=runner.params,
        observer=runner.algo_observer,
        vec_env=OnDevice(make()),
    )
    agent.train()
    assert agent.epoch_num == EPOCHS
    assert all(parameter.device.type == "strict" for parameter in agent.model.parameters())
    for before, after in itertools.pairwise(watch.after):  # the first epoch validates the environment
        new = {site: count - before.get(site, 0) for site, count in after.items() if count != before.get(site, 0)}
        new.pop("outside the library", None)
        assert sum(new.values()) == 1 and all("engine/metrics.py" in site for site in new), new


def test_the_device_refuses_mixed_devices_and_counts_reads():
    a = torch.zeros(3, device="strict")
    with pytest.raises(RuntimeError, match=r"add.Tensor mixes devices: CPU tensors of shape \(3,\)"):
        a + torch.ones(3)
    with pytest.raises(RuntimeError, match="mixes devices"):
        torch.stack([a[0], torch.ones(())])
    strict_device.reads.clear()
    assert float(a.sum()) == 0.0 and sum(strict_device.reads.values()) == 1
    a.masked_fill_(a > 0, 1.0)
    a[torch.ones(3, device="strict").bool()] = 2.0
    assert sum(strict_device.reads.values()) == 1  # filling by a mask does not synchronise
    a[a > 0], a.cpu(), a.tolist()
    assert sum(strict_device.reads.values()) == 4


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
def test_recurrent_cells_equal_those_of_the_cpu(kind):
    torch.manual_seed(0)
    layer, other = kind(3, 4), kind(3, 4)
    other.load_state_dict(layer.state_dict())
    other = other.to("strict")
    x = torch.randn(5, 2, 3)
    for module, seen in ((layer, x), (other, Strict(x.clone()))):
        module(seen)[0].square().sum().backward()
    for one, two in zip(layer.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad.host)


def test_non_finite_demonstrations_stop_the_training():
    class NonFiniteDemos(OrbitEnv):
        """Demonstrations are NaN after the first step."""

        def step(self, actions):
            self.started = True
            return super().step(actions)

        def fetch_amp_obs_demo(self, count):
            demos = super().fetch_amp_obs_demo(count)
            return demos * float("nan") if hasattr(self, "started") else demos

    params = orbit_params(8, mini_epochs=1, amp_batch_size=8, amp_minibatch_size=16, device="strict")
    runner = Runner()
    register_amp(runner)
    runner.load({"params": params})
    agent = runner.algo_factory.create(
        "amp_continuous", base_name="run", params=runner.params, vec_env=OnDevice(NonFiniteDemos(8))
    )
    with pytest.raises(EnvError, match="fetch_amp_obs_demo: NaN or infinite"):
        agent.train()
    assert agent.epoch_num == 1
    assert all(x.host.isfinite().all() for x in agent.model.state_dict().values())
