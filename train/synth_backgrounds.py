"""What synthetic people stand before: the user's photographs, or places drawn by the program."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.files import visible_files
from ltsh_deploy.errors import ImageError, SourceError
from ltsh_deploy.image_headers import read_header, recognise_image
from ltsh_deploy.images import MAX_STREAMED_BYTES, Image, read_image
from ltsh_deploy.sources import READABLE_PICTURE_SUFFIXES
from ltsh_deploy.train.synth_digests import digest_of_files
from ltsh_deploy.train.synth_drawn_places import draw_place_for
from ltsh_deploy.train.synth_types import Camera, Floats, Light

__all__ = ["Backdrop", "Backgrounds", "DrawnBackgrounds", "Photographs", "open_backgrounds"]

_log = logging.getLogger(__name__)

# A photograph is enlarged by no more than this: more would be a blur that people before it do not share.
_MOST_ENLARGED = 3.0
# Kinds of pictures of which it is seen without decoding them, in a twentieth of the time, whether they are whole.
_TELLING = ("JPEG", "PNG", "WebP")


@dataclass(frozen=True, eq=False)
class Backdrop:
    """One background.

    Attributes:
        image: [H, W, 3] uint8 RGB of the camera's size.
        light: what lights the place, or None where nothing is known of it.
        ground: [H, W] float32 from 0 to 1, how far each pixel takes shadows; None where nothing is known.
        record: what it is, as plain JSON values.
    """

    image: Image
    light: Light | None
    ground: Floats | None
    record: dict[str, Any]


class Backgrounds(Protocol):
    """Where backgrounds come from."""

    def record(self) -> dict[str, Any] | None:
        """What the backgrounds depend on beside the random numbers, as plain JSON values; None for nothing."""

    def draw(self, rng: np.random.Generator, camera: Camera) -> Backdrop:
        """A background for a camera. The same state of ``rng`` and the same camera give the same one.

        Raises:
            SourceError: when no picture can be used.
        """


def open_backgrounds(folder: Path | None, size: tuple[int, int]) -> Backgrounds:
    """Backgrounds for pictures of a size.

    Args:
        folder: of photographs in which no people are, at any depth; None for drawn places.
        size: (width, height) in pixels.

    Raises:
        SourceError: when the folder cannot be read, or none of the pictures in it is readable and large enough.
    """
    return DrawnBackgrounds() if folder is None else Photographs(folder, size)


class DrawnBackgrounds:
    """Procedural rooms, streets and landscapes, in the camera's perspective."""

    def record(self) -> dict[str, Any] | None:
        """None: they depend on the random numbers alone."""
        return None

    def draw(self, rng: np.random.Generator, camera: Camera) -> Backdrop:
        """See :class:`Backgrounds`."""
        image, light, ground, kind = draw_place_for(rng, camera)
        return Backdrop(image, light, ground, {"drawn": kind})


class Photographs:
    """A folder of photographs, each cropped and scaled at random, and mirrored half of the time.

    All files are looked over when it is opened; those that cannot be used are counted in one warning.
    """

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self._folder, self._size = folder, size
        found = _pictures_in(folder)
        unusable = {path: reason for path in found if (reason := _why_not(path, size))}
        self._files = [path for path in found if path not in unusable]
        if not self._files:
            raise self._none_of(list(unusable.values()))
        if unusable:
            _log.warning(
                "%s: %d of %d pictures cannot be used as backgrounds and are passed over (first: %s)",
                folder,
                len(unusable),
                len(found),
                next(iter(unusable.values())),
            )

    def record(self) -> dict[str, Any] | None:
        """The number of pictures that can be used, and a digest of their names and contents."""
        return {"pictures": len(self._files), "digest": digest_of_files(self._folder, self._files)}

    def draw(self, rng: np.random.Generator, camera: Camera) -> Backdrop:
        """See :class:`Backgrounds`."""
        image, path = self.draw_picture(rng, camera.size)
        return Backdrop(image, None, None, {"photograph": path.relative_to(self._folder).as_posix()})

    def draw_picture(self, rng: np.random.Generator, size: tuple[int, int]) -> tuple[Image, Path]:
        """Part of a photograph, [H, W, 3] uint8 RGB of a size (width, height), and the file it is of.

        A picture that turns out not to be whole is passed over for another.

        Raises:
            SourceError: when no picture can be used.
        """
        reasons = []
        for number in rng.permutation(len(self._files)):
            path = self._files[number]
            try:
                image = read_image(path)
            except ImageError as error:
                reasons.append(error.message)
                continue
            if reason := _too_small(path, (image.shape[1], image.shape[0]), size):
                reasons.append(reason)
                continue
            return _cropped(image, rng, size), path
        raise self._none_of(reasons)

    def _none_of(self, reasons: list[str]) -> SourceError:
        least = " x ".join(str(round(side / _MOST_ENLARGED)) for side in self._size)
        return SourceError(
            f"{self._folder}: none of {len(reasons)} pictures can be used as a background; the first: {reasons[0]}",
            f"name a folder of photographs without people, of at least {least} pixels, or leave the option out",
        )


