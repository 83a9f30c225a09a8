"""Peaks of heat maps, refined to a small part of a cell.

A peak is a regional maximum: a cell, or a plateau of equal cells, that exceeds the threshold and all its neighbours.
So a plateau is one peak, or none if it leads up to a higher cell.

A peak's place is that of an isotropic Gaussian fitted to the 3 x 3 cells around it. The logarithm of such a Gaussian
is ``c + bx x + by y - a (x^2 + y^2)``, linear in its four unknowns, so the fit is a least-squares problem; its
weights are the squared values, since noise of equal size in all cells has a variance of 1 / value^2 in their
logarithms (Guo, "A simple algorithm for fitting a Gaussian function", IEEE Signal Processing Magazine 2011). One
curvature for both axes makes the fit exact at the border too, where neighbours are missing. Where another person's
Gaussian covers a part of the neighbourhood, those cells exceed the fit; they lose their weight and the fit is
repeated.

The arithmetic of ``cuda_kernels/peaks.h`` is this one, operation by operation, so that decoders agree in what they
choose even where values are tied. Sums add what mirrors into each other first: a mirrored map has mirrored peaks, to
the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Peaks", "find_peaks"]

IntArray = npt.NDArray[np.intp]

_KERNEL = np.ones((3, 3), np.uint8)
# The 3 x 3 neighbourhood, row by row; its centre is number 4.
_Y, _X = (grid.ravel() for grid in np.mgrid[-1:2, -1:2])
_Q = _X**2 + _Y**2

# Cells below this part of the peak's value say nothing of its place.
_FLOOR = 0.05
# A cell that exceeds the fit by this part of the peak's value belongs to something else: noise of a good network
# stays below it. Its weight falls by this factor, and the fit is repeated at most so often.
_EXCESS, _DISCOUNT, _REFITS = 0.05, 0.05, 2
# What the cells leave open, this decides. In a corner of the map that is the curvature: 1 / (2 sigma^2) of this
# project's own targets at stride 8. Among empty cells it is the slope too: none.
_PRIOR_WEIGHT, _PRIOR_WEIGHT_OF_CURVATURE = 1e-12, 1e-6
_PRIOR_CURVATURE = 0.5 / (7 / 8) ** 2
# Below this curvature there is no summit to speak of: 1 / (2 sigma^2) of a Gaussian as wide as 22 cells.
_MIN_CURVATURE = 1e-3


@dataclass(frozen=True, eq=False)
class Peaks:
    """The peaks of one image's heat maps, by joint, within a joint in the order of rows and columns.

    Attributes:
        joints: [K] the joint of each peak.
        xy: [K, 2] float64 cells. Within half a cell of the cell that is the maximum; up to a whole one off the map, so
            that joints just off it keep their place.
        scores: [K] float64 height of the fitted Gaussian: at least the cell's value and at most twice it; never over 1
            unless the cell's value is.
        starts: [J + 1] the peaks of joint ``j`` are ``starts[j]`` up to ``starts[j + 1]``.
        dropped: [J] peaks left out because a joint had more than its limit.
    """

    joints: IntArray
    xy: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    starts: IntArray
    dropped: IntArray

    def __len__(self) -> int:
        return len(self.joints)


def find_peaks(heatmaps: npt.NDArray[np.float32], threshold: float = 0.05, max_peaks: int = 60) -> Peaks:
    """The peaks of every joint's heat map.

    Args:
        heatmaps: [J, h, w], without background, finite.
        threshold: a peak's cell must exceed it; not negative.
        max_peaks: a joint keeps at most this many, those of the greatest value (on ties the first in the map).
    """
    joints, h, w = heatmaps.shape
    # All maps in one tall picture, kept apart by rows and columns of -inf: the column right of a row is also the
    # one left of the next. A first row and a last cell of -inf make every neighbour's index valid.
    columns, rows = w + 1, h + 1
    flat = np.full((1 + joints * rows) * columns + 1, -np.inf, np.float32)
    tall = flat[:-1].reshape(-1, columns)
    tall[1:].reshape(joints, rows, columns)[:, :h, :w] = heatmaps
    is_peak = tall >= cv2.dilate(tall, _KERNEL)
    is_peak &= tall > threshold
    cells = np.flatnonzero(is_peak)

    around = cells[:, None] + (_Y * columns + _X)
    patches = flat[around]
    plateau_centres = np.zeros((0, 2))
    tied = np.count_nonzero(patches == patches[:, 4:5], axis=1) > 1
    if tied.any():
        keep, plateau_centres, wide = _merge_plateaus(is_peak, cells, patches, tied, rows)
        cells, patches, plateau_centres, wide = cells[keep], patches[keep], plateau_centres[keep], wide[keep]
    joint, row = np.divmod(cells // columns - 1, rows)

    starts = np.searchsorted(joint, np.arange(joints + 1))
    counts = np.diff(starts)
    dropped = np.maximum(counts - max_peaks, 0)
    strongest: IntArray | slice = slice(None)
    if dropped.any():
        # By joint, then by value, then by place; a rank within the joint follows.
        order = np.lexsort((cells, -patches[:, 4], joint))
        strongest = np.sort(order[np.arange(len(order)) - starts[joint[order]] < max_peaks])
        cells, patches, joint, row = cells[strongest], patches[strongest], joint[strongest], row[strongest]
        starts = np.concatenate([[0], np.cumsum(np.minimum(counts, max_peaks))])

    offsets, scores = _refine(patches)
    xy = np.stack([cells % columns, row], axis=1) + offsets
    if len(plateau_centres):
        # On a plateau wider than two cells the fit sees no slope: its centre is the best guess.
        wide, centres = wide[strongest], plateau_centres[strongest]
        xy[wide] = centres[wide]
    return Peaks(joint, xy, scores, starts, dropped)


def _merge_plateaus(
    is_peak: npt.NDArray[np.bool_],
    cells: IntArray,
    patches: npt.NDArray[np.float32],
    tied: npt.NDArray[np.bool_],
    rows: int,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """One cell for each plateau.

    Args:
        is_peak: [rows, columns] of the tall picture: no neighbour is greater.
        cells: [K] flat indices where that is so.
        patches: [K, 9] the cells' neighbourhoods.
        tied: [K] whether a neighbour is equal.
        rows: of the tall picture, for each map.

    Returns:
        keep: [K] one cell, the first, of each plateau that is a regional maximum, and all cells that are not tied.
        centres: [K, 2] the plateau's mean column and row in its own map.
        wide: [K] whether the plateau is more than two cells wide or high.
    """
    columns = is_peak.shape[1]
    _, labels = cv2.connectedComponents(is_peak.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    # Cells that are peaks and touch are equal, so a component is a plateau, or the part of it that has no greater
    # neighbour. In the second case a cell of it has an equal neighbour that is no peak: then it is a step, not a top.
    plateau = labels.ravel()[cells]
    around = cells[:, None] + (_Y * columns + _X)
    neighbour_is_peak = np.append(is_peak.ravel(), False)[around]
    is_step = np.zeros(labels.max() + 1, bool)
    is_step[plateau[((patches == patches[:, 4:5]) & ~neighbour_is_peak).any(axis=1)]] = True
    first = np.zeros(len(cells), bool)
    first[np.unique(plateau, return_index=True)[1]] = True

    sizes = np.bincount(plateau)
    xs, ys = cells % columns, (cells // columns - 1) % rows
    centres = np.stack([np.bincount(plateau, weights=v)[plateau] / sizes[plateau] for v in (xs, ys)], axis=1)
    # Wide if a cell lies more than one cell from another: then the farthest lies more than half a cell from the mean.
    far = (np.abs(np.stack([xs, ys], axis=1) - centres) > 0.7).any(axis=1)
    is_wide = np.zeros(len(is_step), bool)
    is_wide[plateau[far]] = True
    return first & ~is_step[plateau], centres, is_wide[plateau] & tied


def _refine(patches: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Fit Gaussians to [K, 9] values: offsets [K, 2] from the centre cell, in cells, and heights [K]."""
    top = patches[:, 4].astype(np.float64)
    # Relative to the centre; cells off the map are -inf.
    values = np.maximum(patches / top[:, None], 0.0)
    logs = np.log(np.maximum(values, 1e-6))
    weights = np.where(values < _FLOOR, 0.0, values**2)
    fit = _solve(weights, logs)
    todo = np.arange(len(values))
    for _ in range(_REFITS):
        height, slope_x, slope_y, curvature = fit[:, todo, None]
        fitted = np.exp(np.minimum(height + slope_x * _X + slope_y * _Y - curvature * _Q, 1.0))
        foreign = values[todo] - fitted > _EXCESS
        touched = foreign.any(axis=1)
        if not touched.any():
            break
        todo = todo[touched]
        weights[todo] *= np.where(foreign[touched], _DISCOUNT, 1.0)
        fit[:, todo] = _solve(weights[todo], logs[todo])
    curvature = np.maximum(fit[3], _MIN_CURVATURE)
    # A summit lies nearer to the greatest cell than to any other; off the map there is no other.
    reach = np.where(np.isinf(patches), 1.0, 0.5)
    offsets = np.clip((fit[1:3] / (2 * curvature)).T, -reach[:, [3, 1]], reach[:, [5, 7]])
    # The height above the centre cell that the offset explains.
    rise = np.exp(np.minimum(curvature * (offsets**2).sum(axis=1), np.log(2.0)))
    return offsets, np.minimum(top * rise, np.maximum(top, 1.0))


