"""Value noise for procedural surfaces, compiled: smooth, in [0, 1], the same for the same place on every machine."""

from __future__ import annotations

import math

from numba import njit

__all__ = ["fractal_noise", "lattice_value", "value_noise"]


@njit(cache=True, error_model="numpy")
def lattice_value(i: int, j: int, k: int) -> float:
    """A number in [0, 1) that belongs to a point with whole coordinates."""
    mixed = (i * 73856093) ^ (j * 19349663) ^ (k * 83492791)
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0x7FFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 739982445) & 0x7FFFFFFF
    return ((mixed >> 7) & 0xFFFF) / 65536.0


@njit(cache=True, error_model="numpy")
def value_noise(x: float, y: float, z: float) -> float:
    """Noise in [0, 1] with features of size 1: lattice values, interpolated with smooth steps."""
    floor_x, floor_y, floor_z = math.floor(x), math.floor(y), math.floor(z)
    i, j, k = int(floor_x), int(floor_y), int(floor_z)
    u, v, w = x - floor_x, y - floor_y, z - floor_z
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    near = (lattice_value(i, j, k) * (1 - u) + lattice_value(i + 1, j, k) * u) * (1 - v) + (
        lattice_value(i, j + 1, k) * (1 - u) + lattice_value(i + 1, j + 1, k) * u
    ) * v
    far = (lattice_value(i, j, k + 1) * (1 - u) + lattice_value(i + 1, j, k + 1) * u) * (1 - v) + (
        lattice_value(i, j + 1, k + 1) * (1 - u) + lattice_value(i + 1, j + 1, k + 1) * u
    ) * v
    return near * (1 - w) + far * w


@njit(cache=True, error_model="numpy")
def fractal_noise(x: float, y: float, z: float) -> float:
    """Three octaves of :func:`value_noise` in [0, 1], mostly between 0.25 and 0.75."""
    return (
        0.55 * value_noise(x, y, z)
        + 0.3 * value_noise(2.03 * x + 7, 2.03 * y, 2.03 * z)
        + 0.15 * value_noise(4.1 * x, 4.1 * y + 3, 4.1 * z)
    )
