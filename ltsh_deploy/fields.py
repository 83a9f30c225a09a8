"""Fields: what a network says about one image, and where on the image each of its cells lies.

Glossary of shape letters, used in every docstring of the package:

====== =====================================================================
N      images in a batch
J      joints of the skeleton
L      limbs of the skeleton; limb ``l`` owns PAF channels ``2l`` (x) and ``2l + 1`` (y)
P      people
K      peaks
H, W   height and width in pixels
h, w   height and width in cells; ``h = H / stride``
====== =====================================================================

Coordinates are (x, y). A pixel's or cell's centre has whole-number coordinates: the top left pixel covers
[-0.5, 0.5) in both axes, as in OpenCV. The centre of cell ``i`` lies at pixel ``(i + 0.5) * stride - 0.5``, for heat
maps and PAFs alike; :func:`cells_to_pixels` and :func:`pixels_to_cells` are the only places that say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import FieldsError

__all__ = ["Fields", "FloatArray", "cells_to_pixels", "pixels_to_cells"]

FloatArray = npt.NDArray[np.floating[Any]]


@overload
def cells_to_pixels(cells: float, stride: float) -> float: ...
@overload
def cells_to_pixels(cells: FloatArray, stride: float) -> FloatArray: ...
def cells_to_pixels(cells: float | FloatArray, stride: float) -> float | FloatArray:
    """Pixel coordinates, on the network's input, of cell coordinates."""
    return (cells + 0.5) * stride - 0.5


@overload
def pixels_to_cells(pixels: float, stride: float) -> float: ...
@overload
def pixels_to_cells(pixels: FloatArray, stride: float) -> FloatArray: ...
def pixels_to_cells(pixels: float | FloatArray, stride: float) -> float | FloatArray:
    """Cell coordinates of pixel coordinates on the network's input; the inverse of :func:`cells_to_pixels`."""
    return (pixels + 0.5) / stride - 0.5


@dataclass(frozen=True, eq=False)
class Fields:
    """The maps of one image.

    Attributes:
        heatmaps: [J, h, w] or [J + 1, h, w] float32; a last channel beyond the joints is background and never decoded.
        pafs: [2L, h, w] float32, the unit vector along each limb from its first joint to its second.
        stride: pixels of the network's input a cell.
    """

    heatmaps: npt.NDArray[np.float32]
    pafs: npt.NDArray[np.float32]
    stride: int

    def __post_init__(self) -> None:
        if (
            self.heatmaps.ndim != 3
            or self.pafs.ndim != 3
            or self.heatmaps.shape[1:] != self.pafs.shape[1:]
            or 0 in self.heatmaps.shape
        ):
            raise FieldsError(
                "heat maps and PAFs must be [channels, h, w] of one size, at least one cell, "
                f"got {self.heatmaps.shape} and {self.pafs.shape}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) in cells."""
        return self.heatmaps.shape[1], self.heatmaps.shape[2]
