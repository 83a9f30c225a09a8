"""What seated people sit on: a stool or a pouf that fits under them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_meshes import Solid, tube
from ltsh_deploy.train.synth_types import PosedBody

__all__ = ["Seat", "build_seat", "find_seat"]

# Metres: the widest seat that nothing of the body but what rests on it reaches into is taken.
_RADII = (0.21, 0.18, 0.15, 0.12, 0.09, 0.06, 0.04)
_NARROW = 0.1
# A seat may be so far below what rests on it: flesh and cloth are not as hard as they are drawn.
_MOST_GAP = 0.04
_LOWEST, _HIGHEST = 0.06, 1.2
# The buttocks, along a leg from the hip (0) to the knee (1).
_BUTTOCKS = (-0.35, 0.25)
_RESTING = 0.05
# Metres between a seat's vertices.
_SPACING = 0.035


class Seat(NamedTuple):
    """Where a seat is: its middle [2] on the ground, its radius and its height in metres."""

    middle: npt.NDArray[np.float64]
    radius: float
    height: float


def find_seat(posed: PosedBody) -> Seat | None:
    """The seat below somebody who sits; None for anybody else, and where no seat would fit."""
    if posed.pose.stance != "seated":
        return None
    leg = posed.body.regions.leg
    points = posed.vertices[posed.body.vertices_of("body")].astype(np.float64)
    along = leg[posed.body.vertices_of("body")]
    buttocks = points[(along > _BUTTOCKS[0]) & (along < _BUTTOCKS[1])]
    lowest = float(buttocks[:, 2].min())
    middle = buttocks[buttocks[:, 2] < lowest + _RESTING, :2].mean(axis=0)
    distance = np.hypot(*(points[:, :2] - middle).T)
    for radius in _RADII:
        height = float(points[distance < radius, 2].min())
        if lowest - height <= _MOST_GAP and _LOWEST <= height <= _HIGHEST:
            return Seat(middle, radius, height)
    return None


def build_seat(rng: np.random.Generator, seat: Seat) -> Solid:
    """The seat as a mesh that faces outwards: a pouf, or a stool with a waist."""
    radius, height = seat.radius, seat.height
    if rng.random() < 0.5 and radius > _NARROW:
        belly = radius * rng.uniform(1.0, 1.15)
        profile = [(0, 0.9 * radius), (0.02, radius), (0.5 * height, belly), (height - 0.03, radius)]
    else:
        # No plates or thin legs: what is thinner than a hand's breadth, others' feet could be in unnoticed.
        waist, foot = radius * rng.uniform(0.5, 0.8), max(0.08, radius * rng.uniform(0.8, 1.0))
        profile = [(0, foot), (0.02, foot), (0.5 * height, waist), (height - 0.03, radius)]
    profile += [(height - 0.005, 0.93 * radius), (height, 0.85 * radius)]
    heights, radii = _dense(np.array(profile)).T
    vertices, faces = tube(np.stack([0 * heights, 0 * heights, heights], axis=-1), radii, 32)
    return vertices + np.array([*seat.middle, 0.0]), faces


def _dense(profile: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The polyline [K, 2] with more points: where people are in each other is told by vertices that lie close."""
    length = np.append(0, np.hypot(*np.diff(profile, axis=0).T).cumsum())
    places = np.unique(np.concatenate([length, np.arange(0, length[-1], _SPACING)]))
    return np.stack([np.interp(places, length, values) for values in profile.T], axis=-1)
