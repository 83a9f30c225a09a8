"""Maps that stay on the GPU that computed them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["DeviceArray", "DeviceFields", "OnDevice"]


class OnDevice(Protocol):
    """Anything on a GPU that says where: pycuda's arrays, torch's tensors, :class:`DeviceArray`."""

    @property
    def __cuda_array_interface__(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class DeviceArray:
    """A contiguous array on a GPU.

    Attributes:
        memory: what holds its bytes, and frees them when nothing refers to it any more; ``int()`` gives the address.
        shape: its shape.
        dtype: its type.
        stream: handle of the CUDA stream on which it is written.
    """

    memory: Any
    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    stream: int

    @property
    def __cuda_array_interface__(self) -> Mapping[str, Any]:
        return {
            "shape": self.shape,
            "typestr": np.dtype(self.dtype).str,
            "data": (int(self.memory), False),
            "strides": None,
            "stream": self.stream,
            "version": 3,
        }


@dataclass(frozen=True)
class DeviceFields:
    """The maps of a batch of pictures of one size, on a GPU.

    They are written on ``stream``, perhaps not yet; whoever reads them on another stream waits for it first.

    Attributes:
        heatmaps: [N, J, h, w] or [N, J + 1, h, w] float32 or float16; a last channel beyond the joints is background.
        pafs: [N, 2L, h, w] likewise.
        stride: pixels of the network's input a cell.
        stream: handle of the CUDA stream.
        device: index of the GPU.
    """

    heatmaps: OnDevice
    pafs: OnDevice
    stride: int
    stream: int
    device: int
