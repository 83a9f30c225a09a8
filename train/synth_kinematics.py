"""From a shape and a pose to a posed body: limb directions to rotations of bones, bones to joints and vertices.

Bones are turned about their heads, by rotations in world axes from the body at rest; so no convention about the roll of
bones is needed. At rest the body stands in an A-pose, facing -Y with its left hand towards +X.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.skeletons import MPII16
from ltsh_deploy.train.synth_collision import capsules_of, centre_of_mass
from ltsh_deploy.train.synth_planting import Leg, planted
from ltsh_deploy.train.synth_rotations import Doubles, about, bend, cross, fraction, frame, shortest, unit
from ltsh_deploy.train.synth_settle import balanced, settled
from ltsh_deploy.train.synth_skinning import skin
from ltsh_deploy.train.synth_types import Body, Floats, Pose, PosedBody, Shape

__all__ = ["SIDES", "hinge_twist", "limb_rotations", "pose_body", "to_body", "to_outward"]

#: The suffix of a side's bones, and the sign of its X. In poses, index 0 is the left side.
SIDES = (("L", 1.0), ("R", -1.0))
_SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
_TOES = ("toe1-1", "toe1-2", "toe3-3", "toe5-3")
_NECK = ("neck01", "neck02", "neck03", "head")
_X, _Y, _Z = np.eye(3)
_PELVIS = MPII16.joints.index("pelvis")
_HEAD_TOP = MPII16.joints.index("head_top")
# A limb that is bent less than asin of this has no clear plane: the plane it has at rest is mixed in.
_CLEAR_BEND = 0.3
# The collar bone follows an arm that is raised, from this many degrees below the horizontal on, by this share.
_COLLAR_FROM, _COLLAR_SHARE, _COLLAR_MOST = 10.0, 0.22, 22.0
# The stances in which the body is tilted as a whole once it is posed: how, and by how many degrees at most.
_TILTED = {"lying": (settled, 40.0), "balancing": (balanced, 30.0)}
# A foot is laid flat below a shin that is upright within about 30 degrees, and not at all beyond 41.
_FLAT_FROM, _FLAT_FULL = 0.75, 0.87


def to_body(direction: Doubles, side: float) -> Doubles:
    """(outward, forward, up) as x, y, z of the body; ``side`` is 1 for the left, -1 for the right."""
    return np.array([side * direction[0], -direction[1], direction[2]])


def to_outward(vector: Doubles, side: float) -> Doubles:
    """x, y, z of the body as (outward, forward, up): what :func:`to_body` undoes."""
    return np.array([side * vector[0], -vector[1], vector[2]])


def hinge_twist(upper: Doubles, lower: Doubles, rest_upper: Doubles, rest_axis: Doubles) -> tuple[Doubles, float]:
    """The axis about which an elbow or a knee is bent, and how far the upper limb is twisted to bring it there.

    Args:
        upper: [3] unit direction of upper arm or thigh.
        lower: [3] unit direction of forearm or shin.
        rest_upper: [3] of the upper limb at rest.
        rest_axis: [3] the hinge's axis at rest.

    Returns:
        A unit vector [3], perpendicular to the upper limb, and the twist in radians, from the shortest rotation that
        brings the upper limb from its rest direction.
    """
    neutral = shortest(rest_upper, upper) @ rest_axis
    neutral = unit(neutral - upper * (upper @ neutral))
    across = cross(upper, lower)
    clear = min(1.0, math.sqrt(float(across @ across)) / _CLEAR_BEND)
    axis = unit(unit(across) * clear + neutral * (1 - clear))
    return axis, math.atan2(float(cross(neutral, axis) @ upper), float(neutral @ axis))


def limb_rotations(
    upper: Doubles, lower: Doubles, rest_upper: Doubles, rest_lower: Doubles, rest_axis: Doubles
) -> tuple[Doubles, Doubles, Doubles]:
    """How a limb of two bones turns from its rest directions to others.

    Returns:
        [3, 3] rotations of the upper limb near the body, which takes half of its twist, of the upper limb near the
        hinge, and of the lower limb.
    """
    axis, twist = hinge_twist(upper, lower, rest_upper, rest_axis)
    whole = frame(upper, axis) @ frame(rest_upper, rest_axis).T
    below = frame(lower, axis) @ frame(rest_lower, rest_axis).T
    return about(upper, -twist / 2) @ whole, whole, below


def pose_body(body: Body, shape: Shape, pose: Pose) -> PosedBody:
    """Put a person into a pose, on the ground.

    The pelvis comes to x = y = 0, and the lowest vertex of the body to ``pose.lift``. Where one foot of a standing body
    would be a little above the ground, knees are bent or stretched until both are on it; the result has that pose.
    """
    # Garments and hair do not touch the ground; their vertices come after the body's.
    skin_end = int(body.triangles["body"].max()) + 1
    heads = shape.bone_heads.astype(np.float64)
    rotations, posed_heads = _chained(body, heads, _bone_rotations(body, heads, pose))
    stood = _with_planted_feet(body, heads, pose, rotations, posed_heads)
    if stood is not pose:
        pose = stood
        rotations, posed_heads = _chained(body, heads, _bone_rotations(body, heads, pose))
    translations = posed_heads - np.einsum("bij,bj->bi", rotations, heads)
    vertices = skin(shape.vertices, body.skin_weights, body.skin_bones, _single(rotations), _single(translations))
    if pose.stance in _TILTED:
        tilted, most = _TILTED[pose.stance]
        mass_centre = centre_of_mass(*capsules_of(body, posed_heads, vertices[body.head_top]))
        tilt = tilted(vertices[:skin_end], mass_centre, most)
        rotations, translations, posed_heads = tilt @ rotations, _turned(translations, tilt), _turned(posed_heads, tilt)
        vertices = _turned(vertices, _single(tilt))
    starts, ends = capsules_of(body, posed_heads, vertices[body.head_top])
    joints = np.einsum("jb,bi->ji", body.joint_bone_weights, posed_heads)
    joints[_HEAD_TOP] = vertices[body.head_top]
    lowest = float(vertices[:skin_end, 2].min())
    step = np.array([-joints[_PELVIS, 0], -joints[_PELVIS, 1], pose.lift - lowest])
    return PosedBody(
        body=body,
        shape=shape,
        pose=pose,
        rotations=_single(rotations),
        translations=_single(translations + step),
        bone_heads=_single(posed_heads + step),
        vertices=vertices + _single(step),
        joints=_single(joints + step),
        capsules_start=_single(starts + step),
        capsules_end=_single(ends + step),
    )


def _with_planted_feet(body: Body, heads: Doubles, pose: Pose, rotations: Doubles, posed_heads: Doubles) -> Pose:
    """The pose with both feet on the ground, or the pose itself where they are, or are not meant to be."""
    legs, soles = [], []
    for suffix, _ in SIDES:
        hip, knee, ankle = (body.bone(f"{name}.{suffix}") for name in ("upperleg01", "lowerleg01", "foot"))
        axis = rotations[knee] @ _X
        legs.append(Leg(posed_heads[knee] - posed_heads[hip], posed_heads[ankle] - posed_heads[knee], axis))
        foot = [ankle, *(body.bone(f"{toe}.{suffix}") for toe in _TOES)]
        soles.append(float((posed_heads[foot, 2] - heads[foot, 2]).min()))
    changed = planted(pose, (legs[0], legs[1]), (soles[0], soles[1]))
    directions = pose.legs.copy()
    for index, (_, side) in enumerate(SIDES):
        found = changed[index]
        if found is not None:
            directions[index] = [to_outward(pose.root.T @ direction, side) for direction in found]
    return pose if all(found is None for found in changed) else replace(pose, legs=directions)


def _turned(points: npt.NDArray[Any], rotation: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Points [N, 3] after a rotation; not by BLAS, which rounds differently with each number of threads."""
    turned: npt.NDArray[Any] = np.einsum("ij,nj->ni", rotation, points)
    return turned


