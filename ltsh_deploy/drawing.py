"""Poses drawn on pictures.

The person's left is warm (red to yellow), the right cool (cyan to blue), the middle light: told apart by hue and by
lightness, so also with the common kinds of colour blindness. The surer the network, the more opaque the limb.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.fields import FloatArray
from ltsh_deploy.images import Image, check_image
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton
from ltsh_deploy.tracking import pose_areas

__all__ = ["draw_poses", "joint_colours", "limb_colours"]

Colour = tuple[int, int, int]

_DARK = 20  # grey of outlines and plates
_LIGHT: Colour = (250, 250, 250)
_SHIFT = 4  # fractional bits of the coordinates handed to OpenCV
_HALF_TURN = np.linspace(-math.pi / 2, math.pi / 2, 9)


def draw_poses(image: Image, poses: Poses, *, labels: bool = True, thickness: float = 1.0) -> Image:
    """A copy of the picture with the people drawn on it, the first of them on top.

    Lines get thicker with the person and with the picture. Absent joints are left out; joints off the picture are
    drawn as far as their limbs reach into it.

    Args:
        image: [H, W, 3] uint8 RGB; not changed.
        poses: in the pixels of that image.
        labels: write each person's track id, where there is one, and score above the head; not on people or pictures
            too small for it.
        thickness: of all lines, as a multiple of the usual; positive.

    Raises:
        ImageError: when the image is none.
        ValueError: when the thickness is not a positive number.
    """
    if not 0 < thickness < math.inf:
        raise ValueError(f"thickness must be a positive number, got {thickness}")
    drawn = np.array(check_image(image), order="C")
    long_side = max(drawn.shape[:2])
    sizes = np.sqrt(pose_areas(poses.xy))
    # Readable when the whole picture is looked at, yet never so thick that a small person is a blot.
    widths = np.clip(0.038 * sizes, max(1.3, 0.0022 * long_side), max(2.0, 0.012 * long_side))
    widths = thickness * np.minimum(widths, np.maximum(0.08 * sizes, 1.1))
    for p in reversed(range(len(poses))):
        _draw_person(drawn, poses, p, float(widths[p]))
    if labels and min(drawn.shape[:2]) >= 160:
        for p in reversed(range(len(poses))):
            if sizes[p] >= 24:
                _draw_label(drawn, poses, p, float(widths[p]))
    return drawn


@lru_cache(maxsize=32)
def limb_colours(skeleton: Skeleton) -> tuple[Colour, ...]:
    """[L] sRGB colours, each limb's own, fixed by the skeleton alone."""
    sides = [_side(skeleton, *limb) for limb in skeleton.limbs]
    colours = []
    for limb, side in enumerate(sides):
        place, count = sides[:limb].count(side), sides.count(side)
        colours.append(_side_colour(side, place / max(1, count - 1)))
    return tuple(colours)


@lru_cache(maxsize=32)
def joint_colours(skeleton: Skeleton) -> tuple[Colour, ...]:
    """[J] sRGB colours: that of the last limb that ends in the joint, paled."""
    colours: list[Colour] = [_LIGHT] * skeleton.num_joints
    for (start, end), colour in zip(skeleton.limbs, limb_colours(skeleton), strict=True):
        for joint in (start, end):
            if joint == end or colours[joint] == _LIGHT:
                red, green, blue = (round(0.45 * c + 0.55 * 255) for c in colour)
                colours[joint] = (red, green, blue)
    return tuple(colours)


def _side(skeleton: Skeleton, *joints: int) -> int:
    """-1 for the person's left, 1 for the right, 0 for the middle or what joins both sides."""
    sides = set()
    for joint in joints:
        partner, name = skeleton.flip_joints[joint], skeleton.joints[joint]
        if partner != joint:
            named = -1 if name.startswith("left") else 1 if name.startswith("right") else 0
            sides.add(named or (1 if joint < partner else -1))
    return sides.pop() if len(sides) == 1 else 0


def _side_colour(side: int, place: float) -> Colour:
    """The colour at ``place`` in [0, 1] of a side's range."""
    if side < 0:
        return _oklch(0.66 + 0.2 * place, 0.19, 28 + 70 * place)
    if side > 0:
        return _oklch(0.82 - 0.22 * place, 0.15, 195 + 70 * place)
    return _oklch(0.94 - 0.06 * place, 0.03, 320)


