"""A picture of people that the project makes itself, to try the toolkit on where there is no photograph at hand.

``python -m ltsh_deploy.demo OUT.png`` writes one: people in a square under the sky. The same seed gives the same
picture.
"""

from __future__ import annotations

import argparse
import sys

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.demo_bodies import POSTURES, Figure, linear, make_figure
from ltsh_deploy.demo_render import SUN, Array, noise, render
from ltsh_deploy.errors import LtshError
from ltsh_deploy.outputs import write_image
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import LTSH15

__all__ = ["draw_scene", "scene_people"]

Rng = np.random.Generator
_Placed = tuple[Figure, float, tuple[float, float]]  # with the height and the place of the feet, in pixels

_HORIZON = 0.38  # of the picture's height
_EYE = 0.80  # the camera's height as a part of a person's
_DRAW = 4  # which of many series of pictures: one whose first picture shows various postures


def draw_scene(seed: int = 0, size: tuple[int, int] = (960, 640), people: int = 4) -> npt.NDArray[np.uint8]:
    """Draw the scene.

    Args:
        seed: of everything random in it, not negative.
        size: (width, height) in pixels, each at least 64.
        people: how many, 1 to 6.

    Returns:
        [height, width, 3] uint8 RGB.

    Raises:
        ValueError: for a size or number of people out of those limits.
    """
    crowd, rng = _crowd(seed, size, people)
    canvas = _square(size, rng)
    drawn = [(*render(figure, height, rng), foot) for figure, height, foot in crowd]
    for _, coverage, origin, foot in drawn:
        _cast_shadow(canvas, coverage, origin, foot)
    for colour, coverage, origin, foot in drawn:
        _lay(canvas, colour, coverage, (round(foot[0] - origin[0]), round(foot[1] - origin[1])))
    width, height = size
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    canvas *= (1.03 - 0.14 * (x**2 + y**2))[..., None].astype(np.float32)
    srgb = cv2.GaussianBlur(np.clip(canvas, 0, 1) ** (1 / 2.2), (0, 0), 0.3 + 0.0004 * height)
    srgb += rng.normal(0, 0.007, (*srgb.shape[:2], 1)).astype(np.float32)
    return np.rint(255 * np.clip(srgb, 0, 1)).astype(np.uint8)


def scene_people(seed: int = 0, size: tuple[int, int] = (960, 640), people: int = 4) -> Poses:
    """The people of :func:`draw_scene`'s picture as they were drawn, the nearest first, in LTSH15's joints."""
    crowd, _ = _crowd(seed, size, people)
    # The feet's place counts from the picture's edge, joints from the centre of the first pixel.
    xy = [[f.joints[n][:2] * height + foot - 0.5 for n in LTSH15.joints] for f, height, foot in reversed(crowd)]
    return Poses(LTSH15, np.array(xy), np.ones((len(xy), LTSH15.num_joints)), np.ones(len(xy)))


def _crowd(seed: int, size: tuple[int, int], people: int) -> tuple[list[_Placed], Rng]:
    """The people, the farthest first, and the generator to go on with."""
    width, height = size
    if min(size) < 64 or not 1 <= people <= 6 or seed < 0:
        raise ValueError(
            f"a scene takes 64 x 64 pixels or more, 1 to 6 people and a seed from 0, got {size}, {people}, {seed}"
        )
    rng = np.random.default_rng([seed, _DRAW])
    postures = rng.permutation(len(POSTURES))
    figures = [make_figure(int(posture), rng) for posture in postures[:people]]
    tall = min(height, 0.75 * width) * min(1.0, 4.5 / people) * rng.permutation(np.linspace(0.60, 0.74, people))
    sides = [(tall[i] * f.balls[:, 0].min(), tall[i] * f.balls[:, 0].max()) for i, f in enumerate(figures)]
    # Each has the room that arms and legs take; where that is more than there is, people overlap.
    gap = (width - sum(right - left for left, right in sides)) / (people + 1)
    crowd: list[_Placed] = []
    x = gap
    for i, (left, right) in enumerate(sides):
        # Whole pixels: people are drawn on their own canvas and laid on this one.
        foot = (float(round(x - left)), float(round(height * _HORIZON + _EYE * tall[i])))
        crowd.append((figures[i], float(tall[i]), foot))
        x += right - left + gap
    return sorted(crowd, key=lambda placed: placed[1]), rng


