"""Between pictures and fields, and the tensors that one particular network takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import ModelFileError
from ltsh_deploy.fields import Fields

if TYPE_CHECKING:
    from ltsh_deploy.description_template import TensorInfo
    from ltsh_deploy.descriptions import InputSpec, ModelDescription

__all__ = ["check_tensors", "fields_from_tensors", "image_tensor", "normalisation_table"]


def check_tensors(
    path: Path, description: ModelDescription, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]
) -> tuple[int, int, int]:
    """Hold what a model file declares against its description, as far as that goes without running it.

    Returns:
        (N, H, W) of its input, 0 where it takes any.

    Raises:
        ModelFileError: naming the file and what does not fit.
    """
    spec, remedy = description.input, "Correct its description (docs/models.md)."
    for kind, tensors, name in (
        ("input", inputs, spec.name),
        ("output", outputs, description.heatmaps.name),
        ("output", outputs, description.pafs.name),
    ):
        names = [tensor.name for tensor in tensors]
        if name not in names:
            raise ModelFileError(f"{path}: has no {kind} {name!r}, but {', '.join(map(repr, names))}", remedy)
    if len(inputs) != 1:
        raise ModelFileError(f"{path}: takes {len(inputs)} inputs, and only one of them can be the pictures")
    (tensor,) = inputs
    if tensor.dtype != {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[spec.dtype]:
        raise ModelFileError(f"{path}: input {spec.name!r} is {tensor.dtype}, not {spec.dtype}", remedy)
    count, height, width, channels = (tensor.declared(spec.layout.index(axis)) for axis in "NHWC")
    # Where the number of channels is left open, a 3 at its place in the other layout tells as much.
    misplaced = not channels and tensor.declared({"NHWC": 1, "NCHW": 3}[spec.layout]) == 3
    if len(tensor.shape) != 4 or channels not in (0, 3) or misplaced:
        raise ModelFileError(f"{path}: input {spec.name!r} has shape {list(tensor.shape)}, not {spec.layout}", remedy)
    for fixed, wanted in ((width, description.size[0]), (height, description.size[1])):
        if fixed and (fixed % description.stride or wanted > fixed):
            raise ModelFileError(
                f"{path}: input {spec.name!r} has the fixed size {width or 'any'}x{height or 'any'}, which does not "
                f"fit stride {description.stride} and size {description.size[0]}x{description.size[1]}",
                remedy,
            )
    return count, height, width


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
    elif spec.dtype == "float32":
        tall = tall.astype(np.float32)
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
    spec = description.heatmaps if key == "heatmaps" else description.pafs
    maps = tensors[spec.name]

    def contradiction(problem: str) -> ModelFileError:
        return ModelFileError(
            f"{path}: output {spec.name!r} {problem}", f"Correct {key!r} in its description (docs/models.md)."
        )

    if maps.ndim == 4 and spec.layout == "NHWC":
        maps = maps.transpose(0, 3, 1, 2)
    if maps.ndim != 4 or (len(maps), *maps.shape[2:]) != cells or maps.dtype.kind != "f":
        raise contradiction(
            f"has shape {list(tensors[spec.name].shape)} of {maps.dtype}; layout {spec.layout} and stride "
            f"{description.stride} need floats for {cells[0]} images of {cells[1]} rows and {cells[2]} columns"
        )
    if spec.channels is not None:
        if max(spec.channels) >= maps.shape[1]:
            raise contradiction(f"has {maps.shape[1]} channels, so there is no channel {max(spec.channels)}")
        maps = maps[:, list(spec.channels)]
    allowed = description.map_counts[key]
    if maps.shape[1] not in allowed:
        raise contradiction(
            f"has {maps.shape[1]} channels, but skeleton {description.skeleton.name} needs "
            f"{' or '.join(map(str, allowed))} {key}"
        )
    return np.ascontiguousarray(maps, np.float32)
