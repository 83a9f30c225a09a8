"""Pictures that carry a number which survives compression, and how much memory a process holds."""

from __future__ import annotations

import resource
from pathlib import Path

import cv2
import numpy as np

from ltsh_deploy.images import Image

__all__ = ["number_of", "picture_of", "resident_mib"]

_BITS = 12


def picture_of(number: int, size: tuple[int, int]) -> Image:
    """A picture [H, W, 3] of this (width, height) with the number in it: so many black and white stripes."""
    bits = [255 * (number >> bit & 1) for bit in range(_BITS)]
    stripes = np.repeat(np.array([bits], np.uint8)[:, :, None], 3, axis=2)
    return np.asarray(cv2.resize(stripes, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def number_of(image: Image) -> int:
    """The number in a picture of :func:`picture_of`."""
    row = image[image.shape[0] // 2].mean(axis=1)
    places = ((np.arange(_BITS) + 0.5) * image.shape[1] / _BITS).astype(int)
    return sum(int(row[place] > 127) << bit for bit, place in enumerate(places))


def resident_mib() -> float:
    """Memory that this process holds now, in MiB; Linux only."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / (1 << 20)
