"""TensorRT engines: from pictures to fields, on the host or left on the GPU.

An engine file is code that runs on the GPU with all rights of the process: only engines from sources you trust may be
opened, as with any program.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.device_fields import DeviceArray, DeviceFields
from ltsh_deploy.errors import DeviceError, UsageError
from ltsh_deploy.fields import Fields
from ltsh_deploy.model_tensors import check_tensors, fields_from_tensors, image_tensor, normalisation_table
from ltsh_deploy.runtime_inputs import (
    check_file,
    check_images,
    check_shape,
    check_threads,
    cut,
    into_batches,
    parse_device,
)
from ltsh_deploy.tensorrt_library import freed_on_error

if TYPE_CHECKING:
    from ltsh_deploy.cuda_session import CudaSession
    from ltsh_deploy.descriptions import ModelDescription
    from ltsh_deploy.tensorrt_engine import Engine

__all__ = ["TensorRtRuntime"]

UInt8Array = npt.NDArray[np.uint8]


class TensorRtRuntime:
    """A network in a TensorRT engine. A context manager; several threads may use it, and one at a time runs.

    An engine takes the shapes that it was built for: more pictures go through in turns, smaller ones are padded right
    and below with grey and their fields cut back, and larger ones are refused.

    Args:
        path: the engine. What it is stands in ``<path>.json``; without that file, in a YAML file as for ONNX.
        device: ``auto``, ``cuda`` or ``cuda:N``.
        threads: CPU threads; an engine uses none, so that this only has to be a number there could be.

    Raises:
        ModelFileError: when the file is missing, undescribed, damaged, or built for another TensorRT or GPU.
        DeviceError: when there is no GPU, or the CPU is asked for.
        MissingPartError: when TensorRT or pycuda is not installed.
        UsageError: for a device or number of threads that cannot be.
    """

    description: ModelDescription
    device: str

    def __init__(self, path: str | Path, device: str = "auto", threads: int | None = None) -> None:
        self._path = Path(path)
        kind, index = parse_device(device)
        check_threads(threads)
        check_file(self._path)
        if kind == "cpu":
            raise DeviceError(
                f"{path}: a TensorRT engine runs on NVIDIA GPUs, not on the CPU",
                "Use --device cuda; or the ONNX file or checkpoint that the engine was built from.",
            )
        from ltsh_deploy.cuda_session import CudaSession
        from ltsh_deploy.tensorrt_engine import Engine

        self.device = f"cuda:{index}"
        self._index, self._lock = index, threading.Lock()
        try:
            self._session: CudaSession | None = CudaSession(index, f"{path}: a TensorRT engine")
        except DeviceError as error:
            otherwise = "Or use the ONNX file or checkpoint that the engine was built from."
            raise DeviceError(error.message, f"{error.remedy}\n{otherwise}".strip()) from None
        self._engine: Engine | None = None
        self._pinned: dict[str, npt.NDArray[Any]] = {}
        self._uploaded: Any = None
        try:
            with self._turn(opening=True) as session:
                self._engine = Engine(self._path, session.gpu)
                self._uploaded = session.event()
                self._read(self._engine)
        except BaseException:
            self.close()
            raise

    def _read(self, engine: Engine) -> None:
        description = self.description = engine.description
        check_tensors(self._path, description, engine.inputs, engine.outputs)
        self._table = normalisation_table(description.input)
        stride, axes = description.stride, [description.input.layout.index(axis) for axis in "NHW"]
        (n, h, w), (most, highest, widest) = ([shape[axis] for axis in axes] for shape in engine.profile)
        # Engines from elsewhere may begin and end between two multiples of the stride.
        self._smallest = n, -(-h // stride) * stride, -(-w // stride) * stride
        self._largest = most, highest // stride * stride, widest // stride * stride
        maps = (description.heatmaps, description.pafs)
        self._names = list(dict.fromkeys(spec.name for spec in maps))
        self._plain_maps = all(spec.layout == "NCHW" and spec.channels is None for spec in maps)

    def run(self, images: UInt8Array) -> list[Fields]:
        """See :meth:`~ltsh_deploy.runtimes.Runtime.run`."""
        check_images(images, self.description.stride, closed=self._engine is None)
        height, width = images.shape[1:3]
        fields: list[Fields] = []
        for batch, count in into_batches(images, self._smallest, self._largest, self._path):
            with self._turn() as session:
                tensors = self._compute(session, batch)
            maps = fields_from_tensors(tensors, self.description, batch.shape[:3], self._path)
            fields += [cut(each, height, width) for each in maps[:count]]
        return fields

    def _compute(self, session: CudaSession, batch: UInt8Array) -> dict[str, npt.NDArray[Any]]:
        """What the network says of a batch, on the host."""
        arrays = self._enqueue(session, batch)
        host = {name: self._pin(session, name, arrays[name].shape, arrays[name].dtype) for name in self._names}
        for name, array in host.items():
            session.download(array, arrays[name].memory)
        session.stream.synchronize()
        # The pinned arrays are the next run's.
        return {name: array.copy() for name, array in host.items()}

    @property
    def session(self) -> CudaSession:
        """The GPU's context and the stream on which maps are written, for whoever reads them there.

        Raises:
            UsageError: when the runtime is closed.
        """
        if self._session is None:
            raise UsageError("this runtime was closed", "Open another one.")
        return self._session

    def stays_on_device(self, shape: tuple[int, ...]) -> bool:
        """Whether :meth:`run_on_device` takes pictures of this shape, [N, H, W, 3]: one batch that needs no padding."""
        within = zip(self._smallest, shape[:3], self._largest, strict=True)
        return self._plain_maps and all(low <= length <= high for low, length, high in within)

    @property
    def takes_device_pictures(self) -> bool:
        """Whether the network's input is uint8 RGB [N, H, W, 3], so that pictures may lie on the GPU already."""
        spec = self.description.input
        return (spec.dtype, spec.layout, spec.colour) == ("uint8", "NHWC", "RGB")

    def run_on_device(self, images: UInt8Array | DeviceArray) -> DeviceFields:
        """The same maps, left where they were computed; the call returns before they are.

        They are the caller's, however often this is called, but must be given up before the runtime is closed.

        Args:
            images: [N, H, W, 3] uint8 RGB, of a shape for which :meth:`stays_on_device` holds. On the GPU, as
                :class:`~ltsh_deploy.cuda_preprocess.CudaPreprocessor` leaves them on this runtime's session, if
                :attr:`takes_device_pictures`; they may be given up when the call returns.

        Raises:
            UsageError: for other pictures, pictures on another stream, or when the runtime is closed.
            LtshError: when the network fails.
        """
        if isinstance(images, DeviceArray):
            check_shape(images.shape, np.dtype(images.dtype), self.description.stride)
        else:
            check_images(images, self.description.stride, closed=self._engine is None)
        if not self.stays_on_device(images.shape):
            count, height, width = images.shape[:3]
            raise UsageError(
                f"{self._path} cannot leave the maps of {count} pictures of {width}x{height} on the GPU",
                f"It takes {_pictures(self._smallest)} to {_pictures(self._largest)} at once.",
            )
        description = self.description
        with self._turn() as session:
            if isinstance(images, DeviceArray):
                arrays = self._enqueue_network(session, images.shape, self._on_this_stream(session, images))
            else:
                arrays = self._enqueue(session, images)
            heatmaps, pafs = (arrays[spec.name] for spec in (description.heatmaps, description.pafs))
            return DeviceFields(heatmaps, pafs, description.stride, int(session.stream.handle), self._index)

    def _enqueue(self, session: CudaSession, batch: UInt8Array) -> dict[str, DeviceArray]:
        """Put a batch's way through the network into the stream; where the outputs will be."""
        spec = self.description.input
        tensor = image_tensor(batch, spec, self._table)
        # The last run's pictures may still be on their way out of the pinned array.
        self._uploaded.synchronize()
        pinned = self._pin(session, spec.name, tensor.shape, tensor.dtype)
        pinned[...] = tensor
        memory = session.allocate(tensor.nbytes)
        session.upload(memory, pinned)
        self._uploaded.record(session.stream)
        return self._enqueue_network(session, tensor.shape, int(memory))

    def _on_this_stream(self, session: CudaSession, images: DeviceArray) -> int:
        """The address of pictures that are the network's input as they are."""
        if not self.takes_device_pictures:
            spec = self.description.input
            raise UsageError(
                f"{self._path} takes pictures as {spec.dtype} {spec.colour} {spec.layout}, not as they are on the GPU",
                "Give them as a NumPy array.",
            )
        if images.stream != int(session.stream.handle):
            raise UsageError(
                "these pictures were made on another stream than the network's", "Make them on the runtime's session."
            )
        return int(images.memory)

    def _enqueue_network(self, session: CudaSession, shape: tuple[int, ...], address: int) -> dict[str, DeviceArray]:
        """The same for an input that is on the GPU by then, at this address."""
        engine = self._engine
        assert engine is not None
        handle = int(session.stream.handle)
        arrays = {}
        for name, output in engine.set_shape(shape).items():
            dtype = engine.dtype(name)
            size = int(np.prod(output)) * dtype.itemsize
            arrays[name] = DeviceArray(session.allocate(size), output, dtype, handle)
        addresses = {self.description.input.name: address}
        addresses |= {name: int(array.memory) for name, array in arrays.items()}
        engine.enqueue(addresses, handle)
        return arrays

    def _pin(self, session: CudaSession, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A pinned array for a tensor, the same memory as long as it suffices."""
        size = int(np.prod(shape))
        if name not in self._pinned or self._pinned[name].size < size:
            self._pinned[name] = session.pinned((size,), dtype)
        return self._pinned[name][:size].reshape(shape)

    @contextmanager
    def _turn(self, opening: bool = False) -> Iterator[CudaSession]:
        """Inside, the GPU is this thread's alone, as far as this runtime goes."""
        with self._lock:
            session = self._session
            if session is None or (self._engine is None and not opening):
                raise UsageError("this runtime was closed", "Open another one.")
            with session.current(), session.named_errors(str(self._path)), freed_on_error():
                yield session

    def close(self) -> None:
        """See :meth:`~ltsh_deploy.runtimes.Runtime.close`."""
        with self._lock:
            session, self._session = self._session, None
            if session is None:
                return
            with session.current():
                session.finish()
                if self._engine is not None:
                    self._engine.close()
                self._engine = self._uploaded = None
                self._pinned.clear()
            session.close()

    def __enter__(self) -> TensorRtRuntime:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _pictures(shape: tuple[int, int, int]) -> str:
    count, height, width = shape
    return f"{count} picture{'s' * (count != 1)} of {width}x{height}"
