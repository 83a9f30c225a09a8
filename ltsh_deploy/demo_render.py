"""The demo picture's people, drawn: balls merge into smooth surfaces, lit by the sun and the sky.

Colours are linear light.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.demo_bodies import FINE, HAIR, SHIRT, SKIN, TROUSER, TRUNK, Figure, Point, at

__all__ = ["SUN", "Array", "noise", "render"]

Array = npt.NDArray[Any]  # float32, or float64 on the way to it

SUN = np.array([-0.52, -0.55, 0.65])  # towards it, of length one


def noise(rng: np.random.Generator, shape: tuple[int, int], cell: Iterable[float]) -> Array:
    """[H, W] smooth random values of standard deviation about one, with grains of (width, height) pixels."""
    across, down = cell
    rough = (max(2, round(shape[0] / down)), max(2, round(shape[1] / across)))
    grains = rng.normal(0, 1.3, rough).astype(np.float32)
    return cv2.resize(grains, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def render(figure: Figure, height: float, rng: np.random.Generator) -> tuple[Array, Array, tuple[float, float]]:
    """Draw a person.

    Args:
        figure: the person.
        height: of the person, in pixels.
        rng: for folds and grain.

    Returns:
        colours [H, W, 3], coverage [H, W] in [0, 1], and where in them, in pixels, the point on the ground between the
        feet lies.
    """
    fine = 2.0 * height  # drawn at twice the size, then halved: smooth edges
    low, high = figure.balls[:, :2].min(axis=0) - 0.07, figure.balls[:, :2].max(axis=0) + 0.07
    low, high = np.floor(low * height) / height, np.ceil(high * height) / height
    shape = (2 * round((high[1] - low[1]) * height), 2 * round((high[0] - low[0]) * height))
    depth, group, part = np.full(shape, -1e3, np.float32), np.full(shape, -1, np.int16), np.zeros(shape, np.int16)
    centres = np.column_stack([(figure.balls[:, :2] - low) * fine - 0.5, figure.balls[:, 2:4] * fine])
    hem = (figure.joints["pelvis"][1] + 0.045 - low[1]) * fine
    for (x, y, z, r), (kind, surface) in zip(centres, figure.balls[:, 4:].astype(int), strict=True):
        box = np.s_[max(0, math.ceil(y - r)) : math.floor(y + r) + 1, max(0, math.ceil(x - r)) : math.floor(x + r) + 1]
        v, u = np.ogrid[box]
        ball = r * r - (u - x) ** 2 - (v - y) ** 2
        front = (z + np.sqrt(np.maximum(ball, 0))).astype(np.float32)
        # A shirt ends level, wherever the balls it is made of do.
        nearer = (ball > 0) & (front > depth[box]) & ((v < hem) | (surface != TRUNK))
        depth[box][nearer], group[box][nearer], part[box][nearer] = front[nearer], surface, kind
    seen = (group >= 0).astype(np.float32)
    light = _light(depth, _normals(depth, group, part, fine, rng), seen > 0, fine)
    lit = _albedo(figure, part, low, fine, rng) * light * seen[..., None]
    half = (shape[1] // 2, shape[0] // 2)
    coverage, colour = (cv2.resize(fields, half, interpolation=cv2.INTER_AREA) for fields in (seen, lit))
    return colour / np.maximum(coverage, 1e-3)[..., None], coverage, (-low[0] * height, -low[1] * height)


def _normals(
    depth: Array, group: npt.NDArray[np.int16], part: npt.NDArray[np.int16], fine: float, rng: np.random.Generator
) -> Array:
    """[H, W, 3] unit normals of each group's surface, smoothed, with folds in what is cloth."""
    slopes = np.zeros((*depth.shape, 2), np.float32)
    grains = np.array([(0.022, 0.10), (0.045, 0.03)]) * fine
    folds = noise(rng, depth.shape, grains[0]) + noise(rng, depth.shape, grains[1])
    for number in np.unique(group[group >= 0]):
        mask = group == number
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = np.s_[max(0, rows[0] - 4) : rows[-1] + 5, max(0, columns[0] - 4) : columns[-1] + 5]
        inside = mask[box].astype(np.float32)
        sigma = fine * (0.0035 if number in FINE else 0.0065)
        weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma), 1e-4)
        smooth = cv2.GaussianBlur(np.where(mask[box], depth[box], 0).astype(np.float32), (0, 0), sigma) / weight
        if part[box][mask[box]][0] in (SHIRT, TROUSER):
            smooth = smooth + 0.0013 * fine * folds[box]
        dy, dx = np.gradient(smooth)
        slopes[box][mask[box]] = np.stack([dx, dy], axis=2)[mask[box]]
    normal = np.concatenate([-slopes, np.ones((*depth.shape, 1), np.float32)], axis=2)
    return np.asarray(normal / np.linalg.norm(normal, axis=2, keepdims=True), np.float32)


