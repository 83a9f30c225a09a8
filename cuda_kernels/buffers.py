"""What the kernels that decode read and write on the GPU, and how its bytes lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_PEAKS", "PEAK", "SHARED", "Buffers", "Found", "IntArray", "Layout", "buffer_sizes", "score_bytes"]

IntArray = npt.NDArray[np.int32]

#: As in ``cuda_results.h``.
MOST_PEAKS = 1024
PEAK = np.dtype([("x", "f8"), ("y", "f8"), ("score", "f8")])
_LIMB = np.dtype([("score", "f8"), ("first", "i4"), ("second", "i4")])
_WORD, _PLATEAU = 32, 8 * 4
#: Shared memory that every GPU gives to any kernel, less what ``limbs.cu`` takes for itself.
SHARED = 32 * 1024


@dataclass(frozen=True)
class Layout:
    """What a batch of maps is: N images, C heat maps of which J are joints', L limbs, h x w cells."""

    images: int
    heatmaps: int
    joints: int
    limbs: int
    h: int
    w: int
    half: bool

    @property
    def channels(self) -> int:
        """Maps of an image."""
        return self.heatmaps + 2 * self.limbs


@dataclass(frozen=True)
class Found:
    """What was found in N images; K is the most peaks that a joint keeps.

    Attributes:
        not_finite: [N, C + 2L] whether a map holds NaN or infinity; whatever else was found there means nothing.
        kept: [N, J] peaks that were kept.
        tops: [N, J] peaks that there were.
        links: [N, L] connections.
        peaks: [N, J, K] of fields x, y, score; beyond ``kept``, anything.
        limbs: [N, L, K] of fields score, first, second, the latter two among their joints' peaks; beyond ``links``,
            anything.
    """

    not_finite: IntArray
    kept: IntArray
    tops: IntArray
    links: IntArray
    peaks: npt.NDArray[Any]
    limbs: npt.NDArray[Any]


def _sections(layout: Layout, most: int) -> list[tuple[str, np.dtype[Any], tuple[int, ...]]]:
    n, integer = layout.images, np.dtype("i4")
    return [
        ("not_finite", integer, (n, layout.channels)),
        ("kept", integer, (n, layout.joints)),
        ("tops", integer, (n, layout.joints)),
        ("links", integer, (n, layout.limbs)),
        ("peaks", PEAK, (n, layout.joints, most)),
        ("limbs", _LIMB, (n, layout.limbs, most)),
    ]


def _offsets(layout: Layout, most: int) -> dict[str, int]:
    """Where each section of the results begins, from their beginning, and where the last one ends."""
    offsets, at = {}, 0
    for name, dtype, shape in _sections(layout, most):
        offsets[name] = at
        at += -(-dtype.itemsize * int(np.prod(shape)) // 16) * 16
    return {**offsets, "end": at}


def buffer_sizes(layout: Layout, most: int) -> dict[str, int]:
    """Bytes of each buffer."""
    maps, cells = layout.images * layout.joints, layout.h * layout.w
    scores = score_bytes(most)
    pairs = 0 if scores <= SHARED else scores * layout.images * layout.limbs
    return {
        "results": _offsets(layout, most)["end"],
        "marks": 4 * maps * -(-cells // _WORD),
        "parents": 4 * maps * cells,
        "plateaus": _PLATEAU * maps * cells,
        "scores": pairs,
    }


def score_bytes(most: int) -> int:
    """Of the scores of a limb's pairs."""
    return 8 * most * most


class Buffers:
    """Memory on the GPU, and where the results come to on the host."""

    def __init__(self, cuda: Any, sizes: dict[str, int], most: int) -> None:
        self.sizes, self._most = sizes, most
        self.memory: dict[str, Any] = {name: cuda.mem_alloc(max(size, 1)) for name, size in sizes.items()}
        # The kernels write as much as they find; all of it is copied.
        cuda.memset_d8(self.memory["results"], 0, max(sizes["results"], 1))
        self.host: npt.NDArray[np.uint8] = cuda.pagelocked_empty(max(sizes["results"], 1), np.uint8)

    def suffice(self, sizes: dict[str, int]) -> bool:
        """Whether none of these sizes is larger."""
        return all(size <= self.sizes[name] for name, size in sizes.items())

    def places(self, layout: Layout) -> dict[str, int]:
        """Addresses of the results' sections; of ``end``, where the last one ends."""
        begin = int(self.memory["results"])
        return {name: begin + offset for name, offset in _offsets(layout, self._most).items()}

    def found(self, layout: Layout) -> Found:
        """Views of the results, which the next batch overwrites."""
        offsets = _offsets(layout, self._most)
        parts = {}
        for name, dtype, shape in _sections(layout, self._most):
            size = dtype.itemsize * int(np.prod(shape))
            parts[name] = self.host[offsets[name] : offsets[name] + size].view(dtype).reshape(shape)
        return Found(**parts)

    def free(self) -> None:
        """Give the GPU's memory back."""
        for memory in self.memory.values():
            memory.free()
