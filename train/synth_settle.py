"""Bodies and gravity: who lies tips over until everything that can touches the ground, who balances has the weight
above the support."""

from __future__ import annotations

import math

import numpy as np

from ltsh_deploy.train.synth_rotations import Doubles, about
from ltsh_deploy.train.synth_types import Floats

__all__ = ["balanced", "settled"]

# Points this many metres above the lowest one still touch the ground: skin gives way.
_TOUCHING = 0.008
# One vertex in so many is looked at; those of a body are about a centimetre apart.
_STRIDE = 5
_STEPS = 40
_BALANCE_STEPS = 4
# Points this many metres above the lowest one belong to the hands or feet that a body balances on.
_SUPPORTING = 0.03


def settled(vertices: Floats, mass_centre: Doubles, most: float) -> Doubles:
    """The rotation after which the body's centre of mass lies above what touches the ground.

    The body tips about the point, or the edge, of its support that is nearest to the centre of mass, until something
    else touches the ground; then again.

    Args:
        vertices: [V, 3].
        mass_centre: [3].
        most: degrees; what would tip further than this is left where it is then.

    Returns:
        [3, 3] rotation about a horizontal axis each time.
    """
    points = vertices[::_STRIDE].astype(np.float64)
    centre, tilt, left = mass_centre, np.eye(3), math.radians(most)
    for _ in range(_STEPS):
        heights = points[:, 2] - points[:, 2].min()
        touching = heights < _TOUCHING
        pivot = _nearest(points[touching, :2] - centre[:2])
        fall = -pivot
        distance = math.hypot(*fall)
        if distance < 1e-3:
            break
        fall /= distance
        ahead = (points[:, :2] - centre[:2] - pivot) @ fall
        falling = ~touching & (ahead > 1e-3)
        angle = min(left, float(np.arctan2(heights[falling], ahead[falling]).min(initial=math.inf)))
        step = about(np.array([-fall[1], fall[0], 0.0]), angle)
        points, centre, tilt = np.einsum("ij,nj->ni", step, points), step @ centre, step @ tilt
        left -= angle
        if left <= 0:
            break
    return tilt


def balanced(vertices: Floats, mass_centre: Doubles, most: float) -> Doubles:
    """The rotation after which the body's centre of mass lies above the middle of what touches the ground.

    Args:
        vertices: [V, 3].
        mass_centre: [3].
        most: degrees by which the body may be tilted in all.

    Returns:
        [3, 3].
    """
    points = vertices[::_STRIDE].astype(np.float64)
    centre, tilt, left = mass_centre, np.eye(3), math.radians(most)
    # The support changes as the body is tilted.
    for _ in range(_BALANCE_STEPS):
        lowest = points[points[:, 2] < points[:, 2].min() + _SUPPORTING]
        offset = centre - (lowest.max(axis=0) + lowest.min(axis=0)) / 2
        aside = math.hypot(offset[0], offset[1])
        angle = min(left, math.atan2(aside, offset[2]))
        if angle < 1e-3:
            break
        step = about(np.array([offset[1], -offset[0], 0.0]) / -aside, -angle)
        points, centre, tilt = np.einsum("ij,nj->ni", step, points), step @ centre, step @ tilt
        left -= angle
    return tilt


def _nearest(support: Doubles) -> Doubles:
    """The point of the convex hull of [N, 2] points that is nearest to the origin, [2]."""
    angles = np.sort(np.arctan2(support[:, 1], support[:, 0]))
    gaps = np.diff(angles, append=angles[0] + 2 * math.pi)
    if gaps.max() < math.pi:
        return np.zeros(2)
    starts, ends = support[:, None], support[None]
    along = ends - starts
    squared = np.sum(along * along, axis=2)
    share = np.clip(-np.sum(starts * along, axis=2) / np.where(squared > 0, squared, 1), 0, 1)
    candidates = (starts + share[..., None] * along).reshape(-1, 2)
    nearest: Doubles = candidates[int(np.argmin(np.sum(candidates * candidates, axis=1)))]
    return nearest
