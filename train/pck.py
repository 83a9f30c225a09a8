"""PCK@0.2, as is usual for Leeds Sports Pose: the part of the labelled joints found within 0.2 torso lengths.

The torso's length is the distance between right hip and left shoulder. People of whom one of these is not labelled
cannot be measured. The joints are the 14 of Leeds Sports Pose, and the figure is the mean of their 14 rates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import LSP14, Skeleton

__all__ = ["THRESHOLD", "PckScore", "choose_person", "joint_hits", "pck", "torso_length"]

#: A joint is found within this part of the torso's length.
THRESHOLD = 0.2
# How fast a person's claim to be the one who is meant falls with the distance, as a part of the picture's short side.
_NEAR = 0.25
_TORSO = ("right_hip", "left_shoulder")

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PckScore:
    """PCK@0.2 of some people.

    Attributes:
        pck: in 0..100, the mean of ``joints``.
        joints: name to the rate in 0..100 of every joint that is measured and was labelled at least once.
        people: how many.
    """

    pck: float
    joints: dict[str, float]
    people: int


def pck(hits: BoolArray, labelled: BoolArray, skeleton: Skeleton) -> PckScore:
    """The score of P people, one of them at least.

    Args:
        hits: [P, J] joints that were found; see :func:`joint_hits`.
        labelled: [P, J] joints that are labelled.
        skeleton: of the joints. Those that Leeds Sports Pose does not have, such as the torso's centre, do not count.

    Raises:
        InputError: when no joint that counts is labelled.
    """
    measured = np.array([name in LSP14.joints for name in skeleton.joints]) & labelled.any(axis=0)
    if not measured.any():
        raise InputError(f"skeleton {skeleton.name}: no joint of Leeds Sports Pose is labelled, so there is no PCK")
    rates = {
        skeleton.joints[j]: 100 * float(hits[:, j].sum() / labelled[:, j].sum())
        for j in np.flatnonzero(measured).tolist()
    }
    return PckScore(float(np.mean(list(rates.values()))), rates, len(labelled))


def torso_length(joints: FloatArray, skeleton: Skeleton) -> float | None:
    """The distance between right hip and left shoulder; None where one is not labelled, or they are in one place.

    Args:
        joints: [J, 3] x, y, label.
        skeleton: of the joints.
    """
    if not set(_TORSO) <= set(skeleton.joints):
        return None
    a, b = (joints[skeleton.joints.index(name)] for name in _TORSO)
    length = float(np.hypot(*(a - b)[:2]))
    return length if a[2] > 0 and b[2] > 0 and length > 0 else None


def choose_person(poses: Poses, place: FloatArray, size: tuple[float, float]) -> FloatArray | None:
    """[J, 2] the joints of the person who is sure and near a place in a picture (width, height); None for nobody.

    That is the one with the largest sum of joint scores, each person's weighted by a Gaussian of the distance between
    the middle of the person's box and the place. It looks at no label.

    Args:
        poses: who was found.
        place: [2] pixels, the picture's middle where nothing else is known.
        size: of the picture.
    """
    if not len(poses):
        return None
    low, high = np.nanmin(poses.xy, axis=1), np.nanmax(poses.xy, axis=1)
    offset = (low + high) / 2 - place
    distance = np.hypot(offset[:, 0], offset[:, 1]) / (_NEAR * min(size))
    claims = poses.joint_scores.sum(axis=1) * np.exp(-np.square(distance) / 2)
    return np.asarray(poses.xy[int(claims.argmax())], np.float64)


def joint_hits(found: FloatArray | None, joints: FloatArray, torso: float) -> BoolArray:
    """[J] which labelled joints were found within :data:`THRESHOLD` torso lengths.

    Args:
        found: [J, 2], NaN for a joint that was not found; None when nobody was.
        joints: [J, 3] x, y, label.
        torso: length.
    """
    if found is None:
        return np.zeros(len(joints), np.bool_)
    distance = np.hypot(found[:, 0] - joints[:, 0], found[:, 1] - joints[:, 1])
    # NaN compares as false.
    return np.asarray((distance <= THRESHOLD * torso) & (joints[:, 2] > 0))
