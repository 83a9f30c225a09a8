"""What keeps light away, compiled: shadow maps, ambient occlusion, and both on the ground the people stand on."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

from ltsh_deploy.train.synth_raster import heights
from ltsh_deploy.train.synth_types import Camera

__all__ = ["ShadowMap", "ambient_occlusion", "ground_light", "lit_share", "shadow_map"]

Array = npt.NDArray[Any]

_MOST_CELLS = 600_000
_NOTHING = np.float32(-1e9)
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


class ShadowMap(NamedTuple):
    """How far towards a distant light things reach.

    Attributes:
        axes: [3, 3]; rows are the map's columns, its rows and the way to the light, in the world.
        origin: [2] coordinates along the first two axes of the centre of cell (0, 0), metres.
        cell: metres between cells.
        highest: [rows, columns] float32 largest coordinate along the third axis; -1e9 where there is nothing.
    """

    axes: Array
    origin: Array
    cell: float
    highest: Array


def shadow_map(vertices: Array, faces: Array, cut: Array, direction: Array, cell: float = 0.012) -> ShadowMap:
    """The shadow map of a mesh for the light that comes from a direction [3] of unit length.

    Args:
        vertices: [N, 3] metres.
        faces: [F, 3].
        cut: [N]; triangles with a corner where it is positive cast no shadow.
        direction: towards the light.
        cell: metres between cells; more where a large scene would need too many.
    """
    upright = abs(float(direction[2])) > 0.99
    across = np.cross([1.0, 0.0, 0.0] if upright else [0.0, 0.0, 1.0], direction)
    across /= math.sqrt(float((across * across).sum()))
    axes = np.array([across, np.cross(direction, across), direction], np.float64)
    placed, low, high = _turn(vertices, axes)
    low, high = low - 2 * cell, high + 2 * cell
    cell = max(cell, math.sqrt(float(np.prod(high - low)) / _MOST_CELLS))
    columns, rows = (math.ceil(length / cell) + 1 for length in (high - low).tolist())
    _to_cells(placed, low, cell)
    highest = np.full((rows, columns), _NOTHING, np.float32)
    heights(placed, faces, cut, highest)
    return ShadowMap(axes, low, cell, highest)


@njit(cache=True)
def _turn(points: Array, axes: Array) -> tuple[Array, Array, Array]:
    """[N, 3] float32 coordinates of points along axes [3, 3], and the lowest and highest [2] of the first two."""
    turned = np.empty((len(points), 3), np.float32)
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for n in range(len(points)):
        for a in range(3):
            turned[n, a] = axes[a, 0] * points[n, 0] + axes[a, 1] * points[n, 1] + axes[a, 2] * points[n, 2]
        for a in range(2):
            low[a], high[a] = min(low[a], turned[n, a]), max(high[a], turned[n, a])
    return turned, low, high


@njit(cache=True)
def _to_cells(points: Array, low: Array, cell: float) -> None:
    for n in range(len(points)):
        for a in range(2):
            points[n, a] = (points[n, a] - low[a]) / cell


@njit(cache=True)
def lit_share(shadows: ShadowMap, x: float, y: float, z: float, margin: float) -> float:
    """0 to 1: how much of the light reaches a point, past anything more than ``margin`` metres above it.

    Nine cells around the point vote (percentage-closer filtering), each with the bilinear weight of a smooth edge.
    """
    axes, highest = shadows.axes, shadows.highest
    rows, columns = highest.shape
    u = (axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z - shadows.origin[0]) / shadows.cell
    v = (axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z - shadows.origin[1]) / shadows.cell
    height = axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z + margin
    left, top = math.floor(u), math.floor(v)
    part_u, part_v = u - left, v - top
    lit = 0.0
    for row in range(4):
        weight_v = (1 - part_v) if row == 0 else (part_v if row == 3 else 1.0)
        for column in range(4):
            weight_u = (1 - part_u) if column == 0 else (part_u if column == 3 else 1.0)
            r, c = top - 1 + row, left - 1 + column
            if r < 0 or c < 0 or r >= rows or c >= columns or highest[r, c] < height:
                lit += weight_u * weight_v
    return lit / 9


@njit(cache=True)
def ambient_occlusion(depth: Array, focal: float, radius: float) -> Array:
    """[H, W] float32, 1 in the open down to 0.2 in a fold: how much of the surroundings a surface sees.

    Pairs of opposite neighbours are compared with the surface between them: only what rises above a plane through it
    hides anything (paired samples as in Loos and Sloan, "Volumetric obscurance", 2010). The pattern of neighbours
    turns from pixel to pixel, and a mean over 4 x 4 pixels of like depth removes what that leaves.

    Args:
        depth: [H, W] float32 metres, 0 where nothing is.
        focal: in pixels.
        radius: metres within which things hide each other.
    """
    height, width = depth.shape
    pairs, turns = 6, 16
    pattern = np.empty((turns, pairs, 2), np.float32)
    for turn in range(turns):
        for pair in range(pairs):
            # The golden angle spreads points over a disc evenly; half a turn of it is all that pairs need.
            angle = turn * math.pi / turns + pair * _GOLDEN_ANGLE
            pattern[turn, pair, 0] = math.cos(angle) * math.sqrt((pair + 0.5) / pairs)
            pattern[turn, pair, 1] = math.sin(angle) * math.sqrt((pair + 0.5) / pairs)
    raw = np.ones((height, width), np.float32)
    for row in range(height):
        for column in range(width):
            here = depth[row, column]
            if here <= 0:
                continue
            reach = radius * focal / here
            turn = (4 * row + 7 * column + 2 * (row // 2 % 2)) % turns
            hidden = 0.0
            for pair in range(pairs):
                right = math.floor(reach * pattern[turn, pair, 0] + 0.5)
                down = math.floor(reach * pattern[turn, pair, 1] + 0.5)
                rise = 0.0
                for side in (-1, 1):
                    r, c = row + side * down, column + side * right
                    if r < 0 or c < 0 or r >= height or c >= width or depth[r, c] <= 0:
                        continue
                    step = here - depth[r, c]
                    # What is much nearer or further is another thing, not a part of this fold.
                    if -2.4 * radius < step < 2.5 * radius:
                        rise += min(max(step / (0.7 * radius), -1.0), 1.0)
                hidden += min(max(rise, 0.0) / 2, 1.0)
            raw[row, column] = max(1 - 1.2 * hidden / pairs, 0.2)
    smooth = np.ones((height, width), np.float32)
    for row in range(height):
        for column in range(width):
            here = depth[row, column]
            if here <= 0:
                continue
            total, weight = 0.0, 0
            for r in range(max(row - 2, 0), min(row + 2, height)):
                for c in range(max(column - 2, 0), min(column + 2, width)):
                    if abs(depth[r, c] - here) < 0.5 * radius:
                        total += raw[r, c]
                        weight += 1
            smooth[row, column] = total / weight
    return smooth


class _Contact(NamedTuple):
    """How much things close above the ground hide of what is around it: [rows, columns] from 0 to 1.

    ``origin`` [2] is the world's (x, y) at the centre of cell (0, 0), ``cell`` the metres between cells.
    """

    origin: Array
    cell: float
    hidden: Array


def ground_light(camera: Camera, vertices: Array, cut: Array, shadows: ShadowMap) -> Array:
    """What the people leave of the light on the ground z = 0.

    Returns:
        [H, W, 2] float32 from 0 to 1: the share of the key light and the share of the ambient light that reach the
        ground which each pixel shows; 1 above the horizon. Backgrounds are seldom flat for far, so that the shadow of
        something fades with its distance along the light.
    """
    contact = _contact(vertices, cut)
    width, height = camera.size
    coarse = np.ones(((height + 1) // 2, (width + 1) // 2, 2), np.float32)
    scale = (width / coarse.shape[1], height / coarse.shape[0])
    principal = np.array(camera.principal)
    _light_ground(camera.rotation, camera.centre, camera.focal, principal, scale, shadows, contact, coarse)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _contact(vertices: Array, cut: Array) -> _Contact:
    """Feet that touch the ground hide much of what is around it from where they stand, a hand high above it little."""
    margin = 0.4
    _, low, high = _turn(vertices, np.eye(3))
    origin, size = low - margin, high - low + 2 * margin
    cell = max(0.03, math.sqrt(float(np.prod(size)) / _MOST_CELLS))
    columns, rows = (math.ceil(length / cell) + 2 for length in size.tolist())
    hidden = np.zeros((rows, columns), np.float32)
    _splat(vertices, cut, origin, cell, hidden)
    return _Contact(origin, cell, np.asarray(cv2.GaussianBlur(hidden, (0, 0), 0.08 / cell), np.float32))


@njit(cache=True)
def _splat(vertices: Array, cut: Array, origin: Array, cell: float, hidden: Array) -> None:
    """Mark the cells below low vertices: those of a body lie closer together than cells."""
    for n in range(len(vertices)):
        height = vertices[n, 2]
        if height < 0.7 and cut[n] <= 0:
            column = math.floor((vertices[n, 0] - origin[0]) / cell + 0.5)
            row = math.floor((vertices[n, 1] - origin[1]) / cell + 0.5)
            near = np.float32(math.exp(-max(height, 0.0) / 0.2))
            hidden[row, column] = max(hidden[row, column], near)


@njit(cache=True)
def _light_ground(
    rotation: Array,
    centre: Array,
    focal: float,
    principal: Array,
    scale: tuple[float, float],
    shadows: ShadowMap,
    contact: _Contact,
    light: Array,
) -> None:
    """Write the shares of key and ambient light [h, w, 2], one for ``scale`` (across, down) pixels."""
    rows, columns = contact.hidden.shape
    for row in range(light.shape[0]):
        down = ((row + 0.5) * scale[1] - 0.5 - principal[1]) / focal
        for column in range(light.shape[1]):
            right = ((column + 0.5) * scale[0] - 0.5 - principal[0]) / focal
            fall = rotation[0, 2] * right + rotation[1, 2] * down + rotation[2, 2]
            if fall >= -1e-3:
                continue
            steps = -centre[2] / fall
            if not 0 < steps < 200:
                continue
            x = centre[0] + steps * (rotation[0, 0] * right + rotation[1, 0] * down + rotation[2, 0])
            y = centre[1] + steps * (rotation[0, 1] * right + rotation[1, 1] * down + rotation[2, 1])
            light[row, column, 0] = _ground_share(shadows, x, y)
            u, v = (x - contact.origin[0]) / contact.cell, (y - contact.origin[1]) / contact.cell
            if 0 <= u < columns - 1 and 0 <= v < rows - 1:
                c, r = int(u), int(v)
                upper = contact.hidden[r, c] * (c + 1 - u) + contact.hidden[r, c + 1] * (u - c)
                lower = contact.hidden[r + 1, c] * (c + 1 - u) + contact.hidden[r + 1, c + 1] * (u - c)
                light[row, column, 1] = 1 - 0.9 * min(1.0, 1.5 * (upper * (r + 1 - v) + lower * (v - r)))


@njit(cache=True)
def _ground_share(shadows: ShadowMap, x: float, y: float) -> float:
    """How much key light reaches a point of the ground; what is further away casts a softer and fainter shadow."""
    axes, highest = shadows.axes, shadows.highest
    rows, columns = highest.shape
    u = (axes[0, 0] * x + axes[0, 1] * y - shadows.origin[0]) / shadows.cell
    v = (axes[1, 0] * x + axes[1, 1] * y - shadows.origin[1]) / shadows.cell
    border = 12
    if not (-border < u < columns + border and -border < v < rows + border):
        return 1.0
    height = axes[2, 0] * x + axes[2, 1] * y + 0.01
    distance, blockers = 0.0, 0
    for r in range(int(v) - 6, int(v) + 7, 3):
        for c in range(int(u) - 6, int(u) + 7, 3):
            if 0 <= r < rows and 0 <= c < columns and highest[r, c] > height:
                distance += highest[r, c] - height
                blockers += 1
    if blockers == 0:
        return 1.0
    distance /= blockers
    # A light that seems four degrees wide: between the sun and a lamp with a shade.
    reach = 0.03 * distance / shadows.cell + 0.7
    hidden = 0.0
    for tap in range(12):
        angle, length = tap * _GOLDEN_ANGLE, reach * math.sqrt((tap + 0.5) / 12)
        r, c = math.floor(v + length * math.sin(angle) + 0.5), math.floor(u + length * math.cos(angle) + 0.5)
        if 0 <= r < rows and 0 <= c < columns and highest[r, c] > height:
            hidden += 1.0
    return 1 - hidden / 12 * math.exp(-distance / 4)