def _oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """sRGB of a colour in OKLCH (Ottosson 2020), hue in degrees; less colourful where the screen cannot show it."""
    a, b = math.cos(math.radians(hue)), math.sin(math.radians(hue))
    while True:
        lms = lightness + chroma * (_LAB_TO_LMS @ np.array([a, b]))
        linear = _LMS_TO_RGB @ lms**3
        if chroma < 0.001 or (linear.min() >= 0 and linear.max() <= 1):
            break
        chroma *= 0.97
    linear = np.clip(linear, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (round(255 * float(c)) for c in srgb)
    return red, green, blue


_LAB_TO_LMS = np.array([[0.3963377774, 0.2158037573], [-0.1055613458, -0.0638541728], [-0.0894841775, -1.2914855480]])
_LMS_TO_RGB = np.array([
    [4.0767416621, -3.3077115913, 0.2309699292],
    [-1.2684380046, 2.6097574011, -0.3413193965],
    [-0.0041960863, -0.7034186147, 1.7076147010],
])  # fmt: skip


def _draw_person(drawn: Image, poses: Poses, person: int, width: float) -> None:
    """Draw one person into the picture, blending only within the box that person covers."""
    height_px, width_px = drawn.shape[:2]
    outline = max(0.4, 0.28 * width)
    reach = 0.9 * width + outline + 2
    low, high = np.array([-reach, -reach]), np.array([width_px, height_px]) - 1 + reach
    skeleton, present = poses.skeleton, poses.present[person]
    xy = np.clip(np.where(present[:, None], poses.xy[person], 0.0), -1e9, 1e9)
    score = np.clip(np.nan_to_num(poses.joint_scores[person]), 0, 1)

    limbs = [n for n, (a, b) in enumerate(skeleton.limbs) if present[a] and present[b]]
    ends = np.array([skeleton.limbs[n] for n in limbs], dtype=int).reshape(-1, 2)
    start, end, seen = _clip(xy[ends[:, 0]], xy[ends[:, 1]], low, high)
    dots = present & (xy >= low).all(axis=1) & (xy <= high).all(axis=1)
    points = np.concatenate([start[seen], end[seen], xy[dots]])
    if not len(points):
        return
    # The canvases reach beyond the picture: OpenCV smooths no edges in an array's outermost rows.
    origin = np.floor(points.min(axis=0) - reach).astype(int)
    x1, y1 = np.ceil(points.max(axis=0) + reach).astype(int) - origin + 1

    # The layer is dark but for the limbs' colours; the mask, wider by the outline, says how much of the layer shows.
    layer = np.full((y1, x1, 3), _DARK, np.uint8)
    mask = np.zeros((y1, x1), np.uint8)
    wide, narrow = (_capsules(start - origin, end - origin, width / 2 + extra) for extra in (outline, 0.0))
    opacity = _opacity(np.sqrt(score[ends[:, 0]] * score[ends[:, 1]]))
    colours = limb_colours(skeleton)
    shown = np.flatnonzero(seen).tolist()
    for i in sorted(shown, key=lambda i: opacity[i]):
        cv2.fillConvexPoly(mask, wide[i], opacity[i], cv2.LINE_AA, _SHIFT)
    for i in shown:
        cv2.fillConvexPoly(layer, narrow[i], colours[limbs[i]], cv2.LINE_AA, _SHIFT)
    colours, opacity, centres = joint_colours(skeleton), _opacity(score), _fixed(xy - origin).tolist()
    radii = _dot_radii(xy, dots, width)
    for j in np.flatnonzero(dots).tolist():
        _disc(mask, centres[j], radii[j] + outline, opacity[j])
        _disc(layer, centres[j], radii[j] + outline / 2, [_DARK] * 3)
        _disc(layer, centres[j], radii[j], colours[j])
    x, y = np.maximum(origin, 0)
    region = drawn[y : max(0, origin[1] + y1), x : max(0, origin[0] + x1)]
    inside = np.s_[y - origin[1] : y - origin[1] + region.shape[0], x - origin[0] : x - origin[0] + region.shape[1]]
    if region.size:
        _blend(region, layer[inside], mask[inside])


def _dot_radii(xy: FloatArray, dots: npt.NDArray[np.bool_], width: float) -> list[float]:
    """[J] radii that leave neighbours apart, as eyes and nose of a small face, as far as they stay visible."""
    shown = np.where(dots[:, None], xy, np.nan)
    apart = np.hypot(*(shown[:, None] - shown[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.nan)
    nearest = np.where(np.isnan(apart), np.inf, apart).min(axis=1)
    radii: list[float] = np.clip(0.4 * nearest, 0.35 * width, 0.68 * width).tolist()
    return radii


def _opacity(scores: FloatArray) -> list[int]:
    """How opaque, from 0 to 255, scores in [0, 1] make limbs and joints: never too faint to see."""
    return [round(255 * (0.25 + 0.75 * score)) for score in scores.tolist()]


def _clip(
    start: FloatArray, end: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """The part of each segment [L, 2] within a rectangle, and [L] whether there is any (Liang and Barsky 1984)."""
    way = end - start
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        at_low, at_high = (low - start) / way, (high - start) / way
    still, inside = way == 0, (start >= low) & (start <= high)
    enter = np.where(still, np.where(inside, -np.inf, np.inf), np.minimum(at_low, at_high)).max(axis=1)
    leave = np.where(still, np.inf, np.maximum(at_low, at_high)).min(axis=1)
    enter, leave = np.maximum(enter, 0.0), np.minimum(leave, 1.0)
    seen = enter <= leave
    enter, leave = np.where(seen, enter, 0.0)[:, None], np.where(seen, leave, 0.0)[:, None]
    return start + enter * way, start + leave * way, seen


def _capsules(start: FloatArray, end: FloatArray, radius: float) -> npt.NDArray[np.int32]:
    """[L, points, 2] outlines, in OpenCV's fixed-point numbers, of lines with round ends."""
    angle = np.arctan2(end[:, 1] - start[:, 1], end[:, 0] - start[:, 0])[:, None] + _HALF_TURN
    turn = radius * np.stack([np.cos(angle), np.sin(angle)], axis=2)
    return _fixed(np.concatenate([end[:, None] + turn, start[:, None] - turn], axis=1))


def _fixed(xy: FloatArray) -> npt.NDArray[np.int32]:
    return np.rint(np.clip(xy, -(2**26), 2**26) * (1 << _SHIFT)).astype(np.int32)


def _disc(canvas: Image, centre: Sequence[int], radius: float, colour: Any) -> None:
    cv2.circle(canvas, centre, round(radius * (1 << _SHIFT)), colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _blend(region: Image, layer: Image, mask: npt.NDArray[np.uint8]) -> None:
    """Lay the layer over the region, in place, as far as the mask (255: wholly) says."""
    weight = cv2.merge([mask, mask, mask])
    over = cv2.multiply(layer, weight, scale=1 / 255)
    under = cv2.multiply(region, cv2.bitwise_not(weight), scale=1 / 255)
    region[...] = cv2.add(over, under)


def _draw_label(drawn: Image, poses: Poses, person: int, width: float) -> None:
    """Write the id and score on a dark plate above the person's highest joint, moved into the picture."""
    xy = poses.xy[person][poses.present[person]]
    height_px, width_px = drawn.shape[:2]
    if not len(xy) or (xy.max(axis=0) < 0).any() or (xy.min(axis=0) >= [width_px, height_px]).any():
        return
    parts = [] if poses.ids is None else [f"#{poses.ids[person]}"]
    if np.isfinite(poses.scores[person]):
        parts.append(f"{poses.scores[person]:.2f}")
    text = "  ".join(parts)
    scale = max(0.36, 0.00052 * max(height_px, width_px))
    stroke = max(1, round(1.6 * scale))
    (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)
    margin = max(2, round(5 * scale))
    box = (text_width + 2 * margin, text_height + 2 * margin)
    top = xy[xy[:, 1].argmin()]
    x, y = np.clip([top[0] - box[0] / 2, top[1] - box[1] - 2 * width - margin], 0, [width_px, height_px]).astype(int)
    x, y = max(0, min(x, width_px - box[0])), max(0, min(y, height_px - box[1]))
    region = drawn[y : y + box[1], x : x + box[0]]
    layer = np.full_like(region, _DARK)
    cv2.putText(
        layer, text, (margin, margin + text_height), cv2.FONT_HERSHEY_SIMPLEX, scale, _LIGHT, stroke, cv2.LINE_AA
    )
    _blend(region, layer, np.full(region.shape[:2], 190, np.uint8))
