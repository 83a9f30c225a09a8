"""Pictures to a network's input on a GPU: one copy there, one launch.

    pictures, weights --copy--> pinned block --one copy--> block on the GPU --preprocess.cu--> [N, H, W, 3]

The two blocks are allocated when a batch is larger than any before, and used again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.cuda_kernels.resize_weights import AxisWeights

__all__ = ["MOST_PICTURES", "DevicePreprocessor", "Picture"]

#: What CUDA takes as the second side of a grid.
MOST_PICTURES = 65535
#: Threads of a block, each of which makes a pixel.
_THREADS = 256
# As in ``preprocess.cu``.
_AXIS = np.dtype([("firsts", "i8"), ("weights", "i8"), ("length", "i4"), ("taps", "i4")])
_PICTURE = np.dtype([("across", _AXIS), ("down", _AXIS), ("pixels", "i8"), ("row_bytes", "i8")])
_ALIGNMENT = 16


@dataclass(frozen=True)
class Picture:
    """A picture and how it is scaled.

    Attributes:
        pixels: [H, W, 3] uint8, with any strides.
        across: how columns are made; of the picture's W.
        down: how rows are made; of its H.
    """

    pixels: npt.NDArray[np.uint8]
    across: AxisWeights
    down: AxisWeights


class DevicePreprocessor:
    """Runs the kernel on one stream. Everything happens in the current CUDA context; not for several threads at once.

    Args:
        cuda: the module ``pycuda.driver``.
        program: of ``preprocess.cu`` for the GPU.
        stream: pycuda's.
    """

    def __init__(self, cuda: Any, program: bytes, stream: Any) -> None:
        self._cuda, self._stream = cuda, stream
        self._resize = cuda.module_from_buffer(program).get_function("resize_pictures").prepare("PiiiP")
        self._uploaded = cuda.Event()
        self._host: npt.NDArray[np.uint8] | None = None
        self._memory: Any = None

    def resize(self, pictures: Sequence[Picture], size: tuple[int, int], padding: int, target: int) -> None:
        """Put the work into the stream; returns before it is done. The pictures may be changed then.

        Args:
            pictures: at least one, at most ``MOST_PICTURES``.
            size: (width, height) of the input, no less than any picture's content; fewer than 2^31 pixels.
            padding: 0 to 255, of all three colours.
            target: address of N * height * width * 3 bytes.
        """
        places = _Places(len(pictures))
        table = np.array([places.of(picture) for picture in pictures], _PICTURE)
        host = self._room_for(places.end)
        host[: table.nbytes] = table.view(np.uint8)
        for place, part in places.parts:
            host[place : place + part.nbytes].view(part.dtype).reshape(part.shape)[...] = part
        self._cuda.memcpy_htod_async(self._memory, host[: places.end], self._stream)
        self._uploaded.record(self._stream)
        width, height = size
        self._resize.prepared_async_call(
            *((-(-width * height // _THREADS), len(pictures)), (_THREADS, 1, 1), self._stream),
            *(self._memory, width, height, padding, target),
        )

    def _room_for(self, size: int) -> npt.NDArray[np.uint8]:
        """The pinned block, once the last batch has left it."""
        self._uploaded.synchronize()
        if self._host is None or self._host.size < size:
            # The last batch may still be made from the block on the GPU.
            self._stream.synchronize()
            self._forget()
            self._memory = self._cuda.mem_alloc(size)
            self._host = self._cuda.pagelocked_empty(size, np.uint8)
        return self._host

    def close(self) -> None:
        """Free what was allocated; the stream has done with it."""
        self._forget()
        del self._uploaded

    def _forget(self) -> None:
        if self._memory is not None:
            self._memory.free()
        self._host = self._memory = None


class _Places:
    """Where everything lies in the block.

    Attributes:
        parts: places of arrays, and the arrays.
        end: the block's size.
    """

    def __init__(self, pictures: int) -> None:
        self.parts: list[tuple[int, npt.NDArray[Any]]] = []
        self.end = _aligned(pictures * _PICTURE.itemsize)
        self._axes: dict[AxisWeights, tuple[int, int, int, int]] = {}

    def of(self, picture: Picture) -> tuple[Any, ...]:
        """A ``_PICTURE``; its parts are given places, pictures that are scaled alike the same weights."""
        across, down = self._of_axis(picture.across), self._of_axis(picture.down)
        return across, down, self._add(picture.pixels), picture.pixels.shape[1] * picture.pixels.shape[2]

    def _of_axis(self, axis: AxisWeights) -> tuple[int, int, int, int]:
        if axis not in self._axes:
            taps, length = axis.weights.shape
            self._axes[axis] = self._add(axis.firsts), self._add(axis.weights), length, taps
        return self._axes[axis]

    def _add(self, part: npt.NDArray[Any]) -> int:
        place, self.end = self.end, self.end + _aligned(part.nbytes)
        self.parts.append((place, part))
        return place


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
