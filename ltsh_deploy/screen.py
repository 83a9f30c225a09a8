"""What a window shows beside the people: a line of figures, and several sources as tiles of one picture."""

from __future__ import annotations

import math
from collections.abc import Hashable

import cv2
import numpy as np

from ltsh_deploy.images import Image

__all__ = ["Tiles", "write_corner"]

_DARK = 20
_LIGHT = (250, 250, 250)
_EMPTY = 40
# What the window is scaled from; more would cost time and show no more on most screens.
_WIDEST, _HIGHEST = 1920, 1080


def write_corner(image: Image, text: str) -> Image:
    """A copy of the picture with a line of text on a dark plate in its upper left corner; made to fit its width.

    Args:
        image: [H, W, 3] uint8 RGB; not changed.
        text: characters beyond ASCII become question marks, for OpenCV's fonts lack them.
    """
    written = np.array(image, order="C")
    height, width = written.shape[:2]
    text = text.encode("ascii", "replace").decode()
    scale = max(0.4, 0.0006 * max(height, width))
    (text_width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    scale *= min(1.0, 0.94 * width / max(text_width, 1))
    stroke = max(1, round(1.6 * scale))
    (text_width, text_height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)
    margin = max(1, round(8 * scale))
    written[: text_height + below + 2 * margin, : text_width + 2 * margin] //= 4
    at = (margin, margin + text_height)
    cv2.putText(written, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, _LIGHT, stroke, cv2.LINE_AA)
    return written


class Tiles:
    """The newest picture of each of several sources, side by side in one: as many columns as rows, or one more.

    All tiles are 16 to 9, as most cameras' pictures are.

    Args:
        count: how many sources there are at the same time, 1 or more.
    """

    def __init__(self, count: int) -> None:
        self._columns = math.ceil(math.sqrt(count))
        rows = math.ceil(count / self._columns)
        self._tile = (_WIDEST // self._columns, _HIGHEST // self._columns)
        self._free = list(range(count))
        self._places: dict[Hashable, int] = {}
        self._whole: Image = np.full((self._tile[1] * rows, self._tile[0] * self._columns, 3), _EMPTY, np.uint8)

    def put(self, source: Hashable, image: Image, text: str = "") -> Image:
        """All tiles, [H, W, 3] RGB, with this picture, scaled with its shape kept, in the place of its source.

        The text is written into the tile's corner.

        A source without a place gets the first that is free. The array is written to again by the next call.

        Raises:
            IndexError: when none is free.
        """
        if source not in self._places:
            self._places[source] = self._free.pop(0)
        tile = self._tile_of(source)
        height, width = tile.shape[:2]
        factor = min(width / image.shape[1], height / image.shape[0])
        size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
        scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        x, y = (width - size[0]) // 2, (height - size[1]) // 2
        tile[...] = _DARK
        tile[y : y + size[1], x : x + size[0]] = scaled
        if text:
            tile[...] = write_corner(tile, text)
        return self._whole

    def free(self, source: Hashable) -> None:
        """Empty the place of a source that has ended, if it has one."""
        if source in self._places:
            self._tile_of(source)[...] = _EMPTY
            self._free = sorted([*self._free, self._places.pop(source)])

    def _tile_of(self, source: Hashable) -> Image:
        width, height = self._tile
        row, column = divmod(self._places[source], self._columns)
        return self._whole[row * height : (row + 1) * height, column * width : (column + 1) * width]
