"""What a camera does to what it sees: sharpness, exposure, colour balance, noise, and JPEG's damage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

from ltsh_deploy.images import Image
from ltsh_deploy.train.synth_light import LINEAR, to_srgb
from ltsh_deploy.train.synth_types import Floats

__all__ = ["MOST_NOISE", "Lens", "measure_lens", "noise_level", "photograph", "sample_lens", "through_lens"]

#: Grey levels: people get no more noise than this, whatever their photograph has.
MOST_NOISE = 6.0
# The side of the blocks that noise is measured in, in pixels.
_BLOCK = 16


@dataclass(frozen=True)
class Lens:
    """One camera at one moment.

    Attributes:
        blur: standard deviation of the blur in pixels; 0 for none.
        exposure: factor of the light.
        balance: factors of red, green and blue.
        vignette: how much darker the corners are than the middle, 0 to 1.
        noise: standard deviation of the noise at middle grey, of 255.
        grain: size of the noise's grains in pixels: 0 for single pixels, 1 for what a phone's smoothing leaves.
        jpeg: quality of the JPEG compression, 1 to 100; 0 for none.
    """

    blur: float = 0.0
    exposure: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    vignette: float = 0.0
    noise: float = 0.0
    grain: float = 0.0
    jpeg: int = 0


def sample_lens(rng: np.random.Generator) -> Lens:
    """An everyday camera: mostly sharp, a little noise, JPEG of quality 55 to 95."""
    return Lens(
        blur=float(rng.choice([0.0, rng.uniform(0.3, 1.0)])),
        exposure=float(np.exp(rng.normal(0, 0.12))),
        balance=_balance(rng),
        vignette=float(rng.choice([0.0, rng.uniform(0.0, 0.3)])),
        noise=float(np.exp(rng.uniform(np.log(0.5), np.log(6)))),
        grain=float(rng.uniform(0, 0.8)),
        jpeg=int(rng.integers(55, 96)),
    )


def _balance(rng: np.random.Generator) -> tuple[float, float, float]:
    warmth = float(rng.normal(0, 0.03))
    return float(np.exp(warmth)), 1.0, float(np.exp(-warmth))


def photograph(image: Image, rng: np.random.Generator, lens: Lens | None = None) -> Image:
    """A picture [H, W, 3] uint8 RGB as a camera takes it; a drawn one where no lens is given."""
    lens = sample_lens(rng) if lens is None else lens
    # One table a channel: what light each byte stands for, changed, and written as sRGB again.
    table = to_srgb(LINEAR[:, None] * (lens.exposure * np.array(lens.balance)))
    seen = np.asarray(cv2.LUT(image, table[None]), np.float32)
    if lens.vignette > 0:
        # sRGB values go nearly as this power of light.
        seen *= _vignette(image.shape[0], image.shape[1], lens.vignette)[..., None] ** np.float32(1 / 2.2)
    if lens.blur > 0:
        seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), lens.blur), np.float32)
    if lens.noise > 0:
        _add_noise(rng, seen, lens)
    taken = _rounded(seen)
    return _compress(taken, lens.jpeg) if lens.jpeg > 0 else taken


def through_lens(people: Image, alpha: Floats, rng: np.random.Generator, lens: Lens) -> Image:
    """People who were put into a photograph, as the camera that took the photograph would have seen them.

    Only pixels that people cover, or blur reaches, change; all others stay the photograph's, byte for byte. Exposure
    and compression are the photograph's already, and so only a lens's blur, noise and grain count.

    Args:
        people: [H, W, 3] uint8 RGB, the photograph with the people rendered into it.
        alpha: [H, W] how much of each pixel is people.
        rng: for the noise.
        lens: mostly from :func:`measure_lens`.
    """
    seen, cover = people.astype(np.float32), alpha
    if lens.blur > 0:
        seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), lens.blur), np.float32)
        cover = np.asarray(cv2.GaussianBlur(alpha, (0, 0), lens.blur), np.float32)
    if lens.noise > 0:
        _add_noise(rng, seen, lens)
    # Beyond a person's outline the photograph fades in: it has been through the lens once already.
    share = np.clip(cover, 0, 1)[..., None]
    mixed = share * seen + (1 - share) * people
    return np.where(share > 0, _rounded(mixed), people)


def measure_lens(photo: Image) -> Lens:
    """The blur and noise of a photograph [H, W, 3] uint8 RGB, for what is put into it.

    Blur is read from the strongest edges: blurred once more by a known amount, an edge that was sharp loses more of its
    slope than one that was not (Zhuo and Sim, "Defocus map estimation from a single image", 2011).
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    blur = max(0.0, _edge_width(grey) ** 2 - _RENDERED_WIDTH**2) ** 0.5
    return Lens(blur=blur, noise=min(noise_level(photo) or 0.0, MOST_NOISE))


