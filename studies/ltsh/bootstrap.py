"""Whether one row is better than another, over the pictures that it was measured on and the seeds it was trained from.

A paired bootstrap (Efron 1979) in two levels: a draw has as many seeds as there are, with replacement, and as many
units (pictures, or people of LSPET). Both rows are measured on the same draw, each seed of one beside the same seed of
the other, so that what makes a unit hard for both, and what a seed's order of people does to both, cancels out.

The few seeds are its weak side: drawn from S of them, the variance of their mean comes out (S - 1) / S as large as it
is, and no draw goes beyond the seeds there are. So Student's interval over the seeds alone stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import UsageError
from ltsh_deploy.evaluation.comparison import LEVEL, p_value, percentile_interval, unit_draws
from ltsh_deploy.evaluation.measures import Measure
from ltsh_deploy.parts import import_part

__all__ = ["DRAWS", "Effect", "effect", "headline_draws", "seeds_apart"]

FloatArray = npt.NDArray[np.float64]

#: Draws of a bootstrap.
DRAWS = 1000


@dataclass(frozen=True)
class Effect:
    """The change of a figure from one row to another, in points; NaN where it is not defined.

    Attributes:
        change: mean over the seeds.
        low, high: bounds of the 95 % percentile interval.
        p_value: of the hypothesis that neither is better, as
            :class:`~ltsh_deploy.evaluation.comparison.Difference` has it.
        seeds: how many both rows have. One seed tells nothing of the chance that lies in training.
        over_seeds: half the width of Student's 95 % interval over the seeds alone (t / sqrt(S) times their standard
            deviation), whose middle is the change; NaN for one seed.
    """

    change: float
    low: float
    high: float
    p_value: float
    seeds: int
    over_seeds: float


def headline_draws(measure: Measure, draws: int = DRAWS, seed: int = 0) -> FloatArray:
    """[1 + B] the headline figure of all units, then of B draws from them; the draws of measures of one set are alike.

    Of a single unit, all draws are alike, and tell nothing: they are NaN.

    Raises:
        UsageError: when there are no draws.
    """
    blocks = [measure.draws(counts)[:, 0] for counts in unit_draws(len(measure), draws, seed)]
    drawn = np.concatenate([measure.figures()[:1], *blocks])
    if len(measure) < 2:
        drawn[1:] = np.nan
    return drawn


def effect(first: Sequence[FloatArray], second: Sequence[FloatArray], seed: int = 0) -> Effect:
    """Compare two rows.

    Args:
        first: for each of S seeds the [1 + B] of :func:`headline_draws`.
        second: the other row's, of the same seeds in the same order and of the same units.
        seed: of the draws from the seeds.

    Raises:
        UsageError: when the two do not have the same seeds and draws.
    """
    if len(first) != len(second) or not first or {len(a) for a in first} != {len(b) for b in second}:
        raise UsageError("two rows can be compared on the same seeds and draws alone")
    changes = np.array(second) - np.array(first)
    seeds, draws = changes.shape[0], changes.shape[1] - 1
    chosen = np.random.default_rng([seed, seeds]).integers(seeds, size=(seeds, draws))
    drawn = changes[chosen, np.arange(1, draws + 1)].mean(axis=0)
    found = percentile_interval(float(changes[:, 0].mean()), drawn)
    return Effect(found.value, found.low, found.high, p_value(drawn), seeds, _student(changes[:, 0]))


def _student(changes: FloatArray) -> float:
    """Half the width of Student's interval for the mean of [S] changes, taken as drawn from a normal distribution."""
    if len(changes) < 2:
        return float("nan")
    import_part("scipy", "An interval over seeds", "train")
    from scipy.special import stdtrit

    quantile = float(stdtrit(len(changes) - 1, (100 + LEVEL) / 200))
    return quantile * seeds_apart(changes.tolist()) / math.sqrt(len(changes))


def seeds_apart(values: Sequence[float]) -> float:
    """The standard deviation over seeds, with n - 1; NaN for fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
