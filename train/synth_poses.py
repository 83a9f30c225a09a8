"""Poses at random: key poses, mixed, blended and varied, within what joints allow."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ltsh_deploy.errors import UsageError
from ltsh_deploy.train.synth_collision import self_collision
from ltsh_deploy.train.synth_keyposes import KINDS, KeyPose, load_key_poses
from ltsh_deploy.train.synth_kinematics import pose_body
from ltsh_deploy.train.synth_limits import ATHLETE, ORDINARY
from ltsh_deploy.train.synth_rotations import bend
from ltsh_deploy.train.synth_types import Body, Pose, PosedBody, Shape

__all__ = [
    "DEFAULT_PRIOR",
    "PosePrior",
    "PoseSource",
    "sample_posed_body",
    "within_limits",
]

# Parts of a body may overlap by this many metres: skin gives way, and the capsules are thicker than wrists.
_MAY_OVERLAP = 0.03
_TRIES = 12


class PoseSource(Protocol):
    """Where poses come from: :class:`PosePrior`, or a user's motion files."""

    def sample_pose(self, rng: np.random.Generator) -> Pose:
        """A pose, turned any way about the vertical."""


@dataclass(frozen=True)
class PosePrior:
    """How poses are drawn.

    Attributes:
        everyday: share of everyday key poses, against the two others.
        sport: share of those of sports.
        acrobatic: share of those of gymnastics, parkour and yoga.
        width: how widely poses vary about key poses; 0 for not at all.
        wild: probability with which a pose varies more than twice as widely.
        mixing: probability with which an upright pose takes arms from another.
        blending: probability with which an upright pose is blended with another, by half at most.
        tumbling: probability with which the whole body is tilted any way, in the air or near the ground.
    """

    everyday: float = 0.45
    sport: float = 0.33
    acrobatic: float = 0.22
    width: float = 1.0
    wild: float = 0.25
    mixing: float = 0.45
    blending: float = 0.35
    tumbling: float = 0.06

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            chance = name in ("wild", "mixing", "blending", "tumbling")
            if not 0 <= value <= (1 if chance else math.inf) or value == math.inf:
                wanted = "a probability from 0 to 1" if chance else "a number that is not negative"
                raise UsageError(f"poses: {name} is {value}", f"It must be {wanted}.")
        if not self.everyday + self.sport + self.acrobatic:
            raise UsageError("poses: the shares of all kinds of key poses are 0", "Give one of them a share.")

    def sample_pose(self, rng: np.random.Generator) -> Pose:
        """A pose, turned any way about the vertical. It is within joint limits, but may run into itself."""
        key = self._draw(rng)
        arms, legs, chest, head = key.arms, key.legs, key.chest, key.head
        if key.upright and rng.random() < self.mixing:
            other = self._draw(rng)
            if other.upright:
                arms, head = (other.arms if rng.random() < 0.5 else np.stack([other.arms[0], arms[1]])), other.head
        if key.upright and rng.random() < self.blending:
            other, share = self._draw(rng), rng.uniform(0, 0.5)
            if other.upright:
                arms, legs = (1 - share) * arms + share * other.arms, (1 - share) * legs + share * other.legs
                chest = (1 - share) * chest + share * other.chest
        width = self.width * (2.2 if rng.random() < self.wild else 1.0)
        arms = arms + rng.normal(0, rng.gamma(2, 0.09) * width, arms.shape)
        legs = legs + rng.normal(0, rng.gamma(2, 0.05) * width, legs.shape)
        chest = chest + rng.normal(0, [7 * width, 5 * width, 8 * width])
        head = head + rng.normal(0, [12 * width, 7 * width, 20 * width])
        tilt = key.tilt + rng.normal(0, [4 * width, 3 * width])
        pose = replace(key.posed(tilt, rng.uniform(0, 360)), arms=arms, legs=legs, chest=chest, head=head)
        pose = replace(
            pose,
            wrists=rng.normal(0, 18 * width, (2, 2)).clip(-50, 50),
            forearm_twists=rng.normal(0, 17 * width, 2).clip(-70, 70),
            finger_curls=rng.uniform(0, 65, 2),
            ankles=(key.ankles + rng.normal(3, 8 * width, 2)).clip(-25, 60),
            foot_turns=rng.normal(8, 7 * width, 2).clip(-20, 40),
            lift=key.lift * rng.uniform(0, 1),
        )
        if rng.random() < self.tumbling:
            forward, left = rng.normal(0, [60, 35])
            anyhow = bend(forward, left, rng.uniform(0, 360)) @ pose.root
            lift = rng.uniform(0, 0.8) if rng.random() < 0.5 else 0.0
            stance = "airborne" if lift else "lying"
            pose = replace(pose, root=anyhow, lift=lift, stance=stance, flat_feet=np.zeros(2, bool))
        return within_limits(pose, key.kind)

    def _draw(self, rng: np.random.Generator) -> KeyPose:
        shares = np.array([self.everyday, self.sport, self.acrobatic])
        kind = KINDS[int(rng.choice(len(KINDS), p=shares / shares.sum()))]
        keys = [key for key in load_key_poses() if key.kind == kind]
        weights = np.array([key.weight for key in keys])
        chosen = keys[int(rng.choice(len(keys), p=weights / weights.sum()))]
        return chosen.mirrored() if rng.random() < 0.5 else chosen


#: What poses are drawn by where nothing else is said.
DEFAULT_PRIOR = PosePrior()


def within_limits(pose: Pose, kind: str) -> Pose:
    """The pose with its limbs and trunk within the joint limits of people who do such poses."""
    limits = ATHLETE if kind == "acrobatic" else ORDINARY
    chest, head = limits.trunk(pose.chest, pose.head)
    arms, legs = np.stack([limits.arm(arm) for arm in pose.arms]), np.stack([limits.leg(leg) for leg in pose.legs])
    return replace(pose, arms=arms, legs=legs, chest=chest, head=head)


def sample_posed_body(body: Body, shape: Shape, source: PoseSource, rng: np.random.Generator) -> tuple[PosedBody, int]:
    """A person in a pose from a source that does not run into itself.

    Returns:
        The posed body, and how many poses were rejected before. After 12 rejections, the best of those is returned.
    """
    best, least = None, math.inf
    for rejected in range(_TRIES):
        posed = pose_body(body, shape, source.sample_pose(rng))
        overlap = self_collision(posed)
        if overlap < _MAY_OVERLAP:
            return posed, rejected
        if overlap < least:
            best, least = posed, overlap
    assert best is not None
    return best, _TRIES
