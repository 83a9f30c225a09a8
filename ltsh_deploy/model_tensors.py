"""Between pictures and fields, and the tensors that one particular network takes and gives."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.description_template import TENSOR_TYPES
from ltsh_deploy.errors import ModelFileError
from ltsh_deploy.fields import Fields

if TYPE_CHECKING:
    from ltsh_deploy.description_template import TensorInfo
    from ltsh_deploy.descriptions import InputSpec, MapsSpec, ModelDescription

__all__ = ["check_input", "check_tensors", "fields_from_tensors", "image_tensor", "normalisation_table"]

_log = logging.getLogger(__name__)


def check_input(path: Path, inputs: Sequence[TensorInfo]) -> TensorInfo:
    """The one input of a model file, if pictures can be put into it, whatever its description says.

    Raises:
        ModelFileError: when there are several, or it has another type or number of dimensions.
    """
    if len(inputs) != 1:
        raise ModelFileError(f"{path}: takes {len(inputs)} inputs, and only one of them can be the pictures")
    (tensor,) = inputs
    if tensor.dtype not in TENSOR_TYPES.values() or len(tensor.shape) not in (0, 4):
        raise ModelFileError(
            f"{path}: input {tensor.name!r} is {tensor.dtype} {list(tensor.shape)}; pictures go into 4 dimensions of "
            f"{', '.join(TENSOR_TYPES)}"
        )
    return tensor


def check_tensors(
    path: Path, description: ModelDescription, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]
) -> tuple[int, int, int]:
    """Hold what a model file declares against its description, as far as that goes without running it.

    Returns:
        (N, H, W) of its input, 0 where it takes any.

    Raises:
        ModelFileError: naming the file and what does not fit.
    """
    spec = description.input
    tensor = check_input(path, inputs)
    if tensor.name != spec.name:
        raise ModelFileError(f"{path}: has no input {spec.name!r}, but {tensor.name!r}", _correct("input: name"))
    if tensor.dtype != TENSOR_TYPES[spec.dtype]:
        problem = f"input {spec.name!r} is {tensor.dtype}, not {spec.dtype}"
        raise ModelFileError(f"{path}: {problem}", _correct("input: dtype"))
    count, height, width, channels = (tensor.declared(spec.layout.index(axis)) for axis in "NHWC")
    # Where the number of channels is left open, a 3 at its place in the other layout tells as much.
    misplaced = not channels and tensor.declared({"NHWC": 1, "NCHW": 3}[spec.layout]) == 3
    if channels not in (0, 3) or misplaced:
        problem = f"input {spec.name!r} has shape {list(tensor.shape)}, not {spec.layout}"
        raise ModelFileError(f"{path}: {problem}", _correct("input: layout"))
    for fixed, wanted in ((width, description.size[0]), (height, description.size[1])):
        if fixed and (fixed % description.stride or wanted > fixed):
            raise ModelFileError(
                f"{path}: input {spec.name!r} has the fixed size {width or 'any'}x{height or 'any'}, which does not "
                f"fit stride {description.stride} and size {description.size[0]}x{description.size[1]}",
                _correct("stride or size"),
            )
    _check_outputs(path, description, (height, width), outputs)
    return count, height, width


def _check_outputs(
    path: Path, description: ModelDescription, pixels: tuple[int, int], outputs: Sequence[TensorInfo]
) -> None:
    """Find what is wrong with the outputs before the first picture shows it; ``pixels`` are the input's (H, W) or 0."""
    by_name = {tensor.name: tensor for tensor in outputs}
    used: dict[str, set[int]] = {}
    lengths: dict[str, int] = {}
    for key in ("heatmaps", "pafs"):
        spec = _spec(description, key)
        if spec.name not in by_name:
            others = ", ".join(map(repr, by_name))
            raise ModelFileError(f"{path}: has no output {spec.name!r}, but {others}", _correct(f"{key}: name"))
        tensor = by_name[spec.name]
        if not tensor.may_be_maps:
            problem = f"is {tensor.dtype} {list(tensor.shape)}; maps are floats of 4 dimensions"
            raise _contradiction(path, key, spec.name, problem)
        length, rows, columns = (tensor.declared(spec.layout.index(axis)) for axis in "CHW")
        cells = tuple(side // description.stride for side in pixels)
        # A channel count at its place in the other layout, and no size anywhere, tells which layout it is.
        misplaced = not length and not tensor.declared(2) and tensor.declared({"NCHW": 3, "NHWC": 1}[spec.layout])
        if misplaced or any(a and b and a != b for a, b in zip(cells, (rows, columns), strict=True)):
            problem = (
                f"has shape {list(tensor.shape)}, which does not fit {spec.layout} and stride {description.stride}"
            )
            raise _contradiction(path, key, spec.name, problem)
        if length:
            _check_channels(path, description, key, length)
            lengths[spec.name] = length
            used.setdefault(spec.name, set()).update(spec.channels or range(length))
    for name, channels in used.items():
        left = sorted(set(range(lengths[name])) - channels)
        if left:
            _log.warning("%s: of output %r, the description uses all but channels %s", path, name, left)


def _check_channels(path: Path, description: ModelDescription, key: str, length: int) -> None:
    """Whether an output of so many channels has those that are wanted of it."""
    spec, allowed = _spec(description, key), description.map_counts[key]
    if spec.channels is not None and max(spec.channels) >= length:
        problem = f"has {length} channels, so there is no channel {max(spec.channels)}"
        raise _contradiction(path, key, spec.name, problem)
    if spec.channels is None and length not in allowed:
        raise _contradiction(
            path,
            key,
            spec.name,
            f"has {length} channels, but skeleton {description.skeleton.name} needs "
            f"{' or '.join(map(str, allowed))} {key}",
        )


def _spec(description: ModelDescription, key: str) -> MapsSpec:
    return description.heatmaps if key == "heatmaps" else description.pafs


def _contradiction(path: Path, key: str, output: str, problem: str) -> ModelFileError:
    return ModelFileError(f"{path}: output {output!r} {problem}", _correct(key))


def _correct(key: str) -> str:
    return f"Correct {key} in its description: the YAML file beside it, or what it was exported with."


def normalisation_table(spec: InputSpec) -> npt.NDArray[np.float32] | None:
    """[1, 256, 3] what each value of a pixel becomes, per channel of the network; None where it stays itself."""
    if spec.takes_plain_pixels:
        return None
    pixels = np.arange(256.0)[None, :, None]
    return np.asarray((pixels * spec.scale - np.array(spec.mean)) / np.array(spec.std), np.float32)


def image_tensor(
    images: npt.NDArray[np.uint8], spec: InputSpec, table: npt.NDArray[np.float32] | None
) -> npt.NDArray[Any]:
    """Pictures in the network's own order of colours, scale, type and layout.

    Args:
        images: [N, H, W, 3] uint8 RGB.
        spec: what the network takes.
        table: :func:`normalisation_table` of it.
    """
    # OpenCV is shown one tall picture, so that a batch is one call.
    tall: npt.NDArray[Any] = np.ascontiguousarray(images).reshape(-1, images.shape[2], 3)
    if spec.colour == "BGR":
        tall = cv2.cvtColor(tall, cv2.COLOR_RGB2BGR)
    if table is not None:
        tall = cv2.LUT(tall, table)
    if spec.dtype != "uint8":
        tall = tall.astype(spec.dtype, copy=False)
    tensor = tall.reshape(images.shape)
    return tensor if spec.layout == "NHWC" else np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))


