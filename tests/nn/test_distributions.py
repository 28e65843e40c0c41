import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from manybody.nn.distributions import Gaussian


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(1, 5),
    actions=st.integers(1, 6),
    log_sigma=st.floats(-4.0, 3.0),
    seed=st.integers(0, 2**16),
)
def test_densities_equal_torch_distributions(rows, actions, log_sigma, seed):
    draw = torch.Generator().manual_seed(seed)
    mu, x, old_mu = torch.randn(3, rows, actions, generator=draw)
    sigma, old_sigma = (log_sigma + 0.5 * torch.randn(2, rows, actions, generator=draw)).exp()
    policy, old = Gaussian(mu, sigma), Gaussian(old_mu, old_sigma)
    reference = Independent(Normal(mu.double(), sigma.double()), 1)

    assert policy.neglogp(x).shape == policy.entropy().shape == policy.kl(old).shape == (rows,)
    torch.testing.assert_close(policy.neglogp(x).double(), -reference.log_prob(x.double()), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(policy.entropy().double(), reference.entropy(), rtol=1e-5, atol=1e-4)
    assert policy.mode() is mu


def test_kl_equals_torch_distributions_except_for_the_epsilons():
    # The 1e-5 in logarithm and denominator changes a divergence of order 1 by less than 1e-3 here.
    draw = torch.Generator().manual_seed(1)
    mu, old_mu = torch.randn(2, 50, 3, generator=draw)
    sigma, old_sigma = (0.3 * torch.randn(2, 50, 3, generator=draw)).exp()
    expected = kl_divergence(Normal(mu, sigma), Normal(old_mu, old_sigma)).sum(dim=-1)
    torch.testing.assert_close(Gaussian(mu, sigma).kl(Gaussian(old_mu, old_sigma)), expected, atol=1e-3, rtol=1e-3)


def test_the_gradient_of_the_density_equals_torch_distributions():
    torch.manual_seed(0)
    parameters = [torch.randn(4, 2, requires_grad=True), torch.rand(4, 2).add(0.5).requires_grad_()]
    x = torch.randn(4, 2)
    policy = torch.autograd.grad(Gaussian(*parameters).neglogp(x).sum(), parameters)
    reference = torch.autograd.grad(-Normal(*parameters).log_prob(x).sum(), parameters)
    for a, b in zip(policy, reference, strict=True):
        torch.testing.assert_close(a, b)


def test_samples_have_the_mean_and_standard_deviation():
    # 100,000 draws: the error of mean and standard deviation is 2 / sqrt(100,000) = 0.006.
    torch.manual_seed(0)
    sample = Gaussian(torch.full((100_000, 1), -3.0), torch.full((100_000, 1), 2.0)).sample()
    assert sample.mean().item() == pytest.approx(-3.0, abs=0.03)
    assert sample.std().item() == pytest.approx(2.0, abs=0.03)


def test_equal_seeds_give_equal_samples():
    policy = Gaussian(torch.zeros(3, 2), torch.ones(3, 2))
    torch.manual_seed(5)
    first = policy.sample()
    torch.manual_seed(5)
    assert torch.equal(policy.sample(), first)
