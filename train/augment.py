"""From a picture and one of its people to a crop: scaled, rotated, moved and mirrored by a single affine warp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.fields import cells_to_pixels
from ltsh_deploy.images import Image
from ltsh_deploy.skeletons import Skeleton

if TYPE_CHECKING:
    from ltsh_deploy.train.config import CropConfig

__all__ = ["PADDING", "REFERENCE_SIDE", "Warp", "centred_warp", "draw_warp", "ignored_cells", "warp_image"]

FloatArray = npt.NDArray[np.float64]

#: The grey around a picture.
PADDING = 128
#: The side of the crop, in pixels, that the lengths in a crop's configuration are meant for.
REFERENCE_SIDE = 368


@dataclass(frozen=True, eq=False)
class Warp:
    """Where a picture's points lie in a crop.

    Attributes:
        matrix: [2, 3] float64 from pixels of the picture to pixels of the crop, centres at whole numbers.
        mirrored: whether left and right are exchanged.
        size: (width, height) of the crop.
    """

    matrix: FloatArray
    mirrored: bool
    size: tuple[int, int]

    @property
    def zoom(self) -> float:
        """Pixels of the crop a pixel of the picture."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def points(self, xy: FloatArray) -> FloatArray:
        """[..., 2] in the crop, of points in the picture."""
        return np.asarray(xy @ self.matrix[:, :2].T + self.matrix[:, 2])

    def joints(self, joints: FloatArray, skeleton: Skeleton) -> FloatArray:
        """[P, J, 3] in the crop, of people in the picture: mirrored people's left joints become right ones."""
        moved = joints.copy()
        moved[..., :2] = self.points(joints[..., :2])
        return moved[:, list(skeleton.flip_joints)] if self.mirrored else moved

    def to_picture(self, xy: FloatArray) -> FloatArray:
        """[..., 2] in the picture, of points in the crop: the inverse of :meth:`points`."""
        return np.asarray((xy - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T)


def draw_warp(
    rng: np.random.Generator, config: CropConfig, centre: FloatArray, scale: float, size: tuple[int, int]
) -> Warp:
    """A random warp around one person.

    Args:
        rng: the same numbers are drawn from it whatever the configuration.
        config: how much of everything.
        centre: [2] of the person, in pixels of the picture.
        scale: the person's height / 200 pixels.
        size: (width, height) of the crop.
    """
    zoom, angle = rng.uniform(*config.zoom), rng.uniform(-1, 1) * config.rotation
    shift, mirrored = rng.uniform(-1, 1, 2) * config.shift, bool(rng.random() < config.mirror)
    return _make_warp(config, centre, scale, size, zoom, angle, shift, mirrored)


def centred_warp(config: CropConfig, centre: FloatArray, scale: float, size: tuple[int, int]) -> Warp:
    """The warp of :func:`draw_warp` with nothing random: the person upright, in the middle, at the target size."""
    return _make_warp(config, centre, scale, size, 1.0, 0.0, np.zeros(2), False)


def _make_warp(
    config: CropConfig,
    centre: FloatArray,
    scale: float,
    size: tuple[int, int],
    zoom: float,
    angle: float,
    shift: FloatArray,
    mirrored: bool,
) -> Warp:
    width, height = size
    relative = min(size) / REFERENCE_SIDE
    factor = zoom * config.target_scale * relative / scale
    sine, cosine = np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))
    linear = factor * np.array([[cosine, -sine], [sine, cosine]])
    middle = np.array([width - 1, height - 1]) / 2
    offset = middle - linear @ centre - shift * relative
    if mirrored:
        mirror = np.diag([-1.0, 1.0])
        linear, offset = mirror @ linear, mirror @ offset + [width - 1, 0]
    return Warp(np.column_stack([linear, offset]), mirrored, size)


def warp_image(image: Image, warp: Warp) -> Image:
    """The crop [H, W, 3] of a picture, grey where the picture does not reach.

    Where it shrinks much, the part that is seen is first averaged down by a whole number, lest pixels be skipped.
    """
    matrix = warp.matrix
    factor = int(1 / warp.zoom)
    if factor >= 2:
        image, first = _shrunk_part(image, warp, factor)
        linear = matrix[:, :2] @ np.linalg.inv(first[:, :2])
        matrix = np.column_stack([linear, matrix[:, 2] - linear @ first[:, 2]])
    if not image.size:
        return np.full((warp.size[1], warp.size[0], 3), PADDING, np.uint8)
    warped = cv2.warpAffine(
        image,
        matrix,
        warp.size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(PADDING, PADDING, PADDING),
    )
    return np.asarray(warped, np.uint8)


def _shrunk_part(image: Image, warp: Warp, factor: int) -> tuple[Image, FloatArray]:
    """The part of the picture that the crop shows, so many times smaller, and the [2, 3] matrix from picture to it."""
    width, height = warp.size
    corners = warp.to_picture(np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], np.float64))
    # Interpolation reads one pixel of the smaller picture beyond the corners.
    limits = np.array([image.shape[1], image.shape[0]])
    x1, y1 = np.clip(np.floor(corners.min(axis=0)) - 2 * factor, 0, limits).astype(int)
    x2, y2 = np.clip(np.ceil(corners.max(axis=0)) + 2 * factor + 1, 0, limits).astype(int)
    part = image[y1:y2, x1:x2]
    if not part.size:
        return part, np.eye(2, 3)
    size = np.maximum(1, np.rint(np.array([x2 - x1, y2 - y1]) / factor)).astype(int)
    ratio = size / [x2 - x1, y2 - y1]
    matrix = np.column_stack([np.diag(ratio), (0.5 - np.array([x1, y1])) * ratio - 0.5])
    small = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), matrix


def ignored_cells(
    warp: Warp, picture: tuple[int, int], mask: npt.NDArray[np.bool_] | None, stride: int
) -> npt.NDArray[np.bool_]:
    """[h, w] the cells of a crop that do not count: their centre lies outside the picture, or where ``mask`` is set.

    Args:
        warp: of the crop.
        picture: (width, height) of the picture.
        mask: [H, W] of the picture, or None for none.
        stride: pixels a cell.
    """
    columns, rows = (np.arange(side // stride, dtype=np.float64) for side in warp.size)
    centres = np.stack(np.meshgrid(cells_to_pixels(columns, stride), cells_to_pixels(rows, stride)), axis=-1)
    x, y = np.moveaxis(np.rint(warp.to_picture(np.asarray(centres, np.float64))).astype(np.int64), -1, 0)
    outside = (x < 0) | (y < 0) | (x >= picture[0]) | (y >= picture[1])
    if mask is None:
        return np.asarray(outside)
    return np.asarray(outside | mask[np.clip(y, 0, picture[1] - 1), np.clip(x, 0, picture[0] - 1)])
