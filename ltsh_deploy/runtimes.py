"""Runtimes: a model file on a device, from pictures to fields.

Every runtime takes the same pictures and gives the same fields, whatever the file's own layout, order of colours or
normalisation; its ``description`` says what else there is to know.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import DeviceError, ModelFileError
from ltsh_deploy.fields import Fields
from ltsh_deploy.model_tensors import check_input, check_tensors, fields_from_tensors, image_tensor, normalisation_table
from ltsh_deploy.onnx_session import first_line, onnx_failures, open_session, read_declarations
from ltsh_deploy.runtime_inputs import (
    check_file,
    check_images,
    check_threads,
    cut,
    into_batches,
    parse_device,
    run_error,
)

if TYPE_CHECKING:
    from ltsh_deploy.descriptions import ModelDescription

__all__ = ["OnnxRuntime", "Runtime", "TorchRuntime", "open_runtime"]

UInt8Array = npt.NDArray[np.uint8]


class Runtime(Protocol):
    """What the estimator needs of a network.

    Attributes:
        description: the network's skeleton, stride and usual input size.
        device: where it runs, such as ``cpu`` or ``cuda:0``.
    """

    description: ModelDescription
    device: str

    def run(self, images: UInt8Array) -> list[Fields]:
        """Fields of each image; may be called from several threads at once. No image's fields depend on another's.

        Args:
            images: [N, H, W, 3] uint8 RGB, H and W multiples of the stride.

        Raises:
            UsageError: when ``images`` are something else, or the runtime is closed.
            ModelFileError: when what comes out contradicts the description.
            LtshError: when the network fails, for want of memory mostly.
        """

    def close(self) -> None:
        """Free the network; calls of :meth:`run` that have begun still end well."""


def open_runtime(path: str | Path, device: str = "auto", threads: int | None = None) -> Runtime:
    """The runtime for a model file: ``.onnx``, TensorRT's ``.engine``, or this project's checkpoints, ``.safetensors``.

    Args:
        path: the file.
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for CUDA where it works and else the CPU, on
            which no engine runs.
        threads: CPU threads for one call of :meth:`Runtime.run`; None leaves it to onnxruntime or torch.

    Raises:
        ModelFileError: when the file is missing, corrupt, undescribed or of a kind that is not read.
        MissingPartError: when the package that runs it is not installed.
        DeviceError: when the device is asked for and not there.
        UsageError: for a device or number of threads that cannot be.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".onnx":
        return OnnxRuntime(path, device, threads)
    if suffix == ".safetensors":
        return TorchRuntime(path, device, threads)
    if suffix == ".engine":
        from ltsh_deploy.tensorrt_runtime import TensorRtRuntime

        return TensorRtRuntime(path, device, threads)
    raise ModelFileError(
        f"{path}: {suffix or 'a file without a suffix'} is no kind of model file that is read here",
        "Models are read from .onnx and .engine files, and from this project's checkpoints, .safetensors.",
    )


