"""PCK and PCKh: the part of the annotated joints of single people that is found near enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ltsh_deploy.metrics_distances import BoolArray, FloatArray, IntArray, mean_known, relative_distances

__all__ = [
    "PCKH_THRESHOLDS",
    "PCK_THRESHOLD",
    "JointRates",
    "PckhScore",
    "joint_rates",
    "pck",
    "pckh",
    "torso_lengths",
]

#: PCK of Leeds Sports Pose: a joint is found within this part of the torso's length, this distance included.
PCK_THRESHOLD = 0.2
#: In head sizes, 0:0.01:0.5: where PCKh is measured; the last is the one that is quoted.
PCKH_THRESHOLDS = tuple(i / 100 for i in range(51))

_TORSO = ("right_hip", "left_shoulder")


@dataclass(frozen=True, eq=False)
class JointRates:
    """How many of the annotated joints were found.

    Attributes:
        n_hits: [K] int64 joints that were found.
        n_annotated: [K] int64 joints that could be found.
    """

    n_hits: IntArray
    n_annotated: IntArray

    @property
    def rates(self) -> FloatArray:
        """[K] in 0..100; NaN for a joint that is never annotated."""
        counted = self.n_annotated > 0
        rates = np.full(len(counted), np.nan)
        rates[counted] = 100 * self.n_hits[counted] / self.n_annotated[counted]
        return rates

    @property
    def mean(self) -> float:
        """The mean of the rates that are known, in 0..100: what PCK quotes; NaN when none is."""
        return mean_known(self.rates)

    @property
    def pooled(self) -> float:
        """The rate of all joints together, in 0..100: what PCKh quotes; NaN when none is annotated."""
        total = int(self.n_annotated.sum())
        return 100 * int(self.n_hits.sum()) / total if total else float("nan")


@dataclass(frozen=True, eq=False)
class PckhScore:
    """PCKh of single people.

    Attributes:
        at_half: at half a head size, the figure that is quoted.
        curve: [51] in 0..100, of all joints together at each of :data:`PCKH_THRESHOLDS`.
        auc: in 0..100, the area under the curve, where the thresholds' range counts as 1.
    """

    at_half: JointRates
    curve: FloatArray
    auc: float


def joint_rates(hits: BoolArray, annotated: BoolArray) -> JointRates:
    """Count the joints of N people.

    Args:
        hits: [N, K] joints that were found; what is not annotated does not count.
        annotated: [N, K] joints that could be found.
    """
    return JointRates((hits & annotated).sum(axis=0, dtype=np.int64), annotated.sum(axis=0, dtype=np.int64))


def pck(found: FloatArray, truth: FloatArray, sizes: FloatArray, threshold: float = PCK_THRESHOLD) -> JointRates:
    """PCK of N people: a joint is found whose distance from the truth is at most this part of the person's size.

    A joint that is not predicted is wrong, and so is every joint of a person whose size is 0 or NaN; both count.

    Args:
        found: [N, K, 2] pixels, NaN where a joint is not predicted.
        truth: [N, K, 2] pixels, NaN where a joint is not annotated.
        sizes: [N] pixels: :func:`torso_lengths` for Leeds Sports Pose, head sizes for PCKh.
        threshold: in sizes.
    """
    return joint_rates(relative_distances(found, truth, sizes) <= threshold, _annotated(truth))


def pckh(found: FloatArray, truth: FloatArray, head_sizes: FloatArray) -> PckhScore:
    """PCKh of N people at half a head size, and the area under its curve, as MPII's single-person benchmark has them.

    Args:
        found: [N, K, 2] pixels, NaN where a joint is not predicted, which is wrong.
        truth: [N, K, 2] pixels, NaN where a joint is not annotated. The benchmark has no pelvis and no thorax.
        head_sizes: [N] pixels; see :func:`~ltsh_deploy.metrics_distances.head_sizes`.
    """
    distances, annotated = relative_distances(found, truth, head_sizes), _annotated(truth)
    scores = [joint_rates(distances <= threshold, annotated) for threshold in PCKH_THRESHOLDS]
    curve = np.array([score.pooled for score in scores])
    auc = float(((curve[1:] + curve[:-1]) / 2).mean())
    return PckhScore(scores[-1], curve, auc)


def torso_lengths(joints: FloatArray, names: Sequence[str]) -> FloatArray:
    """[N] pixels from right hip to left shoulder; NaN where one is not annotated, or they are in one place.

    Args:
        joints: [N, K, 2] pixels, NaN where not annotated.
        names: [K] of the joints.
    """
    if not set(_TORSO) <= set(names):
        return np.full(len(joints), np.nan)
    hip, shoulder = (joints[:, list(names).index(name)] for name in _TORSO)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.square(hip - shoulder).sum(axis=1))
    return np.where((lengths > 0) & np.isfinite(lengths), lengths, np.nan)


def _annotated(truth: FloatArray) -> BoolArray:
    return np.asarray(np.isfinite(truth).all(axis=-1))
