"""Rough outlines of annotated people, by their joints."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.bodies import PIXELS_PER_SCALE
from ltsh_deploy.skeletons import LTSH15

__all__ = ["paint_person"]

# Half the thickness of limbs, as a part of the standing height.
_THIN, _THICK, _HEAD = 0.028, 0.045, 0.05
_FARTHEST = 20_000
_TRUNK = ("right_shoulder", "left_shoulder", "left_hip", "right_hip")


def paint_person(mask: npt.NDArray[np.uint8], joints: npt.NDArray[np.float64], scale: float) -> None:
    """Paint a person into [H, W] with 1, as thick as people are around their labelled limbs.

    Args:
        mask: painted in place.
        joints: [15, 3] of LTSH15: x, y and a label, 0 where the joint is not known.
        scale: height / 200 pixels.
    """
    height = scale * PIXELS_PER_SCALE
    known = joints[:, 2] > 0
    points = np.clip(np.rint(np.where(known[:, None], joints[:, :2], 0)), -_FARTHEST, _FARTHEST).astype(int)
    for a, b in LTSH15.limbs:
        if known[a] and known[b]:
            names = LTSH15.joints[a] + LTSH15.joints[b]
            half = _HEAD if "head_top" in names else _THICK if "hip" in names or "torso" in names else _THIN
            cv2.line(mask, points[a].tolist(), points[b].tolist(), 1, max(1, round(2 * half * height)))
    trunk = [LTSH15.joints.index(name) for name in _TRUNK]
    if known[trunk].all():
        cv2.fillConvexPoly(mask, cv2.convexHull(points[trunk].astype(np.int32)), 1)