def _why_not(path: Path, size: tuple[int, int]) -> str:
    """Why a file cannot be a background for pictures of a size (width, height), as far as its header tells; or ""."""
    try:
        with path.open("rb") as file:
            data = file.read(256)
            data += b"" if recognise_image(data) is None else file.read(MAX_STREAMED_BYTES)
    except OSError as error:
        return f"{path}: the file cannot be read: {error.strerror}"
    header = read_header(data)
    if header is None or header.fault or header.size is None or header.kind not in _TELLING:
        # The reader knows what is wrong with the others, and says it best.
        try:
            shape = read_image(path).shape
        except ImageError as error:
            return error.message
        return _too_small(path, (shape[1], shape[0]), size)
    # The header has the sides as they are stored, before the picture is turned upright.
    as_stored, turned = (_too_small(path, sides, size) for sides in (header.size, header.size[::-1]))
    return as_stored if turned else ""


def _too_small(path: Path, sides: tuple[int, int], size: tuple[int, int]) -> str:
    """What is wrong where sides (width, height) would have to be enlarged too much to fill a size; else ""."""
    if _enlargement(sides, size) <= _MOST_ENLARGED:
        return ""
    return f"{path}: {sides[0]} x {sides[1]} pixels are too few for a background"


def _pictures_in(folder: Path) -> list[Path]:
    """The picture files in a folder, at any depth, by name."""
    remedy = "name a folder of photographs without people, or leave the option out for drawn places"
    try:
        if not folder.is_dir():
            raise SourceError(f"{folder}: there is no such folder of backgrounds", remedy)
        files = [
            path
            for path in visible_files(folder, "**/*")
            if path.suffix.lower() in READABLE_PICTURE_SUFFIXES and path.is_file()
        ]
    except OSError as error:
        raise SourceError(f"{folder}: cannot be read: {error.strerror}", "check the path and its permissions") from None
    if not files:
        raise SourceError(f"{folder}: this folder of backgrounds holds no picture", remedy)
    return files


def _enlargement(sides: tuple[int, int], size: tuple[int, int]) -> float:
    """How much larger a picture of sides (width, height) must be made to fill a size (width, height)."""
    return max(size[0] / max(1, sides[0]), size[1] / max(1, sides[1]))


def _cropped(image: Image, rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """A random part of a picture that fills a size (width, height), scaled."""
    height, width = image.shape[:2]
    zoom, across, down, mirror = rng.uniform(1, 1.3), rng.random(), rng.random(), rng.random() < 0.5
    scale = min(_MOST_ENLARGED, _enlargement((width, height), size) * zoom)
    part_width, part_height = min(width, round(size[0] / scale)), min(height, round(size[1] / scale))
    left, top = int(across * (width - part_width + 1)), int(down * (height - part_height + 1))
    part: npt.NDArray[Any] = image[top : top + part_height, left : left + part_width]
    shrinks = part_width > size[0]
    scaled = cv2.resize(part, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.ascontiguousarray(scaled[:, ::-1] if mirror else scaled, np.uint8)
