"""What a procedural place consists of, and where rays meet its solids, compiled."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ltsh_deploy.train.synth_noise import fractal_noise

__all__ = ["FAR", "SOLID", "SURFACE", "PlaceView", "enter_blob", "enter_box", "surface_table"]

Array = npt.NDArray[Any]

#: A surface: its kind (``synth_place_surfaces``), two linear colours, metres a repeat and an offset into noise.
SURFACE = np.dtype(
    [
        ("kind", np.int32),
        ("colour", np.float32, (3,)),
        ("second", np.float32, (3,)),
        ("period", np.float32),
        ("seed", np.float32),
    ]
)
#: A box or, where ``blob`` is set, a ragged ellipsoid: its middle and half its size; ``shades`` says whether it keeps
#: light from others.
SOLID = np.dtype(
    [
        ("middle", np.float32, (3,)),
        ("half", np.float32, (3,)),
        ("blob", np.int32),
        ("shades", np.int32),
        ("surface", np.int32),
    ]
)
#: Further than anything, in metres.
FAR = 1e9


class PlaceView(NamedTuple):
    """What is drawn.

    Attributes:
        centre: [3] float64 the camera's, in the place's axes, metres.
        rotation: [3, 3] float64 from the place's axes to the camera's.
        focal: in pixels.
        principal: [2] float64.
        room: [2, 3] float64 its lowest and highest corner; NaN outdoors.
        solids: [S] of SOLID.
        surfaces: [K] of SURFACE; the first three are the ground's, the walls' and the ceiling's.
        ambient: [4, 3] float64 light from all around, as in :class:`~ltsh_deploy.train.synth_types.Light`.
        key_direction: [3] float64 towards the sun or lamp.
        key_colour: [3] float64.
        sky: [2, 3] float64 colours at the horizon and overhead.
        seed: offset into noise.
    """

    centre: Array
    rotation: Array
    focal: float
    principal: Array
    room: Array
    solids: Array
    surfaces: Array
    ambient: Array
    key_direction: Array
    key_colour: Array
    sky: Array
    seed: float


def surface_table(rows: list[tuple[int, Any, Any, float, float]]) -> Array:
    """[K] of SURFACE from (kind, colour, second colour, period, seed)."""
    table = np.zeros(len(rows), SURFACE)
    for row, (kind, colour, second, period, seed) in zip(table, rows, strict=True):
        row["kind"], row["colour"], row["second"], row["period"], row["seed"] = kind, colour, second, period, seed
    return table


@njit(cache=True, error_model="numpy")
def enter_box(origin: Array, inverse: Array, solid: Any) -> tuple[float, int]:
    """How far along a ray a box is entered, and through which pair of its sides; -1 if it is missed."""
    nearest, farthest, axis = -FAR, FAR, 0
    for a in range(3):
        low = (solid.middle[a] - solid.half[a] - origin[a]) * inverse[a]
        high = (solid.middle[a] + solid.half[a] - origin[a]) * inverse[a]
        if low > high:
            low, high = high, low
        if low > nearest:
            nearest, axis = low, a
        farthest = min(farthest, high)
    if nearest > farthest or nearest <= 1e-4:
        return -1.0, 0
    return nearest, axis


@njit(cache=True, error_model="numpy")
def enter_blob(origin: Array, ray: Array, solid: Any, seed: float) -> float:
    """How far along a ray a ragged ellipsoid is entered; -1 if it is missed, or seen through a gap."""
    a, b, c = 0.0, 0.0, -1.0
    for axis in range(3):
        o, d = (origin[axis] - solid.middle[axis]) / solid.half[axis], ray[axis] / solid.half[axis]
        a += d * d
        b += o * d
        c += o * o
    root = b * b - a * c
    if root <= 0:
        return -1.0
    distance = (-b - math.sqrt(root)) / a
    if distance <= 1e-4:
        return -1.0
    # Seen at a grazing angle, twigs let light through.
    depth = root / a
    if depth > 0.75:
        return distance
    x, y, z = origin[0] + distance * ray[0], origin[1] + distance * ray[1], origin[2] + distance * ray[2]
    if depth < 0.9 * fractal_noise(3.5 * x + seed, 3.5 * y, 3.5 * z) - 0.15:
        return -1.0
    return distance
