"""How sure a figure is, and whether one model is better than another on the same units: the bootstrap (Efron 1979).

Units are drawn with replacement, as many as there are, and everything is measured anew on each draw. Two models are
measured on the same draws, so that what makes a unit hard for both cancels out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import UsageError
from ltsh_deploy.evaluation.measures import Measure

__all__ = [
    "LEVEL",
    "Comparison",
    "Difference",
    "Interval",
    "compare",
    "p_value",
    "percentile_interval",
    "unit_draws",
    "value_interval",
]

FloatArray = npt.NDArray[np.float64]

#: What an interval holds the true value in so many of 100 times.
LEVEL = 95.0
# How many numbers an array of draws may hold: so many draws are measured at a time.
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Interval:
    """A value and the 95 % interval about it; NaN where it is not defined: one unit alone tells no interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """One figure of two models, in 0..100; NaN where it is not defined.

    Attributes:
        name: of the figure.
        first: of the first model.
        second: of the other.
        change: second less first.
        p_value: of the hypothesis that neither is better, two-sided: twice the part of the draws that contradict the
            sign of the change, counting one more than there are, and at most 1.
    """

    name: str
    first: float
    second: float
    change: Interval
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Two models on the same units; the headline figure comes first."""

    differences: tuple[Difference, ...]
    units: int
    draws: int
    seed: int


def compare(first: Measure, second: Measure, draws: int = 1000, seed: int = 0) -> Comparison:
    """Compare two models by a paired bootstrap over their units.

    Args:
        first: what the first model's predictions measure.
        second: the same for the other model, of the same units in the same order.
        draws: how many; at least 1.
        seed: of the draws. The same seed gives the same numbers.

    Raises:
        UsageError: when the two have different units or figures, or there are no draws.
    """
    if len(first) != len(second) or first.names != second.names:
        raise UsageError(f"models can be compared on the same units alone, not on {len(first)} and {len(second)}")
    before, after = first.figures(), second.figures()
    blocks = [second.draws(counts) - first.draws(counts) for counts in unit_draws(len(first), draws, seed)]
    changes = np.concatenate(blocks)
    if len(first) < 2:
        changes = np.full_like(changes, np.nan)
    differences = tuple(
        Difference(
            name,
            float(before[i]),
            float(after[i]),
            percentile_interval(float(after[i] - before[i]), changes[:, i]),
            p_value(changes[:, i]),
        )
        for i, name in enumerate(first.names)
    )
    return Comparison(differences, len(first), draws, seed)


def value_interval(measure: Measure, draws: int, seed: int = 0) -> Interval:
    """The headline figure of one model, with its 95 % interval; of fewer than two units, without one.

    Raises:
        UsageError: when there are no draws.
    """
    value = float(measure.figures()[0])
    if len(measure) < 2:
        return Interval(value, float("nan"), float("nan"))
    values = [measure.draws(counts)[:, 0] for counts in unit_draws(len(measure), draws, seed)]
    return percentile_interval(value, np.concatenate(values))


def unit_draws(units: int, draws: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Blocks [b, U] of how often each draw has each unit; all blocks together are the draws.

    Raises:
        UsageError: when there are no draws.
    """
    if draws < 1:
        raise UsageError(f"a bootstrap needs 1 draw at least, got {draws}")
    generator = np.random.default_rng(seed)
    chances = np.full(units, 1 / units)
    step = max(1, _BLOCK // units)
    for begin in range(0, draws, step):
        yield generator.multinomial(units, chances, size=min(step, draws - begin))


def percentile_interval(value: float, drawn: FloatArray) -> Interval:
    """The interval of a value by [B] draws; a draw in which the figure is not defined says nothing."""
    known = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(known):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(known, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def p_value(changes: FloatArray) -> float:
    """Of the hypothesis that a change is none, by [B] draws of it: see :class:`Difference`."""
    known = changes[~np.isnan(changes)]
    if not len(known):
        return float("nan")
    contradicting = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (contradicting + 1) / (len(known) + 1))
