"""Where cameras see the ground: what tests compare pictures with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_types import Camera, Doubles


def horizon_row(camera: Camera, column: float) -> float:
    """The row at which the horizon crosses a column of pixels; infinite where it never does.

    Rows below it show the ground, if the camera is not upside down. May lie outside the picture.
    """
    # Directions (right, down, 1) with no part along the world's Z.
    right = (column - camera.principal[0]) / camera.focal
    across, below, ahead = camera.rotation[:, 2].tolist()
    if abs(below) < 1e-9:
        return math.copysign(math.inf, across * right + ahead)
    return float(camera.principal[1] - camera.focal * (across * right + ahead) / below)


def ground_point(camera: Camera, xy: npt.NDArray[np.floating[Any]]) -> Doubles:
    """[N, 3] the points of the ground z = 0 that pixels [N, 2] show; NaN where a pixel shows none."""
    rays = np.column_stack([(xy - np.array(camera.principal)) / camera.focal, np.ones(len(xy))]) @ camera.rotation
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = -camera.centre[2] / rays[:, 2]
    steps = np.where(np.isfinite(steps) & (steps > 0), steps, np.nan)
    return np.asarray(camera.centre + steps[:, None] * rays)
