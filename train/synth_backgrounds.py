"""What synthetic people stand before: the user's photographs, or places drawn by the program."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import ImageError, SourceError
from ltsh_deploy.images import Image, read_image
from ltsh_deploy.sources import READABLE_PICTURE_SUFFIXES
from ltsh_deploy.train.synth_drawn_places import draw_place_for
from ltsh_deploy.train.synth_types import Camera, Floats, Light

__all__ = ["Backdrop", "Backgrounds", "DrawnBackgrounds", "Photographs", "open_backgrounds"]

logger = logging.getLogger(__name__)

# A photograph is enlarged by no more than this: more would be a blur that people before it do not share.
_MOST_ENLARGED = 3.0
# Pictures that are tried in a row before a folder is given up.
_TRIES = 50


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
    """A folder of photographs, each cropped and scaled at random, and mirrored half of the time."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self._folder, self._size = folder, size
        self._files = _pictures_in(folder)
        # A folder that is of no use is found out before anything else is done.
        self._usable(self._files[:_TRIES])

    def record(self) -> dict[str, Any] | None:
        """The number of pictures, and a digest of their names and sizes."""
        digest = hashlib.sha256()
        for path in self._files:
            digest.update(f"{path.relative_to(self._folder).as_posix()}\0{path.stat().st_size}\n".encode())
        return {"pictures": len(self._files), "digest": digest.hexdigest()[:16]}

    def draw(self, rng: np.random.Generator, camera: Camera) -> Backdrop:
        """See :class:`Backgrounds`. A picture that cannot be used is passed over for another."""
        chosen = [self._files[i] for i in rng.choice(len(self._files), min(_TRIES, len(self._files)), replace=False)]
        path, photograph = self._usable(chosen)
        image = _cropped(photograph, rng, camera.size)
        return Backdrop(image, None, None, {"photograph": path.relative_to(self._folder).as_posix()})

    def _usable(self, paths: list[Path]) -> tuple[Path, Image]:
        """The first that can be used, and what it shows."""
        reasons = []
        for path in paths:
            try:
                image = read_image(path)
            except ImageError as error:
                reason = error.message
            else:
                if _enlargement(image, self._size) <= _MOST_ENLARGED:
                    return path, image
                reason = f"{path}: {image.shape[1]} x {image.shape[0]} pixels are too few for a background"
            logger.debug("%s", reason)
            reasons.append(reason)
        least = " x ".join(str(round(side / _MOST_ENLARGED)) for side in self._size)
        raise SourceError(
            f"{self._folder}: none of {len(reasons)} pictures can be used as a background; the first: {reasons[0]}",
            f"name a folder of photographs without people, of at least {least} pixels, or leave the option out",
        )


def _pictures_in(folder: Path) -> list[Path]:
    """The picture files in a folder, at any depth, by name."""
    remedy = "name a folder of photographs without people, or leave the option out for drawn places"
    try:
        if not folder.is_dir():
            raise SourceError(f"{folder}: there is no such folder of backgrounds", remedy)
        files = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in READABLE_PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        raise SourceError(f"{folder}: cannot be read: {error.strerror}", "check the path and its permissions") from None
    if not files:
        raise SourceError(f"{folder}: this folder of backgrounds holds no picture", remedy)
    return files


def _enlargement(image: Image, size: tuple[int, int]) -> float:
    """How much larger a picture must be made to fill a size (width, height)."""
    return float(max(size[0] / image.shape[1], size[1] / image.shape[0]))


def _cropped(image: Image, rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """A random part of a picture that fills a size (width, height), scaled."""
    height, width = image.shape[:2]
    zoom, across, down, mirror = rng.uniform(1, 1.3), rng.random(), rng.random(), rng.random() < 0.5
    scale = min(_MOST_ENLARGED, _enlargement(image, size) * zoom)
    part_width, part_height = min(width, round(size[0] / scale)), min(height, round(size[1] / scale))
    left, top = int(across * (width - part_width + 1)), int(down * (height - part_height + 1))
    part: npt.NDArray[Any] = image[top : top + part_height, left : left + part_width]
    shrinks = part_width > size[0]
    scaled = cv2.resize(part, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.ascontiguousarray(scaled[:, ::-1] if mirror else scaled, np.uint8)
