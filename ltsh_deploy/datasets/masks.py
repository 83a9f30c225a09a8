"""Masks in picture files."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.stored import Stored, read_bytes, source_name
from ltsh_deploy.errors import ImageError
from ltsh_deploy.images import read_image

__all__ = ["read_mask"]


def read_mask(source: Stored, what: str, size: tuple[int, int], *, exact: bool = False) -> npt.NDArray[np.uint8]:
    """A mask, [H, W] uint8.

    Args:
        source: where it lies.
        what: how messages call it, where it has no file.
        size: (width, height) that it must have.
        exact: the values mean something by themselves, so the file must have one channel of 8 bits; otherwise it may
            be any picture, and the brightest channel counts.

    Raises:
        ImageError: when it cannot be read, has another size, or not the channels that ``exact`` asks for.
    """
    name = source_name(source, what)
    data = read_bytes(source, name)
    picture = read_image(data, name)
    if (picture.shape[1], picture.shape[0]) != tuple(size):
        raise ImageError(
            f"{name}: the mask has {picture.shape[1]} x {picture.shape[0]} pixels, the picture {size[0]} x {size[1]}",
            "a mask must be as large as its picture",
        )
    if not exact:
        red, green, blue = cv2.split(picture)
        return np.asarray(cv2.max(cv2.max(red, green), blue), dtype=np.uint8)
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.ndim != 2 or stored.dtype != np.uint8:
        raise ImageError(f"{name}: must have one channel of 8 bits", "write it as a grey PNG")
    return np.asarray(stored, dtype=np.uint8)
