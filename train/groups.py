"""Groups: the synthetic people, parted by the values of one characteristic, such as the camera's pitch.

A teacher chooses a group; what the groups are is settled once, before training, from the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError, UsageError

if TYPE_CHECKING:
    from ltsh_deploy.train.teacher_config import GroupingConfig

__all__ = [
    "DISTANCE_RANGE",
    "Grouping",
    "Groups",
    "create_grouping",
    "equal_boundaries",
    "linear_boundaries",
    "quantile_boundaries",
]

FloatArray = npt.NDArray[np.floating[Any]]

#: Pixels to the nearest other person that the paper's grouping ``mD`` parts into equal groups.
DISTANCE_RANGE = (0.0, 640.0)
_DISTANCE = "min_distance"


@dataclass(frozen=True)
class Grouping:
    """Groups of people by one characteristic. The first group is open below, the last one above.

    Attributes:
        characteristic: its name, as the samples have it.
        boundaries: G - 1 finite, increasing values between the G groups; a value on a boundary belongs above it.

    Raises:
        UsageError: when the boundaries are not such.
    """

    characteristic: str
    boundaries: tuple[float, ...]

    def __post_init__(self) -> None:
        boundaries = np.asarray(self.boundaries, dtype=np.float64)
        if not len(boundaries) or not np.isfinite(boundaries).all() or (np.diff(boundaries) <= 0).any():
            raise UsageError(
                f"the groups of {self.characteristic!r} need one or more boundaries, each larger than the one before, "
                f"got {list(self.boundaries)}"
            )

    @property
    def num_groups(self) -> int:
        """G."""
        return len(self.boundaries) + 1

    def assign(self, values: FloatArray) -> npt.NDArray[np.int64]:
        """Each value's group in 0..G-1, in the shape of ``values``.

        -1, no group, stands for what is unknown: NaN, and infinity too, the distance of somebody who is alone.
        """
        groups = np.searchsorted(np.asarray(self.boundaries), values, side="right").astype(np.int64)
        return np.where(np.isfinite(values), groups, -1)

    def count(self, values: FloatArray) -> npt.NDArray[np.int64]:
        """[G] how many of the values belong to each group."""
        groups = self.assign(values)
        return np.bincount(groups[groups >= 0], minlength=self.num_groups).astype(np.int64)

    @property
    def names(self) -> tuple[str, ...]:
        """[G] what each group holds, in a few characters."""
        edges = [f"{boundary:.4g}" for boundary in self.boundaries]
        between = (f"{low} to {high}" for low, high in pairwise(edges))
        return (f"below {edges[0]}", *between, f"{edges[-1]} and above")


@dataclass(frozen=True, eq=False)
class Groups:
    """The synthetic people of all pools, in their groups.

    Attributes:
        grouping: None where the teacher needs no groups.
        members: for each pool, [K] the group of each of its people, -1 for none; empty without a grouping.
        counts: [G] people in each group, over all synthetic pools.
    """

    grouping: Grouping | None
    members: tuple[npt.NDArray[np.int64], ...]
    counts: tuple[int, ...]


def create_grouping(config: GroupingConfig, characteristics: Mapping[str, FloatArray]) -> Grouping:
    """The groups for a data set.

    Args:
        config: by which characteristic, how many, and how to find the boundaries.
        characteristics: what is known of the people that may be sampled: by name, a value a person, NaN where unknown.

    Raises:
        InputError: when nobody in the data has the characteristic, or its values cannot be parted like that.
        UsageError: when boundaries are given that are not increasing numbers.
    """
    name = config.characteristic
    values = np.asarray(characteristics.get(name, ()), dtype=np.float64)
    if not np.isfinite(values).any():
        known = sorted(key for key, found in characteristics.items() if np.isfinite(found).any())
        raise InputError(
            f"the teacher groups synthetic people by {name!r}, which the data says of none of them",
            f"Group by what it says: {', '.join(known)}." if known else "It says nothing of them: use teacher: random.",
        )
    if not isinstance(config.boundaries, str):
        return Grouping(name, config.boundaries)
    if config.boundaries == "auto" and name == _DISTANCE:
        return Grouping(name, equal_boundaries(*DISTANCE_RANGE, config.count))
    find = quantile_boundaries if config.boundaries == "quantile" else linear_boundaries
    boundaries = find(values, config.count)
    if not np.isfinite(boundaries).all() or (np.diff(boundaries) <= 0).any():
        raise InputError(
            f"the values of {name!r} cannot be parted into {config.count} groups: too many of them are equal",
            "Ask for fewer groups, another rule, or give the boundaries themselves (teacher.groups).",
        )
    return Grouping(name, boundaries)


def equal_boundaries(low: float, high: float, groups: int) -> tuple[float, ...]:
    """Boundaries of equal parts of [low, high]."""
    inner: list[float] = np.linspace(low, high, groups + 1)[1:-1].tolist()
    return tuple(inner)


def linear_boundaries(values: FloatArray, groups: int) -> tuple[float, ...]:
    """Boundaries evenly spaced in [min + w, max - w), w being a ``groups``-th of the values' range.

    So the last group is a little wider than the others. This is the paper's grouping ``C`` with the w that its
    authors' boundaries show; the paper's text has the variance in its place, which is no length.
    """
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    margin = (high - low) / groups
    inner: list[float] = np.linspace(low + margin, high - margin, groups - 1, endpoint=False).tolist()
    return tuple(inner)


def quantile_boundaries(values: FloatArray, groups: int) -> tuple[float, ...]:
    """Boundaries that give every group as many of the values, as far as equal values allow."""
    known = values[np.isfinite(values)]
    inner: list[float] = np.quantile(known, np.arange(1, groups) / groups).tolist()
    return tuple(inner)
