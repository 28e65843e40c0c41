"""Recurrent layers and distributions compared with RL Games 1.6.5."""

import pytest
import torch
from rl_games.algos_torch import sac_helper as their_sac
from rl_games.algos_torch.spatial_softmax import SpatialSoftArgmax as TheirArgmax
from rl_games.common.extensions import distributions as their_distributions
from rl_games.common.layers import recurrent as their_recurrent

from manybody.compat.rl_games.algos_torch import sac_helper
from manybody.compat.rl_games.algos_torch.spatial_softmax import SpatialSoftArgmax
from manybody.compat.rl_games.common.extensions import distributions
from manybody.compat.rl_games.common.layers import recurrent


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(0)


def close(result, expected):
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["LSTMWithDones", "GRUWithDones"])
@pytest.mark.parametrize("ends", [None, 0.0, 0.4])
def test_recurrent(draw, name, ends):
    ours, theirs = (getattr(x, name)(3, 4, 2) for x in (recurrent, their_recurrent))
    ours.load_state_dict(theirs.state_dict())
    x, state = torch.randn(6, 5, 3, generator=draw), torch.randn(2, 5, 4, generator=draw)
    states = (state, -state) if name[0] == "L" else state
    dones = None if ends is None else (torch.rand(6, 5, 1, generator=draw) < ends).float()
    (mine, my_states), (real, real_states) = (layer(x, states, dones) for layer in (ours, theirs))
    close(mine, real)
    close(my_states, real_states)


def test_recurrent_with_one_sequence(draw):
    """RL Games' squeeze drops the only sequence's axis; resets must be those of the same sequence among others."""
    layer = recurrent.GRUWithDones(3, 4)
    x, state = torch.randn(6, 2, 3, generator=draw), torch.randn(1, 2, 4, generator=draw)
    dones = torch.zeros(6, 2, 1)
    dones[2, 0] = dones[4, 1] = 1.0
    both = layer(x, state, dones)[0]
    close(layer(x[:, :1], state[:, :1], dones[:, :1])[0], both[:, :1])
    close(both[2:, 0], layer(x[2:, :1], torch.zeros(1, 1, 4))[0][:, 0])  # an episode begins with step 2
    close(layer(x, state, dones.squeeze(-1))[0], both)


@pytest.mark.parametrize("masked", [True, False])
def test_masked_choices(draw, masked):
    logits = torch.randn(50, 4, generator=draw)
    masks = torch.rand(50, 4, generator=draw) < 0.6
    masks[:, 0] = True
    masks = masks if masked else None
    ours, theirs = (x.CategoricalMasked(logits=logits, masks=masks) for x in (distributions, their_distributions))
    choice = torch.zeros(50, dtype=torch.long)
    for result, expected in (
        (ours.logits, theirs.logits),
        (ours.log_prob(choice), theirs.log_prob(choice)),
        (ours.entropy(), theirs.entropy()),
    ):
        close(result, expected)
    drawn = ours.sample()
    assert drawn.shape == (50,)
    assert masks is None or masks.gather(1, drawn.unsqueeze(1)).all()
    naive = distributions.CategoricalMaskedNaive(probs=logits.softmax(dim=-1), masks=masks)
    torch.testing.assert_close(naive.probs, ours.probs, atol=1e-6, rtol=1e-4)


def test_squashed_normal(draw):
    loc, scale = torch.randn(30, 2, generator=draw), torch.rand(30, 2, generator=draw) + 0.1
    ours, theirs = (x.SquashedNormal(loc, scale) for x in (sac_helper, their_sac))
    actions = torch.tanh(loc + 0.3)
    for result, expected in (
        (ours.mean, theirs.mean),
        (ours.entropy(), theirs.entropy()),
        (ours.log_prob(actions), theirs.log_prob(actions)),
    ):
        close(result, expected)
    drawn = ours.rsample()
    assert drawn.abs().max() <= 1.0
    far = sac_helper.SquashedNormal(10.0 + loc, scale)
    assert torch.isfinite(far.log_prob(far.rsample())).all()  # 1 in float32, yet known from the cache
    assert ours.transforms[0] == sac_helper.TanhTransform()


@pytest.mark.filterwarnings("ignore")  # RL Games' own
@pytest.mark.parametrize("normalize", [False, True])
def test_spatial_softmax(draw, normalize):
    """Square images; of others, RL Games mixes up the rows."""
    x = 3.0 * torch.randn(2, 3, 4, 4, generator=draw)
    close(SpatialSoftArgmax(normalize)(x), TheirArgmax(normalize)(x))
    sharp = torch.zeros(1, 1, 3, 5)
    sharp[0, 0, 2, 1] = 1000.0
    assert SpatialSoftArgmax()(sharp).tolist() == [[2.0, 1.0]]
    assert SpatialSoftArgmax(True)(sharp).tolist() == [[1.0, -0.5]]  # last of 3 rows; second of 5 columns
