"""Which peaks belong together: line integrals of the PAFs between pairs of peaks, and a greedy choice among the pairs.

A pair of peaks stops being sampled as soon as it can no longer reach the number of good samples it needs; no result
depends on that: samples are added up one by one in the order of reading. The arithmetic of ``cuda_kernels/limbs.h`` is
this one, operation by operation, so that decoders agree in what they choose even where scores are tied.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ltsh_deploy.decode_config import DecodeConfig
from ltsh_deploy.peaks import Peaks
from ltsh_deploy.skeletons import Skeleton

__all__ = ["Connections", "reading_order", "score_limbs"]

IntArray = npt.NDArray[np.intp]

# Pairs are scored in blocks, so that memory stays bounded and a block's arrays stay in the cache.
_BLOCK = 8192
_FEW = 2048
# Cells. Closer than this, the direction from one peak to the other is an accident of rounding.
_MIN_LENGTH = 1e-3


@dataclass(frozen=True, eq=False)
class Connections:
    """Pairs of peaks that are joined; within a limb, no peak is in two.

    Attributes:
        limbs: [M] limb of each connection, ascending.
        first: [M] index, among all peaks, of the peak at the limb's first joint.
        second: [M] likewise at its second.
        scores: [M] float64 line integral of the PAF times the sureness of both peaks, greater than 0.
    """

    limbs: IntArray
    first: IntArray
    second: IntArray
    scores: npt.NDArray[np.float64]


def score_limbs(
    pafs: npt.NDArray[np.float32], peaks: Peaks, skeleton: Skeleton, config: DecodeConfig = DecodeConfig()
) -> Connections:
    """Score all pairs of peaks that a limb could join and choose, limb by limb, the best first, each peak once.

    The integral of a pair is the mean, over ``config.samples`` points, of the bilinearly sampled PAF's component
    along the line between the peaks, less OpenPose's length penalty; it must be positive. A peak off the map is
    sampled from the nearest place on it. A pair of no length (a thousandth of a cell) has no direction and is never
    joined. The score of a pair is its integral times the sureness of both its peaks, a peak's score over
    ``config.sure_peak``, at most 1: by the integral alone, a speck of noise that happens to lie on a limb would rival
    the joint at its end.

    Args:
        pafs: [2L, h, w].
        peaks: of the same image, coordinates in cells.
        skeleton: with L limbs.
        config: thresholds.
    """
    starts, counts = peaks.starts[:-1], np.diff(peaks.starts)
    ends = skeleton.limb_ends
    # A row is one peak at a limb's first joint; it has a pair with every peak at the second.
    row_limb = np.repeat(np.arange(skeleton.num_limbs), counts[ends[:, 0]])
    row_first = np.arange(len(row_limb)) + np.repeat(
        starts[ends[:, 0]] - _exclusive_sum(counts[ends[:, 0]]), counts[ends[:, 0]]
    )
    row_size = counts[ends[row_limb, 1]]
    row_second = starts[ends[row_limb, 1]]

    sampler = _PafSampler(pafs, peaks.xy, config)
    found = []
    for rows in _blocks(row_size):
        row = np.repeat(np.arange(rows.start, rows.stop), row_size[rows])
        limb, first = row_limb[row], row_first[row]
        second = np.arange(len(row)) + (row_second[rows] - _exclusive_sum(row_size[rows]))[row - rows.start]
        scores, kept = sampler.scores(limb, first, second)
        found.append((limb[kept], first[kept], second[kept], scores))
    if not found:
        none = np.zeros(0, np.intp)
        return Connections(none, none, none, np.zeros(0))
    limb, first, second, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    sureness = np.minimum(peaks.scores / config.sure_peak, 1)
    scores *= sureness[first] * sureness[second]
    chosen = _assign(limb * len(peaks) + first, limb * len(peaks) + second, scores)
    return Connections(limb[chosen], first[chosen], second[chosen], scores[chosen])


def _exclusive_sum(counts: IntArray) -> IntArray:
    """Of each element, the sum of those before it."""
    sums: IntArray = np.cumsum(counts) - counts
    return sums


def _blocks(sizes: IntArray) -> Iterator[slice]:
    """Consecutive rows whose sizes add up to about ``_BLOCK``, at least one row each."""
    block = np.cumsum(sizes) // _BLOCK
    edges = np.flatnonzero(np.diff(block, prepend=-1, append=-1)) if len(block) else np.zeros(1, np.intp)
    for begin, end in itertools.pairwise(edges.tolist()):
        yield slice(begin, end)


@lru_cache(maxsize=16)
def reading_order(samples: int, min_samples: int) -> npt.NDArray[np.float32]:
    """[samples] the parts of a line's length at which a PAF is read, in the order of reading.

    If the first ``samples - min_samples + 1`` points all fail, the pair has failed. They lie well inside the limb,
    since most wrong pairs share an end with a right one.
    """
    positions = np.linspace(0, 1, samples, dtype=np.float32)
    decisive = samples - min_samples + 1
    first = (np.arange(1, decisive + 1) * samples) // (decisive + 1)
    rest = np.delete(positions, first)
    order = np.concatenate([positions[first], rest[::2], rest[1::2]])
    order.flags.writeable = False
    return order


class _PafSampler:
    """Line integrals over the PAFs of one image, between its peaks."""

    def __init__(self, pafs: npt.NDArray[np.float32], xy: npt.NDArray[np.float64], config: DecodeConfig) -> None:
        self.config = config
        self.h, self.w = pafs.shape[1:]
        self.pafs = np.ascontiguousarray(pafs, np.float32).ravel()
        self.xy = np.ascontiguousarray(xy.T, np.float32)
        self.on_map = np.clip(self.xy, 0, [[self.w - 1], [self.h - 1]], dtype=np.float32)
        decisive = config.samples - config.min_samples + 1
        middle = (decisive + config.samples + 1) // 2
        self.stages = np.split(reading_order(config.samples, config.min_samples), [decisive, middle])

    def scores(self, limb: IntArray, first: IntArray, second: IntArray) -> tuple[npt.NDArray[np.float64], IntArray]:
        """Scores of the pairs that may be joined, and which of the pairs those are."""
        vx, vy = self.xy.take(second, axis=1) - self.xy.take(first, axis=1)
        length = np.sqrt(vx * vx + vy * vy)
        kept = np.flatnonzero(length > _MIN_LENGTH)
        if len(kept) < len(length):
            limb, first, second = limb[kept], first[kept], second[kept]
            vx, vy, length = vx[kept], vy[kept], length[kept]
        lines = np.empty((6, len(kept)), np.float32)
        lines[:2] = self.on_map.take(first, axis=1)
        np.subtract(self.on_map.take(second, axis=1), lines[:2], out=lines[2:4])
        np.divide(vx, length, out=lines[4])
        np.divide(vy, length, out=lines[5])
        offset = limb * (2 * self.h * self.w)

        total, count = np.zeros(len(kept), np.float32), np.zeros(len(kept), np.intp)
        self._sample(lines, offset, self.stages[0], total, count)
        unread = self.config.samples - len(self.stages[0])
        # Of a few pairs the rest is read at once; of very many, as in maps full of noise, it pays to stop once more.
        later = self.stages[1:] if len(kept) > _FEW else [np.concatenate(self.stages[1:])]
        for positions in later:
            alive = np.flatnonzero(count + unread >= self.config.min_samples)
            kept, length, lines, offset = kept[alive], length[alive], lines[:, alive], offset[alive]
            total, count = total[alive], count[alive]
            self._sample(lines, offset, positions, total, count)
            unread -= len(positions)
        penalty = np.minimum(np.float32(self.config.max_limb * self.h) / length - 1, 0)
        scores = total / np.float32(self.config.samples) + penalty
        good = (count >= self.config.min_samples) & (scores > 0)
        return scores[good].astype(np.float64), kept[good]

    def _sample(
        self,
        lines: npt.NDArray[np.float32],
        offset: IntArray,
        positions: npt.NDArray[np.float32],
        total: npt.NDArray[np.float32],
        count: IntArray,
    ) -> None:
        """Read the PAF at these parts of each line's length.

        Args:
            lines: [6, M] start x, y, extent x, y (cells), and direction x, y (unit vector).
            offset: [M] where the limb's first map starts in the flattened maps.
            positions: [S] in [0, 1].
            total: [M] the PAF's component along the line at these points is added to it,
            count: [M] and the number of points where that exceeds the threshold to this.
        """
        sx, sy, ex, ey, ux, uy = lines
        # [S, M], so that each operation runs along the many pairs.
        part = positions[:, None]
        x = part * ex
        x += sx
        y = part * ey
        y += sy
        column, row = np.floor(x), np.floor(y)
        x -= column
        y -= row
        # Exact as floats: a map has far fewer than 2^24 cells.
        row *= self.w
        row += column
        cell = row.astype(np.intp)
        cell += offset

        def along(beyond: int) -> npt.NDArray[np.float32]:
            component = self._values(beyond, cell)
            component *= ux
            across = self._values(self.h * self.w + beyond, cell)
            across *= uy
            component += across
            return component

        top, top_right = along(0), along(1)
        bottom, bottom_right = along(self.w), along(self.w + 1)
        for left, right in ((top, top_right), (bottom, bottom_right)):
            right -= left
            right *= x
            left += right
        bottom -= top
        bottom *= y
        top += bottom
        for component in top:
            total += component
        count += np.count_nonzero(top > self.config.sample_threshold, axis=0)

    def _values(self, beyond: int, cell: IntArray) -> npt.NDArray[np.float32]:
        """The flattened maps' values so many places beyond these.

        A point in the last row or column has neighbours beyond it, even beyond the last map. They weigh nothing, so
        any number will do.
        """
        # A view that begins later, rather than greater indices: it costs nothing.
        view = self.pafs[min(beyond, self.pafs.size - 1) :]
        values: npt.NDArray[np.float32] = view.take(cell, mode="clip")
        return values


def _assign(first: IntArray, second: IntArray, scores: npt.NDArray[np.float64]) -> IntArray:
    """Indices, ascending, of the pairs that a greedy choice makes, the best first, no end of a pair serving twice.

    A pair that is the best of all that are left at both its ends is chosen whatever else is; so all such pairs are
    taken at once, and what they exclude is removed, until nothing is left.
    """
    left = np.argsort(-scores, kind="stable")
    size = int(max(first.max(initial=0), second.max(initial=0))) + 1
    best_of_first, best_of_second = np.empty(size, np.intp), np.empty(size, np.intp)
    first_used, second_used = np.zeros(size, bool), np.zeros(size, bool)
    chosen = []
    while len(left):
        ends = first[left], second[left]
        rank = np.arange(len(left))
        # Of several values assigned to one place the last stays: backwards, that is the best pair.
        best_of_first[ends[0][::-1]] = rank[::-1]
        best_of_second[ends[1][::-1]] = rank[::-1]
        best = (best_of_first[ends[0]] == rank) & (best_of_second[ends[1]] == rank)
        chosen.append(left[best])
        first_used[ends[0][best]] = True
        second_used[ends[1][best]] = True
        left = left[~(first_used[ends[0]] | second_used[ends[1]])]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.intp)
