"""From the joint positions of a motion file to poses of the project's own body."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_bvh_file import Motion
from ltsh_deploy.train.synth_kinematics import to_outward
from ltsh_deploy.train.synth_limits import foot_turn
from ltsh_deploy.train.synth_rotations import Doubles, about, bend_angles
from ltsh_deploy.train.synth_types import Pose

__all__ = ["PARTS", "Clip", "clip_of"]

#: The parts of arms and legs, of which a file must have both sides.
PARTS = ("upper_arm", "forearm", "hand", "thigh", "shin", "foot")
# The pelvis leans as the spine does up to this share of the trunk, the chest as from this share below the shoulders.
_PELVIS_SHARE, _CHEST_SHARE = 0.15, 0.35
# Legs are this long on the body that the poses are for, in metres.
_LEG = 0.78
# A foot this much above where feet are at other times is off the ground, in metres; nobody jumps higher than the other.
_OFF_GROUND, _HIGHEST = 0.1, 0.8
# Feet within this many degrees of how they are most of the time, and no more than this many metres above the other, are
# flat on the ground.
_FLAT, _ON_THE_GROUND = 20.0, 0.05
_STANDING = 0.7
_SHORTEST = 1e-6
_Y_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@dataclass(frozen=True, eq=False)
class Clip:
    """One file's poses: +Z is up.

    Attributes:
        name: the file's.
        frames: [N] numbers in the file.
        pelvis: [N, 3, 3] whose columns are the body's left, back and up.
        chest: [N, 3, 3].
        head: [N, 3] degrees from the chest.
        limbs: [N, 2, 4, 3] unit directions of upper arm, forearm, thigh and shin, left and right.
        feet: [N, 2, 3] unit directions of the feet.
        ankles: [N, 2] degrees by which the toes point.
        flat: [N, 2] whether the foot is flat on the ground.
        lifts: [N] metres above the ground.
    """

    name: str
    frames: npt.NDArray[np.int64]
    pelvis: Doubles
    chest: Doubles
    head: Doubles
    limbs: Doubles
    feet: Doubles
    ankles: Doubles
    flat: npt.NDArray[np.bool_]
    lifts: Doubles

    def __len__(self) -> int:
        return len(self.frames)

    def pose(self, number: int, rng: np.random.Generator) -> Pose:
        """The pose of one frame, mirrored or not, and turned any way about the vertical."""
        pelvis, chest = self.pelvis[number], self.chest[number]
        arms, legs, turns = np.empty((2, 2, 3)), np.empty((2, 2, 3)), np.zeros(2)
        for index, side in enumerate((1.0, -1.0)):
            upper, fore, thigh, shin = self.limbs[number, index]
            arms[index] = [to_outward(chest.T @ direction, side) for direction in (upper, fore)]
            legs[index] = [to_outward(pelvis.T @ direction, side) for direction in (thigh, shin)]
            turns[index] = foot_turn(legs[index], to_outward(pelvis.T @ self.feet[number, index], side))
        lift = float(self.lifts[number])
        pose = Pose(
            name=f"{self.name}:{self.frames[number]}",
            arms=arms,
            legs=legs,
            root=pelvis,
            chest=bend_angles(pelvis.T @ chest),
            head=self.head[number],
            wrists=rng.normal(0, 10, (2, 2)).clip(-40, 40),
            forearm_twists=rng.normal(0, 15, 2).clip(-60, 60),
            finger_curls=rng.uniform(0, 65, 2),
            ankles=self.ankles[number],
            foot_turns=turns.clip(-25, 45),
            flat_feet=self.flat[number],
            stance="airborne" if lift else "standing" if pelvis[2, 2] > _STANDING else "captured",
            lift=lift,
        )
        pose = _mirrored(pose) if rng.random() < 0.5 else pose
        return replace(pose, root=about(np.array([0.0, 0.0, 1.0]), rng.uniform(0, 2 * math.pi)) @ pose.root)


def clip_of(motion: Motion, limbs: Mapping[str, Sequence[int]], name: str) -> Clip:
    """The poses of a file.

    Args:
        motion: [N] frames; those in which a limb has no length are left out.
        limbs: the joints of :data:`PARTS`, left and right.
        name: what its poses are called after.
    """
    points = motion.positions @ _to_z_up(motion, limbs).T
    left_right = {part: points[:, list(limbs[part])] for part in PARTS}
    hips, shoulders = left_right["thigh"].mean(axis=1), left_right["upper_arm"].mean(axis=1)
    aside = {part: left_right[part][:, 0] - left_right[part][:, 1] for part in ("thigh", "upper_arm")}
    low, high = _spine(motion, limbs)
    pelvis_up = (shoulders if low is None else points[:, low]) - hips
    chest_up = shoulders - (hips if high is None else points[:, high])
    pairs = (("upper_arm", "forearm"), ("forearm", "hand"), ("thigh", "shin"), ("shin", "foot"))
    directions = np.stack([left_right[b] - left_right[a] for a, b in pairs], axis=2)
    feet = np.stack([points[:, _toe(motion, joint)] - points[:, joint] for joint in limbs["foot"]], axis=1)
    whole = np.linalg.norm(directions, axis=3).min(axis=(1, 2)) > _SHORTEST
    for across, up in ((aside["thigh"], pelvis_up), (aside["upper_arm"], chest_up)):
        whole &= np.linalg.norm(np.cross(across, up), axis=1) > _SHORTEST
    pelvis = _frames(aside["thigh"][whole], pelvis_up[whole])
    chest = _frames(aside["upper_arm"][whole], chest_up[whole])
    directions, feet = directions[whole], feet[whole]
    leg = float(np.median(np.linalg.norm(directions[:, :, 2:], axis=3).sum(axis=2))) if whole.any() else 1.0
    soles = left_right["foot"][whole, :, 2] * (_LEG / leg)
    limb_directions = directions / np.linalg.norm(directions, axis=3, keepdims=True)
    foot_directions = feet / np.maximum(np.linalg.norm(feet, axis=2, keepdims=True), _SHORTEST)
    slopes = _degrees(np.arcsin(foot_directions[:, :, 2]))
    pointing = _degrees(np.arccos(np.sum(limb_directions[:, :, 3] * foot_directions, axis=2).clip(-1, 1)))
    return Clip(
        name=name,
        frames=motion.frames[whole],
        pelvis=pelvis,
        chest=chest,
        head=_heads(motion, limbs, chest, whole),
        limbs=limb_directions,
        feet=foot_directions,
        ankles=(-pointing).clip(-25, 60),
        flat=(np.abs(slopes) < _FLAT) & (soles - soles.min(axis=1, keepdims=True) < _ON_THE_GROUND),
        lifts=_lifts(points[whole], leg) if motion.travels else np.zeros(int(whole.sum())),
    )


def _degrees(angles: Doubles) -> Doubles:
    """[N, 2] radians as degrees from their median: what a foot does most of the time is taken to be neutral."""
    degrees = np.degrees(angles)
    middle: Doubles = degrees - np.median(degrees, axis=0) if len(degrees) else degrees
    return middle


def _frames(left: Doubles, up: Doubles) -> Doubles:
    """[N, 3, 3] whose columns are left, back and up, of vectors [N, 3]; up is made perpendicular to left."""
    left = left / np.linalg.norm(left, axis=1, keepdims=True)
    up = up - left * np.sum(left * up, axis=1, keepdims=True)
    up = up / np.linalg.norm(up, axis=1, keepdims=True)
    return np.stack([left, np.cross(up, left), up], axis=2)


def _to_z_up(motion: Motion, limbs: Mapping[str, Sequence[int]]) -> Doubles:
    """The rotation from the file's axes: heads are above feet along Y in most files and along Z in some."""
    heights = _middle(motion, limbs, "upper_arm") - _middle(motion, limbs, "foot")
    mean = heights.mean(axis=0)
    upward = _Y_UP if abs(mean[1]) >= abs(mean[2]) else np.eye(3)
    return upward if (upward @ mean)[2] >= 0 else about(np.array([1.0, 0.0, 0.0]), math.pi) @ upward


