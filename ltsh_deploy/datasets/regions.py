"""Parts of a picture that nothing is to be learned from, as data sets describe them, painted into masks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Polygon", "Region", "RunLengths", "box_polygon", "decode_counts", "paint_boxes"]

FloatArray = npt.NDArray[np.float64]
_FARTHEST = float(1 << 20)  # OpenCV's fixed-point coordinates overflow far beyond any picture


@dataclass(frozen=True, eq=False)
class Polygon:
    """A filled polygon.

    Attributes:
        corners: [N, 2] float64 positions, in image pixels.
    """

    corners: FloatArray

    def paint(self, mask: npt.NDArray[np.uint8]) -> None:
        """Set the pixels of [H, W] ``mask`` that lie in the polygon to 255."""
        corners = np.rint(np.clip(self.corners, -_FARTHEST, _FARTHEST)).astype(np.int32)
        cv2.fillPoly(mask, [corners], (255,))


@dataclass(frozen=True, eq=False)
class RunLengths:
    """A mask as COCO's uncompressed run lengths: turns of unset and set pixels, column by column.

    Attributes:
        counts: [N] int64 lengths of the runs, the first unset; they sum to width times height.
        size: (width, height) of the picture.
    """

    counts: npt.NDArray[np.int64]
    size: tuple[int, int]

    def paint(self, mask: npt.NDArray[np.uint8]) -> None:
        """Set the pixels of [H, W] ``mask`` that are set here to 255; where sizes differ, the common part."""
        values = np.zeros(len(self.counts), np.uint8)
        values[1::2] = 255
        width, height = self.size
        own = np.repeat(values, self.counts).reshape(width, height).T
        target = mask[:height, :width]
        np.maximum(target, own[: mask.shape[0], : mask.shape[1]], out=target)


Region = Polygon | RunLengths


def decode_counts(text: str) -> list[int]:
    """Run lengths of COCO's compressed form: 5 bits a character, from the fourth on less the last but one.

    Text that is no such form gives runs of a wrong sum, or a negative one.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            if shift > 60:
                return [-1]
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def box_polygon(box: npt.ArrayLike) -> Polygon:
    """The polygon of a box (x1, y1, x2, y2), its edges included."""
    x1, y1, x2, y2 = np.asarray(box, dtype=np.float64)
    return Polygon(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]))


def paint_boxes(boxes: FloatArray, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """[H, W] whether each pixel lies in any of the boxes [K, 4] (x1, y1, x2, y2), for a size (width, height)."""
    inside = np.zeros((size[1], size[0]), np.bool_)
    limits = np.array([size[0], size[1], size[0], size[1]], dtype=np.float64)
    # A box that ends at -1 or before holds nothing; one that ended at 0 would hold the first line of pixels.
    for x1, y1, x2, y2 in np.clip(boxes, -1, limits).tolist():
        rows = slice(max(0, int(np.ceil(y1))), int(np.floor(y2)) + 1)
        columns = slice(max(0, int(np.ceil(x1))), int(np.floor(x2)) + 1)
        inside[rows, columns] = True
    return inside