def _albedo(figure: Figure, part: npt.NDArray[np.int16], low: Point, fine: float, rng: np.random.Generator) -> Array:
    """[H, W, 3] what the surfaces are coloured like in even light."""
    albedo = figure.colours[part].astype(np.float32)
    grain = noise(rng, part.shape, (2.5, 2.5)) * np.array([0.012, 0.03, 0.07, 0.03, 0.22])[part]
    y = (np.arange(part.shape[0], dtype=np.float32)[:, None] / fine + low[1]) * figure.stripes
    stripe = np.where(part == SHIRT, 0.3 * np.clip(4 * np.sin(2 * math.pi * y / 3), 0, 1), 0)
    albedo *= ((1 + grain) * (1 - stripe))[..., None].astype(np.float32)
    _face(albedo, figure, low, fine)
    return albedo


def _face(albedo: Array, figure: Figure, low: Point, fine: float) -> None:
    """Paint eyes, brows and mouth."""

    def spot(
        place: Point, size: tuple[float, float], colour: npt.NDArray[np.float64], ends: tuple[int, int] = (0, 360)
    ) -> None:
        x, y = ((place[:2] - low) * fine - 0.5) * 16
        axes = (round(size[0] * fine * 16), round(size[1] * fine * 16))
        cv2.ellipse(albedo, ((round(x), round(y))), axes, 0, *ends, colour.tolist(), cv2.FILLED, cv2.LINE_8, 4)

    skin, hair = figure.colours[SKIN], figure.colours[HAIR]
    for name in ("right_eye", "left_eye"):
        eye = figure.joints[name]
        spot(eye + at(0, -0.001, 0), (0.0105, 0.0062), 0.45 * skin)
        spot(eye, (0.0088, 0.0043), np.array([0.72, 0.70, 0.67]))
        spot(eye, (0.0044, 0.0044), 0.4 * hair + 0.01)
        spot(eye + at(-0.0015, -0.0015, 0), (0.0011, 0.0011), np.ones(3))
        spot(eye + at(0, -0.0042, 0), (0.0098, 0.0022), 0.12 * skin)
        spot(eye + at(0, -0.0135, 0), (0.0125, 0.0027), 0.5 * hair + 0.1 * skin)
    mouth = figure.joints["mouth"]
    spot(mouth + at(0, -0.005, 0), (0.0165, 0.0105), skin * [0.66, 0.36, 0.36], (8, 172))
    spot(mouth + at(0, -0.0045, 0), (0.0130, 0.0048), np.array([0.75, 0.72, 0.68]), (8, 172))
    nose = figure.joints["nose"]
    for side in (-1, 1):
        spot(nose + at(0.0045 * side, 0.0065, 0), (0.0022, 0.0014), 0.3 * skin)


def _light(depth: Array, normal: Array, seen: npt.NDArray[np.bool_], fine: float) -> Array:
    """[H, W, 3] the light that falls on each point: sun with shadows, sky from above, the ground's glow from below."""
    height = np.where(seen, depth, -0.12 * fine).astype(np.float32)
    shadow: Array = np.zeros(depth.shape, np.float32)
    rise = SUN[2] / math.hypot(SUN[0], SUN[1])
    for distance in np.geomspace(0.006, 0.11, 9) * fine:
        way = distance * SUN[:2] / math.hypot(SUN[0], SUN[1])
        shift = np.array([[1, 0, -way[0]], [0, 1, -way[1]]])
        there = cv2.warpAffine(height, shift, height.shape[::-1], borderValue=-1e3)
        shadow = np.maximum(shadow, np.clip((there - height - rise * distance) / (0.02 * fine), 0, 1))
    shadow = cv2.GaussianBlur(shadow, (0, 0), 0.004 * fine)
    around = cv2.GaussianBlur(height, (0, 0), 0.022 * fine)
    open_sky = np.clip(1 - (around - height) / (0.05 * fine), 0.35, 1.0)
    sun = np.maximum(normal @ SUN.astype(np.float32), 0) * (1 - 0.85 * shadow)
    up = 0.5 - 0.5 * normal[..., 1]
    sky = np.array([0.34, 0.40, 0.50]) * (0.35 + 0.65 * up)[..., None]
    ground = np.array([0.20, 0.17, 0.14]) * (1 - up)[..., None]
    return np.asarray(np.array([1.12, 1.04, 0.92]) * sun[..., None] + (sky + ground) * open_sky[..., None], np.float32)