def _spine(motion: Motion, limbs: Mapping[str, Sequence[int]]) -> tuple[int | None, int | None]:
    """The joints between hips and shoulders that tell how pelvis and chest lean; None where there are none."""
    chain, joint = [], limbs["upper_arm"][0]
    while (joint := motion.parents[joint]) >= 0:
        chain.append(joint)
    hips, shoulders = _middle(motion, limbs, "thigh"), _middle(motion, limbs, "upper_arm")
    trunk = float(np.median(np.linalg.norm(shoulders - hips, axis=1)))
    from_hips = {j: float(np.median(np.linalg.norm(motion.positions[:, j] - hips, axis=1))) for j in chain}
    to_shoulders = {j: float(np.median(np.linalg.norm(motion.positions[:, j] - shoulders, axis=1))) for j in chain}
    between = [j for j in reversed(chain) if from_hips[j] < trunk and to_shoulders[j] < trunk]
    low = next((j for j in between if from_hips[j] >= _PELVIS_SHARE * trunk), None)
    high = next((j for j in reversed(between) if to_shoulders[j] >= _CHEST_SHARE * trunk), None)
    return low, high


def _middle(motion: Motion, limbs: Mapping[str, Sequence[int]], part: str) -> Doubles:
    """[N, 3] halfway between where a part of both sides begins."""
    middle: Doubles = motion.positions[:, list(limbs[part])].mean(axis=1)
    return middle


