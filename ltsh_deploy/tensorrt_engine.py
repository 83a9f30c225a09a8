"""An engine file as TensorRT's objects: loaded, asked for its tensors, run, and freed in the order that is safe."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ltsh_deploy.description_template import TensorInfo
from ltsh_deploy.errors import LtshError, ModelFileError
from ltsh_deploy.tensorrt_library import (
    freed_on_error,
    import_tensorrt,
    library_name,
    library_version,
    listen,
)

if TYPE_CHECKING:
    from ltsh_deploy.descriptions import ModelDescription
    from ltsh_deploy.engine_files import EngineSidecar
    from ltsh_deploy.nvidia_driver import Gpu

__all__ = ["Engine"]

# TensorRT's types of inputs and outputs, of which a release may lack some; onnxruntime's spelling of them, and numpy's
# type of their length.
_TYPES = {
    "UINT8": ("tensor(uint8)", "uint8"),
    "FLOAT": ("tensor(float)", "float32"),
    "HALF": ("tensor(float16)", "float16"),
    "BF16": ("tensor(bfloat16)", "uint16"),
    "INT8": ("tensor(int8)", "int8"),
    "INT32": ("tensor(int32)", "int32"),
    "INT64": ("tensor(int64)", "int64"),
    "BOOL": ("tensor(bool)", "bool"),
}

_log = logging.getLogger(__name__)


class Engine:
    """An engine on the GPU whose context is current; it must be current whenever this is used, and when it is closed.

    Args:
        path: the file.
        gpu: the GPU.

    Attributes:
        inputs: what goes in, as far as the engine declares it.
        outputs: what comes out.
        profile: the smallest and the largest shape of the input.
        description: of the network.

    Raises:
        ModelFileError: when the file is damaged or undescribed, or was built for another TensorRT or GPU.
        MissingPartError: when its TensorRT is not installed.
    """

    def __init__(self, path: Path, gpu: Gpu) -> None:
        from ltsh_deploy.engine_files import EngineSidecar

        self._path = path
        sidecar = EngineSidecar.read(path)
        trt = import_tensorrt(f"{path}: running it", None if sidecar is None else sidecar.library.name)
        if sidecar is not None:
            warning = sidecar.check_place(path, library_name(trt), str(trt.__version__), gpu)
            if warning:
                _log.warning("%s", warning)
        # The logger and the recorder are freed last, after all that was made with them.
        self._messages = listen(trt)
        self._runtime = self._engine = self._context = None
        try:
            with freed_on_error():
                self._load(trt, sidecar, gpu)
                self._read_tensors(trt)
                self.description = self._describe(sidecar)
        except BaseException:
            self.close()
            raise

    def _load(self, trt: Any, sidecar: EngineSidecar | None, gpu: Gpu) -> None:
        if (sidecar is None or sidecar.plugins) and hasattr(trt, "init_libnvinfer_plugins"):
            trt.init_libnvinfer_plugins(self._messages.logger, "")
        runtime: Any = trt.Runtime(self._messages.logger)
        self._runtime = runtime
        runtime.error_recorder = self._messages.recorder
        try:
            plan = self._path.read_bytes()
        except OSError as error:
            raise ModelFileError(f"{self._path}: cannot be read ({error.strerror})") from None
        engine: Any = runtime.deserialize_cuda_engine(plan)
        self._engine = engine
        if engine is None:
            again = sidecar.rebuild if sidecar is not None else "ltsh export MODEL --format engine"
            raise ModelFileError(
                f"{self._path}: {library_version(trt)} cannot load it on {gpu} ({self._reason()})",
                f"It may be damaged, or built for another TensorRT or GPU. Build it again here: {again}",
            )
        self._context = engine.create_execution_context()
        if self._context is None:
            raise LtshError(
                f"{self._path}: the GPU has no room for it ({self._reason()})",
                "Free some of its memory, or build the engine again with smaller --shapes.",
            )

    def _read_tensors(self, trt: Any) -> None:
        engine: Any = self._engine
        self.inputs: list[TensorInfo] = []
        self.outputs: list[TensorInfo] = []
        self._dtypes: dict[str, np.dtype[Any]] = {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            kind = engine.get_tensor_dtype(name)
            own = next((own for own in _TYPES if kind == getattr(trt.DataType, own, None)), None)
            if own is None:
                raise ModelFileError(
                    f"{self._path}: {name!r} is of the type {kind}, which is not known here",
                    "Have the network take and give floats or whole numbers.",
                )
            spelling, dtype = _TYPES[own]
            shape = tuple(length if length >= 0 else None for length in engine.get_tensor_shape(name))
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            (self.inputs if is_input else self.outputs).append(TensorInfo(name, spelling, shape))
            self._dtypes[name] = np.dtype(dtype)
        if len(self.inputs) != 1:
            raise ModelFileError(f"{self._path}: takes {len(self.inputs)} inputs, and only one can be the pictures")
        smallest, _, largest = engine.get_tensor_profile_shape(self.inputs[0].name, 0)
        self.profile = tuple(smallest), tuple(largest)

    def _describe(self, sidecar: EngineSidecar | None) -> ModelDescription:
        from ltsh_deploy.descriptions import find_description

        metadata = sidecar.metadata if sidecar is not None else {}
        return find_description(self._path, metadata, self.inputs, self.outputs)

    def dtype(self, tensor: str) -> np.dtype[Any]:
        """The type of an input or output."""
        return self._dtypes[tensor]

    def set_shape(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Say how large the next input is; returns the shapes of the outputs.

        Raises:
            ModelFileError: when the engine does not take that shape, or does not know beforehand how much comes out.
        """
        context: Any = self._context
        if not context.set_input_shape(self.inputs[0].name, shape):
            raise ModelFileError(f"{self._path}: does not take the shape {list(shape)} ({self._reason()})")
        shapes = {tensor.name: tuple(context.get_tensor_shape(tensor.name)) for tensor in self.outputs}
        for name, lengths in shapes.items():
            if min(lengths, default=0) < 0:
                raise ModelFileError(
                    f"{self._path}: how large its output {name!r} is, {list(lengths)}, depends on the picture",
                    "Build it from a network without that output.",
                )
        return shapes

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        """Put one run into a stream, once the shape is set.

        Args:
            addresses: where every input and output lies on the GPU.
            stream: the handle of the stream.

        Raises:
            LtshError: when TensorRT refuses.
        """
        context: Any = self._context
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                raise LtshError(f"{self._path}: TensorRT does not take the memory of {name!r} ({self._reason()})")
        if not context.execute_async_v3(stream):
            raise LtshError(
                f"{self._path}: the engine could not be run ({self._reason()})",
                "If memory ran out, use a smaller --batch or --size.",
            )

    def _reason(self) -> str:
        return self._messages.last_error() or "it does not say why"

    def close(self) -> None:
        """Free everything, what was made last first."""
        self._context = None
        self._engine = None
        self._runtime = None
