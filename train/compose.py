"""Several people in one crop: mosaics of four crops, and people cut out of one picture and pasted into another.

For data sets of which each picture has but one labelled person, from which a network cannot learn to tell people apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Sample
from ltsh_deploy.datasets.people import PIXELS_PER_SCALE
from ltsh_deploy.fields import cells_to_pixels
from ltsh_deploy.skeletons import Skeleton
from ltsh_deploy.train.augment import Warp
from ltsh_deploy.train.crops import Crop

__all__ = ["cut_out", "draw_split", "mosaic", "outline", "paste", "tiles"]

FloatArray = npt.NDArray[np.float64]

# A mosaic's lines lie this far from the crop's middle at most, as a part of its side.
_OFF_MIDDLE = 0.15
# Width of a limb, as a part of the person's height, where nothing but its joints is known; the head is rounder.
_LIMB, _HEAD = 0.08, 0.12
# With fewer of their joints labelled, nobody is cut out along an outline.
_KNOWN = 0.8
# Softness of an edge, pixels.
_EDGE = 1.0
# A joint belongs to what is pasted when some of that lies within so many pixels.
_OWN = 4
# Of the joints in view of the person in the middle, at least this part has to stay visible.
_VISIBLE = 0.6


def draw_split(rng: np.random.Generator, size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Where the lines of a mosaic lie: (x, y) near the middle of a crop, between two cells.

    Args:
        rng: two numbers are drawn from it.
        size: (width, height) of the crop, at least two cells each.
        stride: pixels a cell.
    """
    cells = np.array(size) / stride
    places = np.rint(cells * (0.5 + rng.uniform(-_OFF_MIDDLE, _OFF_MIDDLE, 2)))
    x, y = np.clip(places, 1, cells - 1).astype(int) * stride
    return int(x), int(y)


