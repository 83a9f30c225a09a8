"""Photographs without people, with LSPET's people in them: several, small and large, and places where nobody is.

A photograph of LSPET shows one person who nearly fills it, and outside of the people known nothing in it may be learned
from. Here parts of such photographs, each with its people, are set into another photograph. All that is left of that
one is known to be free of people.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Sample
from ltsh_deploy.datasets.bodies import joint_boxes
from ltsh_deploy.datasets.people import PIXELS_PER_SCALE
from ltsh_deploy.images import Image

__all__ = ["Scene", "draw_inset", "set_in"]

FloatArray = npt.NDArray[np.float64]

# An inset shows the person's box, enlarged by a factor between these.
_CONTEXT = (1.2, 1.9)
# Width of an inset's soft edge, as a part of its shorter side.
_EDGE = 0.06
# Insets lie where they cover no more than this part of those before; a quarter of their sides may be beyond the edge.
_COVERED, _TRIES = 0.2, 20
# A crop is centred on somebody with so many joints in view.
_JOINTS_CENTRE = 5
# From this opacity on, what was there before cannot be seen.
_OPAQUE = 0.5


@dataclass(eq=False)
class Scene:
    """A picture that others may be set into, or that is set into another, and the P people in it.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        ignored: [H, W] bool, where people may be whom nobody labelled.
        joints: [P, J, 3] float64 x, y in pixels and a label; NaN, NaN, 0 where a joint has no label or cannot be seen.
        centres: [P, 2] float64 pixels.
        scales: [P] float64 height / 200 pixels.
        trainable: [P] bool, whether a crop may be centred on the person.
    """

    image: Image
    ignored: npt.NDArray[np.bool_]
    joints: FloatArray
    centres: FloatArray
    scales: FloatArray
    trainable: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, image: Image, joints: int) -> Scene:
        """A picture [H, W, 3] without people; people will have so many joints."""
        nowhere = np.zeros(image.shape[:2], np.bool_)
        return cls(
            image.copy(), nowhere, np.zeros((0, joints, 3)), np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.bool_)
        )


def draw_inset(rng: np.random.Generator, sample: Sample, height: float) -> Scene:
    """A part of the sample's picture around its first person, mirrored half of the time.

    Args:
        rng: four numbers are drawn from it.
        sample: any whose first person has labelled joints.
        height: that the first person is to have, pixels.

    Raises:
        ImageError: when the picture cannot be read.
    """
    image = sample.read_image()
    picture = (image.shape[1], image.shape[0])
    ignore = sample.read_ignore(picture)
    ignored = np.zeros(image.shape[:2], np.bool_) if ignore is None else ignore
    known = sample.joints[0][sample.labelled[0], :2]
    low, high = known.min(axis=0), known.max(axis=0)
    half = (high - low).max() / 2 * rng.uniform(*_CONTEXT)
    middle = (low + high) / 2 + rng.uniform(-0.1, 0.1, 2) * half
    x1, y1 = np.clip(np.floor(middle - half), 0, np.array(picture) - 1).astype(int)
    x2, y2 = np.clip(np.ceil(middle + half) + 1, [x1 + 1, y1 + 1], picture).astype(int)
    factor = height / (float(sample.scales[0]) * PIXELS_PER_SCALE)
    width, tall = max(1, round((x2 - x1) * factor)), max(1, round((y2 - y1) * factor))
    across, down = width / (x2 - x1), tall / (y2 - y1)
    mirrored = rng.random() < 0.5

    def moved(xy: FloatArray) -> FloatArray:
        # Between the middles of pixels.
        inside = (xy - [x1, y1] + 0.5) * [across, down] - 0.5
        return np.asarray(np.where([mirrored, False], width - 1 - inside, inside))

    joints = sample.joints.copy()
    joints[..., :2] = moved(joints[..., :2])
    if mirrored:
        joints = joints[:, list(sample.skeleton.flip_joints)]
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    pixels = cv2.resize(image[y1:y2, x1:x2], (width, tall), interpolation=interpolation)
    part = ignored[y1:y2, x1:x2].astype(np.uint8)
    unknown = cv2.resize(part, (width, tall), interpolation=cv2.INTER_NEAREST_EXACT)
    step = -1 if mirrored else 1
    return Scene(
        np.ascontiguousarray(pixels[:, ::step], np.uint8),
        np.ascontiguousarray(unknown[:, ::step], np.bool_),
        joints,
        moved(sample.centres),
        sample.scales * factor,
        sample.trainable.copy(),
    )


def set_in(rng: np.random.Generator, scene: Scene, inset: Scene) -> bool:
    """Set an inset into a scene; False, and nothing is changed, where it finds no place among those before.

    People keep the joints that can be seen; those without such a joint are left out. A crop is not centred any more on
    somebody with few of them, or whose centre is beyond the edge.

    Args:
        rng: places are drawn from it.
        scene: is changed.
        inset: any.
    """
    height, width = inset.image.shape[:2]
    tall, wide = scene.image.shape[:2]
    taken = joint_boxes(scene.joints)
    for _ in range(_TRIES):
        # An inset may be larger than the scene.
        least, most = np.sort([[-width / 4, -height / 4], [wide - 0.75 * width, tall - 0.75 * height]], axis=0)
        x, y = np.rint(rng.uniform(least, most)).astype(int).tolist()
        box = np.array([x, y, x + width, y + height], np.float64)
        if not len(taken) or (_overlap(taken, box) <= _COVERED).all():
            _put(scene, inset, x, y)
            return True
    return False


def _put(scene: Scene, inset: Scene, x: int, y: int) -> None:
    height, width = inset.image.shape[:2]
    tall, wide = scene.image.shape[:2]
    rows, columns = slice(max(y, 0), min(y + height, tall)), slice(max(x, 0), min(x + width, wide))
    own = slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x)
    alpha = np.zeros((tall, wide), np.float32)
    alpha[rows, columns] = _opacity(height, width)[own]
    part, weight = scene.image[rows, columns], alpha[rows, columns, None]
    scene.image[rows, columns] = np.rint(part * (1 - weight) + inset.image[own] * weight).astype(np.uint8)
    covered = alpha >= _OPAQUE
    scene.ignored[covered] = False
    scene.ignored[rows, columns] |= inset.ignored[own] & covered[rows, columns]
    before = _only(scene.joints, ~covered)
    joints = inset.joints + np.array([x, y, 0])
    added = _only(joints, covered)
    scene.joints = np.concatenate([before, added])
    scene.centres = np.concatenate([scene.centres, inset.centres + np.array([x, y])])
    scene.scales = np.concatenate([scene.scales, inset.scales])
    scene.trainable = np.concatenate([scene.trainable, inset.trainable])
    seen = (scene.joints[:, :, 2] > 0).any(axis=1)
    for name in ("joints", "centres", "scales", "trainable"):
        setattr(scene, name, getattr(scene, name)[seen])
    inside = (scene.centres >= 0).all(axis=1) & (scene.centres <= [wide - 1, tall - 1]).all(axis=1)
    scene.trainable &= inside & ((scene.joints[:, :, 2] > 0).sum(axis=1) >= _JOINTS_CENTRE)


def _opacity(height: int, width: int) -> npt.NDArray[np.float32]:
    """[H, W] from nearly 0 at the edge to 1."""
    edge = max(1.0, _EDGE * min(height, width))
    down, across = (np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) for n in (height, width))
    return np.asarray(np.clip(np.minimum(down[:, None], across[None]) / edge, 0, 1), np.float32)


def _only(joints: FloatArray, where: npt.NDArray[np.bool_]) -> FloatArray:
    """The joints [P, J, 3] that lie where a mask of the picture's size is true, the others not labelled."""
    xy = joints[:, :, :2]
    inside = (joints[:, :, 2] > 0) & (xy >= -0.5).all(axis=2) & (xy < np.array(where.shape[::-1]) - 0.5).all(axis=2)
    cells = np.rint(np.where(inside[:, :, None], xy, 0)).astype(int)
    seen = inside & where[cells[:, :, 1], cells[:, :, 0]]
    return np.where(seen[:, :, None], joints, [np.nan, np.nan, 0.0])


def _overlap(boxes: FloatArray, other: FloatArray) -> FloatArray:
    """[P] the part of each box, of at least one pixel, that another one covers."""
    middles, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, np.maximum(boxes[:, 2:] - boxes[:, :2], 1) / 2
    low, high = np.maximum(middles - halves, other[:2]), np.minimum(middles + halves, other[2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=1) / (2 * halves).prod(axis=1))
