"""What a point of a synthetic person's surface looks like, compiled: its albedo, and the folds that bend its normal.

A point is given by its texture coordinates (x, y, z) in metres. On skin, eyes, shoes and props they are its position on
the average body at rest. On cloth, x runs around the body or limb with 0 at the front, y up along it, and z / 10 is the
number of the chart (``synth_charts``). On hair, z runs along the strands and (x, y) across them.

``footprint`` is the length of surface that a pixel covers, in metres (depth / focal length): what is finer than that
fades into its average instead of glittering.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from ltsh_deploy.train.synth_materials import CHECKS, CLOTH, DENIM, EYE, HAIR, PRINT, SHOE, SKIN, STRIPES, TILED
from ltsh_deploy.train.synth_noise import fractal_noise, value_noise

__all__ = [
    "HIP_HEIGHT",
    "KNEE_HEIGHT",
    "PRINT_HEIGHT",
    "SOLE_HEIGHT",
    "bend_normal",
    "surface_colour",
    "surface_height",
]

Floats = npt.NDArray[np.floating[Any]]

#: Where the middle of a chest print lies: metres of the second texture coordinate.
PRINT_HEIGHT = 0.31
#: Where the soles end, on the average body at rest.
SOLE_HEIGHT = -0.803
#: Where hip and knee lie, on the average body at rest.
HIP_HEIGHT, KNEE_HEIGHT = 0.026, -0.337


@njit(cache=True, error_model="numpy")
def _filled(position: float, duty: float) -> float:
    """How much of [0, position] the bands [n, n + duty] cover."""
    whole = math.floor(position)
    return whole * duty + min(position - whole, duty)


@njit(cache=True, error_model="numpy")
def _bands(position: float, duty: float, width: float) -> float:
    """0 to 1: how much of an interval around a position is covered by the bands [n, n + duty]."""
    width = max(width, 0.02)
    return (_filled(position + width / 2, duty) - _filled(position - width / 2, duty)) / width


@njit(cache=True, error_model="numpy")
def _check_weights(u: float, v: float, width: float, seed: float, weights: Floats) -> None:
    """Woven checks: bands of three kinds along both directions; a seed says which bands there are."""
    kind = int(seed) % 3
    across, along = _bands(u, 0.5, width), _bands(v, 0.5, width)
    if kind == 0:  # gingham
        weights[0] = 0.5 * (across + along)
        weights[1] = 0.0
    elif kind == 1:  # tartan: broad bands with thin lines of a third colour
        weights[0] = 0.5 * (_bands(u, 0.35, width) + _bands(v, 0.35, width))
        weights[1] = 0.5 * (_bands(u + 0.3, 0.07, width) + _bands(v + 0.3, 0.07, width))
    else:  # window panes: a thin grid
        thin_u, thin_v = _bands(u, 0.1, width), _bands(v, 0.1, width)
        weights[0] = max(thin_u, thin_v)
        weights[1] = 0.0


@njit(cache=True, error_model="numpy")
def _texture_weights(
    textures: npt.NDArray[np.uint8], which: int, u: float, v: float, texels: float, weights: Floats
) -> None:
    """Shares of the second and third colour at (u, v), in repeats of a texture, filtered over so many texels."""
    level = 0
    while texels > 1.5 and level < textures.shape[1] - 1:
        texels *= 0.5
        level += 1
    side = textures.shape[2]
    column = math.floor((u - math.floor(u)) * side) % side
    row = math.floor((1 - (v - math.floor(v))) * side) % side
    weights[0] = textures[which, level, row, column, 0] / 255.0
    weights[1] = textures[which, level, row, column, 1] / 255.0


@njit(cache=True, error_model="numpy")
def _cloth_weights(
    material: Any, textures: npt.NDArray[np.uint8], x: float, y: float, z: float, footprint: float, weights: Floats
) -> None:
    """Shares of the second and third colour of a cloth's pattern."""
    weights[0] = 0.0
    weights[1] = 0.0
    pattern, period = material.pattern, material.period
    u = (x * material.cosine + y * material.sine) / period
    v = (y * material.cosine - x * material.sine) / period
    if pattern == STRIPES:
        weights[0] = _bands(v, material.duty, footprint / period)
    elif pattern == CHECKS:
        _check_weights(u, v, footprint / period, material.seed, weights)
    elif pattern == TILED:
        _texture_weights(textures, material.texture, u, v, footprint / period * textures.shape[2], weights)
    elif pattern == PRINT:
        v = (y - PRINT_HEIGHT) / period
        if abs(z) < 5 and abs(u) < 0.5 and abs(v) < 0.5:
            texels = footprint / period * textures.shape[2]
            _texture_weights(textures, material.texture, u + 0.5, v + 0.5, texels, weights)
    elif pattern == DENIM:
        # Thighs and knees are worn pale in front; the seam along the outside is stitched.
        height = (y - KNEE_HEIGHT) / (HIP_HEIGHT - KNEE_HEIGHT)
        worn = math.exp(-((x / 0.07) ** 2)) * math.exp(-(((height - 0.45) / 0.5) ** 2))
        weights[0] = min(1.0, worn * (0.7 + 0.3 * value_noise(x * 25 + material.seed, y * 12, z)))


