"""Average precision of several people, exactly as the MPII multi-person benchmark counts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.metrics_distances import BoolArray, FloatArray, IntArray, mean_known
from ltsh_deploy.metrics_matching import UnitMatches
from ltsh_deploy.skeletons import LSP14

__all__ = [
    "MPII_JOINTS",
    "MPII_ROWS",
    "MultiPersonAp",
    "PrecisionRecall",
    "mpii_table",
    "multi_person_ap",
    "multi_person_ap_draws",
    "precision_recall",
]

#: The benchmark's 14 joints by their names in ``MPII16``: ids 0-5, 10-15, 8, 9. They are those of Leeds Sports Pose.
MPII_JOINTS = LSP14.joints
#: The rows of the benchmark's table; each is the mean of its joints.
MPII_ROWS: Mapping[str, tuple[str, str]] = {
    "Head": ("neck", "head_top"),
    "Shoulder": ("right_shoulder", "left_shoulder"),
    "Elbow": ("right_elbow", "left_elbow"),
    "Wrist": ("right_wrist", "left_wrist"),
    "Hip": ("right_hip", "left_hip"),
    "Knee": ("right_knee", "left_knee"),
    "Ankle": ("right_ankle", "left_ankle"),
}
# How many numbers one array of a bootstrap may hold: so much is computed at a time.
_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class MultiPersonAp:
    """Average precision of all units.

    Attributes:
        ap: [K] in 0..100; NaN for a joint that is never annotated.
        n_gt: [K] int64 annotated joints, also of units in which nobody is predicted.
        n_detections: [K] int64 predicted joints.
        n_true_positives: [K] int64 of them, those that are right.
    """

    ap: FloatArray
    n_gt: IntArray
    n_detections: IntArray
    n_true_positives: IntArray

    @property
    def mean_ap(self) -> float:
        """MAP: the mean over the joints that are annotated at least once; NaN when none is."""
        return mean_known(self.ap)

    @property
    def left_out(self) -> tuple[int, ...]:
        """The joints that the mean leaves out, because they are never annotated."""
        return tuple(np.flatnonzero(self.n_gt == 0).tolist())


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """The curve of one joint, a point for each of the D detections from the surest on.

    Attributes:
        scores: [D] what a detection must reach to be counted.
        precision: [D] in 0..1, the part of the counted detections that is right.
        recall: [D] in 0..1, the part of the annotated joints that is found; NaN when none is annotated.
        envelope: [D] in 0..1, the best precision at this recall or a higher one. AP is 100 times the area under it.
    """

    scores: FloatArray
    precision: FloatArray
    recall: FloatArray
    envelope: FloatArray


@dataclass(frozen=True, eq=False)
class _Pool:
    """The predicted people of all units, one after another.

    Attributes:
        units: [P] of each person.
        hits: [P, K] as in :class:`UnitMatches`, like the next two.
        present: [P, K].
        scores: [P, K].
        n_gt: [U, K] how many joints are annotated in each unit.
    """

    units: IntArray
    hits: BoolArray
    present: BoolArray
    scores: FloatArray
    n_gt: IntArray

    @classmethod
    def of(cls, matches: Sequence[UnitMatches]) -> _Pool:
        if not matches:
            raise InputError("there is no unit to evaluate")
        return cls(
            np.repeat(np.arange(len(matches)), [len(m.truth_of) for m in matches]),
            np.concatenate([m.hits for m in matches]),
            np.concatenate([m.present for m in matches]),
            np.concatenate([m.scores for m in matches]),
            np.array([m.annotated.sum(axis=0) for m in matches], np.int64),
        )

    def ranked(self, joint: int) -> tuple[IntArray, BoolArray, FloatArray]:
        """[D] units, hits and scores of a joint's detections, from the surest on; equal ones in the pool's order."""
        people = np.flatnonzero(self.present[:, joint])
        people = people[np.argsort(-self.scores[people, joint], kind="stable")]
        return self.units[people], self.hits[people, joint], self.scores[people, joint]


def multi_person_ap(matches: Sequence[UnitMatches]) -> MultiPersonAp:
    """Average precision of each joint: the area under the envelope of its precision-recall curve, all points of it.

    The detections of all units are ranked by their scores; of equals the first unit's, and there the first person's,
    comes first.

    Raises:
        InputError: when there is no unit.
    """
    pool = _Pool.of(matches)
    ap = _ap_of_draws(pool, np.ones((1, len(matches))))[0]
    return MultiPersonAp(ap, pool.n_gt.sum(axis=0), pool.present.sum(axis=0), pool.hits.sum(axis=0))


def multi_person_ap_draws(matches: Sequence[UnitMatches], counts: npt.NDArray[np.integer]) -> FloatArray:
    """[B, K] average precision in 0..100 of B draws from the units, as a bootstrap makes them.

    A unit drawn several times counts as several units; of equal scores, a detection's copies follow each other. NaN for
    a joint that is not annotated in a draw.

    Args:
        matches: of U units.
        counts: [B, U] how often each draw has each unit.

    Raises:
        InputError: when there is no unit.
        ValueError: when the counts do not fit the units.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1] != len(matches):
        raise ValueError(f"{len(matches)} units need counts [B, {len(matches)}], got {counts.shape}")
    return _ap_of_draws(_Pool.of(matches), counts.astype(np.float64))


