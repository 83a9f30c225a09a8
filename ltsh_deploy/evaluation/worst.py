"""The units a model does worst on, drawn with the true and the predicted poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ltsh_deploy.drawing import draw_poses
from ltsh_deploy.errors import ImageError
from ltsh_deploy.evaluation.error_kinds import EXTRA_KINDS, KINDS, NONE, UnitErrors, count_kinds
from ltsh_deploy.evaluation.units import Unit
from ltsh_deploy.fields import FloatArray
from ltsh_deploy.images import Image
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton

__all__ = ["UnitTally", "draw_unit", "tally", "worst_first"]


#: The longer side of a drawn picture, in pixels.
SIDE = 560
_QUALITY = 80
# What lies about the people is shown too, as a part of the longer side of the box around them.
_MARGIN = 0.15
_GREY = 128
# Beyond so many pixels reaches no picture; what lies there does not decide what is shown.
_FARTHEST = float(1 << 20)


@dataclass(frozen=True)
class UnitTally:
    """How one unit was done.

    Attributes:
        annotated: joints that are there to be found.
        predicted: joints that were predicted.
        found: joints that were found.
        kinds: name to count, of :data:`~ltsh_deploy.evaluation.error_kinds.KINDS` and ``EXTRA_KINDS``.
    """

    annotated: int
    predicted: int
    found: int
    kinds: dict[str, int]

    @property
    def score(self) -> float:
        """The F1 score of the unit's joints, in 0..1: 2 found / (annotated + predicted); 1 where there is neither."""
        total = self.annotated + self.predicted
        return 2 * self.found / total if total else 1.0


def tally(errors: UnitErrors) -> UnitTally:
    """Count a unit's joints."""
    kinds, extra = count_kinds([errors], errors.kinds.shape[1])
    names = dict(zip((*KINDS, *EXTRA_KINDS), [*kinds.sum(axis=1).tolist(), *extra.sum(axis=1).tolist()], strict=True))
    annotated = int((errors.kinds != NONE).sum())
    predicted = int(((errors.predicted != NONE) | (errors.extra != NONE)).sum())
    return UnitTally(annotated, predicted, names["found"], names)


def worst_first(tallies: Sequence[UnitTally], count: int) -> list[int]:
    """Indices of the units with the lowest scores, at most ``count``; of equals those with more wrong joints first.

    Units in which nothing is wrong are left out.
    """
    wrong = {i: t.annotated + t.predicted - 2 * t.found for i, t in enumerate(tallies)}
    ranked = sorted((i for i in wrong if wrong[i]), key=lambda i: (tallies[i].score, -wrong[i], i))
    return ranked[:count]


def draw_unit(unit: Unit, found: Poses, skeleton: Skeleton) -> tuple[bytes, bytes, str]:
    """Draw the true and the predicted people on the part of the picture where they are.

    Args:
        unit: whose people are labelled.
        found: who was predicted, in pixels of the unit's picture.
        skeleton: to draw both in; joints that it does not have are left out.

    Returns:
        Two JPEG files of one size, the true and the predicted poses, and why they are drawn on plain grey: empty where
        the picture could be read.
    """
    try:
        image, reason = unit.read_image(), ""
    except ImageError as error:
        image, reason = None, error.message
    truth, found = unit.to_poses().to_skeleton(skeleton), found.to_skeleton(skeleton)
    size = (image.shape[1], image.shape[0]) if image is not None else unit.size
    low, high = _part([truth.xy, found.xy], size)
    scale = SIDE / float((high - low).max())
    canvas = _cut(image, low, high, scale)
    drawn = (draw_poses(canvas, _moved(poses, low, scale), labels=False) for poses in (truth, found))
    true, predicted = (_jpeg(picture) for picture in drawn)
    return true, predicted, reason


def _part(people: Sequence[FloatArray], size: tuple[int, int] | None) -> tuple[FloatArray, FloatArray]:
    """The corners [2] of the part to show, whole pixels; predictions are looked at within the picture alone."""
    joints = [xy[(np.abs(xy) <= _FARTHEST).all(axis=2)] for xy in people]
    if size is None:
        limits = joints[0] if len(joints[0]) else np.zeros((1, 2))
        extent = max(1.0, float(np.ptp(limits, axis=0).max()))
        first, last = limits.min(axis=0) - extent, limits.max(axis=0) + extent
    else:
        first, last = np.zeros(2), np.array(size, np.float64)
    inside = np.concatenate([xy[((xy >= first) & (xy <= last)).all(axis=1)] for xy in joints])
    if not len(inside):
        return first, np.maximum(last, first + 1)
    margin = max(16.0, _MARGIN * float(np.ptp(inside, axis=0).max()))
    low = np.clip(np.floor(inside.min(axis=0) - margin), first, last - 1)
    return low, np.clip(np.ceil(inside.max(axis=0) + margin), low + 1, np.maximum(last, low + 1))


def _cut(image: Image | None, low: FloatArray, high: FloatArray, scale: float) -> Image:
    """That part of the picture, its longer side :data:`SIDE` pixels."""
    width, height = (max(1, round(float(side))) for side in (high - low) * scale)
    if image is None:
        return np.full((height, width, 3), _GREY, np.uint8)
    (x1, y1), (x2, y2) = low.astype(int).tolist(), high.astype(int).tolist()
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    part = cv2.resize(np.ascontiguousarray(image[y1:y2, x1:x2]), (width, height), interpolation=method)
    return np.asarray(part, np.uint8)


def _moved(poses: Poses, low: FloatArray, scale: float) -> Poses:
    """The poses in pixels of that part, even the least sure well to be seen; a file may have scores of any range."""
    near = (np.abs(poses.xy) <= _FARTHEST).all(axis=2, keepdims=True)
    xy = (np.where(near, poses.xy, np.nan) - low + 0.5) * scale - 0.5
    sure = np.clip(np.nan_to_num(poses.joint_scores, nan=0.0), 0.0, 1.0)
    return replace(poses, xy=xy, joint_scores=0.5 + 0.5 * sure)


def _jpeg(image: Image) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done, "OpenCV refused to write a picture that it was handed whole"
    return data.tobytes()
