"""Prints for the fronts of synthetic people's shirts: words, numbers, badges, drawings of nothing in particular."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["PRINTS"]

Ink = npt.NDArray[np.uint8]

_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)
_VOWELS, _CONSONANTS = "AEIOU", "BCDFGHKLMNPRSTVWZ"


def _word(rng: np.random.Generator, syllables: int) -> str:
    letters = [rng.choice(list(kind)) for _ in range(syllables) for kind in (_CONSONANTS, _VOWELS)]
    return "".join(letters)


def _write(ink: Ink, text: str, font: int, box: tuple[int, int, int, int], thickness: int, colour: int) -> None:
    """Write a line of text as large as a box (x, y, width, height) holds, in the ink 0 or 1."""
    x, y, width, height = box
    (wide, high), baseline = cv2.getTextSize(text, font, 1.0, thickness)
    scale = min(width / wide, height / (high + baseline))
    (wide, high), _ = cv2.getTextSize(text, font, scale, thickness)
    place = (x + (width - wide) // 2, y + (height + high) // 2)
    letters = np.zeros(ink.shape[:2], np.uint8)
    cv2.putText(letters, text, place, font, scale, 255, thickness, cv2.LINE_AA)
    ink[..., colour] = np.maximum(ink[..., colour], letters)
    ink[..., 1 - colour] = np.minimum(ink[..., 1 - colour], 255 - letters)


def _words(rng: np.random.Generator, side: int) -> Ink:
    ink = np.zeros((side, side, 2), np.uint8)
    lines, font = int(rng.integers(1, 4)), int(rng.choice(_FONTS))
    top, height = side // 2 - lines * side // 8, side // 4
    for line in range(lines):
        word = _word(rng, int(rng.integers(2, 4)))
        _write(
            ink,
            word,
            font,
            (4, top + line * height, side - 8, height),
            int(rng.integers(2, 7)),
            int(rng.random() < 0.2),
        )
    return ink


def _number(rng: np.random.Generator, side: int) -> Ink:
    ink = np.zeros((side, side, 2), np.uint8)
    number, font = str(rng.integers(1, 100)), int(rng.choice(_FONTS[:4]))
    box = (side // 8, side // 5, side * 3 // 4, side * 4 // 5)
    thickness = int(rng.integers(6, 13))
    _write(ink, number, font, box, thickness + 6, 1)
    _write(ink, number, font, box, thickness, 0)
    return ink


def _badge(rng: np.random.Generator, side: int) -> Ink:
    ink = np.zeros((side, side, 2), np.uint8)
    centre, radius = (side // 2, side // 2), int(side * rng.uniform(0.25, 0.48))
    corners = int(rng.integers(3, 12))
    angles = rng.uniform(0, 6.3) + np.arange(2 * corners) * np.pi / corners
    reach = radius * np.where(np.arange(2 * corners) % 2, rng.uniform(0.45, 1), 1)
    star = np.stack([centre[0] + reach * np.cos(angles), centre[1] + reach * np.sin(angles)], axis=-1)
    cv2.fillPoly(ink, [np.rint(star).astype(np.int32)], (255, 0), cv2.LINE_AA)
    cv2.circle(ink, centre, radius // 2, (0, 255), -1, cv2.LINE_AA)
    if rng.random() < 0.6:
        _write(ink, _word(rng, 1), cv2.FONT_HERSHEY_DUPLEX, (side // 4, side * 3 // 8, side // 2, side // 4), 3, 0)
    return ink


def _drawing(rng: np.random.Generator, side: int) -> Ink:
    """Overlapping ellipses and strokes within a round or square frame."""
    ink = np.zeros((side, side, 2), np.uint8)
    for _ in range(int(rng.integers(5, 14))):
        centre = tuple(int(value) for value in rng.integers(side // 5, side * 4 // 5, 2))
        axes = tuple(int(value) for value in rng.integers(3, side // 4, 2))
        shares = ((255, 0), (0, 255), (0, 0))[int(rng.choice(3, p=[0.45, 0.35, 0.2]))]
        thickness = -1 if rng.random() < 0.6 else int(rng.integers(2, 6))
        cv2.ellipse(ink, centre, axes, float(rng.uniform(0, 360)), 0, 360, shares, thickness, cv2.LINE_AA)
    frame = np.zeros((side, side), np.uint8)
    if rng.random() < 0.5:
        cv2.circle(frame, (side // 2, side // 2), int(side * 0.45), 255, -1)
    else:
        frame[side // 10 : -side // 10, side // 6 : -side // 6] = 255
    ink[frame == 0] = 0
    return ink


def _chest_band(rng: np.random.Generator, side: int) -> Ink:
    """A band across the chest, of one or two colours."""
    ink = np.zeros((side, side, 2), np.uint8)
    top, height = int(side * rng.uniform(0.2, 0.5)), int(side * rng.uniform(0.15, 0.4))
    ink[top : top + height, :, 0] = 255
    if rng.random() < 0.5:
        ink[top : top + height // 3] = (0, 255)
    if rng.random() < 0.4:
        _write(ink, _word(rng, 3), cv2.FONT_HERSHEY_DUPLEX, (8, top, side - 16, height), 4, 1)
    return ink


#: What draws a print of so many texels a side: [S, S, 2] uint8 shares of the second and third colour.
PRINTS: tuple[Callable[[np.random.Generator, int], Ink], ...] = (_words, _number, _badge, _drawing, _chest_band)
