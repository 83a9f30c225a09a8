"""Colours of people and of what they wear, as linear RGB albedo in [0, 1]."""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt

__all__ = [
    "car_colour",
    "cloth_colour",
    "eye_colour",
    "furnishing_colour",
    "hair_colour",
    "hard_colour",
    "leather_colour",
    "linear_from_srgb",
    "skin_colour",
    "srgb_from_linear",
]

Colour = npt.NDArray[np.float64]

# From dark to light; between two of them a colour is interpolated.
_SKINS = np.array(
    [
        [0.035, 0.018, 0.012],
        [0.09, 0.045, 0.028],
        [0.20, 0.105, 0.065],
        [0.36, 0.21, 0.14],
        [0.52, 0.33, 0.24],
        [0.66, 0.45, 0.36],
    ]
)
# Black, two dark browns, brown, blond, light blond, red, and their shares. Age turns any of them grey.
_HAIRS = np.array(
    [
        [0.006, 0.005, 0.005],
        [0.014, 0.009, 0.007],
        [0.035, 0.019, 0.011],
        [0.09, 0.05, 0.025],
        [0.28, 0.18, 0.08],
        [0.45, 0.33, 0.17],
        [0.14, 0.04, 0.014],
    ]
)
_HAIR_SHARES = (0.26, 0.2, 0.2, 0.16, 0.1, 0.04, 0.04)
_IRISES = np.array([[0.03, 0.015, 0.008], [0.08, 0.045, 0.02], [0.06, 0.1, 0.05], [0.1, 0.17, 0.26]])


def linear_from_srgb(colour: npt.ArrayLike) -> Colour:
    """Linear light of sRGB values in [0, 1] (IEC 61966-2-1)."""
    value = np.asarray(colour, np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((np.maximum(value, 0.04045) + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(colour: npt.ArrayLike) -> Colour:
    """sRGB values in [0, 1] of linear light in [0, 1] (IEC 61966-2-1)."""
    value = np.asarray(colour, np.float64)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * np.maximum(value, 0.0031308) ** (1 / 2.4) - 0.055)


def _from_hue(hue: float, saturation: float, value: float) -> Colour:
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))


def cloth_colour(rng: np.random.Generator, *, upper: bool = True) -> Colour:
    """[3] of cloth: black, white and greys, navy and khaki are common; loud colours are rarer.

    Args:
        rng: where the numbers come from.
        upper: for the upper body; below, dark and quiet colours are more common.
    """
    kind = rng.choice(6, p=[0.17, 0.15, 0.14, 0.15, 0.11, 0.28] if upper else [0.33, 0.08, 0.15, 0.19, 0.15, 0.1])
    if kind == 0:
        colour = np.full(3, rng.uniform(0.03, 0.16)) + rng.normal(0, 0.008, 3)
    elif kind == 1:
        colour = np.full(3, rng.uniform(0.78, 0.97)) + rng.normal(0, 0.015, 3)
    elif kind == 2:
        colour = np.full(3, rng.uniform(0.2, 0.72)) + rng.normal(0, 0.015, 3)
    elif kind == 3:
        colour = _from_hue(rng.uniform(0.56, 0.66), rng.uniform(0.25, 0.75), rng.uniform(0.15, 0.65))
    elif kind == 4:
        colour = _from_hue(rng.uniform(0.05, 0.14), rng.uniform(0.15, 0.55), rng.uniform(0.25, 0.8))
    else:
        colour = _from_hue(rng.random(), rng.beta(2.2, 1.6), rng.uniform(0.2, 0.95))
    return linear_from_srgb(np.clip(colour, 0.02, 0.97))


def furnishing_colour(rng: np.random.Generator) -> Colour:
    """[3] of what rooms are furnished with: earthen and grey tones, blues and greens, none of them loud."""
    hue = rng.choice([rng.uniform(0.0, 0.14), rng.uniform(0.22, 0.45), rng.uniform(0.52, 0.66)], p=[0.6, 0.15, 0.25])
    return linear_from_srgb(_from_hue(hue, 0.6 * rng.beta(1.5, 2.0), rng.uniform(0.18, 0.85)))


def skin_colour(rng: np.random.Generator) -> Colour:
    """[3] of skin, from dark to light; the darkest and lightest tones are rarer."""
    tone = (len(_SKINS) - 1) * rng.beta(1.5, 1.1)
    darker = min(int(tone), len(_SKINS) - 2)
    share = tone - darker
    colour = _SKINS[darker] * (1 - share) + _SKINS[darker + 1] * share
    return np.asarray(np.clip(colour * np.exp(rng.normal(0, 0.08, 3) * [1, 0.6, 0.8]), 0.01, 0.8))


def hair_colour(rng: np.random.Generator, skin: Colour, grey: float) -> Colour:
    """[3] of hair.

    Args:
        rng: where the numbers come from.
        skin: [3] its colour; blond and red hair is left to light skin, but for some that is dyed.
        grey: how grey it may have turned, 0 to 1.
    """
    light = float(skin[0]) > 0.3 or rng.random() < 0.06
    colour = _HAIRS[rng.choice(len(_HAIRS), p=_HAIR_SHARES) if light else rng.integers(3)]
    colour = colour * np.exp(rng.normal(0, 0.2))
    if rng.random() < 0.02:
        colour = linear_from_srgb(_from_hue(rng.random(), 0.7, 0.7))
    whitened = grey * rng.beta(1.2, 1.2)
    return np.asarray(np.clip(colour * (1 - whitened) + rng.uniform(0.25, 0.5) * whitened, 0.004, 0.7))


def eye_colour(rng: np.random.Generator) -> Colour:
    """[3] of irises, mostly brown."""
    return np.asarray(_IRISES[rng.choice(4, p=[0.45, 0.3, 0.1, 0.15])] * np.exp(rng.normal(0, 0.15)))


def leather_colour(rng: np.random.Generator) -> Colour:
    """[3] of leather: black, browns, at times white or red."""
    if rng.random() < 0.5:
        return np.full(3, rng.uniform(0.006, 0.03))
    if rng.random() < 0.75:
        return np.asarray(np.array([0.16, 0.075, 0.035]) * np.exp(rng.normal(0, 0.7)))
    return linear_from_srgb(_from_hue(rng.choice([0.0, 0.08]), rng.uniform(0, 0.8), rng.uniform(0.4, 0.95)))


def car_colour(rng: np.random.Generator) -> Colour:
    """[3] of paint of cars: white, black and greys, else mostly blue or red."""
    if rng.random() < 0.72:
        return np.full(3, rng.choice([0.01, 0.03, 0.1, 0.25, 0.5, 0.75]))
    hue = rng.choice([rng.normal(0.0, 0.015), rng.normal(0.6, 0.03), rng.random()], p=[0.4, 0.4, 0.2])
    return linear_from_srgb(_from_hue(hue, rng.uniform(0.4, 0.9), rng.uniform(0.25, 0.75)))


def hard_colour(rng: np.random.Generator) -> Colour:
    """[3] of plastic, metal or rubber: often black or grey, else any colour."""
    if rng.random() < 0.5:
        return np.full(3, rng.choice([0.01, 0.03, 0.2, 0.5]))
    return linear_from_srgb(_from_hue(rng.random(), rng.uniform(0.3, 0.95), rng.uniform(0.25, 0.95)))