def _square(size: tuple[int, int], rng: Rng) -> Array:
    """[H, W, 3] linear light: sky, houses and trees out of focus, a paved ground."""
    width, height = size
    horizon = round(_HORIZON * height)
    y = np.linspace(0, 1, horizon, dtype=np.float32)[:, None, None]
    sky = linear("6f9fd0") * (1 - y) + linear("d5e3ee") * y
    clouds = sum(noise(rng, (horizon, width), (width / n, horizon / n)) / n for n in (3, 6, 12))
    cloud = np.clip(clouds - 0.05, 0, 1)[..., None] * 0.8
    canvas = np.zeros((height, width, 3), np.float32)
    canvas[:horizon] = sky * (1 - cloud) + linear("f2f4f6") * cloud
    x = -0.02 * width
    while x < width:
        wide, tall = width * rng.uniform(0.09, 0.2), height * rng.uniform(0.10, 0.26)
        _house(canvas, x, horizon, wide, tall, rng)
        x += wide + width * rng.choice([0.0, 0.0, 0.03])
    for _ in range(9):
        _tree(canvas, rng.uniform(0, width), horizon, height * rng.uniform(0.05, 0.11), rng)
    canvas[horizon:] = _paving(width, height - horizon, height, rng)
    soft = cv2.GaussianBlur(canvas, (0, 0), 0.007 * height)
    near = np.clip((np.arange(height) - horizon) / (0.35 * height), 0, 1).astype(np.float32)[:, None, None]
    return np.asarray(soft * (1 - near) + canvas * near, np.float32)


def _house(canvas: Array, x: float, horizon: int, wide: float, tall: float, rng: Rng) -> None:
    wall = linear(str(rng.choice(["c9b79c", "b98d6e", "d9d2c3", "a5a9ad", "cfae8a", "9d6b56"]))) * rng.uniform(0.6, 0.8)
    cv2.rectangle(canvas, (int(x), int(horizon - tall)), (int(x + wide), horizon), wall.tolist(), cv2.FILLED)
    roof = np.array(
        [[x - 0.03 * wide, horizon - tall], [x + wide / 2, horizon - 1.22 * tall], [x + 1.03 * wide, horizon - tall]]
    )
    cv2.fillPoly(canvas, [roof.astype(np.int32)], (linear("6b4338") * rng.uniform(0.5, 1.0)).tolist())
    step = max(6.0, 0.05 * canvas.shape[0])
    for v in np.arange(horizon - tall + 0.35 * step, horizon - 0.9 * step, step):
        for u in np.arange(x + 0.3 * step, x + wide - 0.6 * step, 0.8 * step):
            pane = linear("3a4654") * rng.uniform(0.5, 1.6)
            cv2.rectangle(
                canvas, (int(u), int(v)), (int(u + 0.38 * step), int(v + 0.6 * step)), pane.tolist(), cv2.FILLED
            )


def _tree(canvas: Array, x: float, horizon: int, size: float, rng: Rng) -> None:
    for _ in range(26):
        u, v = rng.normal(0, 0.45, 2) * size
        green = linear(str(rng.choice(["2f4a22", "48682c", "5f7d38"]))) * (0.75 - 0.35 * v / size)
        cv2.circle(canvas, (int(x + u), int(horizon - size + v)), max(1, int(0.4 * size)), green.tolist(), cv2.FILLED)


