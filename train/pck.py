"""PCK@0.2 of people with a skeleton, as it is logged during training: evaluation measures it.

The torso's length is the distance between right hip and left shoulder. People of whom one of these is not labelled
cannot be measured. The joints are the 14 of Leeds Sports Pose, and the figure is the mean of their 14 rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ltsh_deploy.evaluation.matching import submit
from ltsh_deploy.evaluation.predictions import UnitPredictions
from ltsh_deploy.evaluation.scoring import score_units
from ltsh_deploy.evaluation.units import EvaluationSet, Unit
from ltsh_deploy.metrics import torso_lengths

__all__ = ["PckScore", "has_torso", "pck"]


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


def pck(units: Sequence[Unit], predictions: Sequence[UnitPredictions], source: str) -> PckScore:
    """The score of P people, one of them at least.

    Args:
        units: of one person each, of whom :func:`has_torso` holds.
        predictions: who was found in each one's picture.
        source: where the people are from, for messages.

    Raises:
        SkeletonError: when no joint that was looked for is one of Leeds Sports Pose.
    """
    data = EvaluationSet("validation", source, "pck", tuple(units), units[0].skeleton)
    scores = score_units(data, submit(data, predictions))
    joints = {name: rate for name, rate in scores.values["joints"].items() if rate is not None}
    return PckScore(scores.headline, joints, scores.values["people"])


def has_torso(unit: Unit) -> bool:
    """Whether the torso of a unit's first person can be measured in."""
    return bool(np.isfinite(torso_lengths(unit.joints[:1, :, :2], unit.skeleton.joints)[0]))
