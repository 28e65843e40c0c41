"""The distance between a motion and the clip that it imitates."""

import math

import torch
from torch import Tensor


def pose_distances(motion: Tensor, clip: Tensor) -> Tensor:
    """Return the mean distances (T, R) in m over B bodies between each frame of ``motion`` and each of ``clip``.

    Args:
        motion: (T, B, 3) positions relative to the root, in the frame of its heading, m.
        clip: (R, B, 3) likewise.
    """
    return torch.linalg.vector_norm(motion.unsqueeze(1) - clip.unsqueeze(0), dim=-1).mean(dim=-1)


def imitation_error(motion: Tensor, clip: Tensor) -> float:
    """Return the mean distance (m) of the bodies, relative to the root, after the best alignment in time.

    The measure of the AMP paper (arXiv 2104.02180, section 8): dynamic time warping aligns every frame of the motion
    with a frame of the clip, which repeats. The motion may start anywhere in the clip. Per frame of the motion the clip
    advances by one or two frames, or waits once and then advances by one (Sakoe & Chiba 1978, slope between 1/2 and 2):
    without that limit, all frames of a figure that stands still would be compared with its nearest frame.

    Args:
        motion: (T, B, 3) positions relative to the root, in the frame of its heading, m.
        clip: (R, B, 3) likewise, at the same rate.
    """
    distances = pose_distances(motion, clip)
    frames, length = distances.shape
    laps = math.ceil(2 * frames / length) + 1  # at twice the clip's speed, from anywhere in the first lap
    distances = distances.repeat(1, laps)
    far = torch.full((2,), math.inf, device=motion.device)

    def later(cost: Tensor, by: int) -> Tensor:
        return torch.cat((far[:by], cost[:-by]))

    # best[j]: least sum of distances up to the current frame of the motion, if it is aligned with frame j.
    best = distances[0].clone()
    best[length:] = math.inf
    before = torch.full_like(best, math.inf)
    for i in range(1, frames):
        moved = torch.minimum(later(best, 1), later(best, 2)) + distances[i]
        waited = later(before, 1) + distances[i - 1] + distances[i] if i > 1 else torch.full_like(best, math.inf)
        before, best = best, torch.minimum(moved, waited)
    return float(best.min()) / frames


def still_error(clip: Tensor) -> float:
    """Return the :func:`imitation_error` in m of a figure that stays in the mean pose of ``clip`` (R, B, 3).

    The error of a policy that imitates the clip is clearly lower.
    """
    return imitation_error(clip.mean(dim=0).expand_as(clip), clip)
