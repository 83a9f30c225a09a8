"""What the headline figure is made of: the same figure of some of the people at a time.

People are put into bins by how much of them is to be seen, how many are in their unit, and by what their data set knows
of them. Each bin is measured as if its people alone were labelled: predictions matched to people of other bins are
neither right nor wrong, and those matched to nobody are wrong in every bin that has somebody in that unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ltsh_deploy.evaluation.comparison import Interval, value_interval
from ltsh_deploy.evaluation.measures import Measure
from ltsh_deploy.evaluation.units import EvaluationSet

__all__ = ["Bin", "Breakdown", "break_down", "breakdowns"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Ratios of visible joints, in five bins as in figure 6 of the paper that this project follows.
VISIBLE_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
PEOPLE_EDGES = (1.0, 2.0, 3.0, 4.0, 5.0, 7.0, math.inf)
PITCH_EDGES = (-math.inf, -60.0, -30.0, 0.0, 30.0, 60.0, math.inf)
_QUANTILES = 5


@dataclass(frozen=True)
class Bin:
    """The people whose value is at least ``low`` and below ``high``; in the last bin, ``high`` is included.

    Attributes:
        low: of the bin.
        high: of the bin.
        people: how many are in it.
        units: how many units they are in.
        values: the headline figure of each model; NaN where nobody is.
    """

    low: float
    high: float
    people: int
    units: int
    values: tuple[Interval, ...]


@dataclass(frozen=True)
class Breakdown:
    """The headline figure by one property of people.

    Attributes:
        name: of the property: ``visible_joints``, ``people``, ``camera_pitch`` or ``min_distance``.
        bins: rising.
        unknown: how many people have no such value, and so are in no bin.
    """

    name: str
    bins: tuple[Bin, ...]
    unknown: int


def breakdowns(
    data: EvaluationSet,
    joints: Sequence[str],
    there: Sequence[BoolArray],
    measures: Sequence[Measure],
    draws: int = 200,
    seed: int = 0,
) -> tuple[Breakdown, ...]:
    """By ratio of visible joints, by number of people, and by camera pitch and distance where they are known.

    The ratio of visible joints is that of the joints labelled visible to all joints that are evaluated, so a joint
    outside the picture counts as hidden. Distances are those to the nearest other person, in pixels, and are put into
    bins of about as many people.

    Args:
        data: the units.
        joints: [K] the names of those that are evaluated.
        there: for each unit [G] who has a joint that is evaluated; nobody else is counted.
        measures: of each model, on these units.
        draws: of the bootstrap behind the intervals.
        seed: of the draws.
    """
    columns = [data.skeleton.joints.index(name) for name in joints if name in data.skeleton.joints]
    visible = [(unit.joints[:, columns, 2] == 2).sum(axis=1) / len(joints) for unit in data]
    company = [np.full(len(own), own.sum(), np.float64) for own in there]
    found = [
        break_down("visible_joints", visible, there, VISIBLE_EDGES, measures, draws, seed),
        break_down("people", company, there, PEOPLE_EDGES, measures, draws, seed),
    ]
    for name, edges in (("camera_pitch", PITCH_EDGES), ("min_distance", None)):
        values = [unit.characteristics.get(name, np.full(len(unit), np.nan)) for unit in data]
        known = np.concatenate([value[own & np.isfinite(value)] for value, own in zip(values, there, strict=True)])
        if len(known):
            chosen = edges or tuple(np.unique(np.quantile(known, np.linspace(0, 1, _QUANTILES + 1))).tolist())
            found.append(break_down(name, values, there, chosen, measures, draws, seed))
    return tuple(found)


def break_down(
    name: str,
    values: Sequence[FloatArray],
    there: Sequence[BoolArray],
    edges: Sequence[float],
    measures: Sequence[Measure],
    draws: int,
    seed: int = 0,
) -> Breakdown:
    """The headline figure of the people between each two edges.

    Args:
        name: of the property.
        values: for each unit [G] of its people; what is not finite is unknown.
        there: for each unit [G] who has a joint that is evaluated; nobody else is counted.
        edges: rising; one alone is a bin of that very value.
        measures: of each model.
        draws: of the bootstrap behind the intervals.
        seed: of the draws.
    """
    pairs = list(pairwise(edges)) or [(edges[0], edges[0])]
    bins = []
    for low, high in pairs:
        last = high == pairs[-1][1]
        kept = [
            own & np.isfinite(value) & (value >= low) & ((value < high) | (last & (value == high)))
            for value, own in zip(values, there, strict=True)
        ]
        people, units = sum(int(own.sum()) for own in kept), sum(bool(own.any()) for own in kept)
        bins.append(Bin(low, high, people, units, tuple(_value(measure, kept, draws, seed) for measure in measures)))
    unknown = sum(int((own & ~np.isfinite(value)).sum()) for value, own in zip(values, there, strict=True))
    return Breakdown(name, tuple(bins), unknown)


def _value(measure: Measure, kept: Sequence[BoolArray], draws: int, seed: int) -> Interval:
    chosen = measure.of_people(kept)
    return Interval(math.nan, math.nan, math.nan) if chosen is None else value_interval(chosen, draws, seed)
