"""How large people are and where, by their joints."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ltsh_deploy.skeletons import Skeleton

__all__ = ["PIXELS_PER_SCALE", "box_centres", "complete_people", "estimate_scales", "joint_boxes", "people_boxes"]

FloatArray = npt.NDArray[np.float64]

#: A person of scale 1 is this many pixels tall, in MPII's convention.
PIXELS_PER_SCALE = 200.0

# Lengths as parts of the standing height. The head's is exact by MPII's definition of height; the others are near the
# longest that limbs look in photographs, since limbs that point at the camera only look shorter.
_LENGTHS: tuple[tuple[tuple[str, ...], tuple[str, ...], float], ...] = (
    (("head_top",), ("neck",), 0.167),
    (("neck",), ("left_hip", "right_hip"), 0.37),
    (("left_shoulder",), ("right_shoulder",), 0.214),
    *(
        ((f"{side}_{a}",), (f"{side}_{b}",), part)
        for side in ("left", "right")
        for a, b, part in (
            ("hip", "knee", 0.26),
            ("knee", "ankle", 0.255),
            ("shoulder", "elbow", 0.182),
            ("elbow", "wrist", 0.155),
        )
    ),
)
# Not the longest: crowd workers' labels are sometimes on another person's limb. No joint is in more than two of the
# eleven lengths, so that one wrong label leaves the quantile among the right ones.
_QUANTILE = 0.8


def complete_people(skeleton: Skeleton, joints: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Centres [P, 2] and scales [P] of people [P, J, 3], for data sets that have joints only.

    Both are NaN, which no sample takes, for somebody of whom too little is labelled.
    """
    return box_centres(joint_boxes(joints)), estimate_scales(skeleton, joints)


def estimate_scales(skeleton: Skeleton, joints: FloatArray) -> FloatArray:
    """[P] scales (person height / 200 px) of people [P, J, 3], from the lengths of their limbs, head and torso.

    Each length that is labelled gives a height by the body's proportions; the result is the 80 % quantile of these,
    since foreshortening makes limbs look short and only wrong labels make them look long. With no such length it is
    the diagonal of the joints' box, and NaN where that is nothing: with fewer than two joints.
    """
    heights = []
    for start, end, part in _LENGTHS:
        if set(start + end) <= set(skeleton.joints):
            a, b = (
                joints[:, [skeleton.joints.index(name) for name in names], :2].mean(axis=1) for names in (start, end)
            )
            heights.append(np.hypot(*(a - b).T) / part)
    sizes = joint_boxes(joints)
    diagonal = np.hypot(sizes[:, 2] - sizes[:, 0], sizes[:, 3] - sizes[:, 1])
    height = diagonal
    if heights:
        ordered = np.sort(np.stack(heights, axis=1), axis=1)  # NaN come last
        count = np.isfinite(ordered).sum(axis=1)
        rank = np.floor(_QUANTILE * np.maximum(count - 1, 0)).astype(np.int64)
        picked = ordered[np.arange(len(ordered)), rank]
        height = np.where(picked > 0, picked, diagonal)
    scales: FloatArray = np.where(height > 0, height, np.nan) / PIXELS_PER_SCALE
    return scales


def joint_boxes(joints: FloatArray) -> FloatArray:
    """[P, 4] boxes (x1, y1, x2, y2) around the labelled joints of people [P, J, 3]; NaN where there are none."""
    xy, absent = joints[:, :, :2], joints[:, :, 2:] == 0
    low = np.where(absent, np.inf, xy).min(axis=1, initial=np.inf)
    high = np.where(absent, -np.inf, xy).max(axis=1, initial=-np.inf)
    boxes = np.concatenate([low, high], axis=1)
    return np.where(np.isfinite(boxes), boxes, np.nan)


def box_centres(boxes: FloatArray) -> FloatArray:
    """[P, 2] centres of boxes [P, 4]."""
    centres: FloatArray = (boxes[:, :2] + boxes[:, 2:]) / 2
    return centres


def people_boxes(joints: FloatArray, scales: FloatArray, factor: float) -> FloatArray:
    """[Q, 4] boxes around the Q of P people that have labelled joints, ``factor`` times as wide and high.

    A box is at least 0.3 times the person's height on each side before it is enlarged: few joints say little of where
    the rest of the body is.
    """
    boxes = joint_boxes(joints)
    present = np.isfinite(boxes).all(axis=1)
    boxes, least = boxes[present], 0.15 * PIXELS_PER_SCALE * scales[present, None]
    centres = box_centres(boxes)
    half = factor * np.maximum((boxes[:, 2:] - boxes[:, :2]) / 2, least)
    return np.concatenate([centres - half, centres + half], axis=1)
