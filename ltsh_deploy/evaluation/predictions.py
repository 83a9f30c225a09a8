"""Who was found, unit by unit, and how that fits the units it is scored against."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.evaluation.units import EvaluationSet
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton

__all__ = ["StoredPredictions", "UnitPredictions", "align"]

FloatArray = npt.NDArray[np.float64]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnitPredictions:
    """Who was found in one unit.

    Attributes:
        unit_id: of the :class:`~ltsh_deploy.evaluation.units.Unit`.
        poses: the people, of any skeleton, in pixels of the unit's picture.
        boxes: [P, 4] x, y, width, height in pixels of the people, where a file tells them, else None. COCO's metric
            takes their areas from these.
    """

    unit_id: str
    poses: Poses
    boxes: FloatArray | None = None

    @property
    def areas(self) -> FloatArray | None:
        """[P] square pixels of the people's boxes; None where these are not told."""
        if self.boxes is None:
            return None
        with np.errstate(over="ignore"):
            return np.asarray(self.boxes[:, 2] * self.boxes[:, 3])


@dataclass(frozen=True)
class StoredPredictions:
    """Predictions read from a file.

    Attributes:
        source: the file, for messages.
        skeleton: of all poses.
        by_unit: unit id to its people.
        notes: what is odd about them, to the number of times.
        boxes: unit id to the boxes [P, 4] of its people, where the file tells them.
    """

    source: str
    skeleton: Skeleton
    by_unit: Mapping[str, Poses]
    notes: Mapping[str, int] = field(default_factory=dict)
    boxes: Mapping[str, FloatArray] = field(default_factory=dict)


def align(data: EvaluationSet, stored: StoredPredictions) -> tuple[list[UnitPredictions], dict[str, int]]:
    """The stored predictions in the order of the units, and how many did not fit.

    A unit of which the file says nothing has nobody found in it, so an empty file is predictions of nobody. People of
    pictures that are not among the units are left out. Both are counted and warned of.

    Raises:
        InputError: when the file has predictions and every one is of a picture that is not among the units.
    """
    known = {unit.id for unit in data}
    unknown = [name for name in stored.by_unit if name not in known]
    if unknown and len(unknown) == len(stored.by_unit):
        raise InputError(
            f"{stored.source}: none of its {len(unknown)} pictures is among the {len(data)} of {data.source} "
            f"(it has {unknown[0]!r}, wanted is {data.units[0].id!r})",
            "Name the predictions and the annotations of one data set.",
        )
    notes = dict(stored.notes)
    silent = [name for name in known if name not in stored.by_unit]
    for what, names in (
        ("pictures that are not in the data set, left out", sorted(unknown)),
        ("units without predictions, where nobody counts as found", sorted(silent)),
    ):
        if names:
            notes[what] = len(names)
            _log.warning("%s: %d %s (first: %s)", stored.source, len(names), what, names[0])
    nobody = Poses.empty(stored.skeleton)
    found = [UnitPredictions(unit.id, stored.by_unit.get(unit.id, nobody), stored.boxes.get(unit.id)) for unit in data]
    return found, notes
