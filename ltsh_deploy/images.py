"""Pictures: from any file to uint8 RGB, and from there to a network's input and back.

Coordinates are those of :mod:`ltsh_deploy.fields`: a pixel's centre has whole-number coordinates.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import ImageError, UsageError
from ltsh_deploy.fields import FloatArray
from ltsh_deploy.image_headers import ImageHeader, read_header, recognise_image
from ltsh_deploy.opencv_quirks import hush_opencv

__all__ = [
    "MAX_PIXELS",
    "MAX_STREAMED_BYTES",
    "PADDING",
    "Image",
    "Placement",
    "apply",
    "check_image",
    "place",
    "read_image",
    "scaling_steps",
]

Image = npt.NDArray[np.uint8]

#: Pictures of more pixels than this are refused before they are decoded: a small file can hold a picture of 100 GB.
#: The largest telephone cameras make 200 million.
MAX_PIXELS = 1 << 28
#: A picture that comes over a network or through a pipe, of which nothing tells the size before, has no more bytes:
#: one for each pixel, and pictures are compressed to less.
MAX_STREAMED_BYTES = MAX_PIXELS
#: The grey, in all three channels, right of and below a picture in a network's input.
PADDING = 128
_MAX_BYTES = 4 * MAX_PIXELS
_REMEDY_DAMAGED = "copy or download the file again"
_REMEDY_KINDS = "use JPEG, PNG, WebP, TIFF, BMP, GIF, JPEG 2000, AVIF or PNM"


def read_image(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview,
    name: str | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> Image:
    """Decode a picture, upright as its metadata say.

    16-bit pictures keep their upper 8 bits, grey ones become three equal channels, transparent parts are blended
    over white as viewers and web pages show them, and of animations and several pages the first is read. Colour
    profiles are not applied.

    Args:
        source: a path, or the bytes of a picture file.
        name: how errors call the picture; the path when left out.
        max_pixels: the largest width times height to decode.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        ImageError: when there is no such file, or not the whole picture can be decoded.
    """
    hush_opencv()
    if isinstance(source, bytes | bytearray | memoryview):
        name, data = name or "the picture", bytes(source)
    else:
        name = name or os.fspath(source)
        data = _read_file(source, name)
    if not data:
        raise ImageError(f"{name}: the file is empty", _REMEDY_DAMAGED)
    header = read_header(data)
    if header is None or header.kind == "HEIC":
        raise _unknown_kind(name, data)
    _check_size(header.size, name, max_pixels)
    fault = header.fault or ("" if header.size else "it does not say how large it is")
    if fault:
        raise ImageError(f"{name}: this {header.kind} picture is cut off or damaged: {fault}", _REMEDY_DAMAGED)
    # JPEG is decoded straight to upright RGB; elsewhere the asked-for conversion would lose alpha or the 16 bits.
    mode = cv2.IMREAD_COLOR_RGB if header.kind == "JPEG" else cv2.IMREAD_UNCHANGED
    try:
        pixels: npt.NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except (cv2.error, MemoryError) as error:
        raise ImageError(f"{name}: this {header.kind} picture cannot be decoded", _REMEDY_DAMAGED) from error
    if pixels is None or pixels.size == 0:
        raise ImageError(f"{name}: this {header.kind} picture is damaged or of a rare variant", _REMEDY_DAMAGED)
    _check_size((pixels.shape[1], pixels.shape[0]), name, max_pixels)
    return pixels if header.kind == "JPEG" else _to_rgb(pixels, header, name)


def _read_file(source: str | os.PathLike[str], name: str) -> bytes:
    """The bytes of a picture file; of any other file, only the start is read."""
    try:
        with open(source, "rb") as file:  # noqa: PTH123  (Path would refuse what open() accepts)
            head = file.read(256)
            return head if recognise_image(head) is None else head + file.read(_MAX_BYTES)
    except FileNotFoundError:
        raise ImageError(f"{name}: there is no such file", "check the path") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: this is a folder, not a picture", "name a picture in it") from None
    except (OSError, ValueError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ImageError(f"{name}: the file cannot be read: {reason or error}", "check the file") from None


def _unknown_kind(name: str, data: bytes) -> ImageError:
    if recognise_image(data[:256]) == "HEIC":
        return ImageError(f"{name}: HEIC pictures cannot be read", "convert it to JPEG first, e.g. with heif-convert")
    if data.count(0) == len(data):
        return ImageError(f"{name}: the file holds nothing but zeros", _REMEDY_DAMAGED)
    return ImageError(f"{name}: this is not a picture of a known kind", _REMEDY_KINDS)


def _check_size(size: tuple[int, int] | None, name: str, max_pixels: int) -> None:
    if size is not None and size[0] * size[1] > max_pixels:
        raise ImageError(
            f"{name}: {size[0]} x {size[1]} pixels are more than the limit of {max_pixels}",
            "make it smaller, or raise the limit (max_pixels of ltsh_deploy.images.read_image)",
        )


def _to_rgb(pixels: npt.NDArray[Any], header: ImageHeader, name: str) -> Image:
    """Grey, BGR or BGRA of 8 or 16 bits, as stored, to upright RGB."""
    if pixels.dtype == np.uint16:
        # The upper bytes in their places: shifted copies of a large picture would take several times its memory.
        pixels = pixels.view(np.uint8)[..., sys.byteorder == "little" :: 2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if pixels.dtype != np.uint8 or channels not in (1, 3, 4):
        raise ImageError(
            f"{name}: its pixels are {channels} x {pixels.dtype}, which have no agreed range",
            "convert it to 8 or 16 bits a channel, grey or RGB",
        )
    if channels == 4:
        pixels = _over_white(pixels, header.premultiplied)
    pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB if channels == 1 else cv2.COLOR_BGR2RGB)
    # EXIF orientation: 5 to 8 are transposed, and then all are mirrored so.
    if header.orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    across, down = header.orientation in (2, 3, 6, 7), header.orientation in (3, 4, 7, 8)
    return np.ascontiguousarray(pixels[:: -1 if down else 1, :: -1 if across else 1])


def _over_white(bgra: Image, premultiplied: bool) -> Image:
    colours, alpha = bgra[:, :, :3], bgra[:, :, 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(colours)
    if premultiplied:
        return np.minimum(colours, alpha) + (255 - alpha)
    blended = np.empty_like(colours)
    # In bands of rows, since the 16-bit products of a large picture would take several times its memory.
    for top in range(0, len(bgra), 256):
        rows = slice(top, top + 256)
        wide = alpha[rows].astype(np.uint16)
        blended[rows] = (colours[rows] * wide + 255 * (255 - wide) + 127) // 255
    return blended


def check_image(image: object, name: str = "the image") -> Image:
    """An array that a caller gave as a picture, as contiguous uint8 [H, W, 3] RGB.

    Grey [H, W] and [H, W, 1] are broadcast to three channels; colour order cannot be checked: it must be RGB.

    Raises:
        ImageError: when it is not a uint8 array of such a shape; it says what was given and how to convert.
    """
    if not isinstance(image, np.ndarray):
        kind = f"{type(image).__module__}.{type(image).__qualname__}"
        raise ImageError(
            f"{name} must be a uint8 NumPy array [H, W, 3] in RGB order, got {kind}",
            "convert it with numpy.asarray(image), or read a file with ltsh_deploy.images.read_image(path)",
        )
    if image.dtype != np.uint8:
        remedy = "scale it to 0..255 and convert it with .astype(numpy.uint8)"
        raise ImageError(f"{name} must be uint8, got {image.dtype} {list(image.shape)}", remedy)
    if image.size == 0 or image.ndim not in (2, 3):
        raise ImageError(f"{name} must be [H, W, 3] with at least one pixel, got {list(image.shape)}")
    if image.ndim == 2 or image.shape[2] == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.shape[2] != 3:
        remedy = "blend the alpha channel away: image[:, :, :3] drops it" if image.shape[2] == 4 else ""
        if image.shape[0] in (1, 3):
            remedy = "channels come last: image.transpose(1, 2, 0)"
        raise ImageError(f"{name} must be [H, W, 3] in RGB order, got {list(image.shape)}", remedy)
    return np.ascontiguousarray(image)


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in a network's input: scaled, in the top left corner, with padding right and below.

    Attributes:
        image_size: (W, H) pixels of the picture.
        content_size: (w, h) pixels that the picture takes up in the input.
        stride: the input's sides are multiples of this.
    """

    image_size: tuple[int, int]
    content_size: tuple[int, int]
    stride: int

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the input: the content with as little padding as the stride allows."""
        width, height = (-(-side // self.stride) * self.stride for side in self.content_size)
        return width, height

    @property
    def scales(self) -> tuple[float, float]:
        """Input pixels a picture pixel, in x and y: they differ a little, since sides are whole pixels."""
        return self.content_size[0] / self.image_size[0], self.content_size[1] / self.image_size[1]

    def to_input(self, xy: FloatArray) -> FloatArray:
        """[..., 2] positions on the picture to positions on the input (which was not mirrored)."""
        positions: FloatArray = (xy + 0.5) * np.array(self.scales) - 0.5
        return positions

    def to_image(self, xy: FloatArray) -> FloatArray:
        """[..., 2] positions on the input to positions on the picture; the inverse of :meth:`to_input`."""
        positions: FloatArray = (xy + 0.5) / np.array(self.scales) - 0.5
        return positions


@lru_cache(maxsize=256)
def place(image_size: tuple[int, int], box: tuple[int, int], stride: int, scale: float = 1.0) -> Placement:
    """Fit a picture of (W, H) pixels, with kept aspect, into ``box`` (width, height) times ``scale``.

    Small pictures are enlarged. A side has at least one pixel, so a picture far longer than wide is squeezed.

    Raises:
        UsageError: when box, stride or scale are not positive, or the box is beyond any reason.
    """
    if min(box) < 1 or stride < 1 or not 0 < scale < math.inf or box[0] * box[1] * scale * scale > MAX_PIXELS:
        raise UsageError(f"a network input of {box[0]} x {box[1]} times {scale}, stride {stride}, cannot be made")
    if min(image_size) < 1:
        raise ImageError(f"a picture of {image_size[0]} x {image_size[1]} pixels is empty")
    limits = [max(1, math.floor(side * scale)) for side in box]
    factor = min(limit / side for limit, side in zip(limits, image_size, strict=True))
    width, height = (
        min(limit, max(1, math.floor(side * factor + 0.5))) for limit, side in zip(limits, image_size, strict=True)
    )
    return Placement(image_size, (width, height), stride)


def scaling_steps(placement: Placement) -> list[tuple[tuple[int, int], int]]:
    """From a picture to its content: the (width, height) after each step, and OpenCV's number for the interpolation."""
    (across, down), (width, height) = placement.image_size, placement.content_size
    steps = []
    # INTER_AREA would do, but costs more than the rest of the preprocessing. At a factor of two or less, every pixel
    # has a part in a bilinear sample, and halving steps map the picture's edges onto edges exactly.
    while across > 2 * width or down > 2 * height:
        across = (across + 1) // 2 if across > 2 * width else across
        down = (down + 1) // 2 if down > 2 * height else down
        steps.append(((across, down), cv2.INTER_LINEAR))
    if (across, down) != (width, height):
        enlarged = width >= across and height >= down
        steps.append(((width, height), cv2.INTER_CUBIC if enlarged else cv2.INTER_LINEAR))
    return steps


def apply(image: Image, placement: Placement, mirror: bool = False) -> Image:
    """A network's input: ``image`` [H, W, 3] uint8 scaled as ``placement`` says, padded with grey.

    With ``mirror`` the content, not the padding, is mirrored left to right: position x becomes w - 1 - x.

    Returns:
        [H', W', 3] uint8 of the placement's input size.

    Raises:
        ImageError: when the placement was made for another size of picture.
    """
    across, down = image.shape[1], image.shape[0]
    if (across, down) != placement.image_size:
        raise ImageError(f"a placement for {placement.image_size} pixels cannot be applied to {(across, down)} pixels")
    content: npt.NDArray[Any] = image
    for size, method in scaling_steps(placement):
        content = cv2.resize(content, size, interpolation=method)
    if mirror:
        content = cv2.flip(content, 1)
    right, below = (whole - part for whole, part in zip(placement.input_size, placement.content_size, strict=True))
    padded: npt.NDArray[Any] = cv2.copyMakeBorder(
        content, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(PADDING,) * 3
    )
    return padded