def _solve(weights: npt.NDArray[np.float64], logs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[4, K] weighted least-squares solutions (c, bx, by, a) for [K, 9] weights and logarithms."""
    # Moments of the weights and, beside them, of the weighted logarithms.
    nw, n, ne, w, c, e, sw, s, se = np.stack([weights, weights * logs]).transpose(2, 0, 1)
    left, right = (nw + sw) + w, (ne + se) + e
    above, below = (nw + ne) + n, (sw + se) + s
    one = (left + right) + ((n + s) + c)
    x, y, xx, yy = right - left, below - above, left + right, above + below
    q = xx + yy
    # Of the weights alone.
    xy = ((nw + se) - (ne + sw))[0]
    xq = (x + ((ne + se) - (nw + sw)))[0]
    yq = (y + ((sw + se) - (nw + ne)))[0]
    qq = (q + 2 * ((nw + se) + (ne + sw)))[0]

    # [4, 5, K] the normal equations and their right side, then eliminated without a choice of pivots: the matrix is
    # symmetric and, by the prior, positive definite.
    system = np.array(
        [
            [one[0] + _PRIOR_WEIGHT, x[0], y[0], -q[0], one[1]],
            [x[0], xx[0] + _PRIOR_WEIGHT, xy, -xq, x[1]],
            [y[0], xy, yy[0] + _PRIOR_WEIGHT, -yq, y[1]],
            [-q[0], -xq, -yq, qq + _PRIOR_WEIGHT_OF_CURVATURE, _PRIOR_WEIGHT_OF_CURVATURE * _PRIOR_CURVATURE - q[1]],
        ]
    )
    inverse = np.empty_like(system[0, :4])
    for k in range(4):
        inverse[k] = 1 / system[k, k]
        factors = system[k + 1 :, k] * inverse[k]
        system[k + 1 :, k + 1 :] -= factors[:, None] * system[k, None, k + 1 :]
    solution = system[:, 4]
    for k in (3, 2, 1, 0):
        solution[k] *= inverse[k]
        solution[:k] -= system[:k, k] * solution[k]
    return solution
