"""How far joints bend: what is drawn at random is brought back to what a body can do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ltsh_deploy.train.synth_kinematics import hinge_twist
from ltsh_deploy.train.synth_rotations import Doubles, about, cross, unit

__all__ = ["ATHLETE", "ORDINARY", "Limits", "foot_turn"]

Range = tuple[float, float]
# The left arm of the average body at rest, and the axes of the left elbow and knee then, in x, y, z.
_REST_UPPER_ARM = unit([0.668, -0.037, -0.743])
_REST_FOREARM = unit([0.519, -0.685, -0.513])
_REST_ELBOW_AXIS = unit(cross(_REST_UPPER_ARM, _REST_FOREARM))
_REST_THIGH = unit([0.082, -0.085, -0.993])
_REST_KNEE_AXIS = unit(np.array([1.0, 0.0, 0.0]) - _REST_THIGH * _REST_THIGH[0])
# A limb that is held outward reaches further back, by this much a degree.
_BACK_WHEN_OUT = 0.9
# A foot that is less than asin of this from the line of the shin points nowhere aside.
_CLEAR_FOOT = 0.3


@dataclass(frozen=True)
class Limits:
    """Ranges in degrees; the limbs' are an arm's or a leg's on either side.

    Attributes:
        arm_forward: of the upper arm from straight down: 90 is forward, 180 up.
        arm_outward: of the upper arm from the plane that divides left and right.
        arm_twist: of the upper arm about itself; positive turns the inside of the elbow backward.
        elbow: from straight.
        thigh_forward: of the thigh from straight down.
        thigh_outward: of the thigh from the plane that divides left and right.
        thigh_twist: of the thigh about itself; positive turns the knee inward.
        knee: from straight.
        chest: forward, to either side, turn to either side, and backward.
        head: the same.
    """

    arm_forward: Range = (-65.0, 200.0)
    arm_outward: Range = (-50.0, 90.0)
    arm_twist: Range = (-112.0, 112.0)
    elbow: Range = (0.0, 150.0)
    thigh_forward: Range = (-45.0, 130.0)
    thigh_outward: Range = (-25.0, 65.0)
    thigh_twist: Range = (-125.0, 40.0)
    knee: Range = (0.0, 150.0)
    chest: tuple[Range, Range, Range] = ((-40.0, 70.0), (-35.0, 35.0), (-45.0, 45.0))
    head: tuple[Range, Range, Range] = ((-45.0, 45.0), (-35.0, 35.0), (-70.0, 70.0))

    def arm(self, directions: Doubles) -> Doubles:
        """Upper arm and forearm [2, 3], as in a pose, within the limits and of unit length."""
        upper = _limited(directions[0], self.arm_forward, self.arm_outward)
        upper, fore = _to_left_side(upper), _to_left_side(directions[1])
        fore = _hinged(upper, fore, _REST_UPPER_ARM, _REST_ELBOW_AXIS, self.arm_twist, self.elbow)
        return np.stack([_to_left_side(upper), _to_left_side(fore)])

    def leg(self, directions: Doubles) -> Doubles:
        """Thigh and shin [2, 3], as in a pose, within the limits and of unit length."""
        thigh = _limited(directions[0], self.thigh_forward, self.thigh_outward)
        thigh, shin = _to_left_side(thigh), _to_left_side(directions[1])
        shin = _hinged(thigh, shin, _REST_THIGH, _REST_KNEE_AXIS, self.thigh_twist, self.knee)
        return np.stack([_to_left_side(thigh), _to_left_side(shin)])

    def trunk(self, chest: Doubles, head: Doubles) -> tuple[Doubles, Doubles]:
        """Angles [3] of chest and head within the limits."""
        (chest_least, chest_most), (head_least, head_most) = np.transpose(self.chest), np.transpose(self.head)
        return np.clip(chest, chest_least, chest_most), np.clip(head, head_least, head_most)


#: Anybody.
ORDINARY = Limits()
#: Somebody who does gymnastics.
ATHLETE = Limits(
    arm_forward=(-80.0, 220.0),
    thigh_forward=(-80.0, 150.0),
    thigh_outward=(-30.0, 88.0),
    thigh_twist=(-125.0, 50.0),
    knee=(0.0, 155.0),
    chest=((-65.0, 75.0), (-40.0, 40.0), (-50.0, 50.0)),
)


def foot_turn(leg: Doubles, foot: Doubles) -> float:
    """Degrees by which a foot turns outward from where the knee points.

    Args:
        leg: [2, 3] directions of thigh and shin, as in a pose.
        foot: [3] direction from the ankle to the toes, likewise; 0 is returned where it is along the shin.
    """
    thigh, shin, toes = (_to_left_side(direction) for direction in (*leg, foot))
    axis, _ = hinge_twist(thigh, shin, _REST_THIGH, _REST_KNEE_AXIS)
    ahead, aside = float(toes @ cross(shin, axis)), float(toes @ axis)
    return math.degrees(math.atan2(aside, ahead)) if math.hypot(ahead, aside) > _CLEAR_FOOT else 0.0


def _to_left_side(direction: Doubles) -> Doubles:
    """(outward, forward, up) as x, y, z on the left side, and back."""
    return np.array([direction[0], -direction[1], direction[2]])


def _limited(direction: Doubles, forward: Range, outward: Range) -> Doubles:
    """The direction whose angles forward and outward are within ranges."""
    out, ahead, up = unit(direction)
    aside = math.degrees(math.asin(max(-1.0, min(1.0, out))))
    aside = max(outward[0], min(outward[1], aside))
    least, most = forward[0] - _BACK_WHEN_OUT * max(aside, 0.0), forward[1]
    around = math.degrees(math.atan2(ahead, -up))
    # A limb that is behind the body may have come there over the head: the nearer end of the range is taken.
    limited = [(abs(angle - max(least, min(most, angle))), angle) for angle in (around, around + 360, around - 360)]
    angle = math.radians(max(least, min(most, min(limited)[1])))
    aside = math.radians(aside)
    return np.array([math.sin(aside), math.cos(aside) * math.sin(angle), -math.cos(aside) * math.cos(angle)])


def _hinged(
    upper: Doubles, lower: Doubles, rest_upper: Doubles, rest_axis: Doubles, twists: Range, bends: Range
) -> Doubles:
    """The lower limb's direction after the hinge's axis and its bend are brought into range."""
    lower = unit(lower)
    axis, twist = hinge_twist(upper, lower, rest_upper, rest_axis)
    limited = max(math.radians(twists[0]), min(math.radians(twists[1]), twist))
    axis = about(upper, limited - twist) @ axis
    angle = math.atan2(float(axis @ cross(upper, lower)), float(upper @ lower))
    bent = max(math.radians(bends[0]), min(math.radians(bends[1]), angle))
    if limited == twist and bent == angle:
        return lower
    return about(axis, bent) @ upper
