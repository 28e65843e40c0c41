"""Discrete distributions: probabilities by hand, masks, and one or several heads."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manybody.nn.distributions import FORBIDDEN, Categorical

LOGITS = torch.tensor([[0.0, math.log(3.0)], [math.log(1.0), math.log(1.0)]])
"""Probabilities 1/4 and 3/4 in the first row, 1/2 and 1/2 in the second."""


def test_probabilities_entropy_and_divergence_by_hand():
    policy = Categorical(LOGITS)
    assert policy.neglogp(torch.tensor([1, 0])).tolist() == pytest.approx([-math.log(0.75), math.log(2)])
    first = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert policy.entropy().tolist() == pytest.approx([first, math.log(2)])
    flipped = Categorical(LOGITS.flip(1))
    # 1/4 log(1/3) + 3/4 log 3 = log(3) / 2 in the first row, 0 in the second.
    assert policy.kl(flipped).tolist() == pytest.approx([math.log(3) / 2, 0.0], abs=1e-6)
    assert policy.mode().tolist() == [1, 0]


def test_samples_follow_the_probabilities():
    torch.manual_seed(0)
    draws = Categorical(LOGITS[:1].expand(100_000, 2)).sample().float()
    # Binomial: the standard deviation of the mean is sqrt(3/16 / 100000) = 0.0014.
    assert draws.mean().item() == pytest.approx(0.75, abs=0.006)


def test_a_masked_action_is_never_sampled():
    torch.manual_seed(0)
    logits = torch.tensor([50.0, FORBIDDEN, -50.0, FORBIDDEN]).expand(1_000_000, 4)
    assert not (Categorical(logits).sample() % 2 == 1).any()
    even = torch.tensor([FORBIDDEN, 0.0, FORBIDDEN, 0.0]).expand(1_000_000, 4)
    assert (Categorical(even).sample() % 2 == 1).all()


def test_masked_actions_do_not_affect_entropy_and_kl():
    masked = Categorical(torch.tensor([[0.0, 0.0, FORBIDDEN]]))
    assert masked.entropy().item() == pytest.approx(math.log(2))
    assert masked.kl(masked).item() == 0.0
    other = Categorical(torch.tensor([[math.log(3.0), 0.0, FORBIDDEN]]))
    assert masked.kl(other).item() == pytest.approx(0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 1000))
def test_several_heads_sum_over_single_heads(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits, old = (torch.randn(6, sum(sizes), generator=generator) for _ in range(2))
    policy, before = Categorical(logits, tuple(sizes)), Categorical(old, tuple(sizes))
    actions = policy.sample()
    assert actions.shape == (6, len(sizes)) and (actions < torch.tensor(sizes)).all()
    parts = [Categorical(block) for block in logits.split(sizes, dim=1)]
    olds = [Categorical(block) for block in old.split(sizes, dim=1)]
    neglogp = sum(part.neglogp(actions[:, head]) for head, part in enumerate(parts))
    torch.testing.assert_close(policy.neglogp(actions), neglogp)
    torch.testing.assert_close(policy.entropy(), sum(part.entropy() for part in parts))
    torch.testing.assert_close(policy.kl(before), sum(p.kl(q) for p, q in zip(parts, olds, strict=True)))
    assert torch.equal(policy.mode(), torch.stack([part.mode() for part in parts], dim=1))
