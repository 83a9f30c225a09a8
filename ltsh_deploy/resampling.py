"""Averaging the fields of several passes over one image: other scales, the mirror image.

Every pass saw the image through its own placement, so its cells lie at their own places on the image. The maps of all
passes are read at the places of the finest pass's cells, by separable spline interpolation, and averaged there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ltsh_deploy.fields import Fields, FloatArray, cells_to_pixels, pixels_to_cells
from ltsh_deploy.images import Placement
from ltsh_deploy.skeletons import Skeleton

__all__ = ["Pass", "average_passes"]


@dataclass(frozen=True)
class Pass:
    """One look at an image.

    Attributes:
        placement: how the image lay on the network's input.
        mirrored: whether left and right were exchanged first.
        fields: what the network said.
    """

    placement: Placement
    mirrored: bool
    fields: Fields


def average_passes(passes: Sequence[Pass], skeleton: Skeleton) -> tuple[Fields, Placement]:
    """The mean of the passes' fields on the cells of the finest one, and that one's placement.

    Args:
        passes: at least one, of one image, with fields of one stride; mirrored ones are turned back.
        skeleton: whose joints and limbs the channels are.
    """
    if len(passes) == 1 and not passes[0].mirrored:
        return passes[0].fields, passes[0].placement
    finest = max(passes, key=lambda p: p.placement.content_size[0] * p.placement.content_size[1])
    h, w = finest.fields.size
    # Where the finest pass's cells lie on the image. Mirrored or not, they are those of its unmirrored placement.
    diagonal = np.repeat(np.arange(max(h, w), dtype=np.float64)[:, None], 2, axis=1)
    places = finest.placement.to_image(cells_to_pixels(diagonal, finest.fields.stride))
    xs, ys = places[:w, 0], places[:h, 1]

    heatmaps: FloatArray = np.zeros((finest.fields.heatmaps.shape[0], h, w))
    pafs: FloatArray = np.zeros((finest.fields.pafs.shape[0], h, w))
    for each in passes:
        width = each.placement.image_size[0]
        columns, rows = _cells_at(each, width - 1 - xs if each.mirrored else xs, ys)
        across, down = _spline_weights(columns, each.fields.size[1]), _spline_weights(rows, each.fields.size[0])
        seen: FloatArray = down @ each.fields.heatmaps @ across.T
        seen_pafs: FloatArray = down @ each.fields.pafs @ across.T
        if each.mirrored:
            seen, seen_pafs = _unmirror(seen, seen_pafs, skeleton)
        heatmaps += seen
        pafs += seen_pafs
    mean = Fields(
        (heatmaps / len(passes)).astype(np.float32), (pafs / len(passes)).astype(np.float32), finest.fields.stride
    )
    return mean, finest.placement


def _cells_at(each: Pass, xs: FloatArray, ys: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cell coordinates, in a pass's maps, of these columns and rows of the image the pass saw."""
    longest = max(len(xs), len(ys))
    xy = np.stack([np.resize(xs, longest), np.resize(ys, longest)], axis=1)
    cells = pixels_to_cells(each.placement.to_input(xy), each.fields.stride)
    return cells[: len(xs), 0], cells[: len(ys), 1]


def _spline_weights(at: FloatArray, size: int) -> FloatArray:
    """[len(at), size] weights that interpolate a row of ``size`` values at these positions; beyond its ends, the end.

    The interpolant is the cubic spline through the values (Unser, "Splines: a perfect fit for signal and image
    processing", 1999). It moves the summits of this project's own targets about a third as far as cubic convolution
    does.
    """
    return _basis(np.clip(at, 0, size - 1), size) @ np.linalg.inv(_basis(np.arange(size, dtype=np.float64), size))


def _basis(at: FloatArray, size: int) -> FloatArray:
    """[len(at), size] cubic B-splines of ``size`` knots, mirrored at both ends, at these positions within the knots."""
    base = np.floor(at).astype(np.intp)
    period = max(2 * size - 2, 1)
    values = np.zeros((len(at), size))
    for tap in range(-1, 3):
        t = np.abs(at - (base + tap))
        value = np.where(t < 1, 2 / 3 - t * t * (1 - t / 2), np.maximum(2 - t, 0) ** 3 / 6)
        folded = np.abs(base + tap) % period
        np.add.at(values, (np.arange(len(at)), np.minimum(folded, period - folded)), value)
    return values


def _unmirror(heatmaps: FloatArray, pafs: FloatArray, skeleton: Skeleton) -> tuple[FloatArray, FloatArray]:
    """Give maps of the mirror image, already read from right to left, the channels and directions of the image."""
    background = range(skeleton.num_joints, len(heatmaps))
    heatmaps = heatmaps[[*skeleton.flip_joints, *background]]
    limbs = np.array([limb for limb, _ in skeleton.flip_limbs], np.intp)
    turned = np.array([-1.0 if is_turned else 1.0 for _, is_turned in skeleton.flip_limbs])
    vectors = pafs.reshape(-1, 2, *pafs.shape[1:])[limbs] * turned[:, None, None, None]
    vectors[:, 0] *= -1
    return heatmaps, vectors.reshape(pafs.shape)
