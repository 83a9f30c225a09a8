"""COCO's keypoint average precision of all pictures, and of draws from them: the numbers of pycocotools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.metrics_distances import FloatArray, IntArray
from ltsh_deploy.metrics_oks import TINY, OksMatches

__all__ = ["OksAp", "oks_ap", "oks_ap_draws"]

_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class OksAp:
    """COCO's figures, in 0..1 as pycocotools prints them; NaN where it prints -1: nobody of that area is labelled.

    Attributes:
        precision: [A, T, 101] at recalls 0:0.01:1.
        recall: [A, T] the highest.
    """

    precision: FloatArray
    recall: FloatArray

    @property
    def ap_per_threshold(self) -> FloatArray:
        """[T] average precision over all areas."""
        return np.asarray(self.precision[0].mean(axis=1))

    @property
    def stats(self) -> dict[str, float]:
        """AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl: pycocotools' ten numbers in its order."""
        half, three_quarters = 0, 5
        found = {}
        for name, values in (("AP", self.precision.mean(axis=2)), ("AR", self.recall)):
            found[name] = values[0].mean()
            found[f"{name}50"], found[f"{name}75"] = values[0, half], values[0, three_quarters]
            found[f"{name}m"], found[f"{name}l"] = values[1].mean(), values[2].mean()
        return {name: float(value) for name, value in found.items()}


@dataclass(frozen=True, eq=False)
class _Ranking:
    """The D people who count as right or wrong for one range of areas at one threshold, the surest first.

    Attributes:
        units: [D] of each.
        hits: [H] the places of those who are right.
    """

    units: IntArray
    hits: IntArray


def oks_ap(matches: Sequence[OksMatches]) -> OksAp:
    """COCO's average precision and recall of pictures, in their order of image ids for the very digits of pycocotools.

    Raises:
        InputError: when there is no picture.
    """
    return next(oks_ap_draws(matches, np.ones((1, len(matches)), np.int64)))


def oks_ap_draws(matches: Sequence[OksMatches], counts: npt.NDArray[np.integer]) -> Iterator[OksAp]:
    """The same of B draws from the pictures, as a bootstrap makes them, one after another.

    A picture drawn several times counts as several; of equal scores, the copies of a person follow each other.

    Args:
        matches: of U pictures.
        counts: [B, U] how often each draw has each picture.

    Raises:
        InputError: when there is no picture.
        ValueError: when the counts do not fit the pictures.
    """
    if not matches:
        raise InputError("there is no picture to evaluate")
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1] != len(matches):
        raise ValueError(f"{len(matches)} pictures need counts [B, {len(matches)}], got {counts.shape}")
    n_gt = np.array([m.n_gt for m in matches])
    rankings = _rankings(matches)
    return (_of_draw(rankings, drawn.astype(np.float64), drawn @ n_gt) for drawn in counts)


def _rankings(matches: Sequence[OksMatches]) -> list[list[_Ranking]]:
    """For each range of areas and each threshold who counts; matches do not depend on what is drawn."""
    order = np.argsort(-np.concatenate([m.scores for m in matches]), kind="stable")
    units = np.repeat(np.arange(len(matches)), [len(m.scores) for m in matches])[order]
    hits = np.concatenate([m.hits for m in matches], axis=2)[..., order]
    counted = np.concatenate([m.counted for m in matches], axis=2)[..., order]
    return [
        [_Ranking(units[there], np.flatnonzero(right[there])) for right, there in zip(*both, strict=True)]
        for both in zip(hits, counted, strict=True)
    ]


def _of_draw(rankings: Sequence[Sequence[_Ranking]], weights: FloatArray, n_gt: FloatArray) -> OksAp:
    """One draw: weights [U] how often it has each picture, n_gt [A] how many people are to be found in it."""
    shape = len(rankings), len(rankings[0])
    precision, recall = np.full((*shape, len(_RECALLS)), np.nan), np.full(shape, np.nan)
    for a in np.flatnonzero(n_gt).tolist():
        for t, ranking in enumerate(rankings[a]):
            drawn = weights[ranking.units]
            # Recall grows and precision peaks only where somebody is right, with the last copy of that person.
            found = np.cumsum(drawn[ranking.hits])
            seen = np.cumsum(drawn)[ranking.hits]
            envelope = np.maximum.accumulate((found / (seen + TINY))[::-1])[::-1]
            reached = found / n_gt[a]
            # The 0 at the end stands for the recalls that are not reached.
            precision[a, t] = np.append(envelope, 0.0)[np.searchsorted(reached, _RECALLS, side="left")]
            recall[a, t] = reached[-1] if len(reached) else 0.0
    return OksAp(precision, recall)