def _single(values: Doubles) -> Floats:
    return values.astype(np.float32)


def _chained(body: Body, heads: Doubles, turned: dict[str, Doubles]) -> tuple[Doubles, Doubles]:
    """World rotations [B, 3, 3] of all bones and where their heads come to, [B, 3]; others turn with their parent."""
    rotations, posed = np.empty((len(heads), 3, 3)), np.empty((len(heads), 3))
    for bone, (name, parent) in enumerate(zip(body.bone_names, body.bone_parents.tolist(), strict=True)):
        if parent < 0:
            rotations[bone], posed[bone] = turned[name], heads[bone]
            continue
        rotations[bone] = turned.get(name, rotations[parent])
        posed[bone] = posed[parent] + rotations[parent] @ (heads[bone] - heads[parent])
    return rotations, posed


def _bone_rotations(body: Body, heads: Doubles, pose: Pose) -> dict[str, Doubles]:
    """World rotations of the bones that a pose says something about, by name."""
    turned = {"root": pose.root}
    spine_step = fraction(bend(*pose.chest), 1 / len(_SPINE))
    chest = pose.root
    for name in _SPINE:
        chest = turned[name] = chest @ spine_step
    head = bend(*pose.head)
    for number, name in enumerate(_NECK, start=1):
        turned[name] = chest @ fraction(head, number / len(_NECK))
    for index, (suffix, side) in enumerate(SIDES):
        at = {
            name.removesuffix("." + suffix): start
            for name, start in zip(body.bone_names, heads, strict=True)
            if name.endswith("." + suffix)
        }
        parts = {**_arm(at, pose, index, side, chest), **_leg(at, pose, index, side)}
        turned |= {f"{name}.{suffix}": rotation for name, rotation in parts.items()}
    return turned


