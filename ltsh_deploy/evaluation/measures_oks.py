"""COCO's figures as a measure that the analysis can take again of other draws and people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ltsh_deploy.evaluation.measures import RECALLS, Curve, Measure
from ltsh_deploy.metrics import OksMatches, OksPrediction, OksTruth, oks_ap, oks_ap_draws, oks_matches

__all__ = ["OksMeasure"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class OksMeasure(Measure):
    """COCO's figures by object keypoint similarity, in 0..100.

    Attributes:
        truths: of the pictures.
        predictions: of the pictures.
        sigmas: [K] the joints' constants.
    """

    truths: tuple[OksTruth, ...]
    predictions: tuple[OksPrediction, ...]
    sigmas: tuple[float, ...]

    names = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")

    def __len__(self) -> int:
        return len(self.truths)

    @cached_property
    def _matches(self) -> list[OksMatches]:
        """Who is found by whom in each picture, which does not depend on what is drawn."""
        pairs = zip(self.truths, self.predictions, strict=True)
        return [oks_matches(truth, prediction, self.sigmas) for truth, prediction in pairs]

    def draws(self, counts: IntArray) -> FloatArray:
        """[B, 10] see :meth:`Measure.draws`."""
        rows = [drawn.stats for drawn in oks_ap_draws(self._matches, counts)]
        return np.array([[100 * row[name] for name in self.names] for row in rows]).reshape(-1, len(self.names))

    def of_people(self, kept: Sequence[BoolArray]) -> OksMeasure | None:
        """See :meth:`Measure.of_people`; the others are what COCO calls ignored."""
        chosen = [u for u, own in enumerate(kept) if own.any()]
        truths = tuple(replace(self.truths[u], ignored=self.truths[u].ignored | ~kept[u]) for u in chosen)
        predictions = tuple(self.predictions[u] for u in chosen)
        return replace(self, truths=truths, predictions=predictions) if chosen else None

    def curves(self) -> list[Curve]:
        """A curve of all people at each of the similarities .50, .75 and .95."""
        precision = oks_ap(self._matches).precision[0]
        chosen = ((0, "OKS .50"), (5, "OKS .75"), (9, "OKS .95"))
        return [Curve(name, RECALLS, precision[t], 100 * float(precision[t].mean())) for t, name in chosen]
