"""Light for synthetic people that suits the photograph they are put into."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.images import Image
from ltsh_deploy.train.synth_types import Camera, Doubles, Floats, Light

__all__ = ["LINEAR", "light_from_background", "open_ground", "to_srgb"]


def _linear(values: Doubles) -> Doubles:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


#: [256] float32 linear light, 0 to 1, of each sRGB byte (IEC 61966-2-1).
LINEAR: Floats = _linear(np.arange(256) / 255).astype(np.float32)

# Albedo of what photographs show, on average. Light is what they show divided by it.
_MEAN_ALBEDO = 0.35

# Grey levels of the darkest sky.
_DULLEST = 80.0
# Sky takes up so much of a picture's upper edge.
_LEAST_OF_TOP = 0.15


def to_srgb(light: npt.NDArray[Any]) -> Floats:
    """Linear light of any shape as sRGB values from 0 to 255, not rounded; light beyond 0 to 1 is clipped."""
    clipped = np.clip(light, 0, 1)
    encoded = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return np.asarray(255 * encoded, np.float32)


def light_from_background(background: Image, camera: Camera, rng: np.random.Generator) -> Light:
    """A light that could have made a photograph.

    What is bright on the left, right, top or bottom of the photograph shines from there (for its middle tells nothing
    about what is behind the camera, order 1 of spherical harmonics is all that is asked for). The rest is drawn: how
    much of the light comes straight from a key light and how much from all around, the key light's height (20 to 80
    degrees) and its colour; its compass direction is drawn too, the photograph's brighter side more often than not;
    and the contrast.

    Args:
        background: [H, W, 3] uint8 RGB, at least 1 x 1.
        camera: what the photograph is taken with; left and right are its.
        rng: where the numbers come from.
    """
    # A lamp or the sun in the picture is not what everything else is lit by: each part counts up to a limit.
    parts = cv2.resize(background, (8, 8), interpolation=cv2.INTER_AREA)
    shown = np.minimum(LINEAR[parts].astype(np.float64), 0.75)
    mean = np.maximum(shown.mean(axis=(0, 1)), 0.015)
    rise = (shown[:3].mean(axis=(0, 1)) - shown[5:].mean(axis=(0, 1))) / 2
    rightward = (shown[:, 5:].mean(axis=(0, 1)) - shown[:, :3].mean(axis=(0, 1))) / 2
    # Photographs are exposed for their middle tones, people in them often brighter than the mean; colours of walls and
    # grass tint what they light only in part.
    total = mean * rng.uniform(1.3, 2.7) / _MEAN_ALBEDO
    total = 0.55 * total + 0.45 * total.mean()

    share = rng.uniform(0.1, 0.85)
    right, up = camera.rotation[0], np.array([0.0, 0.0, 1.0])
    side = np.clip(rightward.mean() / mean.mean(), -1, 1)
    towards = math.atan2(right[1], right[0]) + (0.0 if side > 0 else math.pi)
    azimuth = rng.vonmises(towards, 2.5 * abs(side))
    height = math.radians(rng.uniform(20, 80))
    flat = math.cos(height)
    direction = np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(height)])
    warmth = np.exp(rng.normal(0, 0.09) * np.array([1.0, 0.0, -1.0]))

    around = total * (1 - share)
    # The sky or ceiling gives more than the ground, which gives back a third.
    ambient = np.zeros((4, 3))
    ambient[0] = 0.9 * around
    ambient[1:] += np.outer(right, 0.5 * (1 - share) * rightward / _MEAN_ALBEDO)
    ambient[1:] += np.outer(up, (1 - share) * rise / _MEAN_ALBEDO + 0.3 * around)
    # No direction may be darker than a tenth of the mean, whatever the photograph.
    slope = np.sqrt((ambient[1:] ** 2).sum(axis=0))
    ambient[1:] *= np.minimum(1, 0.9 * ambient[0] / np.maximum(slope, 1e-9))
    key = 1.5 * total * share * warmth / warmth.mean()
    # Cameras show more contrast than there is, and the photograph has been through one.
    contrast = float(rng.uniform(1.1, 1.4))
    return Light(ambient.astype(np.float32), direction.astype(np.float32), key.astype(np.float32), contrast)


def open_ground(background: Image) -> Floats:
    """[H, W] float32 from 0 to 1: 0 where a photograph [H, W, 3] seems to show sky, on which no shadow may fall.

    Sky is bright and smooth, and blue or without colour. At the picture's top it may be darker than elsewhere; whatever
    is above the lower end of such sky stands before it, and is no ground either.
    """
    height, width = background.shape[:2]
    small = cv2.resize(background, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
    red, green, blue = (small[..., c].astype(np.float32) for c in range(3))
    grey = (red + green + blue) / 3
    rough = cv2.GaussianBlur((grey - cv2.GaussianBlur(grey, (0, 0), 2)) ** 2, (0, 0), 2)
    is_blue = (blue > 1.12 * red) & (blue >= green) & (blue > 90)
    is_cloud = (grey > 200) & (blue > 0.97 * red)
    sky = (is_blue | is_cloud) & (rough < 40)
    is_dull = (blue > 0.95 * red) & (grey > max(_DULLEST, float(grey.mean())))
    sky |= _above_what_reaches_the_top((is_blue | is_dull) & (rough < 200))
    return np.asarray(1 - cv2.resize(sky.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))


def _above_what_reaches_the_top(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """[h, w] the places of connected parts that take up some of the uppermost row, and all that is above these."""
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    numbers, counts = np.unique(parts[0], return_counts=True)
    wide = numbers[(numbers > 0) & (counts >= _LEAST_OF_TOP * mask.shape[1])]
    reaching = np.isin(parts, wide)
    return np.asarray(np.logical_or.accumulate(reaching[::-1])[::-1])
