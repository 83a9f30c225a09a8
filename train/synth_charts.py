"""Cloth laid flat: garments' triangles with coordinates around and along the trunk and limbs, and the seams between.

A vertex on a seam appears once for each side of it. So a pattern runs straight around an arm, and meets the trunk's at
the shoulder as it does on a sewn shirt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_types import Body

__all__ = ["LEFT_ARM", "LEFT_LEG", "RIGHT_ARM", "RIGHT_LEG", "TRUNK", "Sheet", "plain_sheet", "shirt_sheet"]
__all__ += ["skirt_sheet", "trouser_sheet"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

#: The charts. Ten times the number is the third texture coordinate.
TRUNK, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG = 0, 1, 2, 3, 4

# Metres for each radian around: typical radii.
_TRUNK_RADIUS, _ARM_RADIUS, _LEG_RADIUS, _SKIRT_RADIUS = 0.14, 0.05, 0.085, 0.18
# Where a sleeve begins, in units of the upper arm's length.
_SLEEVE = 0.12


@dataclass(frozen=True, eq=False)
class Sheet:
    """Triangles that wrap part of the body, with texture coordinates. n vertices, of which m are distinct.

    Attributes:
        vertices: [m] int32 body vertices.
        joined_faces: [F, 3] int32 into ``vertices``.
        faces: [F, 3] int32 into the n vertices, which are separate on either side of a seam.
        origins: [n] int32 into ``vertices``.
        texture: [n, 3] float32 texture coordinates (``synth_surface``).
        charts: [F] int32.
    """

    vertices: Ints
    joined_faces: Ints
    faces: Ints
    origins: Ints
    texture: Floats
    charts: Ints


def plain_sheet(faces: Ints, texture: npt.NDArray[np.floating[Any]]) -> Sheet:
    """Triangles [F, 3] of body vertices without seams; ``texture`` [V, 3] holds coordinates of all body vertices."""
    vertices, joined = np.unique(faces, return_inverse=True)
    joined_faces = _ints(joined.reshape(-1, 3))
    origins = np.arange(len(vertices), dtype=np.int32)
    return Sheet(
        _ints(vertices),
        joined_faces,
        joined_faces,
        origins,
        texture[vertices].astype(np.float32),
        np.zeros(len(faces), np.int32),
    )


def shirt_sheet(body: Body) -> Sheet:
    """What covers trunk and arms: seams at the shoulders, under the arms and down the back."""
    faces = body.triangles["tights"]
    left = body.mean[faces, 0].mean(axis=1) > 0
    on_arm = body.regions.arm[faces].mean(axis=1) > _SLEEVE
    charts = np.where(on_arm, np.where(left, LEFT_ARM, RIGHT_ARM), TRUNK)
    return _unfold(body, faces, charts)


def trouser_sheet(body: Body) -> Sheet:
    """What covers the legs up to the waist, and feet: seams in front and behind between the halves."""
    faces = body.triangles["tights"]
    faces = faces[(body.regions.arm_weight[faces] < 0.4).all(axis=1)]
    left = body.mean[faces, 0].mean(axis=1) > 0
    return _unfold(body, faces, np.where(left, LEFT_LEG, RIGHT_LEG))


def skirt_sheet(body: Body) -> Sheet:
    """What hangs around both legs."""
    faces = body.triangles["skirt"]
    return _unfold(body, faces, np.full(len(faces), TRUNK), _SKIRT_RADIUS)


def _ints(values: npt.NDArray[Any]) -> Ints:
    return np.asarray(values, np.int32)


def _unfold(body: Body, faces: Ints, charts: npt.NDArray[Any], trunk_radius: float = _TRUNK_RADIUS) -> Sheet:
    angles, texture = np.empty(faces.shape), np.empty((*faces.shape, 3))
    for chart in np.unique(charts):
        chosen = faces[charts == chart]
        angle, along, radius = _around(body, int(chart), trunk_radius)
        corner = angle[chosen]
        # A triangle across the seam behind goes on beyond half a turn.
        across = np.ptp(corner, axis=1) > np.pi
        corner = np.where(across[:, None] & (corner < 0), corner + 2 * np.pi, corner)
        angles[charts == chart] = corner
        texture[charts == chart] = np.stack(
            [radius * corner, along[chosen], np.full(corner.shape, 10 * chart)], axis=-1
        )
    keys = np.stack([faces, np.broadcast_to(charts[:, None], faces.shape), angles > np.pi], axis=-1).reshape(-1, 3)
    _, first, split = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    vertices, joined = np.unique(faces, return_inverse=True)
    joined = joined.reshape(-1)
    return Sheet(
        _ints(vertices),
        _ints(joined.reshape(-1, 3)),
        _ints(split.reshape(-1, 3)),
        _ints(joined[first]),
        texture.reshape(-1, 3)[first].astype(np.float32),
        _ints(charts),
    )


def _around(body: Body, chart: int, trunk_radius: float) -> tuple[Doubles, Doubles, float]:
    """Of all body vertices: [V] angle from the front, [V] metres upwards along a chart; and metres a radian."""
    points = body.mean.astype(np.float64)
    heads = {name: body.mean_bone_heads[body.bone(name)].astype(np.float64) for name in body.bone_names}
    side = ".L" if chart in (LEFT_ARM, LEFT_LEG) else ".R"
    if chart == TRUNK:
        middle = heads["spine03"]
        return np.arctan2(points[:, 0], -(points[:, 1] - middle[1])), points[:, 2], trunk_radius
    if chart in (LEFT_LEG, RIGHT_LEG):
        angle, _ = _around_bones(points, heads["upperleg01" + side], heads["lowerleg01" + side], heads["foot" + side])
        return angle, points[:, 2], _LEG_RADIUS
    shoulder = heads["upperarm01" + side]
    angle, distance = _around_bones(points, shoulder, heads["lowerarm01" + side], heads["wrist" + side])
    # Rows on the sleeve go on from the trunk's at the height of the shoulder.
    return angle, shoulder[2] - distance, _ARM_RADIUS


def _around_bones(points: Doubles, start: Doubles, middle: Doubles, end: Doubles) -> tuple[Doubles, Doubles]:
    """[V] angle from the front (-Y) around the nearer of two bones in a row, and [V] distance along them."""
    upper, lower = middle - start, end - middle
    upper_length, lower_length = np.linalg.norm(upper), np.linalg.norm(lower)
    beyond = (points - middle) @ lower > 0
    along = np.where(
        beyond,
        upper_length + (points - middle) @ lower / lower_length,
        (points - start) @ upper / upper_length,
    )
    axes = np.where(beyond[:, None], lower / lower_length, upper / upper_length)
    origins = np.where(beyond[:, None], middle, start)
    offset = points - origins
    offset = offset - (offset * axes).sum(axis=1, keepdims=True) * axes
    front = np.array([0.0, -1.0, 0.0]) + axes[:, 1:2] * axes
    across = np.cross(front, axes)
    return np.arctan2((offset * across).sum(axis=1), (offset * front).sum(axis=1)), along
