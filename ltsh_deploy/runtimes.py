"""Runtimes: a model file on a device, from pictures to fields.

Every runtime takes the same pictures and gives the same fields, whatever the file's own layout, order of colours or
normalisation; its ``description`` says what else there is to know.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import DeviceError, LtshError, ModelFileError, UsageError
from ltsh_deploy.fields import Fields
from ltsh_deploy.images import PADDING
from ltsh_deploy.model_tensors import check_input, check_tensors, fields_from_tensors, image_tensor, normalisation_table
from ltsh_deploy.onnx_session import first_line, onnx_failures, open_session, read_declarations

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
    """The runtime for a model file: ``.onnx`` or, for a checkpoint of this project, ``.safetensors``.

    Args:
        path: the file.
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for CUDA where it works and else the CPU.
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
    raise ModelFileError(
        f"{path}: {suffix or 'a file without a suffix'} is no kind of model file that is read here",
        "Models are read from .onnx files and from this project's checkpoints, .safetensors.",
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
        kind, index = _parse_device(device)
        _check_threads(threads)
        _check_file(self._path)
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
        _check_images(images, self.description.stride, closed=session is None)
        count, height, width = images.shape[:3]
        batch, full_height, full_width = (
            fixed or given for fixed, given in zip(self._fixed, (max(count, 1), height, width), strict=True)
        )
        if height > full_height or width > full_width:
            raise UsageError(
                f"{self._path} takes pictures of at most {full_width}x{full_height} pixels, got {width}x{height}",
                f"Use --size {full_width}x{full_height}.",
            )
        fields: list[Fields] = []
        for start in range(0, count, batch):
            part = images[start : start + batch]
            if part.shape[:3] == (batch, full_height, full_width):
                fields += self._run(session, part)
            else:
                padded = np.full((batch, full_height, full_width, 3), PADDING, np.uint8)
                padded[: len(part), :height, :width] = part
                fields += [_cut(f, height, width) for f in self._run(session, padded)[: len(part)]]
        return fields

    def _run(self, session: Any, images: UInt8Array) -> list[Fields]:
        description = self.description
        names = list(dict.fromkeys((description.heatmaps.name, description.pafs.name)))
        try:
            outputs = session.run(names, {description.input.name: image_tensor(images, description.input, self._table)})
        except self._failures as error:
            raise _run_error(self._path, images, error) from None
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
        kind, index = _parse_device(device)
        _check_threads(threads)
        _check_file(self._path)
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
        _check_images(images, self.description.stride, closed=network is None)
        if network is None or not len(images):
            return []
        writable = np.require(images, requirements=["C", "W"])
        try:
            # TF32 would make fields differ between devices, and between batches, by far more than float32 does.
            with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                heatmaps, pafs = (
                    maps.contiguous().cpu().numpy() for maps in network(torch.from_numpy(writable).to(self.device))
                )
        except RuntimeError as error:
            raise _run_error(self._path, images, error) from None
        return [Fields(a, b, self.description.stride) for a, b in zip(heatmaps, pafs, strict=True)]

    def close(self) -> None:
        """See :meth:`Runtime.close`."""
        self._network = None

    def __enter__(self) -> TorchRuntime:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _cut(fields: Fields, height: int, width: int) -> Fields:
    h, w = height // fields.stride, width // fields.stride
    heatmaps, pafs = (np.ascontiguousarray(maps[:, :h, :w]) for maps in (fields.heatmaps, fields.pafs))
    return Fields(heatmaps, pafs, fields.stride)


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


def _parse_device(device: str) -> tuple[str, int]:
    """(auto, cpu or cuda; the index of the CUDA device)."""
    match = re.fullmatch(r"(auto|cpu|cuda)(?:(?<=cuda):(\d{1,3}))?", device)
    if match is None:
        raise UsageError(f"there is no device {device!r}", "Devices are auto, cpu, cuda and, for a second GPU, cuda:1.")
    return match[1], int(match[2] or 0)


def _check_threads(threads: int | None) -> None:
    if threads is not None and threads < 1:
        raise UsageError(f"a network cannot run on {threads} threads", "Give at least 1.")


def _check_file(path: Path) -> None:
    """Find what can be said of a file without reading it as a model."""
    try:
        if path.is_dir():
            raise ModelFileError(f"{path}: is a folder, not a model file")
        with path.open("rb") as file:
            if not file.read(1):
                raise ModelFileError(f"{path}: is empty (0 bytes)", "Copy, download or export it again.")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelFileError(f"{path}: the model file cannot be read ({reason})") from None


def _check_images(images: UInt8Array, stride: int, closed: bool) -> None:
    if closed:
        raise UsageError("this runtime was closed", "Open another one.")
    shape, dtype = np.shape(images), getattr(images, "dtype", type(images).__name__)
    if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise UsageError(f"images must be a uint8 array of shape [N, H, W, 3], got {dtype} of shape {list(shape)}")
    _, height, width, _ = shape
    if not (height and width) or height % stride or width % stride:
        raise UsageError(f"images must have sides that are multiples of {stride}, got {width}x{height}")


def _run_error(path: Path, images: UInt8Array, error: Exception) -> LtshError:
    count, height, width = images.shape[:3]
    return LtshError(
        f"{path}: failed on {count} image{'s' * (count != 1)} of {width}x{height} ({first_line(error)})",
        "If memory ran out, use a smaller --batch or --size.",
    )
