"""Poses from maps that never leave the GPU: a TensorRT engine and the CUDA decoder on one stream."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.device_fields import DeviceArray, DeviceFields
from ltsh_deploy.errors import FieldsError

if TYPE_CHECKING:
    from ltsh_deploy.decode_config import DecodeConfig
    from ltsh_deploy.images import Placement
    from ltsh_deploy.poses import Poses
    from ltsh_deploy.tensorrt_runtime import TensorRtRuntime

__all__ = ["DeviceBatch", "DeviceLook", "GpuPath", "gpu_path"]


class GpuPath:
    """A runtime that can leave its maps on the GPU, and a decoder that takes them there.

    Args:
        runtime: the network; whoever owns this closes it, after this.
        config: thresholds of the decoder.

    Raises:
        MissingPartError: when there is no compiler for the kernels.
    """

    def __init__(self, runtime: TensorRtRuntime, config: DecodeConfig) -> None:
        from ltsh_deploy.cuda_decode import CudaDecoder

        self._runtime = runtime
        self._decoder = CudaDecoder(runtime.description.skeleton, config, session=runtime.session)

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether pictures of this shape, [N, H, W, 3], go this way."""
        return self._runtime.stays_on_device(shape)

    def look(self, pixels: npt.NDArray[np.uint8]) -> DeviceBatch:
        """Put a batch through the network; returns before that is done."""
        return DeviceBatch(self._runtime.run_on_device(pixels), self._decoder)

    def close(self) -> None:
        """Free the decoder."""
        self._decoder.close()


class DeviceBatch:
    """The maps of a batch, or, once anybody asked for them, its poses. Several threads may ask."""

    def __init__(self, fields: DeviceFields, decoder: Any) -> None:
        self._fields: DeviceFields | None = fields
        self._decoder, self._lock = decoder, threading.Lock()
        self._found: list[Poses | FieldsError] = []

    def poses(self, image: int) -> Poses:
        """One image's people, in pixels of the network's input.

        Raises:
            FieldsError: when its maps hold NaN or infinity.
            LtshError: when the GPU fails.
        """
        with self._lock:
            if self._fields is not None:
                self._found = self._decode(self._fields)
                # The maps' memory goes back.
                self._fields = None
            found = self._found[image]
        if isinstance(found, FieldsError):
            raise FieldsError(found.message, found.remedy)
        return found

    def _decode(self, fields: DeviceFields) -> list[Poses | FieldsError]:
        try:
            return list(self._decoder.decode_fields(fields))
        except FieldsError as error:
            count = fields.heatmaps.__cuda_array_interface__["shape"][0]
            if count == 1:
                # Its traceback would keep the maps' memory.
                return [error.with_traceback(None)]
        # One image is the cause; no other may suffer from it.
        return [found for image in range(count) for found in self._decode(_only(fields, image))]


class DeviceLook:
    """One image of a batch.

    Attributes:
        placement: how the image lay on the network's input.
    """

    def __init__(self, placement: Placement, batch: DeviceBatch, index: int) -> None:
        self.placement = placement
        self._batch, self._index = batch, index

    def poses(self) -> Poses:
        """As :meth:`DeviceBatch.poses`."""
        return self._batch.poses(self._index)


def gpu_path(runtime: Any, config: DecodeConfig) -> GpuPath | None:
    """The way on the GPU throughout; None where the maps come to the host, or LTSH_DECODER asks for a decoder there.

    Raises:
        MissingPartError: when the runtime could, and there is no compiler for the kernels.
    """
    if not hasattr(runtime, "run_on_device") or os.environ.get("LTSH_DECODER"):
        return None
    return GpuPath(runtime, config)


def _only(fields: DeviceFields, image: int) -> DeviceFields:
    heatmaps, pafs = (_slice(maps, image, fields.stream) for maps in (fields.heatmaps, fields.pafs))
    return replace(fields, heatmaps=heatmaps, pafs=pafs)


class _Within:
    """Memory within other memory, which it keeps."""

    def __init__(self, whole: Any, address: int) -> None:
        self._whole, self._address = whole, address

    def __int__(self) -> int:
        return self._address


def _slice(maps: Any, image: int, stream: int) -> DeviceArray:
    interface = maps.__cuda_array_interface__
    shape, dtype = interface["shape"][1:], np.dtype(interface["typestr"])
    address = interface["data"][0] + image * int(np.prod(shape)) * dtype.itemsize
    return DeviceArray(_Within(maps, address), (1, *shape), dtype, stream)
