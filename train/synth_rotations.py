"""Rotations as 3x3 matrices that turn columns: ``turned = rotation @ vector``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "about",
    "bend",
    "bend_angles",
    "cross",
    "fraction",
    "frame",
    "shortest",
    "unit",
]

Doubles = npt.NDArray[np.float64]
_TINY = 1e-9


def unit(vector: npt.ArrayLike) -> Doubles:
    """The vector [3] scaled to length 1; a vector of length 0 stays what it is."""
    array = np.asarray(vector, np.float64)
    length = math.sqrt(float(array @ array))
    return array / length if length > 0 else array


def about(axis: npt.NDArray[np.floating[Any]], angle: float) -> Doubles:
    """The rotation by ``angle`` radians about a unit axis [3]: Rodrigues' formula."""
    x, y, z = (float(value) for value in axis)
    cosine, sine = math.cos(angle), math.sin(angle)
    rest = 1 - cosine
    return np.array(
        [
            [cosine + x * x * rest, x * y * rest - z * sine, x * z * rest + y * sine],
            [y * x * rest + z * sine, cosine + y * y * rest, y * z * rest - x * sine],
            [z * x * rest - y * sine, z * y * rest + x * sine, cosine + z * z * rest],
        ]
    )


def frame(first: npt.ArrayLike, second: npt.ArrayLike) -> Doubles:
    """The rotation whose first column is along ``first`` and whose second is in the plane of both, on that side."""
    x = unit(first)
    towards = np.asarray(second, np.float64)
    y = unit(towards - x * (x @ towards))
    return np.stack([x, y, cross(x, y)], axis=1)


def shortest(start: npt.ArrayLike, end: npt.ArrayLike) -> Doubles:
    """The smallest rotation that turns one direction to another; for opposite ones, half a turn about some axis."""
    a, b = unit(start), unit(end)
    axis, cosine = cross(a, b), float(a @ b)
    sine = math.sqrt(float(axis @ axis))
    if sine < _TINY:
        aside = np.eye(3)[int(np.argmin(np.abs(a)))]
        return np.eye(3) if cosine > 0 else about(unit(cross(a, aside)), math.pi)
    return about(axis / sine, math.atan2(sine, cosine))


def bend(forward: float, left: float, turn: float) -> Doubles:
    """A body part's bend forward, then to the left, then its turn to the left, in degrees.

    The body faces -Y with its left towards +X; a forward bend takes the top to -Y.
    """
    rolled = about(np.array([0.0, 1.0, 0.0]), math.radians(left)) @ about(
        np.array([1.0, 0.0, 0.0]), math.radians(forward)
    )
    return about(np.array([0.0, 0.0, 1.0]), math.radians(turn)) @ rolled


def bend_angles(rotation: Doubles) -> Doubles:
    """[3] the angles that :func:`bend` takes; a bend to the side is within a quarter turn."""
    left = math.asin(max(-1.0, min(1.0, -float(rotation[2, 0]))))
    forward = math.atan2(rotation[2, 1], rotation[2, 2])
    turn = math.atan2(rotation[1, 0], rotation[0, 0])
    return np.degrees([forward, left, turn])


def fraction(rotation: Doubles, share: float) -> Doubles:
    """A share of a rotation: about the same axis by as much less."""
    cosine = (float(np.trace(rotation)) - 1) / 2
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if angle < _TINY:
        return np.eye(3)
    if angle > math.pi - 1e-4:
        # Here the rotation is symmetric, and its axis the column of R + 1 that is longest.
        symmetric = rotation + np.eye(3)
        return about(unit(symmetric[:, int(np.argmax(np.diag(symmetric)))]), angle * share)
    skew = rotation - rotation.T
    return about(unit([skew[2, 1], skew[0, 2], skew[1, 0]]), angle * share)


def cross(a: Doubles, b: Doubles) -> Doubles:
    """np.cross without its overhead, which would be most of a pose's cost."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
