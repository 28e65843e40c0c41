"""RL Games' running normalisation: that of :mod:`manybody.nn.normalizer`.

Two things differ from RL Games: undoing the normalisation never changes the statistics, and masked rows are left out
element by element (there, all elements get one mean).
"""

from manybody.functional.stats import merge_moments
from manybody.nn import normalizer
from manybody.nn.normalizer import RunningMeanStdObs

__all__ = ["RunningMeanStd", "RunningMeanStdObs"]


class RunningMeanStd(normalizer.RunningMeanStd):
    """:class:`manybody.nn.normalizer.RunningMeanStd` with the method that subclasses call to merge moments."""

    _update_mean_var_count_from_moments = staticmethod(merge_moments)