@njit(cache=True, error_model="numpy")
def surface_colour(
    material: Any,
    textures: npt.NDArray[np.uint8],
    x: float,
    y: float,
    z: float,
    tint: float,
    cut: float,
    footprint: float,
    out: Floats,
) -> None:
    """Write the linear RGB albedo of a point into ``out`` [3].

    Args:
        material: one record of ``MATERIAL``.
        textures: the bank [T, levels, S, S, 2] of ``synth_textures``.
        x, y, z: texture coordinates, interpolated.
        tint: interpolated, -1 to 1. On skin above 0 it is lips, below 0 brows and beard; on an eye 0.5 is the rim of
            the iris and 1 the pupil's middle.
        cut: interpolated; 0 at a hem, falling into the garment.
        footprint: metres of surface a pixel covers.
        out: [3].
    """
    kind = material.kind
    second = 0.0
    third = 0.0
    shade = 1.0
    seed = material.seed
    if kind == SKIN:
        second = max(tint, 0.0)
        third = min(max(-tint, 0.0), 1.0)
        shade = 1 + material.mottle * (2 * value_noise(x * 30 + seed, y * 30, z * 30) - 1)
    elif kind == CLOTH:
        weights = np.empty(2)
        _cloth_weights(material, textures, x, y, z, footprint, weights)
        second, third = weights[0], weights[1]
        shade = 1 + material.mottle * (2 * fractal_noise(x * 9 + seed, y * 9 + 3, z) - 1)
        # A seam is a thin dark line at the hem's width; close to the cut the cloth is in its own shadow.
        if cut > -material.hem and footprint < 0.03:
            shade *= 0.8 if cut < 0.004 - material.hem or cut > -0.003 else 0.95
    elif kind == SHOE:
        if z < SOLE_HEIGHT:
            second = 1.0
        elif material.pattern == STRIPES and -0.11 < y < -0.05 and z < -0.755:
            # Three slanted stripes on the side.
            third = _bands((y + 0.6 * z) / 0.02, 0.45, footprint / 0.02)
        shade = 1 + material.mottle * (2 * value_noise(x * 50 + seed, y * 50, z * 50) - 1)
    elif kind == HAIR:
        strand = value_noise(x / material.relief_period * 3 + seed, y / material.relief_period * 3, z * 12)
        lock = value_noise(x / material.relief_period * 0.5 + seed, y / material.relief_period * 0.5, z * 8)
        second = material.mottle * strand
        shade = 0.55 + 0.7 * lock + 0.25 * strand
    elif kind == EYE:
        second = 1.0 if tint > 0.5 else 0.0
        third = 1.0 if tint > 0.8 else 0.0
    else:
        shade = 1 + material.mottle * (2 * value_noise(x * 25 + seed, y * 25, z * 25) - 1)
        second = max(tint, 0.0)
    first = max(0.0, 1 - second) * (1 - third)
    second = second * (1 - third)
    for channel in range(3):
        mixed = first * material.colour[channel] + second * material.second[channel] + third * material.third[channel]
        out[channel] = min(max(mixed * shade, 0.0), 1.0)