def _toe(motion: Motion, foot: int) -> int:
    """The joint, or the end of the limb, after the ankle; the ankle itself where the file has none."""
    return next((j for j, parent in enumerate(motion.parents) if parent == foot), foot)


def _heads(motion: Motion, limbs: Mapping[str, Sequence[int]], chest: Doubles, whole: npt.NDArray[np.bool_]) -> Doubles:
    """[N, 3] degrees by which the head is turned from the chest, beyond how it is on the whole."""
    named = [j for j, name in enumerate(motion.names) if name.lower().rpartition(":")[2] in ("head", "neck")]
    count = int(whole.sum())
    if not named or not count:
        return np.zeros((count, 3))
    upward = _to_z_up(motion, limbs)
    turned = upward @ motion.rotations[whole][:, named[-1]]
    relative = np.swapaxes(chest, 1, 2) @ turned
    # The rotation nearest to the mean: how a head that looks straight ahead comes out in this file's axes.
    left, _, right = np.linalg.svd(relative.mean(axis=0))
    neutral = left @ np.diag([1.0, 1.0, float(np.sign(np.linalg.det(left @ right)))]) @ right
    angles = np.array([bend_angles(rotation) for rotation in relative @ neutral.T])
    return angles.clip([-45, -35, -75], [45, 35, 75])


def _lifts(points: Doubles, leg: float) -> Doubles:
    """[N] metres between the lowest joint [N, J, 3] and the ground, where somebody jumps; else 0."""
    if not len(points):
        return np.zeros(0)
    lowest = points[:, :, 2].min(axis=1)
    heights = (lowest - np.quantile(lowest, 0.05)) * (_LEG / leg)
    return np.where(heights > _OFF_GROUND, heights, 0).clip(0, _HIGHEST)


def _mirrored(pose: Pose) -> Pose:
    """The same pose with left and right changed."""
    aside, flip = np.array([1.0, -1.0, -1.0]), np.diag([-1.0, 1.0, 1.0])
    swapped = {
        name: getattr(pose, name)[::-1]
        for name in ("arms", "legs", "wrists", "forearm_twists", "finger_curls", "ankles", "foot_turns", "flat_feet")
    }
    return replace(pose, root=flip @ pose.root @ flip, chest=pose.chest * aside, head=pose.head * aside, **swapped)