def _arm(at: dict[str, Doubles], pose: Pose, index: int, side: float, chest: Doubles) -> dict[str, Doubles]:
    upper, fore = (to_body(unit(direction), side) for direction in pose.arms[index])
    rest_upper, rest_fore = unit(at["lowerarm01"] - at["upperarm01"]), unit(at["wrist"] - at["lowerarm01"])
    rest_axis = unit(cross(rest_upper, rest_fore))
    near, whole, below = limb_rotations(upper, fore, rest_upper, rest_fore, rest_axis)
    raised = math.degrees(math.asin(max(-1.0, min(1.0, upper[2])))) + _COLLAR_FROM
    collar = math.radians(-side * min(max(raised * _COLLAR_SHARE, 0.0), _COLLAR_MOST))
    twist = math.radians(-side * pose.forearm_twists[index])
    # Axes of the hand at rest: across the palm, from the little finger to the index; and along the fingers.
    across, along = unit(at["finger2-1"] - at["finger5-1"]), unit(at["finger3-1"] - at["wrist"])
    to_palm, to_thumb = np.radians(pose.wrists[index])
    wrist = about(across, -side * to_palm) @ about(unit(cross(across, along)), -to_thumb)
    hand = chest @ about(fore, twist) @ below @ wrist
    turned = {
        "clavicle": chest @ about(_Y, collar * 0.6),
        "shoulder01": chest @ about(_Y, collar),
        "upperarm01": chest @ near,
        "upperarm02": chest @ whole,
        "lowerarm01": chest @ below,
        "lowerarm02": chest @ about(fore, twist / 2) @ below,
        "wrist": hand,
    }
    curl = about(across, -side * math.radians(pose.finger_curls[index]))
    for finger in (2, 3, 4, 5):
        bone = hand
        for part in (1, 2, 3):
            bone = turned[f"finger{finger}-{part}"] = bone @ curl
    return turned


def _leg(at: dict[str, Doubles], pose: Pose, index: int, side: float) -> dict[str, Doubles]:
    thigh, shin = (to_body(unit(direction), side) for direction in pose.legs[index])
    rest_thigh, rest_shin = unit(at["lowerleg01"] - at["upperleg01"]), unit(at["foot"] - at["lowerleg01"])
    rest_axis = unit(_X - rest_thigh * rest_thigh[0])
    near, whole, below = limb_rotations(thigh, shin, rest_thigh, rest_shin, rest_axis)
    lower = pose.root @ below
    turn = about(_Z, side * math.radians(pose.foot_turns[index]))
    foot = lower @ turn @ about(_X, math.radians(pose.ankles[index]))
    upright = -float((lower @ rest_shin)[2])
    if pose.flat_feet[index] and upright > _FLAT_FROM:
        ahead = lower @ turn @ -_Y
        flat = frame([ahead[0], ahead[1], 0.0], _Z) @ frame(-_Y, _Z).T
        share = min(1.0, (upright - _FLAT_FROM) / (_FLAT_FULL - _FLAT_FROM))
        foot = fraction(flat @ foot.T, share) @ foot
    return {
        "upperleg01": pose.root @ near,
        "upperleg02": pose.root @ whole,
        "lowerleg01": lower,
        "lowerleg02": lower,
        "foot": foot,
    }
