"""Who of the people that one network finds another one finds too."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.metrics_distances import FloatArray
from ltsh_deploy.metrics_oks import OksPrediction, OksTruth, oks_matrix
from ltsh_deploy.poses import Poses

__all__ = ["SURE", "Agreement", "compare_poses", "found_again"]

#: Only people of this score or more count: twice the decoder's own threshold, at which they come and go with the last
#: digit of any computation.
SURE = 0.1
# People are the same from this similarity on, as in COCO's easiest measure.
_SAME = 0.5


@dataclass(frozen=True)
class Agreement:
    """How two networks agree on the people of the same pictures.

    Attributes:
        pictures: how many were compared.
        people: whom the first network is sure of, with a score of :data:`SURE` or more.
        lost: how many of them are like nobody whom the second finds, with whatever score.
        distance: pixels, the median over the joints that both found; NaN where there are none.
    """

    pictures: int
    people: int
    lost: int
    distance: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"distance": None if math.isnan(self.distance) else self.distance}

    @property
    def share_lost(self) -> float:
        """The part of the people that is lost, 0 where there are none."""
        return self.lost / self.people if self.people else 0.0


def compare_poses(pairs: Iterable[tuple[Poses, Poses]]) -> Agreement:
    """Compare two networks' people, picture by picture: (the first's, the second's), of one skeleton."""
    pictures = people = lost = 0
    apart = [np.zeros(0)]
    for reference, other in pairs:
        sure = reference.select(np.asarray(reference.scores >= SURE))
        partners = found_again(sure, other)
        pictures, people, lost = pictures + 1, people + len(sure), lost + int((partners < 0).sum())
        for xy, partner in zip(sure.xy, partners, strict=True):
            if partner >= 0:
                distances = np.linalg.norm(other.xy[partner] - xy, axis=1)
                apart.append(distances[np.isfinite(distances)])
    joined = np.concatenate(apart)
    return Agreement(pictures, people, lost, float(np.median(joined)) if joined.size else float("nan"))


def found_again(reference: Poses, others: Poses) -> npt.NDArray[np.int64]:
    """[P] which of the others each person of the reference is, and -1 for those who are nobody.

    That is the most similar one, if their object keypoint similarity is at least 0.5. Two of the reference may be the
    same: where a network sees somebody twice, which of the two remains hangs on the last digit. A person's area is a
    quarter of the square of their joints' diagonal: the box about a straight arm has none.
    """
    partners = np.full(len(reference), -1)
    if not (len(reference) and len(others)):
        return partners
    xy: FloatArray = np.asarray(reference.xy, np.float64)
    low = np.where(reference.present[:, :, None], xy, np.inf).min(axis=1)
    high = np.where(reference.present[:, :, None], reference.xy, -np.inf).max(axis=1)
    areas = ((high - low) ** 2).sum(axis=1) / 4 + 1.0
    nobody = np.zeros(len(reference), np.bool_)
    truth = OksTruth(xy, areas, np.concatenate([low, high - low], axis=1), nobody, nobody)
    similar = oks_matrix(
        truth,
        OksPrediction(np.asarray(others.xy, np.float64), np.asarray(others.scores, np.float64)),
        reference.skeleton.sigmas,
    )
    best = similar.argmax(axis=0)
    return np.where(similar.max(axis=0) >= _SAME, best, partners)
