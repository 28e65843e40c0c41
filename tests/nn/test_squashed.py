"""Compare the squashed Gaussian with torch.distributions."""

import torch
from torch import distributions

from manybody.nn.distributions import SquashedGaussian


def make_policy(seed=0):
    draw = torch.Generator().manual_seed(seed)
    mu, log_sigma = 0.4 * torch.randn(2, 6, 3, generator=draw)
    return SquashedGaussian(mu, log_sigma)


def test_log_density_and_its_gradients():
    policy = SquashedGaussian(*(x.clone().requires_grad_() for x in make_policy()))
    parameters = [x.detach().clone().requires_grad_() for x in policy]
    noise = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    action, neglogp = policy.draw(noise)
    reference = distributions.TransformedDistribution(
        distributions.Normal(parameters[0], parameters[1].exp()), [distributions.TanhTransform(cache_size=1)]
    )
    expected_action = (parameters[0] + parameters[1].exp() * noise).tanh()
    expected = -reference.log_prob(expected_action).sum(dim=-1)
    torch.testing.assert_close(action, expected_action)
    torch.testing.assert_close(neglogp, expected, atol=1e-4, rtol=1e-4)
    neglogp.sum().backward()
    expected.sum().backward()
    for value, expected_value in zip(policy, parameters, strict=True):
        torch.testing.assert_close(value.grad, expected_value.grad, atol=1e-3, rtol=1e-3)


def test_large_means_do_not_overflow():
    action, neglogp = SquashedGaussian(torch.full((1, 2), 50.0), torch.zeros(1, 2)).draw(torch.zeros(1, 2))
    assert action.tolist() == [[1.0, 1.0]] and neglogp.isfinite().all()


def test_the_density_integrates_to_one():
    """Integrate exp(-neglogp) over a fine grid of values before the tanh."""
    raw = torch.linspace(-8.0, 8.0, 20_001).unsqueeze(1)
    policy = SquashedGaussian(torch.full_like(raw, 0.3), torch.full_like(raw, -0.5))
    action, neglogp = policy.draw((raw - policy.mu) / policy.log_sigma.exp())
    total = torch.trapezoid((-neglogp).exp().double(), action.squeeze(1).double())
    assert abs(total.item() - 1.0) < 1e-3


def test_samples_and_mode():
    torch.manual_seed(0)
    policy = SquashedGaussian(torch.full((20_000, 1), 0.5), torch.full((20_000, 1), -1.0))
    assert policy.sample().abs().max() < 1.0
    assert abs(policy.sample().median().item() - policy.mode()[0].item()) < 0.01  # tanh keeps the order
    assert policy.mode()[0].item() == torch.tensor(0.5).tanh().item()
