"""Changes of a crop's colours that leave every joint where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ltsh_deploy.images import Image

if TYPE_CHECKING:
    from ltsh_deploy.train.config import ColourConfig

__all__ = ["change_colours"]


def change_colours(rng: np.random.Generator, config: ColourConfig, image: Image) -> Image:
    """A crop [H, W, 3] RGB with brightness, contrast, saturation, hue, sharpness and JPEG quality of another camera.

    The same numbers are drawn whatever the configuration.
    """
    brightness, contrast, saturation, hue = rng.uniform(-1, 1, 4)
    grey, blur, jpeg = rng.random(3)
    matrix = np.eye(3)
    if config.hue:
        matrix = _turn_hue(np.deg2rad(hue * config.hue))
    kept = 0.0 if grey < config.grey else 1 + saturation * config.saturation
    if kept != 1:
        matrix = (kept * np.eye(3) + (1 - kept) * _TO_GREY) @ matrix
    gain, offset = 1 + contrast * config.contrast, 255 * brightness * config.brightness
    if gain != 1:
        offset += (1 - gain) * float(image.mean())
    if gain != 1 or offset != 0 or not np.array_equal(matrix, np.eye(3)):
        # One pass for everything that is linear; it rounds and saturates.
        image = np.asarray(cv2.transform(image, np.column_stack([gain * matrix, np.full(3, offset)])), np.uint8)
    if config.blur * blur > 0.1:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), config.blur * blur), np.uint8)
    if config.jpeg < 100:
        quality = round(config.jpeg + (100 - config.jpeg) * jpeg)
        _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)
    return image


# Luma of ITU-R BT.601, as in JPEG.
_LUMA = np.array([0.299, 0.587, 0.114])
_TO_GREY = np.tile(_LUMA, (3, 1))


def _turn_hue(angle: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """[3, 3] rotation of RGB about the grey axis: hue turns and the values' sum stays."""
    third = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return np.asarray(np.cos(angle) * np.eye(3) + (1 - np.cos(angle)) * third + np.sin(angle) * cross)
