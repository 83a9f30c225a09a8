"""What is known of a group of people before anybody looks at it, and what that allows: MPII's multi-person rules.

The benchmark gives a group's box and mean scale away, but neither how many people there are nor where each of them is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ltsh_deploy.evaluation.units import Unit
from ltsh_deploy.poses import Poses

__all__ = ["box_around", "filter_group", "mean_of"]

FloatArray = npt.NDArray[np.float64]

# How far beyond the group's box a person's mean joint may lie, in x and y: pixels for a mean scale of 1.
_MARGIN = np.array([31.4, 39.3])


def box_around(places: FloatArray) -> tuple[float, float, float, float] | None:
    """(x1, y1, x2, y2) around positions [G, 2], without margin; None when none is known. NaN is an unknown one."""
    known = places[np.isfinite(places).all(axis=1)]
    if not len(known):
        return None
    (x1, y1), (x2, y2) = known.min(axis=0).tolist(), known.max(axis=0).tolist()
    return x1, y1, x2, y2


def mean_of(scales: FloatArray) -> float | None:
    """The mean of the scales [G] that are known; None when none is."""
    known = scales[np.isfinite(scales)]
    return float(known.mean()) if len(known) else None


def filter_group(poses: Poses, unit: Unit) -> Poses:
    """The people who may belong to the unit's group: those whose mean joint lies in its box, enlarged on each side.

    The margin is 31.4 * mean scale in x and 39.3 * mean scale in y, its edge included. All people are kept where the
    unit has no group, or its mean scale is not known; nobody without a joint is.

    Args:
        poses: of the benchmark's joints alone, since every joint takes part in the mean.
        unit: whose group it is.
    """
    if unit.group_box is None or unit.mean_scale is None or not len(poses):
        return poses
    box = np.array(unit.group_box)
    margin = _MARGIN * unit.mean_scale
    present = poses.present
    xy = np.where(present[:, :, None], poses.xy, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        means = xy.sum(axis=1) / np.maximum(present.sum(axis=1), 1)[:, None]
    inside = ((means >= box[:2] - margin) & (means <= box[2:] + margin)).all(axis=1)
    return poses.select(inside & present.any(axis=1))