@njit(cache=True, error_model="numpy")
def surface_height(material: Any, x: float, y: float, z: float) -> float:
    """How far folds or strands lift a point off the surface, in metres."""
    scale = 1 / material.relief_period
    seed = material.seed
    if material.kind == HAIR:
        lock = value_noise(x * scale + seed, y * scale, z * 10)
        strand = value_noise(x * scale * 4 + seed, y * scale * 4, z * 10)
        return float(material.relief * (0.7 * lock + 0.3 * strand))
    if material.kind == CLOTH:
        # Noise that is bent by other noise makes creases instead of dents; they run across limbs more than along.
        bend = value_noise(x * scale * 0.5 + seed, y * scale * 0.5, z)
        u, v = x * scale * 0.8 + 2.2 * bend, y * scale * 1.25 - 1.6 * bend
        broad = value_noise(u + seed, v, z)
        crease = 1 - abs(2 * value_noise(1.7 * u + seed, 1.7 * v + 5, z + 0.5) - 1)
        return float(material.relief * (0.7 * broad + 0.45 * crease * crease))
    return float(material.relief * value_noise(x * scale + seed, y * scale, z * scale))


@njit(cache=True, error_model="numpy")
def bend_normal(
    material: Any,
    x: float,
    y: float,
    z: float,
    texture_edges: Floats,
    edges: Floats,
    footprint: float,
    normal: Floats,
) -> None:
    """Tilt a unit normal [3], in place, as the folds of the surface tilt it (Blinn 1978).

    Args:
        material: one record of ``MATERIAL``.
        x, y, z: texture coordinates of the point.
        texture_edges: [2, 3] the two edges from the triangle's first corner, in texture coordinates.
        edges: [2, 3] the same in the world.
        footprint: metres of surface a pixel covers: relief finer than that is left out.
        normal: [3], changed.
    """
    period = material.relief_period
    if material.relief <= 0 or footprint > 0.6 * period:
        return
    here = surface_height(material, x, y, z)
    slopes = np.empty(2)
    for edge in range(2):
        a, b, c = texture_edges[edge, 0], texture_edges[edge, 1], texture_edges[edge, 2]
        length = math.sqrt(a * a + b * b + c * c)
        if length < 1e-7:
            return
        step = 0.2 * period / length
        slopes[edge] = (surface_height(material, x + step * a, y + step * b, z + step * c) - here) / step
    # With geometric normal g = e1 x e2, the gradient in the triangle's plane is (s1 e2 x g + s2 g x e1) / |g|^2.
    g0 = edges[0, 1] * edges[1, 2] - edges[0, 2] * edges[1, 1]
    g1 = edges[0, 2] * edges[1, 0] - edges[0, 0] * edges[1, 2]
    g2 = edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0]
    squared = g0 * g0 + g1 * g1 + g2 * g2
    if squared < 1e-18:
        return
    # A world-space step may be much longer than the texture's where cloth is stretched; strong tilts look like dents.
    fade = min(1.0, max(0.0, 1.6 - footprint / (0.375 * period))) / squared
    s1, s2 = slopes[0] * fade, slopes[1] * fade
    t0 = s1 * (edges[1, 1] * g2 - edges[1, 2] * g1) + s2 * (g1 * edges[0, 2] - g2 * edges[0, 1])
    t1 = s1 * (edges[1, 2] * g0 - edges[1, 0] * g2) + s2 * (g2 * edges[0, 0] - g0 * edges[0, 2])
    t2 = s1 * (edges[1, 0] * g1 - edges[1, 1] * g0) + s2 * (g0 * edges[0, 1] - g1 * edges[0, 0])
    tilt = math.sqrt(t0 * t0 + t1 * t1 + t2 * t2)
    limit = 1.0 if tilt < 1.0 else 1.0 / tilt
    n0, n1, n2 = normal[0] - limit * t0, normal[1] - limit * t1, normal[2] - limit * t2
    scale = 1 / math.sqrt(n0 * n0 + n1 * n1 + n2 * n2 + 1e-12)
    normal[0], normal[1], normal[2] = n0 * scale, n1 * scale, n2 * scale
