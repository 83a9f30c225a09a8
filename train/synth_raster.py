"""Triangles to depth maps, compiled: what a camera sees at each sample, and how far towards a light things reach.

Clip coordinates of a point are (u w, v w, w): its place (u, v) in samples, the centre of the upper left sample being
(0, 0), and its depth w in metres. Written so, nothing is divided before it is known to be in front of the camera.

A triangle's three clip points are the rows of a matrix; its inverse gives, at a sample (u, v), three linear functions
e = (u, v, 1) @ inverse. They are the barycentric weights, correct in perspective, divided by the depth: their sum is
the inverse depth, and where all three are positive the sample is inside the triangle and in front of the camera
(Olano and Greer, "Triangle scan conversion using 2D homogeneous coordinates", 1997).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from ltsh_deploy.train.synth_types import Camera

__all__ = ["NEAR", "heights", "nearest_at", "place_samples", "rasterise", "sample_bounds", "triangle_weights"]

#: Metres; nothing nearer to the camera is drawn.
NEAR = 0.05

Array = npt.NDArray[Any]


def place_samples(vertices: Array, camera: Camera, samples: float = 2) -> Array:
    """Clip coordinates [N, 3] float64 of world points [N, 3], with ``samples`` by ``samples`` samples a pixel.

    Plain loops rather than a matrix product: a BLAS library may sum in another order on another machine.
    """
    # Pixel x covers x - 1/2 to x + 1/2, and its samples lie at the middles of equal parts of that.
    principal = (np.array(camera.principal) + 0.5) * samples - 0.5
    return np.asarray(_clip_coordinates(vertices, camera.rotation, camera.centre, camera.focal * samples, principal))


@njit(cache=True)
def _clip_coordinates(vertices: Array, rotation: Array, centre: Array, focal: float, principal: Array) -> Array:
    placed = np.empty((len(vertices), 3))
    for n in range(len(vertices)):
        x, y, z = vertices[n, 0] - centre[0], vertices[n, 1] - centre[1], vertices[n, 2] - centre[2]
        right = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z
        down = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z
        depth = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z
        placed[n, 0] = right * focal + principal[0] * depth
        placed[n, 1] = down * focal + principal[1] * depth
        placed[n, 2] = depth
    return placed


@njit(cache=True)
def sample_bounds(placed: Array) -> tuple[Array, Array]:
    """Lowest and highest sample [2] of clip coordinates [N, 3] in front of the camera; infinite if none is."""
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for n in range(len(placed)):
        if placed[n, 2] >= NEAR:
            for axis in range(2):
                place = placed[n, axis] / placed[n, 2]
                low[axis], high[axis] = min(low[axis], place), max(high[axis], place)
    return low, high


@njit(cache=True)
def rasterise(placed: Array, faces: Array, cut: Array, face_ids: Array, inverse_depth: Array) -> None:
    """Draw triangles into a depth buffer; where depths are equal the first triangle stays.

    Args:
        placed: [N, 3] clip coordinates.
        faces: [F, 3] vertices of the triangles, seen from both sides.
        cut: [N]; a sample where the interpolated value is positive is not drawn.
        face_ids: [H, W] int32, written: the triangle seen; the caller fills it with -1.
        inverse_depth: [H, W] float32, written: 1 / metres; the caller fills it with 0.
    """
    height, width = face_ids.shape
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        if cut[i] > 0 and cut[j] > 0 and cut[k] > 0:
            continue
        left, right, top, bottom = _bounds(placed, i, j, k, width, height)
        if left > right or top > bottom:
            continue
        # Weights are computed from the box's corner: small numbers lose less to rounding.
        of_i, of_j, of_k = _edge_functions(placed, i, j, k, left, top)
        sum_u = of_i[0] + of_j[0] + of_k[0]
        hemmed = cut[i] > 0 or cut[j] > 0 or cut[k] > 0
        for row in range(top, bottom + 1):
            row_a = of_i[1] * (row - top) + of_i[2]
            row_b = of_j[1] * (row - top) + of_j[2]
            row_c = of_k[1] * (row - top) + of_k[2]
            row_sum = row_a + row_b + row_c
            for column in range(left, right + 1):
                u = float(column - left)
                a, b, c = of_i[0] * u + row_a, of_j[0] * u + row_b, of_k[0] * u + row_c
                if not (a >= 0 and b >= 0 and c >= 0):
                    continue
                nearness = np.float32(sum_u * u + row_sum)
                if not inverse_depth[row, column] < nearness <= 1 / NEAR:
                    continue
                if hemmed and a * cut[i] + b * cut[j] + c * cut[k] > 0:
                    continue
                inverse_depth[row, column] = nearness
                face_ids[row, column] = f


@njit(cache=True, inline="always")
def _edge_functions(
    placed: Array, i: int, j: int, k: int, left: float, top: float
) -> tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]:
    """The columns of the inverse of the triangle's clip points, with the origin at (left, top).

    NaN throughout for a triangle that is seen from its edge; no comparison with NaN holds.
    """
    iw, jw, kw = placed[i, 2], placed[j, 2], placed[k, 2]
    iu, ju, ku = placed[i, 0] - left * iw, placed[j, 0] - left * jw, placed[k, 0] - left * kw
    iv, jv, kv = placed[i, 1] - top * iw, placed[j, 1] - top * jw, placed[k, 1] - top * kw
    au, av, aw = jv * kw - jw * kv, jw * ku - ju * kw, ju * kv - jv * ku
    bu, bv, bw = kv * iw - kw * iv, kw * iu - ku * iw, ku * iv - kv * iu
    cu, cv, cw = iv * jw - iw * jv, iw * ju - iu * jw, iu * jv - iv * ju
    determinant = iu * au + iv * av + iw * aw
    scale = 1 / determinant if determinant != 0 else math.nan
    return (
        (au * scale, av * scale, aw * scale),
        (bu * scale, bv * scale, bw * scale),
        (cu * scale, cv * scale, cw * scale),
    )


@njit(cache=True, inline="always")
def triangle_weights(placed: Array, i: int, j: int, k: int, column: float, row: float) -> tuple[float, float, float]:
    """Barycentric weights, correct in perspective, of the point of a triangle that a sample sees; they sum to 1."""
    of_i, of_j, of_k = _edge_functions(placed, i, j, k, column, row)
    a, b, c = of_i[2], of_j[2], of_k[2]
    total = a + b + c
    return a / total, b / total, c / total


@njit(cache=True, inline="always")
def _bounds(placed: Array, i: int, j: int, k: int, width: int, height: int) -> tuple[int, int, int, int]:
    """First and last column and row of samples that a triangle may cover; empty (1, 0, 1, 0) if it covers none."""
    left, right, top, bottom = _extent(placed, i, j, k)
    if not (left <= width - 1 and right >= 0 and top <= height - 1 and bottom >= 0):
        return 1, 0, 1, 0
    return (
        math.ceil(max(left, 0.0)),
        math.floor(min(right, width - 1.0)),
        math.ceil(max(top, 0.0)),
        math.floor(min(bottom, height - 1.0)),
    )


@njit(cache=True, inline="always")
def _extent(placed: Array, i: int, j: int, k: int) -> tuple[float, float, float, float]:
    """(left, right, top, bottom) of a triangle, in samples; infinite and the wrong way round where nothing is seen.

    A triangle that reaches behind the camera is bounded by its part that is further away than NEAR.
    """
    left, right, top, bottom = math.inf, -math.inf, math.inf, -math.inf
    last = k
    for corner in range(3):
        here = i if corner == 0 else (j if corner == 1 else k)
        depth, before = placed[here, 2], placed[last, 2]
        if depth >= NEAR:
            u, v = placed[here, 0] / depth, placed[here, 1] / depth
            left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
        if (depth >= NEAR) != (before >= NEAR):
            share = (NEAR - before) / (depth - before)
            u = (placed[last, 0] + share * (placed[here, 0] - placed[last, 0])) / NEAR
            v = (placed[last, 1] + share * (placed[here, 1] - placed[last, 1])) / NEAR
            left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
        last = here
    return left, right, top, bottom


@njit(cache=True)
def nearest_at(placed: Array, faces: Array, cut: Array, places: Array) -> Array:
    """[K] depth in metres of the nearest surface at places [K, 2], in samples; infinite where there is none.

    What :func:`rasterise` does, at a few places that need not be samples' middles.
    """
    nearness = np.zeros(len(places))
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        left, right, top, bottom = _extent(placed, i, j, k)
        for p in range(len(places)):
            u, v = places[p, 0], places[p, 1]
            if not (left <= u <= right and top <= v <= bottom):
                continue
            of_i, of_j, of_k = _edge_functions(placed, i, j, k, u, v)
            a, b, c = of_i[2], of_j[2], of_k[2]
            seen = a >= 0 and b >= 0 and c >= 0 and a * cut[i] + b * cut[j] + c * cut[k] <= 0
            if seen and nearness[p] < a + b + c <= 1 / NEAR:
                nearness[p] = a + b + c
    return 1 / nearness


@njit(cache=True)
def heights(placed: Array, faces: Array, cut: Array, highest: Array) -> None:
    """The largest third coordinate over each cell, in parallel projection: a shadow map.

    Args:
        placed: [N, 3] float32 (column, row, height); the centre of the upper left cell is (0, 0).
        faces: [F, 3].
        cut: [N]; triangles with a corner where it is positive are left out: hems cast no shadow of their own.
        highest: [H, W] float32, written; the caller fills it with what is lower than anything.
    """
    rows, columns = highest.shape
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        if cut[i] > 0 or cut[j] > 0 or cut[k] > 0:
            continue
        iu, ju, ku = placed[i, 0], placed[j, 0], placed[k, 0]
        iv, jv, kv = placed[i, 1], placed[j, 1], placed[k, 1]
        left, right = max(math.ceil(min(iu, ju, ku)), 0), min(math.floor(max(iu, ju, ku)), columns - 1)
        top, bottom = max(math.ceil(min(iv, jv, kv)), 0), min(math.floor(max(iv, jv, kv)), rows - 1)
        area = (ju - iu) * (kv - iv) - (ku - iu) * (jv - iv)
        if left > right or top > bottom or area == 0:
            continue
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                b = ((column - iu) * (kv - iv) - (ku - iu) * (row - iv)) / area
                c = ((ju - iu) * (row - iv) - (column - iu) * (jv - iv)) / area
                a = 1 - b - c
                if a >= 0 and b >= 0 and c >= 0:
                    height = np.float32(a * placed[i, 2] + b * placed[j, 2] + c * placed[k, 2])
                    highest[row, column] = max(highest[row, column], height)
