"""The surfaces of procedural places, compiled: paint, brick, tiles, wood, grass, fronts of houses, sky."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt
from numba import njit

from ltsh_deploy.train.synth_noise import fractal_noise, lattice_value, value_noise

__all__ = [
    "ASPHALT",
    "BOOKS",
    "BRICK",
    "COURT",
    "CURTAIN",
    "FACADE",
    "FOLIAGE",
    "GRASS",
    "PAINT",
    "PICTURE",
    "PLANKS",
    "SAND",
    "TILES",
    "WINDOW",
    "paint",
    "sky_colour",
]

Array = npt.NDArray[Any]

#: Kinds of surfaces.
PAINT, BRICK, TILES, PLANKS, GRASS, ASPHALT, FACADE, FOLIAGE = 0, 1, 2, 3, 4, 5, 6, 7
PICTURE, BOOKS, COURT, CURTAIN, WINDOW, SAND = 8, 9, 10, 11, 12, 13

# Metres between the floors of a house.
_STOREY = 3.1


@njit(cache=True, error_model="numpy")
def _fade(footprint: float, period: float) -> float:
    """1 where a pixel is much smaller than a pattern's repeat, 0 where the pattern is too fine to be seen."""
    return min(1.0, max(0.0, 1.5 - 2 * footprint / period))


@njit(cache=True, error_model="numpy")
def _groove(position: float, width: float) -> float:
    """1 within a groove around whole positions, 0 elsewhere; width in parts of the repeat."""
    part = abs(position - math.floor(position + 0.5))
    return min(1.0, max(0.0, 1.5 - part / width))


@njit(cache=True, error_model="numpy")
def _frequencies(kind: int, period: float) -> tuple[float, float, float, float]:
    """Repeats a metre of a surface's coarse noise, along and up, and of its fine noise."""
    if kind == PLANKS:
        return 4.0, 45.0, 0.0, 0.0
    if kind == COURT:
        return 2.0, 20.0, 0.0, 0.0
    if kind == GRASS:
        return 0.35, 0.35, 22.0, 22.0
    if kind == ASPHALT:
        return 0.5, 0.5, 60.0, 60.0
    if kind == SAND:
        return 2.5, 2.5, 60.0, 60.0
    if kind == FOLIAGE:
        return 1.5, 1.5, 9.0, 9.0
    if kind == PICTURE:
        return 2 / period, 2 / period, 3 / period, 3 / period
    if kind == CURTAIN:
        return 0.0, 0.0, 9.0, 0.4
    if kind == WINDOW:
        return 1.3, 1.3, 0.0, 0.0
    return 0.8, 0.8, 0.0, 0.0


