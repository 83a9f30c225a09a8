"""A network that is perfect: it knows who is in each picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.encode import encode_fields
from ltsh_deploy.fields import Fields

__all__ = ["COLOURS", "SeesColours"]

#: Of the three joints of one person.
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


class SeesColours:
    """A runtime that sees a joint in the middle of each patch of its colour.

    Args:
        description: of a network with stride 8, whose skeleton has three joints.

    Attributes:
        batches: the shapes it was given.
        closed: whether it was.
    """

    device = "cpu"

    def __init__(self, description: Any) -> None:
        self.description = description
        self.batches: list[tuple[int, ...]] = []
        self.closed = False

    def run(self, images: npt.NDArray[np.uint8]) -> list[Fields]:
        self.batches.append(images.shape)
        return [self._look(image.astype(int)) for image in images]

    def _look(self, image: npt.NDArray[Any]) -> Fields:
        xy = np.full((1, 3, 2), np.nan)
        for joint, colour in enumerate(COLOURS):
            ys, xs = np.nonzero((abs(image - colour) < 100).all(axis=2))
            if len(xs):
                xy[0, joint] = xs.mean(), ys.mean()
        return encode_fields(xy, self.description.skeleton, (image.shape[0] // 8, image.shape[1] // 8))

    def close(self) -> None:
        self.closed = True
