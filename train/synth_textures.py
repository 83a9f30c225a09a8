"""Procedural patterns for cloth: camouflage, flowers, hound's tooth, letters and more.

A texture says, for each texel, how much of a cloth's second and third colour there is; the cloth brings the colours, so
that one texture makes many cloths. They are the same in every run with the same OpenCV.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_prints import PRINTS

__all__ = ["Textures", "cloth_textures"]

Ink = npt.NDArray[np.uint8]
#: Draws one kind of pattern: an array [S, S, 2] of the two inks' shares, 0 to 255.
Maker = Callable[[np.random.Generator], Ink]

#: Texels a side, levels of filtering, and variants of each kind.
_SIDE, _LEVELS, _VARIANTS = 128, 4, 4


@dataclass(frozen=True, eq=False)
class Textures:
    """A bank of textures.

    Attributes:
        bank: [T, L, S, S, 2] uint8 shares of the second and third colour; each level is smoothed twice as widely as
            the one before.
        tiled: how many repeat seamlessly; they come first.
        prints: how many are shown once; they follow.
    """

    bank: Ink
    tiled: int
    prints: int


@cache
def cloth_textures() -> Textures:
    """The bank, made on first use in a few tenths of a second."""
    rng = np.random.default_rng(20240)
    tiled = [make(rng) for make in _TILED for _ in range(_VARIANTS)]
    prints = [make(rng, _SIDE) for make in PRINTS for _ in range(_VARIANTS)]
    bank = np.stack(
        [_levels(ink, cv2.BORDER_WRAP) for ink in tiled] + [_levels(ink, cv2.BORDER_CONSTANT) for ink in prints]
    )
    bank.flags.writeable = False
    return Textures(bank, len(tiled), len(prints))


def _levels(ink: Ink, border: int) -> Ink:
    levels = [ink]
    for level in range(1, _LEVELS):
        width = 2**level
        margin = 2 * width
        wide = cv2.copyMakeBorder(ink, margin, margin, margin, margin, border)
        levels.append(np.asarray(cv2.blur(wide, (width, width))[margin:-margin, margin:-margin], np.uint8))
    return np.stack(levels)


def _blank() -> Ink:
    return np.zeros((_SIDE, _SIDE, 2), np.uint8)


def _stamp(ink: Ink, draw: Callable[[Ink, int, int], None], x: int, y: int) -> None:
    """Draw something at (x, y) and wherever it comes back in beyond the borders."""
    for dx in (-_SIDE, 0, _SIDE):
        for dy in (-_SIDE, 0, _SIDE):
            draw(ink, x + dx, y + dy)


def _smooth_noise(rng: np.random.Generator, size: float) -> npt.NDArray[np.float64]:
    """[S, S] periodic noise with features of so many texels, its values spread evenly over 0 to 1."""
    waves = np.fft.fft2(rng.standard_normal((_SIDE, _SIDE)))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_SIDE), np.fft.fftfreq(_SIDE)))
    noise = np.fft.ifft2(waves * np.exp(-((frequency * size) ** 2) * 2)).real
    return np.asarray(noise.ravel().argsort().argsort().reshape(noise.shape) / noise.size)


def _grid() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    rows, columns = np.mgrid[:_SIDE, :_SIDE] / _SIDE
    return columns, rows


def _two_inks(second: npt.NDArray[np.bool_], third: npt.NDArray[np.bool_]) -> Ink:
    return np.stack([second, third], axis=-1).astype(np.uint8) * np.uint8(255)


def _camouflage(rng: np.random.Generator) -> Ink:
    size = rng.uniform(12, 24)
    return _two_inks(_smooth_noise(rng, size) > 0.6, _smooth_noise(rng, size) > 0.75)


def _leopard(rng: np.random.Generator) -> Ink:
    noise = _smooth_noise(rng, rng.uniform(7, 11))
    return _two_inks((noise > 0.55) & (noise < 0.72), noise > 0.88)


def _marble(rng: np.random.Generator) -> Ink:
    veins = np.abs(_smooth_noise(rng, rng.uniform(18, 40)) - 0.5)
    shares = np.stack([np.clip(1 - veins * rng.uniform(6, 20), 0, 1), 0 * veins], axis=-1)
    return np.asarray(255 * shares, np.uint8)


def _tie_dye(rng: np.random.Generator) -> Ink:
    shares = [np.clip(1.6 * _smooth_noise(rng, rng.uniform(20, 50)) - 0.5, 0, 1) for _ in range(2)]
    return np.asarray(255 * np.stack(shares, axis=-1), np.uint8)


def _houndstooth(rng: np.random.Generator) -> Ink:
    # A twill of four dark and four light threads, in both directions.
    threads = int(rng.choice([32, 64]))
    x, y = (np.asarray(values * threads, int) for values in _grid())
    warp_on_top = (x - y) % 4 < 2
    return _two_inks(np.where(warp_on_top, x % 8 < 4, y % 8 < 4), np.zeros_like(warp_on_top))


def _herringbone(rng: np.random.Generator) -> Ink:
    x, y = _grid()
    count, steep = int(rng.integers(2, 6)), int(rng.integers(6, 14))
    zigzag = np.abs((x * count) % 1 - 0.5) * 2
    phase = (y * steep + zigzag) % 1
    return _two_inks(phase < 0.5, (phase > 0.5) & (phase < rng.uniform(0.5, 0.8)))


def _argyle(rng: np.random.Generator) -> Ink:
    x, y = (values * int(rng.integers(1, 3)) for values in _grid())
    diamonds = np.abs((2 * x) % 1 - 0.5) + np.abs((2 * y) % 1 - 0.5) < 0.5
    lines = np.abs(((2 * x + 2 * y) % 1) - 0.5) < 0.03
    return _two_inks(diamonds, lines | (np.abs(((2 * x - 2 * y) % 1) - 0.5) < 0.03))


def _dots(rng: np.random.Generator) -> Ink:
    count, radius, ink = int(rng.integers(2, 7)), rng.uniform(0.18, 0.4), _blank()
    pitch = _SIDE / count
    for row in range(count):
        for column in range(count):
            centre = round((column + 0.5 * (row % 2) * (count % 2 == 0)) * pitch), round(row * pitch)
            colour = (255, 0) if rng.random() < 0.8 else (0, 255)
            _stamp(ink, _disc_of(radius * pitch, colour), *centre)
    return ink


def _disc(ink: Ink, x: int, y: int, radius: float, colour: tuple[int, int]) -> None:
    cv2.circle(ink, (x, y), max(1, round(radius)), colour, -1, cv2.LINE_AA)


def _disc_of(radius: float, colour: tuple[int, int]) -> Callable[[Ink, int, int], None]:
    return lambda ink, x, y: _disc(ink, x, y, radius, colour)


def _flowers(rng: np.random.Generator) -> Ink:
    ink = _blank()
    for _ in range(int(rng.integers(8, 26))):
        x, y = (int(value) for value in rng.integers(0, _SIDE, 2))
        size, petals, turn = rng.uniform(4, 15), int(rng.integers(4, 8)), rng.uniform(0, 6.3)

        def flower(image: Ink, x: int, y: int, size: float = size, petals: int = petals, turn: float = turn) -> None:
            for angle in turn + np.arange(petals) * 2 * np.pi / petals:
                centre = round(x + 0.6 * size * np.cos(angle)), round(y + 0.6 * size * np.sin(angle))
                axes = max(1, round(0.5 * size)), max(1, round(0.28 * size))
                cv2.ellipse(image, centre, axes, np.rad2deg(angle), 0, 360, (255, 0), -1, cv2.LINE_AA)
            _disc(image, x, y, 0.25 * size, (0, 255))

        _stamp(ink, flower, x, y)
    return ink


def _leaves(rng: np.random.Generator) -> Ink:
    ink = _blank()
    for _ in range(int(rng.integers(14, 40))):
        x, y = (int(value) for value in rng.integers(0, _SIDE, 2))
        length, angle = rng.uniform(6, 26), rng.uniform(0, 360)
        colour = (255, 0) if rng.random() < 0.6 else (0, 255)

        def leaf(
            image: Ink, x: int, y: int, length: float = length, angle: float = angle, colour: tuple[int, int] = colour
        ) -> None:
            axes = max(2, round(length)), max(1, round(0.3 * length))
            cv2.ellipse(image, (x, y), axes, angle, 0, 360, colour, -1, cv2.LINE_AA)

        _stamp(ink, leaf, x, y)
    return ink


def _splashes(rng: np.random.Generator) -> Ink:
    ink = _blank()
    for _ in range(int(rng.integers(20, 160))):
        x, y = (int(value) for value in rng.integers(0, _SIDE, 2))
        radius, colour = rng.gamma(1.2, 2.5), (255, 0) if rng.random() < 0.6 else (0, 255)
        _stamp(ink, _disc_of(radius, colour), x, y)
    return ink


def _triangles(rng: np.random.Generator) -> Ink:
    x, y = _grid()
    count = int(rng.integers(3, 8))
    rows = np.asarray(np.floor(y * count), int)
    up = np.abs((x * count + 0.5 * (rows % 2 if count % 2 == 0 else 0)) % 1 - 0.5) * 2 < (y * count) % 1
    chosen = rng.random((count, count)) < 0.3
    columns = np.asarray(np.floor(x * count), int) % count
    return _two_inks(up, ~up & chosen[rows % count, columns])


def _bands(rng: np.random.Generator) -> Ink:
    """Rows of small ornaments between lines, as on knitted jumpers."""
    x, y = _grid()
    second, third, top = np.zeros((_SIDE, _SIDE), bool), np.zeros((_SIDE, _SIDE), bool), 0.0
    while top < 1:
        height = rng.uniform(0.05, 0.2)
        band = (y >= top) & (y < top + height)
        inner, count, kind = (y - top) / height, int(rng.choice([4, 8, 12, 16])), rng.integers(4)
        zigzag = np.abs((x * count) % 1 - 0.5) * 2
        if kind == 0:
            second |= band
        elif kind == 1:
            second |= band & (zigzag < inner)
        elif kind == 2:
            third |= band & (np.abs(inner - 0.5) + np.abs(zigzag - 0.5) < 0.5)
        top += height
    return _two_inks(second & ~third, third)


_TILED: tuple[Maker, ...] = (
    _camouflage,
    _leopard,
    _marble,
    _tie_dye,
    _houndstooth,
    _herringbone,
    _argyle,
    _dots,
    _flowers,
    _leaves,
    _splashes,
    _triangles,
    _bands,
)
