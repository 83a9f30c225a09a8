"""Linear blend skinning, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["skin"]

Floats = npt.NDArray[np.float32]


def skin(
    rest: Floats, weights: Floats, bones: npt.NDArray[np.int32], rotations: Floats, translations: Floats
) -> Floats:
    """Pose points by the weighted mean of where each of their bones would take them.

    Args:
        rest: [N, 3].
        weights: [N, W], summing to 1 by row.
        bones: [N, W] int32.
        rotations: [B, 3, 3].
        translations: [B, 3].

    Returns:
        [N, 3] float32.
    """
    posed = np.empty((len(rest), 3), np.float32)
    motions = np.concatenate([rotations, translations[:, :, None]], axis=2).astype(np.float32)
    _skin(np.ascontiguousarray(rest, np.float32), weights, bones, motions, posed)
    return posed


@njit(cache=True)
def _skin(
    rest: npt.NDArray[Any],
    weights: npt.NDArray[Any],
    bones: npt.NDArray[Any],
    motions: npt.NDArray[Any],
    posed: npt.NDArray[Any],
) -> None:
    zero = np.float32(0)
    for n in range(rest.shape[0]):
        x, y, z = rest[n, 0], rest[n, 1], rest[n, 2]
        sum_x, sum_y, sum_z = zero, zero, zero
        for k in range(weights.shape[1]):
            weight = weights[n, k]
            if weight > zero:
                motion = motions[bones[n, k]]
                sum_x += weight * (motion[0, 0] * x + motion[0, 1] * y + motion[0, 2] * z + motion[0, 3])
                sum_y += weight * (motion[1, 0] * x + motion[1, 1] * y + motion[1, 2] * z + motion[1, 3])
                sum_z += weight * (motion[2, 0] * x + motion[2, 1] * y + motion[2, 2] * z + motion[2, 3])
        posed[n, 0], posed[n, 1], posed[n, 2] = sum_x, sum_y, sum_z
