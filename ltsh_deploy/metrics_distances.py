"""Distances between found and true joints in units of a person's size, and means that leave out what is unknown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["BoolArray", "FloatArray", "IntArray", "head_sizes", "mean_known", "relative_distances"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def head_sizes(boxes: FloatArray, scales: FloatArray) -> FloatArray:
    """[G] head sizes in pixels: 0.6 times the head box's diagonal, or 25 * scale where there is no box.

    Args:
        boxes: [G, 4] x1, y1, x2, y2; NaN where there is none.
        scales: [G] person height / 200 pixels; NaN where unknown.
    """
    boxes, scales = np.asarray(boxes, np.float64), np.asarray(scales, np.float64)
    # Numbers at the end of the range become infinite; readers refuse those by name.
    with np.errstate(over="ignore", invalid="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
        sizes = 0.6 * np.sqrt(np.square(sides).sum(axis=1))
        return np.where(np.isnan(boxes).any(axis=1), 25 * scales, sizes)


def relative_distances(found: FloatArray, truth: FloatArray, sizes: FloatArray) -> FloatArray:
    """[..., K] distances from found to true joints, in units of a size; leading axes are broadcast.

    NaN where a joint is not found or not annotated; infinite where both are but the size is not positive.

    Args:
        found: [..., K, 2] pixels.
        truth: [..., K, 2] pixels.
        sizes: [...] pixels.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        offsets = np.asarray(found, np.float64) - np.asarray(truth, np.float64)
        # Not np.hypot, whose last digit may differ from the square root that the published evaluators take.
        distances = np.sqrt(np.square(offsets).sum(axis=-1))
        known = np.isfinite(found).all(axis=-1) & np.isfinite(truth).all(axis=-1)
        size = np.asarray(sizes, np.float64)[..., None]
        return np.where(known, np.where(size > 0, distances / size, np.inf), np.nan)


def mean_known(values: FloatArray) -> float:
    """The mean of the values that are not NaN; NaN when there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
