"""Target maps of known poses: the plain NumPy reference of what a network is trained to say.

It defines the maps; decoding is tested against it, and training computes them in batches on its own device, with the
one difference that ``train/targets.py`` tells of. Sizes are in pixels of the network's input and, like the paper's,
belong to an input of 368 x 368: heat maps are Gaussians of :data:`SIGMA`, cut below :data:`CUT`; a PAF is the limb's
unit vector wherever a cell's centre lies within :data:`LIMB_WIDTH` of the limb.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.fields import Fields, cells_to_pixels
from ltsh_deploy.skeletons import Skeleton

__all__ = ["CUT", "LIMB_WIDTH", "SIGMA", "encode_fields"]

SIGMA = 7.0
LIMB_WIDTH = 8.0
CUT = 0.01


def encode_fields(
    xy: npt.NDArray[np.floating[Any]],
    skeleton: Skeleton,
    size: tuple[int, int],
    stride: int = 8,
    sigma: float = SIGMA,
    limb_width: float = LIMB_WIDTH,
) -> Fields:
    """The maps that a perfect network would give for these people.

    Args:
        xy: [P, J, 2] pixels of the network's input; NaN for a joint that is not labelled. Joints off the map still draw
            what of their Gaussian and limbs lies on it.
        skeleton: whose joints and limbs these are.
        size: (h, w) in cells.
        stride: pixels a cell.
        sigma: of the Gaussians, pixels.
        limb_width: half the width of a limb, pixels.

    Returns:
        Fields with J + 1 heat maps: the greatest of the people's Gaussians, then background, 1 - the greatest of all;
        and 2L PAFs: the mean over the people whose limb covers the cell.
    """
    h, w = size
    xy = np.asarray(xy, np.float64)
    x = cells_to_pixels(np.arange(w, dtype=np.float64), stride)[None, :]
    y = cells_to_pixels(np.arange(h, dtype=np.float64), stride)[:, None]

    heatmaps = np.zeros((skeleton.num_joints + 1, h, w))
    for joint in range(skeleton.num_joints):
        for px, py in xy[:, joint][np.isfinite(xy[:, joint]).all(axis=1)]:
            gaussian = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2))
            np.maximum(heatmaps[joint], np.where(gaussian < CUT, 0.0, gaussian), out=heatmaps[joint])
    heatmaps[-1] = 1 - heatmaps[:-1].max(axis=0)

    pafs = np.zeros((skeleton.num_limbs, 2, h, w))
    for limb, (a, b) in enumerate(skeleton.limbs):
        covered = np.zeros((h, w))
        for start, end in zip(xy[:, a], xy[:, b], strict=True):
            length = np.hypot(*(end - start))
            # A limb of no length, or with an end unlabelled (NaN), has no direction.
            if not length > 0:
                continue
            ux, uy = (end - start) / length
            along = np.clip((x - start[0]) * ux + (y - start[1]) * uy, 0, length)
            distance = np.hypot(x - start[0] - along * ux, y - start[1] - along * uy)
            inside = distance <= limb_width
            pafs[limb, 0] += inside * ux
            pafs[limb, 1] += inside * uy
            covered += inside
        pafs[limb] /= np.maximum(covered, 1)
    return Fields(heatmaps.astype(np.float32), pafs.reshape(-1, h, w).astype(np.float32), stride)
