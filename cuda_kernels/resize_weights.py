"""Scaling in several steps as one: what each column, or row, of the result takes of the original.

A step of scaling is linear, and treats columns and rows apart. So steps one after another are a weighted sum again,
over neighbouring columns and rows, and their weights can be computed before there is a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["AxisWeights", "Step", "combine"]

#: As OpenCV's INTER_CUBIC has it; Keys, "Cubic convolution interpolation for digital image processing", 1981, takes
#: -0.5.
_CUBIC = -0.75

Indices = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """Scaling of one axis.

    Attributes:
        length: afterwards.
        cubic: whether by cubic convolution of four samples; else between two.
    """

    length: int
    cubic: bool


@dataclass(frozen=True, eq=False)
class AxisWeights:
    """What columns, or rows, are made of. Equal to itself alone.

    Attributes:
        firsts: [length] int32, the first column of the original that each takes.
        weights: [taps, length] float32, of that column and those that follow; all of them exist.
    """

    firsts: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]

    def reversed(self) -> AxisWeights:
        """The same, mirrored."""
        return AxisWeights(self.firsts[::-1], self.weights[:, ::-1])


def combine(length: int, steps: Sequence[Step]) -> AxisWeights:
    """The weights that several steps come to.

    Args:
        length: of the axis before the first step; at least 1.
        steps: each of a length of at least 1.
    """
    lengths = [length, *(step.length for step in steps)]
    firsts: Indices = np.arange(lengths[-1])
    weights: Weights = np.ones((lengths[-1], 1))
    for step, before in reversed(list(zip(steps, lengths, strict=False))):
        if step.length != before:
            firsts, weights = _after(_samples(before, step), firsts, weights, before)
    return AxisWeights(firsts.astype(np.int32), np.ascontiguousarray(weights.T, np.float32))


def _samples(before: int, step: Step) -> tuple[Indices, Weights]:
    """[length, taps] which columns a step takes, in rising order, and their weights; the edge goes on beyond it."""
    position = (np.arange(step.length) + 0.5) * before / step.length - 0.5
    begin = np.floor(position)
    beyond = position - begin
    if step.cubic:
        distances = np.stack([1 + beyond, beyond, 1 - beyond, 2 - beyond], axis=1)
        weights, offsets = _cubic(distances), np.arange(-1, 3)
    else:
        weights, offsets = np.stack([1 - beyond, beyond], axis=1), np.arange(2)
    indices = begin.astype(np.int64)[:, None] + offsets
    return np.clip(indices, 0, before - 1), weights


def _cubic(distances: Weights) -> Weights:
    near = ((_CUBIC + 2) * distances - (_CUBIC + 3)) * distances**2 + 1
    far = ((distances - 5) * distances + 8) * distances * _CUBIC - 4 * _CUBIC
    return np.where(distances <= 1, near, far)


def _after(samples: tuple[Indices, Weights], firsts: Indices, weights: Weights, before: int) -> tuple[Indices, Weights]:
    """Put a step before others: their ``firsts`` [n] and ``weights`` [n, taps] are of columns that it makes."""
    indices, shares = samples
    made = firsts[:, None] + np.arange(weights.shape[1])
    taken: Any = indices[made].reshape(len(firsts), -1)
    shared = (weights[:, :, None] * shares[made]).reshape(taken.shape)
    taps = int((taken.max(axis=1) - taken.min(axis=1)).max()) + 1
    begins = np.minimum(taken.min(axis=1), before - taps)
    together = np.zeros((len(firsts), taps))
    np.add.at(together, (np.arange(len(firsts))[:, None], taken - begins[:, None]), shared)
    return begins, together