def tiles(size: tuple[int, int], split: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """The four parts (x, y, width, height) of a mosaic, row by row."""
    (width, height), (x, y) = size, split
    return [
        (0, 0, x, y),
        (x, 0, width - x, y),
        (0, y, x, height - y),
        (x, y, width - x, height - y),
    ]


def mosaic(crops: Sequence[Crop], places: Sequence[tuple[int, int, int, int]], stride: int) -> Crop:
    """One crop of several, side by side. Everybody ends at the edge of their own tile.

    Args:
        crops: of the sizes of their places; the first one's first person becomes the first.
        places: (x, y, width, height) of each, multiples of the stride, that fill the whole.
        stride: pixels a cell.
    """
    width = max(x + across for x, _, across, _ in places)
    height = max(y + down for _, y, _, down in places)
    image = np.zeros((height, width, 3), np.uint8)
    ignored = np.zeros((height // stride, width // stride), np.bool_)
    joints, clips, boxes = [], [], []
    for crop, (x, y, across, down) in zip(crops, places, strict=True):
        image[y : y + down, x : x + across] = crop.image
        rows, columns = slice(y // stride, (y + down) // stride), slice(x // stride, (x + across) // stride)
        ignored[rows, columns] = crop.ignored
        joints.append(crop.joints + np.array([x, y, 0]))
        limits = np.array([-0.5, -0.5, across - 0.5, down - 0.5])
        offset = np.array([x, y, x, y])
        clips.append(_within(crop.clips, limits) + offset)
        boxes.append(_within(crop.boxes, limits) + offset)
    return Crop(
        image,
        np.concatenate(joints),
        np.concatenate(clips),
        np.concatenate(boxes),
        np.concatenate([crop.is_synthetic for crop in crops]),
        np.concatenate([crop.among_real for crop in crops]),
        ignored,
        " + ".join(crop.name for crop in crops),
    )


def _within(boxes: FloatArray, limits: FloatArray) -> FloatArray:
    """[P, 4] the parts of boxes inside of limits [4]; x1 > x2 or y1 > y2 where there is none."""
    return np.concatenate([np.maximum(boxes[:, :2], limits[:2]), np.minimum(boxes[:, 2:], limits[2:])], axis=1)


def cut_out(sample: Sample, person: int, warp: Warp, crop: Crop, picture: tuple[int, int]) -> npt.NDArray[np.float32]:
    """[H, W] in [0, 1] how much of each pixel of a crop is the person's in the middle.

    From the sample's mask of instances where there is one, else an outline around the labelled limbs; nothing of people
    of whom so little is labelled that only pieces of a body would be cut out.

    Args:
        sample: that the crop was made of.
        person: whom for.
        warp: from the picture to the crop.
        crop: with that person first.
        picture: (width, height) of the sample's picture, which the mask's have to be.

    Raises:
        ImageError: when the mask cannot be read.
    """
    instances = sample.read_instances(picture)
    if instances is None:
        if sample.labelled[person].mean() < _KNOWN:
            return np.zeros((warp.size[1], warp.size[0]), np.float32)
        return outline(crop, sample.skeleton, float(sample.scales[person]) * PIXELS_PER_SCALE * warp.zoom)
    own = np.equal(instances, person + 1).astype(np.float32)
    return np.asarray(cv2.warpAffine(own, warp.matrix, warp.size, flags=cv2.INTER_LINEAR), np.float32)


def outline(crop: Crop, skeleton: Skeleton, height: float) -> npt.NDArray[np.float32]:
    """[H, W] in [0, 1] a body as thick as people are, around the labelled limbs of the crop's first person.

    Args:
        crop: any.
        skeleton: of its joints.
        height: of the person, pixels of the crop.
    """
    drawn = np.zeros(crop.image.shape[:2], np.uint8)
    joints = crop.joints[0]
    known = joints[:, 2] > 0
    points = np.clip(np.rint(np.where(known[:, None], joints[:, :2], 0)), -20_000, 20_000).astype(int)
    for a, b in skeleton.limbs:
        if known[a] and known[b]:
            is_head = "head_top" in (skeleton.joints[a], skeleton.joints[b])
            width = max(1, round((_HEAD if is_head else _LIMB) * height))
            cv2.line(drawn, points[a].tolist(), points[b].tolist(), 255, min(width, 1000), cv2.LINE_8)
    # The trunk's limbs alone would leave holes between them.
    corners = [skeleton.joints.index(name) for name in _TRUNK if name in skeleton.joints]
    if len(corners) == len(_TRUNK) and known[corners].all():
        cv2.fillConvexPoly(drawn, cv2.convexHull(points[corners].astype(np.int32)), 255)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), _EDGE) / 255, np.float32)


_TRUNK = ("right_shoulder", "left_shoulder", "left_hip", "right_hip")


def paste(crop: Crop, other: Crop, alpha: npt.NDArray[np.float32], stride: int) -> Crop | None:
    """The crop with the first person of another one pasted over it; None where that would hide who is in the middle.

    Args:
        crop: of any size.
        other: of the same size, its first person where the pasted one is to be.
        alpha: [H, W] in [0, 1] how much of each pixel of ``other`` is pasted.
        stride: pixels a cell.
    """
    height, width = alpha.shape
    rows, columns = (np.rint(cells_to_pixels(np.arange(side // stride), stride)).astype(int) for side in alpha.shape)
    # What does not count there, such as what lies outside of its picture, does not count here where it is pasted.
    covers = alpha[np.ix_(rows, columns)] > 0.5
    if not (covers & ~other.ignored).any() or _hidden(crop, alpha) > 1 - _VISIBLE:
        return None
    weight = alpha[:, :, None]
    image = np.rint(crop.image * (1 - weight) + other.image * weight).astype(np.uint8)
    joints = other.joints[:1].copy()
    xy = joints[0, :, :2]
    # In a place that does not count, a joint may not be where its label says: here it has none. Nor has one that was
    # behind somebody else, of which nothing is pasted. Joints out of view keep theirs, since their limbs reach into the
    # crop.
    inside = (joints[0, :, 2] > 0) & (xy >= -0.5).all(axis=1) & (xy < [width - 0.5, height - 0.5]).all(axis=1)
    x, y = np.where(inside[:, None], np.rint(xy), 0).astype(int).T
    near = cv2.dilate((alpha > 0.5).astype(np.uint8), np.ones((2 * _OWN + 1, 2 * _OWN + 1), np.uint8)) > 0
    lost = inside & (other.ignored[y // stride, x // stride] | ~near[y, x])
    joints[0, lost] = [np.nan, np.nan, 0]
    is_synthetic = np.concatenate([crop.is_synthetic, other.is_synthetic[:1]])
    return replace(
        crop,
        image=image,
        joints=np.concatenate([crop.joints, joints]),
        clips=np.concatenate([crop.clips, other.clips[:1]]),
        boxes=np.concatenate([crop.boxes, other.boxes[:1]]),
        is_synthetic=is_synthetic,
        # Whoever comes from a picture with real people brings one along: these alone are in the middle there.
        among_real=is_synthetic & ~is_synthetic.all(),
        ignored=crop.ignored | (other.ignored & covers),
        name=f"{crop.name} + {other.name}",
    )


def _hidden(crop: Crop, alpha: npt.NDArray[np.float32]) -> float:
    """The part of the joints in view of the crop's first person that the paste covers."""
    height, width = alpha.shape
    x, y = (np.where(np.isfinite(v), v, -1).round().astype(int) for v in crop.joints[0, :, :2].T)
    seen = (x >= 0) & (y >= 0) & (x < width) & (y < height) & (crop.joints[0, :, 2] > 0)
    if not seen.any():
        return 0.0
    return float((alpha[y[seen], x[seen]] > 0.5).mean())
