"""What every runtime asks of its arguments, and how pictures of any number and size become a network's batches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import LtshError, ModelFileError, UsageError
from ltsh_deploy.fields import Fields
from ltsh_deploy.images import PADDING

__all__ = [
    "check_file",
    "check_images",
    "check_shape",
    "check_threads",
    "cut",
    "into_batches",
    "parse_device",
    "run_error",
]

UInt8Array = npt.NDArray[np.uint8]


def parse_device(device: str) -> tuple[str, int]:
    """(auto, cpu or cuda; the index of the CUDA device) of a device's name.

    Raises:
        UsageError: for a name that is none.
    """
    match = re.fullmatch(r"(auto|cpu|cuda)(?:(?<=cuda):(\d{1,3}))?", device)
    if match is None:
        raise UsageError(f"there is no device {device!r}", "Devices are auto, cpu, cuda and, for a second GPU, cuda:1.")
    return match[1], int(match[2] or 0)


def check_threads(threads: int | None) -> None:
    """Make sure that a network can run on so many CPU threads; None is any number.

    Raises:
        UsageError: otherwise.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"a network cannot run on {threads} threads", "Give at least 1.")


def check_file(path: Path) -> None:
    """Find what can be said of a model file without reading it as a model.

    Raises:
        ModelFileError: when it is missing, empty, a folder or cannot be read.
    """
    try:
        if path.is_dir():
            raise ModelFileError(f"{path}: is a folder, not a model file")
        with path.open("rb") as file:
            if not file.read(1):
                raise ModelFileError(f"{path}: is empty (0 bytes)", "Copy, download or export it again.")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelFileError(f"{path}: the model file cannot be read ({reason})") from None


def check_images(images: UInt8Array, stride: int, closed: bool) -> None:
    """Make sure that pictures can be put into a network: uint8 [N, H, W, 3], sides multiples of the stride.

    Raises:
        UsageError: otherwise, and when the runtime is closed.
    """
    if closed:
        raise UsageError("this runtime was closed", "Open another one.")
    # Others may have a shape and a type, and be on a GPU.
    dtype = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
    check_shape(np.shape(images), dtype, stride)


def check_shape(shape: tuple[int, ...], dtype: object, stride: int) -> None:
    """The same of a shape and a type, which may be that of pictures on a GPU.

    Raises:
        UsageError: when they are not uint8 [N, H, W, 3], or sides are no multiples of the stride.
    """
    if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise UsageError(f"images must be a uint8 array of shape [N, H, W, 3], got {dtype} of shape {list(shape)}")
    _, height, width, _ = shape
    if not (height and width) or height % stride or width % stride:
        raise UsageError(f"images must have sides that are multiples of {stride}, got {width}x{height}")


def into_batches(
    images: UInt8Array, smallest: Sequence[int], largest: Sequence[int], path: Path
) -> Iterator[tuple[UInt8Array, int]]:
    """Pictures as the network takes them: batches that are not too large, padded where they are too small.

    Args:
        images: [N, H, W, 3] uint8 RGB.
        smallest: (N, H, W) that the network takes at least.
        largest: (N, H, W) that it takes at most.
        path: the model file, for messages.

    Yields:
        A batch and how many of its pictures are given ones; padding lies behind, and right and below, as grey.

    Raises:
        UsageError: for pictures that are too large.
    """
    count, height, width = images.shape[:3]
    if height > largest[1] or width > largest[2]:
        raise UsageError(
            f"{path} takes pictures of at most {largest[2]}x{largest[1]} pixels, got {width}x{height}",
            f"Use --size {largest[2]}x{largest[1]}.",
        )
    for start in range(0, count, largest[0]):
        part = images[start : start + largest[0]]
        full = (max(len(part), smallest[0]), max(height, smallest[1]), max(width, smallest[2]))
        if part.shape[:3] != full:
            padded = np.full((*full, 3), PADDING, np.uint8)
            padded[: len(part), :height, :width] = part
            yield padded, len(part)
        else:
            yield part, len(part)


def cut(fields: Fields, height: int, width: int) -> Fields:
    """The fields of the top left (height, width) pixels."""
    h, w = height // fields.stride, width // fields.stride
    if fields.size == (h, w):
        return fields
    heatmaps, pafs = (np.ascontiguousarray(maps[:, :h, :w]) for maps in (fields.heatmaps, fields.pafs))
    return Fields(heatmaps, pafs, fields.stride)


def run_error(path: Path, images: UInt8Array, reason: str) -> LtshError:
    """That a network failed on a batch."""
    count, height, width = images.shape[:3]
    return LtshError(
        f"{path}: failed on {count} image{'s' * (count != 1)} of {width}x{height} ({reason})",
        "If memory ran out, use a smaller --batch or --size.",
    )