class OnnxRuntime:
    """A network in an ONNX file, run by onnxruntime. A context manager; several threads may run it at once.

    Files of a fixed input size take smaller pictures too: these are padded right and below with the grey that pads
    pictures to the stride, and the fields are cut back.

    Arguments and errors are those of :func:`open_runtime`.
    """

    description: ModelDescription
    device: str

    def __init__(self, path: str | Path, device: str = "auto", threads: int | None = None) -> None:
        from ltsh_deploy.descriptions import find_description

        self._path = Path(path)
        kind, index = parse_device(device)
        check_threads(threads)
        check_file(self._path)
        session, self.device = open_session(self._path, kind, index, threads)
        metadata, inputs, outputs = read_declarations(session, self._path)
        check_input(self._path, inputs)
        self.description = find_description(path, metadata, inputs, outputs)
        self._fixed = check_tensors(self._path, self.description, inputs, outputs)
        self._failures = onnx_failures()
        self._table = normalisation_table(self.description.input)
        self._session: Any = session

    def run(self, images: UInt8Array) -> list[Fields]:
        """See :meth:`Runtime.run`."""
        session = self._session
        check_images(images, self.description.stride, closed=session is None)
        given = max(len(images), 1), *images.shape[1:3]
        smallest = tuple(fixed or 1 for fixed in self._fixed)
        largest = tuple(fixed or length for fixed, length in zip(self._fixed, given, strict=True))
        fields: list[Fields] = []
        for batch, count in into_batches(images, smallest, largest, self._path):
            fields += [cut(f, *given[1:]) for f in self._run(session, batch)[:count]]
        return fields

    def _run(self, session: Any, images: UInt8Array) -> list[Fields]:
        description = self.description
        names = list(dict.fromkeys((description.heatmaps.name, description.pafs.name)))
        try:
            outputs = session.run(names, {description.input.name: image_tensor(images, description.input, self._table)})
        except self._failures as error:
            raise run_error(self._path, images, first_line(error)) from None
        return fields_from_tensors(dict(zip(names, outputs, strict=True)), description, images.shape[:3], self._path)

    def close(self) -> None:
        """See :meth:`Runtime.close`."""
        self._session = None

    def __enter__(self) -> OnnxRuntime:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class TorchRuntime:
    """A checkpoint of this project, run by torch. A context manager; several threads may run it at once.

    Arguments and errors are those of :func:`open_runtime`; but torch counts its CPU threads for the whole process, so
    ``threads`` also holds for whatever else uses torch.
    """

    description: ModelDescription
    device: str

    def __init__(self, path: str | Path, device: str = "auto", threads: int | None = None) -> None:
        self._path = Path(path)
        kind, index = parse_device(device)
        check_threads(threads)
        check_file(self._path)
        from ltsh_deploy.checkpoints import describe_network, read_checkpoint

        checkpoint = read_checkpoint(self._path)
        import torch

        from ltsh_deploy.networks import ImageNetwork

        self.device = _torch_device(kind, index)
        if threads is not None:
            torch.set_num_threads(threads)
        self.description = describe_network(checkpoint.network, checkpoint.provenance, checkpoint.size)
        self._network: ImageNetwork | None = ImageNetwork(checkpoint.network).to(self.device).eval()

    def run(self, images: UInt8Array) -> list[Fields]:
        """See :meth:`Runtime.run`."""
        import torch

        network = self._network
        check_images(images, self.description.stride, closed=network is None)
        if network is None or not len(images):
            return []
        writable = np.require(images, requirements=["C", "W"])
        try:
            with torch.inference_mode(), _without_tf32(self.device):
                heatmaps, pafs = (
                    maps.contiguous().cpu().numpy() for maps in network(torch.from_numpy(writable).to(self.device))
                )
        except RuntimeError as error:
            raise run_error(self._path, images, first_line(error)) from None
        return [Fields(a, b, self.description.stride) for a, b in zip(heatmaps, pafs, strict=True)]

    def close(self) -> None:
        """See :meth:`Runtime.close`."""
        self._network = None

    def __enter__(self) -> TorchRuntime:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


_tf32_switch = threading.Lock()


@contextmanager
def _without_tf32(device: str) -> Iterator[None]:
    """Inside, convolutions on a GPU are computed in float32.

    TF32 would make fields differ between devices, and between batches, by far more than float32 does. torch has one
    switch for the whole process, so one thread at a time is let in: of two, the first to leave would turn TF32 on under
    the other, and the other would leave it off for good.
    """
    if device == "cpu":
        yield
        return
    import torch

    with _tf32_switch, torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def _torch_device(kind: str, index: int) -> str:
    """The device in torch's own words.

    Raises:
        DeviceError: when CUDA is asked for and does not work.
    """
    import torch

    devices = torch.cuda.device_count() if kind != "cpu" and torch.cuda.is_available() else 0
    problem = f"torch sees {devices or 'no'} CUDA device{'s' * (devices != 1)}"
    if index < devices:
        try:
            # A GPU that this build of torch has no code for is listed, but cannot add.
            torch.ones(1, device=f"cuda:{index}").add(1).cpu()
            return f"cuda:{index}"
        except RuntimeError as error:
            problem = f"CUDA does not work ({first_line(error)})"
    if kind == "cuda":
        raise DeviceError(
            f"device cuda:{index}: {problem}",
            "Look at the driver with nvidia-smi and install torch with CUDA from pytorch.org; or use --device cpu.",
        )
    return "cpu"
