"""Small work on triangle meshes: normals, compiled, and simple solids."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["ball", "box", "left_of", "ring", "tube", "vertex_normals", "without_unused"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Solid = tuple[Doubles, Ints]


@njit(cache=True, error_model="numpy")
def vertex_normals(vertices: npt.NDArray[Any], faces: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Unit normals [N, 3] float32 of vertices [N, 3], averaged over triangles [F, 3] by area; upwards where none
    of any area meet.
    """
    normals = np.zeros((len(vertices), 3), np.float32)
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            normals[corner, 0] += x
            normals[corner, 1] += y
            normals[corner, 2] += z
    for n in range(len(normals)):
        length = math.sqrt(normals[n, 0] ** 2 + normals[n, 1] ** 2 + normals[n, 2] ** 2)
        if length == 0:
            normals[n, 2], length = 1.0, 1.0
        for axis in range(3):
            normals[n, axis] /= length
    return normals


@njit(cache=True, error_model="numpy")
def left_of(faces: npt.NDArray[Any], cut: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[F] whether anything of each triangle [F, 3] is left, of which the part where ``cut`` [N] > 0 is cut away."""
    left = np.empty(len(faces), np.bool_)
    for face in range(len(faces)):
        left[face] = cut[faces[face, 0]] <= 0 or cut[faces[face, 1]] <= 0 or cut[faces[face, 2]] <= 0
    return left


@njit(cache=True, error_model="numpy")
def without_unused(faces: npt.NDArray[Any], count: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The vertices, of ``count``, that triangles [F, 3] use, in order [n]; and the triangles as indices into them."""
    place = np.zeros(count, np.int32)
    for face in range(len(faces)):
        for corner in range(3):
            place[faces[face, corner]] = 1
    used = np.flatnonzero(place).astype(np.int32)
    for n in range(len(used)):
        place[used[n]] = n
    renamed = np.empty(faces.shape, np.int32)
    for face in range(len(faces)):
        for corner in range(3):
            renamed[face, corner] = place[faces[face, corner]]
    return used, renamed


def _grid_faces(rows: int, columns: int) -> Ints:
    """Triangles of a grid of rows x columns vertices whose last column meets the first."""
    row, column = (values.ravel() for values in np.mgrid[: rows - 1, :columns])
    following = (column + 1) % columns
    a, b = row * columns + column, row * columns + following
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, b, d], axis=-1), np.stack([a, d, c], axis=-1)]).astype(np.int32)


def tube(path: npt.ArrayLike, radii: npt.ArrayLike, sides: int = 10, across: npt.ArrayLike = (1.0, 0.0, 0.0)) -> Solid:
    """A round rod along a path, closed at its ends.

    Args:
        path: [K, 3] metres, K >= 2.
        radii: [K] metres, or [K, 2] for ellipses: along ``across`` and at right angles to it.
        sides: of its cross section.
        across: [3] a direction not along the path.

    Returns:
        Vertices [K * sides + 2, 3] and triangles that face outwards.
    """
    points, widths = np.asarray(path, np.float64), np.asarray(radii, np.float64)
    widths = np.repeat(widths[:, None], 2, axis=1) if widths.ndim == 1 else widths
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    first = np.asarray(across, np.float64) - (along @ np.asarray(across, np.float64))[:, None] * along
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(along, first)
    turns = np.arange(sides) * 2 * np.pi / sides
    rim = (
        np.cos(turns)[None, :, None] * (widths[:, :1] * first)[:, None]
        + np.sin(turns)[None, :, None] * (widths[:, 1:] * second)[:, None]
    )
    vertices = np.concatenate([(points[:, None] + rim).reshape(-1, 3), points[:1], points[-1:]])
    last, start, end = (len(points) - 1) * sides, len(vertices) - 2, len(vertices) - 1
    side, following = np.arange(sides), (np.arange(sides) + 1) % sides
    caps = [
        np.stack([following, side, np.full(sides, start)], axis=-1),
        np.stack([last + side, last + following, np.full(sides, end)], axis=-1),
    ]
    return vertices, np.concatenate([_grid_faces(len(points), sides), *caps]).astype(np.int32)


def ball(radii: npt.ArrayLike, rows: int = 9, columns: int = 12) -> Solid:
    """An ellipsoid around the origin with radii [3] along x, y and z."""
    heights = np.cos(np.linspace(np.pi, 0, rows))
    path = np.stack([0 * heights, 0 * heights, heights], axis=-1)
    # The tube's caps close the poles, which have radius 0.
    vertices, faces = tube(path, np.sqrt(np.maximum(0, 1 - heights**2)), columns)
    return vertices * np.asarray(radii, np.float64), faces


def box(size: npt.ArrayLike, rounding: float = 0.3) -> Solid:
    """A box of size [3] around the origin with rounded edges; 0 <= ``rounding`` <= 1, where 1 is an ellipsoid."""
    vertices, faces = ball((1.0, 1.0, 1.0), 11, 16)
    # A superellipsoid: the smaller the exponent, the flatter the sides.
    shaped = np.sign(vertices) * np.abs(vertices) ** max(rounding, 0.05)
    shaped /= np.maximum(1e-9, (np.abs(shaped) ** (2 / max(rounding, 0.05))).sum(axis=1, keepdims=True)) ** (
        max(rounding, 0.05) / 2
    )
    return shaped * np.asarray(size, np.float64) / 2, faces


def ring(radius: float, thickness: float, sides: int = 16) -> Solid:
    """A ring in the plane of x and z around the origin."""
    turns = np.arange(sides) * 2 * np.pi / sides
    spokes = np.stack([np.cos(turns), 0 * turns, np.sin(turns)], axis=-1)
    rim = np.arange(6) * 2 * np.pi / 6
    offsets = np.cos(rim)[None, :, None] * spokes[:, None] + np.sin(rim)[None, :, None] * np.array([0.0, 1.0, 0.0])
    vertices = (radius * spokes[:, None] + thickness * offsets).reshape(-1, 3)
    closed = _grid_faces(sides + 1, 6) % len(vertices)
    return vertices, closed.astype(np.int32)