# What _edge_width finds in rendered people, whose outlines are a mean over 2 x 2 samples.
_RENDERED_WIDTH = 0.78


def _edge_width(grey: Floats) -> float:
    slope, softer = _slope(grey), _slope(np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), np.float32))
    strong = (slope >= max(8.0, float(np.percentile(slope, 98)))) & (softer > 0)
    if np.count_nonzero(strong) < 20:
        return _RENDERED_WIDTH
    loss = float(np.median(slope[strong] / softer[strong]))
    return float(min(1 / max(loss**2 - 1, 0.05) ** 0.5, 3.0))


def _slope(grey: Floats) -> Floats:
    right, down = (cv2.Sobel(grey, cv2.CV_32F, x, y, ksize=3, scale=0.125) for x, y in ((1, 0), (0, 1)))
    return np.asarray(np.hypot(right, down), np.float32)


def noise_level(picture: Image, where: npt.NDArray[np.bool_] | None = None) -> float | None:
    """Standard deviation of a picture's noise in grey levels; None where there is too little to measure it in.

    Read from the smoothest of blocks of 16 x 16 pixels, which hold nothing else, by an operator that evenly changing
    surfaces do not pass (Immerkaer, "Fast noise variance estimation", 1996).

    Args:
        picture: [H, W, 3] uint8 RGB.
        where: [H, W] the part to look at; None for all of it.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    operator = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    response = np.abs(cv2.filter2D(grey, cv2.CV_32F, operator))
    # Where light is clipped there is no noise to be seen.
    known = (grey >= 8) & (grey <= 247)
    if where is not None:
        known &= cv2.erode(where.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    rows, columns = grey.shape[0] // _BLOCK, grey.shape[1] // _BLOCK
    sums, counts = (
        values[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK).sum(axis=(1, 3))
        for values in (response * known, known)
    )
    enough = counts >= _BLOCK * _BLOCK / 2
    if not enough.any():
        return None
    return float(np.sqrt(np.pi / 2) * np.percentile(sums[enough] / counts[enough], 5))


def _rounded(seen: Floats) -> Image:
    # It rounds and saturates in one pass; by itself it would take the absolute value of what is below 0.
    return np.asarray(cv2.convertScaleAbs(np.maximum(seen, 0)), np.uint8)


def _vignette(height: int, width: int, strength: float) -> Floats:
    down, right = (((np.arange(n) - (n - 1) / 2) / max((n - 1) / 2, 1)) ** 2 for n in (height, width))
    return np.asarray(1 - strength * (down[:, None] + right[None]) / 2, np.float32)


def _add_noise(rng: np.random.Generator, seen: Floats, lens: Lens) -> None:
    """Add noise to a picture [H, W, 3] in place: of brightness in every pixel, of colour in larger grains."""
    height, width = seen.shape[:2]
    brightness = rng.standard_normal((height, width), np.float32)
    if lens.grain > 0:
        kernel = cv2.getGaussianKernel(2 * math.ceil(3 * lens.grain) + 1, lens.grain).astype(np.float32)
        # Divided by its root mean square, a kernel leaves the noise as strong as it was.
        kernel /= np.sqrt((kernel**2).sum())
        brightness = np.asarray(cv2.sepFilter2D(brightness, cv2.CV_32F, kernel, kernel), np.float32)
    coarse = rng.standard_normal(((height + 1) // 2, (width + 1) // 2, 3), np.float32)
    colour = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    _mix_noise(seen, brightness, colour, lens.noise)


@njit(cache=True)
def _mix_noise(seen: Floats, brightness: Floats, colour: Floats, strength: float) -> None:
    for row in range(seen.shape[0]):
        for column in range(seen.shape[1]):
            for channel in range(3):
                noise = 0.9 * brightness[row, column] + 0.5 * colour[row, column, channel]
                # Weaker where it is bright: the curve of sRGB is flatter there.
                seen[row, column, channel] += strength * (1.25 - 0.5 / 255 * seen[row, column, channel]) * noise


def _compress(image: Image, quality: int) -> Image:
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise ValueError(f"a picture of {image.shape} cannot be written as JPEG")
    read = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(read[..., ::-1])
