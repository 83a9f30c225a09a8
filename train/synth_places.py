"""Pictures of procedural places: rays against a ground, the inside of a room, boxes and blobs, compiled.

A place has axes of its own, +Z up; the camera and the light are given in them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from ltsh_deploy.train.synth_place_rays import FAR, PlaceView, enter_blob, enter_box
from ltsh_deploy.train.synth_place_surfaces import paint, sky_colour

__all__ = ["GROUND_SURFACE", "draw_place"]

Array = npt.NDArray[Any]

#: Which of a place's surfaces the ground, the walls and the ceiling have.
GROUND_SURFACE, WALL_SURFACE, CEILING_SURFACE = 0, 1, 2

# Pixels a side of the tiles for which it is found out what may be seen in them; even.
_TILE = 16


@njit(cache=True, error_model="numpy")
def _seen_in_tile(view: PlaceView, first: Array, last: Array, found: Array) -> int:
    """Write the indices of solids that may be seen between two rays [3] of unit length; how many there are.

    By the cone around the tile and the balls around the solids.
    """
    x, y, z = first[0] + last[0], first[1] + last[1], first[2] + last[2]
    length, count = math.sqrt(x * x + y * y + z * z), 0
    x, y, z = x / length, y / length, z / length
    spread = math.acos(min(1.0, x * first[0] + y * first[1] + z * first[2]))
    for s in range(len(view.solids)):
        solid = view.solids[s]
        u, v, w = (
            solid.middle[0] - view.centre[0],
            solid.middle[1] - view.centre[1],
            solid.middle[2] - view.centre[2],
        )
        along, distance = u * x + v * y + w * z, math.sqrt(u * u + v * v + w * w)
        radius = math.sqrt(solid.half[0] ** 2 + solid.half[1] ** 2 + solid.half[2] ** 2)
        if distance <= radius:
            off_axis = -1.0
        else:
            off_axis = math.acos(max(-1.0, min(1.0, along / distance))) - math.asin(radius / distance)
        if off_axis <= spread:
            found[count] = s
            count += 1
    return count


@njit(cache=True, error_model="numpy")
def _ray_through(view: PlaceView, column: float, row: float, ray: Array) -> None:
    across, down = (column - view.principal[0]) / view.focal, (row - view.principal[1]) / view.focal
    length = math.sqrt(across * across + down * down + 1)
    for axis in range(3):
        ray[axis] = (view.rotation[0, axis] * across + view.rotation[1, axis] * down + view.rotation[2, axis]) / length


@njit(cache=True, error_model="numpy")
def _first_hit(view: PlaceView, ray: Array, inverse: Array, found: Array, count: int) -> tuple[float, int, int, int]:
    """Distance along a ray, the axis of the surface's normal, the surface (-1: sky) and the solid (-1: none)."""
    distance, axis_hit, surface, hit = FAR, 2, -1, -1
    if view.room[0, 0] == view.room[0, 0]:
        # The far side of the room: its walls towards the camera are left out, should it stand beyond them.
        for axis in range(3):
            exit_distance = (view.room[1 if ray[axis] > 0 else 0, axis] - view.centre[axis]) * inverse[axis]
            if 0 < exit_distance < distance:
                distance, axis_hit = exit_distance, axis
        surface = WALL_SURFACE if axis_hit < 2 else (CEILING_SURFACE if ray[2] > 0 else GROUND_SURFACE)
    elif ray[2] < -1e-6:
        distance, surface = -view.centre[2] / ray[2], GROUND_SURFACE
    for n in range(count):
        solid = view.solids[found[n]]
        if solid.blob == 1:
            entered, axis = enter_blob(view.centre, ray, solid, view.seed), 2
        else:
            entered, axis = enter_box(view.centre, inverse, solid)
        if 0 < entered < distance:
            distance, axis_hit, surface, hit = entered, axis, solid.surface, found[n]
    return distance, axis_hit, surface, hit


@njit(cache=True, error_model="numpy")
def _in_shadow(view: PlaceView, point: Array, inverse: Array) -> bool:
    """Whether a solid keeps the key light from a point."""
    for s in range(len(view.solids)):
        solid = view.solids[s]
        if solid.shades == 0:
            continue
        if solid.blob == 1:
            if enter_blob(point, view.key_direction, solid, view.seed) > 0:
                return True
        elif enter_box(point, inverse, solid)[0] > 0:
            return True
    return False


@njit(cache=True, error_model="numpy")
def _corner_light(view: PlaceView, point: Array) -> float:
    """0 to 1: less of the light from all around reaches corners of a room and the foot of things."""
    light = 1.0
    if view.room[0, 0] == view.room[0, 0]:
        for axis in range(3):
            near = min(point[axis] - view.room[0, axis], view.room[1, axis] - point[axis])
            if near > 0.02:
                light *= 1 - 0.35 * math.exp(-near / 0.35)
    for s in range(len(view.solids)):
        solid = view.solids[s]
        if solid.shades == 0 or solid.blob == 1:
            continue
        gap = 0.0
        for axis in range(3):
            outside = max(0.0, abs(point[axis] - solid.middle[axis]) - solid.half[axis])
            gap += outside * outside
        if 1e-6 < gap < 0.3:
            light *= 1 - 0.45 * math.exp(-math.sqrt(gap) / 0.12)
    return light