@njit(cache=True, error_model="numpy")
def paint(surface: Any, point: Array, axis: int, footprint: float, colour: Array) -> float:
    """Write the linear albedo of a point of a surface into ``colour`` [3].

    Args:
        surface: one record of SURFACE.
        point: [3] metres.
        axis: 0 to 2, which the surface is at right angles to.
        footprint: metres of the surface that a pixel covers.
        colour: [3].

    Returns:
        0, or how strongly the surface glows by itself, in which case light on it does not count.
    """
    kind, period, seed = surface.kind, surface.period, surface.seed
    u = point[1] if axis == 0 else point[0]
    v = point[1] if axis == 2 else point[2]
    depth = point[1] if kind == FOLIAGE else 0.0
    along, up, fine_along, fine_up = _frequencies(kind, period)
    coarse, fine = fractal_noise(along * u + seed, up * v, along * depth + seed), 0.5
    if fine_along > 0:
        clear = _fade(footprint, 3 / fine_along)
        fine += clear * (value_noise(fine_along * u, fine_up * v, fine_along * depth + seed) - 0.5)
    share, shade, glow = 0.0, 0.88 + 0.24 * coarse, 0.0
    if kind == BRICK:
        row = math.floor(3 * v / period)
        beside = u / period + 0.5 * (row % 2)
        fade = _fade(footprint, period / 3)
        share = max(_groove(3 * v / period, 0.09), _groove(beside, 0.03)) * fade + 0.12 * (1 - fade)
        shade *= 1 + 0.5 * (lattice_value(math.floor(beside), row, int(seed)) - 0.5) * fade
    elif kind == TILES:
        fade = _fade(footprint, period)
        share = max(_groove(u / period, 0.025), _groove(v / period, 0.025)) * fade + 0.06 * (1 - fade)
        tone = lattice_value(math.floor(u / period), math.floor(v / period), int(seed))
        shade *= 1 + 0.16 * (tone - 0.5) * fade
        if int(seed) % 3 == 0 and (math.floor(u / period) + math.floor(v / period)) % 2 == 0:
            share = max(share, 0.8 * fade)
    elif kind == PLANKS:
        row, fade = math.floor(v / period), _fade(footprint, period)
        beside = u / 1.6 + 2 * lattice_value(row, 7, int(seed))
        seams = max(_groove(v / period, 0.03), _groove(beside, 0.004))
        share = 0.6 * seams * fade + 0.35 * coarse * _fade(footprint, 0.05)
        shade = 1 + 0.35 * (lattice_value(row, math.floor(beside + 0.5), int(seed)) - 0.5) * fade
    elif kind == GRASS:
        share, shade = min(1.0, max(0.0, 1.8 * coarse - 0.5)), 0.5 + fine
    elif kind in (ASPHALT, SAND):
        share, shade = 0.6 * coarse, 0.75 + 0.5 * fine
        if kind == ASPHALT and period > 0 and abs(v) < 0.07 and u / 3 - math.floor(u / 3) < 0.5:
            # The line in the middle of a road.
            share, shade = 0.0, 0.7 / max(0.05, float(surface.colour[1]))
    elif kind == FACADE:
        glass = _house_front(u, v, period, seed)
        if axis != 2 and glass > 0:
            colour[0] = colour[1] = glass
            colour[2] = 1.15 * glass
            return 0.0
        share = 0.35 * _groove(v / _STOREY, 0.03)
        shade *= 1.15 if axis != 2 and glass < 0 else 1.0
    elif kind == FOLIAGE:
        share, shade = coarse, 0.25 + 1.1 * fine
    elif kind == PICTURE:
        share, shade = (1.0 if fine > 0.55 else fine), 0.4 + 1.2 * coarse
    elif kind == BOOKS:
        return _books(u, v, int(seed), _fade(footprint, 0.05), surface, colour)
    elif kind == COURT:
        lines = abs(abs(u - 1.2) - 3.6) < 0.025 or abs(abs(v + 0.7) - 5.5) < 0.025 or abs(v - 1.0) < 0.025
        circle = abs(math.sqrt((u - 1.2) ** 2 + (v - 1.0) ** 2) - 1.8) < 0.025
        share = 1.0 if lines or circle else 0.0
    elif kind == CURTAIN:
        shade = 0.65 + 0.5 * fine
    elif kind == WINDOW:
        # What is seen through it: the sky above, green below.
        share, shade = (1.0 if v < 1.3 + 0.5 * coarse else 0.0), 0.8 + 0.5 * coarse
        glow = 1.0 if max(_groove(u / period, 0.03), _groove(v / 1.1, 0.025)) < 0.5 else 0.35
    for channel in range(3):
        colour[channel] = min(0.95, shade * ((1 - share) * surface.colour[channel] + share * surface.second[channel]))
    return glow


@njit(cache=True, error_model="numpy")
def _house_front(u: float, v: float, period: float, seed: float) -> float:
    """Of the front of a house: the albedo of a window's glass, -1 on its frame, 0 on the wall."""
    storey, bay = math.floor(v / _STOREY), math.floor(u / period)
    x, y = u / period - bay, v / _STOREY - storey
    wide = 0.28 + 0.12 * lattice_value(int(seed), 3, 1)
    tall = 0.62 if storey > 0 or int(seed) % 2 else 0.75
    if abs(x - 0.5) >= wide or not 0.22 < y < 0.22 + tall:
        return 0.0
    if abs(x - 0.5) > wide - 0.03 or y < 0.26 or y > 0.18 + tall or abs(x - 0.5) < 0.012:
        return -1.0
    # Glass shows a dark room, a curtain or the sky.
    pane = lattice_value(bay, storey, int(seed))
    return 0.02 + 0.25 * pane * pane * (0.5 + y)


@njit(cache=True, error_model="numpy")
def _books(u: float, v: float, seed: int, clear: float, surface: Any, colour: Array) -> float:
    """Backs of books on boards, see :func:`paint`."""
    shelf, book = math.floor(v / 0.33), math.floor(u / 0.035)
    height = v / 0.33 - shelf
    is_board, is_gap = height < 0.08, height > 0.62 + 0.3 * lattice_value(book, shelf, seed)
    for channel in range(3):
        tone = lattice_value(book, shelf, seed + channel + 1)
        back = 0.2 * (1 - clear) + clear * (0.02 + 0.5 * tone * tone)
        colour[channel] = surface.colour[channel] * (0.25 if is_gap else 1.0) if is_board or is_gap else back
    return 0.0


@njit(cache=True, error_model="numpy")
def sky_colour(ray: Array, sky: Array, seed: float, colour: Array) -> None:
    """Write the light of the sky along a unit ray [3] into ``colour`` [3]; ``sky`` holds horizon and zenith [2, 3]."""
    height = max(0.0, ray[2]) ** 0.5
    scale = 1 / (max(0.0, ray[2]) + 0.12)
    cloud = fractal_noise(ray[0] * scale * 0.9 + seed, ray[1] * scale * 0.9, seed)
    cover = min(1.0, max(0.0, 5 * (cloud - 0.5)))
    for channel in range(3):
        clear = (1 - height) * sky[0, channel] + height * sky[1, channel]
        colour[channel] = clear + cover * (0.9 * sky[0, channel] + 0.15 - clear) * 0.7