def _ap_of_draws(pool: _Pool, weights: FloatArray) -> FloatArray:
    """[B, K] see :func:`multi_person_ap_draws`; weights [B, U]."""
    n_gt = weights @ pool.n_gt
    areas = np.empty(n_gt.shape)
    for joint in range(n_gt.shape[1]):
        units, hits, _ = pool.ranked(joint)
        step = max(1, _BLOCK // max(1, len(units)))
        for begin in range(0, len(weights), step):
            areas[begin : begin + step, joint] = _area(weights[begin : begin + step].T.copy(), units, hits)
    return np.asarray(np.divide(100 * areas, n_gt, out=np.full(n_gt.shape, np.nan), where=n_gt > 0))


def _area(weights: FloatArray, units: IntArray, hits: BoolArray) -> FloatArray:
    """[B] the area under the envelope, times the number of annotated joints.

    Args:
        weights: [U, B] how often a unit counts; its rows are whole in memory, which makes this several times as fast.
        units: [D] of each detection, from the surest on.
        hits: [D] whether it is right.
    """
    # Recall grows and precision peaks only where a detection is right, so those points are all that matter.
    seen = np.cumsum(weights[units], axis=0)[hits]
    steps = weights[units[hits]]
    precision = np.divide(np.cumsum(steps, axis=0), seen, out=np.zeros_like(seen), where=seen > 0)
    return np.asarray((steps * _envelope(precision)).sum(axis=0))


def _envelope(precision: FloatArray) -> FloatArray:
    """[D, ...] the best precision from each point on."""
    return np.asarray(np.maximum.accumulate(precision[::-1], axis=0)[::-1])


def precision_recall(matches: Sequence[UnitMatches], joint: int) -> PrecisionRecall:
    """The precision-recall curve of one joint; ranked as in :func:`multi_person_ap`.

    Raises:
        InputError: when there is no unit.
    """
    pool = _Pool.of(matches)
    _, hits, scores = pool.ranked(joint)
    found, n_gt = np.cumsum(hits), int(pool.n_gt[:, joint].sum())
    precision = found / np.arange(1, len(hits) + 1)
    recall = found / n_gt if n_gt else np.full(len(hits), np.nan)
    return PrecisionRecall(scores, precision, recall, _envelope(precision))


def mpii_table(ap: FloatArray, joints: Sequence[str]) -> dict[str, float]:
    """The row by which methods are compared: Head, Shoulder, Elbow, Wrist, Hip, Knee, Ankle and mAP, in 0..100.

    A joint that is never annotated is left out of the means; what has no other joint is NaN.

    Args:
        ap: [K] of the joints; NaN where never annotated.
        joints: [K] their names. Others than :data:`MPII_JOINTS` do not count.

    Raises:
        ValueError: when a joint of the benchmark is missing, or the two differ in length.
    """
    by_name = dict(zip(joints, np.asarray(ap, np.float64), strict=True))
    missing = [name for name in MPII_JOINTS if name not in by_name]
    if missing:
        raise ValueError(f"the benchmark's table needs the joints {missing} too")
    rows = {row: mean_known(np.array([by_name[name] for name in names])) for row, names in MPII_ROWS.items()}
    return {**rows, "mAP": mean_known(np.array([by_name[name] for name in MPII_JOINTS]))}