def fields_from_tensors(
    tensors: Mapping[str, npt.NDArray[Any]], description: ModelDescription, images: tuple[int, ...], path: Path
) -> list[Fields]:
    """Fields of each image of a batch, contiguous float32.

    Args:
        tensors: the network's outputs by name.
        description: what they are.
        images: (N, H, W) of the pictures they come from.
        path: the model file, for messages.

    Raises:
        ModelFileError: when their shapes contradict the description.
    """
    stride = description.stride
    cells = images[0], images[1] // stride, images[2] // stride
    heatmaps, pafs = (_maps(tensors, description, key, cells, path) for key in ("heatmaps", "pafs"))
    return [Fields(a, b, stride) for a, b in zip(heatmaps, pafs, strict=True)]


def _maps(
    tensors: Mapping[str, npt.NDArray[Any]],
    description: ModelDescription,
    key: str,
    cells: tuple[int, int, int],
    path: Path,
) -> npt.NDArray[np.float32]:
    """[N, C, h, w] of one of the two kinds, where ``cells`` is (N, h, w)."""
    spec = _spec(description, key)
    maps = tensors[spec.name]
    if maps.ndim == 4 and spec.layout == "NHWC":
        maps = maps.transpose(0, 3, 1, 2)
    if maps.ndim != 4 or (len(maps), *maps.shape[2:]) != cells or maps.dtype.kind != "f":
        problem = (
            f"has shape {list(tensors[spec.name].shape)} of {maps.dtype}; layout {spec.layout} and stride "
            f"{description.stride} need floats for {cells[0]} images of {cells[1]} rows and {cells[2]} columns"
        )
        raise _contradiction(path, key, spec.name, problem)
    _check_channels(path, description, key, maps.shape[1])
    if spec.channels is not None:
        maps = maps[:, list(spec.channels)]
    return np.ascontiguousarray(maps, np.float32)