@njit(cache=True, error_model="numpy")
def _face_normal(view: PlaceView, point: Array, ray: Array, axis_hit: int, hit: int, normal: Array) -> None:
    for axis in range(3):
        normal[axis] = 0.0
    if hit < 0 or view.solids[hit].blob == 0:
        normal[axis_hit] = -1.0 if ray[axis_hit] > 0 else 1.0
        return
    solid = view.solids[hit]
    for axis in range(3):
        normal[axis] = (point[axis] - solid.middle[axis]) / solid.half[axis] ** 2
    length = math.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2)
    for axis in range(3):
        normal[axis] /= length


@njit(cache=True, error_model="numpy")
def draw_place(view: PlaceView, image: Array, ground: Array) -> None:
    """Draw a place.

    Args:
        view: what is seen.
        image: [H, W, 3] float32, written: linear light.
        ground: [H, W] float32, written: 1 where the ground is seen, else 0.
    """
    height, width = ground.shape
    first, last, to_light, scratch = np.empty(3), np.empty(3), np.empty(3), np.empty((5, 3))
    found = np.empty(max(1, len(view.solids)), np.int64)
    # What each pixel in both even rows and columns hits, and how much light gets there: its neighbours take it over.
    hits, lit = np.empty((height // 2 + 1, width // 2 + 1, 2), np.int64), np.empty((height // 2 + 1, width // 2 + 1, 2))
    for axis in range(3):
        to_light[axis] = 1 / view.key_direction[axis] if abs(view.key_direction[axis]) > 1e-9 else FAR
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            _ray_through(view, left - 0.5, top - 0.5, first)
            _ray_through(view, left + _TILE - 0.5, top + _TILE - 0.5, last)
            count = _seen_in_tile(view, first, last, found)
            for row in range(top, min(height, top + _TILE)):
                for column in range(left, min(width, left + _TILE)):
                    _draw_pixel(view, row, column, found, count, to_light, hits, lit, image, ground, scratch)


@njit(cache=True, error_model="numpy")
def _draw_pixel(
    view: PlaceView,
    row: int,
    column: int,
    found: Array,
    count: int,
    to_light: Array,
    hits: Array,
    lit: Array,
    image: Array,
    ground: Array,
    scratch: Array,
) -> None:
    ray, inverse, point, normal, colour = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    _ray_through(view, float(column), float(row), ray)
    for axis in range(3):
        inverse[axis] = 1 / ray[axis] if abs(ray[axis]) > 1e-9 else FAR
    distance, axis_hit, surface, hit = _first_hit(view, ray, inverse, found, count)
    block_row, block_column = row // 2, column // 2
    begins_block = row % 2 == 0 and column % 2 == 0
    if surface == -1 or distance > 2000:
        if begins_block:
            hits[block_row, block_column, 0] = -2
        ground[row, column] = 0
        sky_colour(ray, view.sky, view.seed, colour)
        for channel in range(3):
            image[row, column, channel] = colour[channel]
        return
    ground[row, column] = 1.0 if surface == GROUND_SURFACE else 0.0
    for axis in range(3):
        point[axis] = view.centre[axis] + distance * ray[axis]
    _face_normal(view, point, ray, axis_hit, hit, normal)
    slant, facing = 0.0, 0.0
    for axis in range(3):
        slant += normal[axis] * ray[axis]
        facing += normal[axis] * view.key_direction[axis]
    facing = max(0.0, facing)
    glow = paint(view.surfaces[surface], point, axis_hit, distance / view.focal / max(0.15, -slant), colour)
    is_known = hits[block_row, block_column, 0] == hit and hits[block_row, block_column, 1] == axis_hit
    if begins_block or not is_known:
        for axis in range(3):
            point[axis] += 0.004 * normal[axis]
        indoors = view.room[0, 0] == view.room[0, 0]
        open_to_key = 0.0 if facing > 0 and not indoors and _in_shadow(view, point, to_light) else 1.0
        corner = _corner_light(view, point) if hit < 0 or view.solids[hit].blob == 0 else 0.8
        if begins_block:
            hits[block_row, block_column, 0], hits[block_row, block_column, 1] = hit, axis_hit
            lit[block_row, block_column, 0], lit[block_row, block_column, 1] = open_to_key, corner
    else:
        open_to_key, corner = lit[block_row, block_column, 0], lit[block_row, block_column, 1]
    haze = 0.0 if view.room[0, 0] == view.room[0, 0] else 1 - math.exp(-distance / 400)
    for channel in range(3):
        light = view.ambient[0, channel]
        for axis in range(3):
            light += view.ambient[1 + axis, channel] * normal[axis]
        light = max(light, 0.0) * corner + view.key_colour[channel] * facing * open_to_key
        seen = colour[channel] * (glow if glow > 0 else light)
        image[row, column, channel] = seen * (1 - haze) + haze * view.sky[0, channel]
