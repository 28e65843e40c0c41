import copy

import pytest
import torch

from manybody.engine.optim import AdaptiveScheduler, GuardedAdam, LinearScheduler, RLScheduler

CPU = torch.device("cpu")
YES, NO = torch.tensor(True), torch.tensor(False)


def stepped(optimizer, parameter, gradients, flags, how="guarded_step"):
    for gradient, flag in zip(gradients, flags, strict=True):
        parameter.grad = gradient.clone()
        getattr(optimizer, how)(flag)


def test_the_first_step_by_hand():
    # Adam's first step is lr * g / (|g| + eps): the rate, against the sign of the gradient.
    parameter = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    optimizer = GuardedAdam([parameter], 0.1, 0.0, CPU)
    stepped(optimizer, parameter, [torch.tensor([4.0, -0.25])], [YES])
    assert parameter.tolist() == pytest.approx([0.9, 1.1])


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_equals_torchs_adam(weight_decay):
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(5)) for _ in range(2))
    guarded = GuardedAdam([ours], 1e-2, weight_decay, CPU)
    plain = torch.optim.Adam([theirs], lr=1e-2, eps=1e-8, weight_decay=weight_decay, fused=True)
    for _ in range(20):
        ours.grad = torch.randn(5)
        theirs.grad = ours.grad.clone()
        guarded.guarded_step(YES)
        plain.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("how", ["guarded_step", "flagged_step"])
def test_an_unhealthy_step_leaves_no_trace(how):
    torch.manual_seed(0)
    good = [torch.randn(3) for _ in range(3)]
    broken = torch.tensor([float("nan"), float("inf"), 1.0])
    interrupted, straight = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    guarded, plain = (GuardedAdam([p], 0.1, 0.0, CPU) for p in (interrupted, straight))
    stepped(guarded, interrupted, [good[0], broken, good[1], broken, good[2]], [YES, NO, YES, NO, YES], how)
    stepped(plain, straight, good, [YES, YES, YES])
    assert torch.equal(interrupted, straight)
    for name, value in plain.state[straight].items():
        assert torch.equal(guarded.state[interrupted][name], value), name


def test_the_rate_is_one_tensor_changed_in_place():
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = GuardedAdam([parameter], 1e-3, 0.0, CPU)
    rate = optimizer.lr
    optimizer.set_lr(torch.tensor(2e-3))
    assert rate.item() == pytest.approx(2e-3)
    optimizer.set_lr(5e-4)
    assert rate.item() == pytest.approx(5e-4) and optimizer.lr is rate


def test_the_state_goes_round():
    torch.manual_seed(0)
    gradients = [torch.randn(3) for _ in range(4)]
    straight, resumed = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    first = GuardedAdam([straight], 0.1, 0.0, CPU)
    stepped(first, straight, gradients[:2], [YES, YES])
    second = GuardedAdam([resumed], 0.7, 0.0, CPU)
    resumed.data.copy_(straight.data)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for optimizer, parameter in ((first, straight), (second, resumed)):
        stepped(optimizer, parameter, gradients[2:], [YES, YES])
    assert torch.equal(straight, resumed) and second.lr.item() == pytest.approx(0.1)


def updated(scheduler, epoch=0, frames=0, kl=0.0, lr=1e-3):
    rate, entropy = scheduler.update(torch.tensor(lr), torch.tensor(0.1), epoch, frames, torch.tensor(kl))
    return [rate.item(), entropy.item()]


def test_constant():
    assert updated(RLScheduler(), 9, 9, 9.0) == pytest.approx([1e-3, 0.1])


def test_adaptive():
    scheduler = AdaptiveScheduler(kl_threshold=0.01, min_lr=1e-6, max_lr=1e-2, multiplier=2.0)
    assert updated(scheduler, kl=0.021) == pytest.approx([5e-4, 0.1])
    assert updated(scheduler, kl=0.01) == pytest.approx([1e-3, 0.1])
    assert updated(scheduler, kl=0.004) == pytest.approx([2e-3, 0.1])
    assert updated(scheduler, kl=0.0, lr=9e-3) == pytest.approx([1e-2, 0.1])


def linear(max_steps, use_epochs, apply_to_entropy=False):
    return LinearScheduler(1e-3, 1e-6, max_steps, use_epochs, apply_to_entropy, start_entropy_coef=0.1)


def test_linear_by_epochs():
    # 1e-6 + (1e-3 - 1e-6) * 0.6 after 4 of 10 epochs.
    assert updated(linear(10, True), epoch=4, frames=999) == pytest.approx([6.004e-4, 0.1])


def test_linear_by_frames_with_entropy():
    # A quarter is done: 1e-6 + 9.99e-4 * 0.75, and 1e-4 + 0.0999 * 0.75.
    scheduler = linear(1000, False, apply_to_entropy=True)
    assert updated(scheduler, epoch=99, frames=250) == pytest.approx([7.5025e-4, 0.075025])
    assert updated(scheduler, frames=5000) == pytest.approx([1e-6, 1e-4])


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"lr_schedule": "constant"}, RLScheduler),
        ({"lr_schedule": "adaptive"}, AdaptiveScheduler),
        ({"lr_schedule": "linear", "max_epochs": 10, "max_frames": 1000}, LinearScheduler),
    ],
)
def test_the_agent_uses_the_schedule_of_its_configuration(make_agent, settings, kind):
    scheduler = make_agent(**settings).scheduler
    assert type(scheduler) is kind
    if kind is LinearScheduler:  # epochs win over frames
        assert (scheduler.max_steps, scheduler.use_epochs) == (10, True)
