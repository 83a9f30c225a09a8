"""What an evaluation is measured by, in the one form that the analysis works on, whatever the metric.

A measure knows what each unit's predictions count as, so that it can be taken again, cheaply, of other draws of the
units or of some of their people.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ltsh_deploy.metrics import UnitMatches, multi_person_ap_draws, precision_recall

__all__ = ["RECALLS", "ApMeasure", "Curve", "Measure", "RateMeasure"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

#: Where curves are told.
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class Curve:
    """A precision-recall curve's monotone envelope.

    Attributes:
        name: of the joint, or whatever the curve is of.
        recalls: [R] rising, in 0..1.
        precisions: [R] in 0..1, the best at this recall or a higher one; 0 where the recall is never reached.
        area: under the curve, in 0..100, as the metric counts it; NaN when nothing is annotated.
    """

    name: str
    recalls: FloatArray
    precisions: FloatArray
    area: float


class Measure(ABC):
    """The figures of one model on U units.

    Attributes:
        names: [F] of the figures, the headline first; all are in 0..100.
    """

    names: tuple[str, ...]

    @abstractmethod
    def __len__(self) -> int:
        """U."""

    @abstractmethod
    def draws(self, counts: IntArray) -> FloatArray:
        """[B, F] the figures of B draws from the units; NaN where one is not defined.

        Args:
            counts: [B, U] how often each draw has each unit.
        """

    @abstractmethod
    def of_people(self, kept: Sequence[BoolArray]) -> Measure | None:
        """The same as if nobody but these were labelled: who is found in the others' place is neither right nor wrong.

        Only the units that have one of these people remain, so predictions of nobody count as wrong there alone.

        Args:
            kept: for each unit, [G] whose joints count.

        Returns:
            None when nobody is kept.
        """

    def figures(self) -> FloatArray:
        """[F] the figures of the units as they are."""
        return np.asarray(self.draws(np.ones((1, len(self)), np.int64))[0])

    def curves(self) -> list[Curve]:
        """The precision-recall curves, where the metric has any."""
        return []


@dataclass(frozen=True, eq=False)
class ApMeasure(Measure):
    """Multi-person average precision: mAP, then AP of each joint.

    Attributes:
        matches: of the units.
        names: [1 + K] ``mAP`` and the joints.
    """

    matches: tuple[UnitMatches, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.matches)

    def draws(self, counts: IntArray) -> FloatArray:
        """[B, 1 + K] see :meth:`Measure.draws`."""
        return _with_mean(multi_person_ap_draws(self.matches, counts))

    def of_people(self, kept: Sequence[BoolArray]) -> ApMeasure | None:
        """See :meth:`Measure.of_people`."""
        chosen = tuple(m.of_people(own) for m, own in zip(self.matches, kept, strict=True) if own.any())
        return replace(self, matches=chosen) if chosen else None

    def curves(self) -> list[Curve]:
        """A curve for each joint, at the recalls 0:0.01:1."""
        found = []
        for joint, (name, area) in enumerate(zip(self.names[1:], self.figures()[1:].tolist(), strict=True)):
            points = precision_recall(self.matches, joint)
            # Rounding must not put a recall of exactly 0.29 behind the point that reaches it.
            place = np.searchsorted(points.recall, RECALLS - 1e-12) if not np.isnan(area) else np.zeros(101, np.int64)
            precisions = np.append(points.envelope, 0.0)[place] if not np.isnan(area) else np.zeros(101)
            found.append(Curve(name, RECALLS, precisions, area))
        return found


@dataclass(frozen=True, eq=False)
class RateMeasure(Measure):
    """PCK or PCKh: the part of the annotated joints that is found, over all and for each joint.

    Attributes:
        hits: for each unit [G, K] the joints that were found.
        annotated: for each unit [G, K] those that could be found.
        names: [1 + K] what the headline is called, and the joints.
        pooled: whether the headline is the rate of all joints together, as for PCKh, rather than the mean of the
            joints' rates, as for PCK.
    """

    hits: tuple[BoolArray, ...]
    annotated: tuple[BoolArray, ...]
    names: tuple[str, ...]
    pooled: bool

    def __len__(self) -> int:
        return len(self.hits)

    def draws(self, counts: IntArray) -> FloatArray:
        """[B, 1 + K] see :meth:`Measure.draws`."""
        pairs = zip(self.hits, self.annotated, strict=True)
        found = counts @ np.array([(hits & annotated).sum(axis=0) for hits, annotated in pairs])
        there = counts @ np.array([annotated.sum(axis=0) for annotated in self.annotated])
        rates = _percent(found, there)
        if not self.pooled:
            return _with_mean(rates)
        return np.hstack([_percent(found.sum(axis=1, keepdims=True), there.sum(axis=1, keepdims=True)), rates])

    def of_people(self, kept: Sequence[BoolArray]) -> RateMeasure | None:
        """See :meth:`Measure.of_people`."""
        chosen = [u for u, own in enumerate(kept) if own.any()]
        annotated = tuple(self.annotated[u] & kept[u][:, None] for u in chosen)
        hits = tuple(self.hits[u] for u in chosen)
        return replace(self, hits=hits, annotated=annotated) if chosen else None


def _with_mean(rates: FloatArray) -> FloatArray:
    """[B, 1 + K] the mean of the rates [B, K] that are not NaN, and the rates."""
    known = ~np.isnan(rates)
    mean = np.where(known, rates, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.hstack([np.where(known.any(axis=1), mean, np.nan)[:, None], rates])


def _percent(part: IntArray, whole: IntArray) -> FloatArray:
    return np.asarray(np.divide(100.0 * part, whole, out=np.full(whole.shape, np.nan), where=whole > 0))
