"""Feet on the ground: legs that were drawn one by one are made to reach down equally far."""

from __future__ import annotations

import math

import numpy as np

from ltsh_deploy.train.synth_rotations import Doubles, about, unit
from ltsh_deploy.train.synth_types import Pose

__all__ = ["Leg", "planted"]

# A foot that is this much above the other, in metres, is meant to be; one that is no more than this is planted.
_LIFTED, _ON_THE_GROUND = 0.12, 0.003
# A leg is stretched to this share of its length, and bent to no less than this one.
_STRETCHED, _BENT = 0.998, 0.55
# A leg that points aside more than acos of this from the vertical gets no shorter by bending.
_DOWN = 0.5


class Leg:
    """One leg of a posed body.

    Args:
        thigh: [3] from hip to knee, in metres.
        shin: [3] from knee to ankle.
        axis: [3] unit axis of the knee.
    """

    def __init__(self, thigh: Doubles, shin: Doubles, axis: Doubles) -> None:
        self.lengths = math.sqrt(float(thigh @ thigh)), math.sqrt(float(shin @ shin))
        self.reach = thigh + shin
        self.span = math.sqrt(float(self.reach @ self.reach))
        self._towards = self.reach / self.span
        self._axis = unit(axis - self._towards * (self._towards @ axis))

    def spanning(self, span: float) -> Doubles:
        """[2, 3] unit directions of thigh and shin with which hip and ankle are ``span`` apart, along the same line."""
        turned = []
        for sign, (own, other) in ((-1, self.lengths), (1, self.lengths[::-1])):
            cosine = (own * own + span * span - other * other) / (2 * own * span)
            angle = math.acos(max(-1.0, min(1.0, cosine)))
            turned.append(about(self._axis, sign * angle) @ self._towards)
        return np.stack(turned)

    def span_for(self, lower: float) -> float:
        """The span with which the ankle is ``lower`` metres lower, as far as the leg can do that."""
        down = -float(self._towards[2])
        if down < _DOWN:
            return self.span
        whole = sum(self.lengths)
        least, most = min(self.span, _BENT * whole), max(self.span, _STRETCHED * whole)
        return max(least, min(most, self.span + lower / down))


def planted(pose: Pose, legs: tuple[Leg, Leg], heights: tuple[float, float]) -> list[Doubles | None]:
    """How to bring both feet of a standing body to the ground.

    The leg whose foot is above the ground is stretched, and if that is not enough, the other is bent.

    Args:
        pose: what the body is posed by.
        legs: left and right.
        heights: of the soles; only their difference matters.

    Returns:
        For the left and the right side, [2, 3] new directions of thigh and shin in the world; None for one that stays.
    """
    changed: list[Doubles | None] = [None, None]
    gap = abs(heights[0] - heights[1])
    if pose.stance != "standing" or not pose.flat_feet.all() or not _ON_THE_GROUND < gap < _LIFTED:
        return changed
    above = int(heights[1] > heights[0])
    for index, sign in ((above, 1.0), (1 - above, -1.0)):
        leg = legs[index]
        span = leg.span_for(sign * gap)
        changed[index] = leg.spanning(span)
        gap -= sign * (span - leg.span) * -float(unit(leg.reach)[2])
        if gap <= _ON_THE_GROUND:
            break
    return changed
