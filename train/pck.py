"""PCK@0.2 of people with a skeleton, as it is logged during training; the figures are those of evaluation.

The torso's length is the distance between right hip and left shoulder. People of whom one of these is not labelled
cannot be measured. The joints are the 14 of Leeds Sports Pose, and the figure is the mean of their 14 rates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ltsh_deploy.errors import InputError
from ltsh_deploy.metrics import PCK_THRESHOLD, joint_rates, relative_distances, torso_lengths
from ltsh_deploy.metrics_distances import BoolArray, FloatArray
from ltsh_deploy.skeletons import LSP14, Skeleton

__all__ = ["PckScore", "joint_hits", "pck", "torso_length"]


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
    measured = np.array([name in LSP14.joints for name in skeleton.joints])
    score = joint_rates(hits, labelled & measured)
    if not score.n_annotated.any():
        raise InputError(f"skeleton {skeleton.name}: no joint of Leeds Sports Pose is labelled, so there is no PCK")
    rates = dict(zip(skeleton.joints, score.rates.tolist(), strict=True))
    known = {name: rate for name, rate in rates.items() if not np.isnan(rate)}
    return PckScore(score.mean, known, len(labelled))


def torso_length(joints: FloatArray, skeleton: Skeleton) -> float | None:
    """The distance between right hip and left shoulder; None where one is not labelled, or they are in one place.

    Args:
        joints: [J, 3] x, y, label.
        skeleton: of the joints.
    """
    length = float(torso_lengths(_places(joints)[None], skeleton.joints)[0])
    return None if np.isnan(length) else length


def joint_hits(found: FloatArray | None, joints: FloatArray, torso: float) -> BoolArray:
    """[J] which labelled joints were found within 0.2 torso lengths.

    Args:
        found: [J, 2], NaN for a joint that was not found; None when nobody was.
        joints: [J, 3] x, y, label.
        torso: length.
    """
    if found is None:
        return np.zeros(len(joints), np.bool_)
    return np.asarray(relative_distances(found, _places(joints), np.array(torso)) <= PCK_THRESHOLD)


def _places(joints: FloatArray) -> FloatArray:
    """[J, 2] x and y; NaN where the label says that the joint is missing."""
    return np.where(joints[:, 2:] > 0, joints[:, :2], np.nan)