def _paving(width: int, rows: int, height: int, rng: Rng) -> Array:
    """[rows, W, 3] stone slabs, in perspective."""
    below = (np.arange(rows, dtype=np.float32)[:, None] + 1) / height
    away = 0.5 / below
    across = (np.arange(width, dtype=np.float32)[None] - width / 2) / height * away * 2.2
    along = away * 1.7 + 0 * across
    odd = np.floor(along) % 2 * 0.5
    slab = rng.uniform(0.86, 1.1, (64, 64)).astype(np.float32)
    tone = slab[np.floor(along).astype(int) % 64, np.floor(across + odd).astype(int) % 64]
    edge = np.minimum(
        _to_edge(across + odd) / np.gradient(across, axis=1), _to_edge(along) / -np.gradient(along, axis=0)
    )
    joint = np.clip(1.6 - edge, 0, 1) * np.clip(below * 9, 0, 1)
    near = np.clip(below * 7, 0, 1)
    tone = (
        1 + (tone - 1) * near + 0.035 * noise(rng, (rows, width), (2, 2)) + 0.05 * noise(rng, (rows, width), (50, 16))
    )
    stone = linear("b4a998") * (tone * (1 - 0.35 * joint))[..., None]
    haze = np.exp(-9 * below)[..., None]
    return np.asarray(0.72 * stone * (1 - 0.5 * haze) + linear("b9bcc0") * 0.45 * haze, np.float32)


def _to_edge(value: Array) -> Array:
    """How far a number is from the nearest whole one."""
    return np.asarray(np.abs(value - np.rint(value)), np.float32)


def _cast_shadow(canvas: Array, coverage: Array, origin: tuple[float, float], foot: tuple[float, float]) -> None:
    """Darken the ground where a person keeps the sun off, more sharply and darkly near the feet."""
    # A point so high above the ground throws its shadow so far back and aside.
    flat, slant = 0.26, 0.75 * SUN[0] / -SUN[1]
    onto = np.array([[1, slant, foot[0] - origin[0] - slant * origin[1]], [0, flat, foot[1] - flat * origin[1]]])
    size = canvas.shape[1::-1]
    shade = cv2.warpAffine(coverage, onto, size, flags=cv2.INTER_LINEAR)
    tall = coverage.shape[0]
    soft = cv2.GaussianBlur(shade, (0, 0), 0.012 * tall)
    softer = cv2.GaussianBlur(shade, (0, 0), 0.03 * tall)
    far = np.clip((foot[1] - np.arange(canvas.shape[0])) / (0.2 * tall), 0, 1).astype(np.float32)[:, None]
    shade = soft * (1 - far) + softer * far * 0.8
    contact = np.zeros(canvas.shape[:2], np.float32)
    cv2.ellipse(contact, (round(foot[0]), round(foot[1])), (round(0.1 * tall), round(0.018 * tall)), 0, 0, 360, 1.0, -1)
    shade = np.maximum(0.58 * shade, 0.5 * cv2.GaussianBlur(contact, (0, 0), 0.02 * tall))
    shade[: round(_HORIZON * canvas.shape[0])] = 0
    canvas *= 1 - shade[..., None] * np.array([1.0, 0.97, 0.9], np.float32)


def _lay(canvas: Array, colour: Array, coverage: Array, corner: tuple[int, int]) -> None:
    """Lay a person's picture on the canvas with its top left pixel at ``corner``, as far as it is inside."""
    x, y = corner
    top, left = max(0, -y), max(0, -x)
    bottom, right = min(coverage.shape[0], canvas.shape[0] - y), min(coverage.shape[1], canvas.shape[1] - x)
    if top < bottom and left < right:
        here = canvas[y + top : y + bottom, x + left : x + right]
        share = coverage[top:bottom, left:right, None]
        here[...] = here * (1 - share) + colour[top:bottom, left:right] * share


def main(arguments: list[str] | None = None) -> int:
    """The command line: ``python -m ltsh_deploy.demo OUT.png [--seed N] [--people N]``."""
    parser = argparse.ArgumentParser(prog="python -m ltsh_deploy.demo", description="Draw a picture of people.")
    parser.add_argument("out", help="the picture to write; its suffix names the format")
    parser.add_argument("--seed", type=int, default=0, help="another number, another picture (default 0)")
    parser.add_argument("--people", type=int, default=4, help="how many people, 1 to 6 (default 4)")
    given = parser.parse_args(arguments)
    try:
        write_image(given.out, draw_scene(given.seed, people=given.people))
    except ValueError as error:
        parser.error(str(error))
    except LtshError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
