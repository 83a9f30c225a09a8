"""Rough outlines of people: of annotated ones by their joints, of figures by their capsules."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.bodies import PIXELS_PER_SCALE
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.synth_types import Camera, Figure

__all__ = ["paint_figure", "paint_person"]

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


def paint_figure(
    mask: npt.NDArray[np.uint8], figure: Figure, camera: Camera, radii: npt.NDArray[np.floating], shrink: float = 1.0
) -> None:
    """Paint a figure into [H, W] with 1, as its capsules are seen.

    Args:
        mask: painted in place; of the camera's size times ``shrink``.
        figure: none of it may be behind the camera.
        camera: that sees it.
        radii: [C] of its capsules, in metres.
        shrink: the mask's size as a part of the picture's.
    """
    starts, near = camera.project(figure.capsules_start)
    ends, far = camera.project(figure.capsules_end)
    widths = 2 * radii * camera.focal / np.minimum(near, far) * shrink
    for start, end, width in zip(starts * shrink, ends * shrink, widths, strict=True):
        points = np.clip(np.rint(np.stack([start, end])), -_FARTHEST, _FARTHEST).astype(int)
        cv2.line(mask, points[0].tolist(), points[1].tolist(), 1, min(max(1, round(width)), 255))
