"""D_M: synthetic people among the annotated people of real pictures, whose own labels stay as they are."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Sample, SampleList, open_dataset
from ltsh_deploy.datasets.bodies import PIXELS_PER_SCALE
from ltsh_deploy.images import Image
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.synth_camera import aim_camera
from ltsh_deploy.train.synth_cast import Cast, describe_motions, draw_number, find_place
from ltsh_deploy.train.synth_collision import CAPSULE_RADII
from ltsh_deploy.train.synth_labels import Scene, encode_picture
from ltsh_deploy.train.synth_lens import measure_lens, through_lens
from ltsh_deploy.train.synth_light import light_from_background
from ltsh_deploy.train.synth_outlines import paint_figure, paint_person
from ltsh_deploy.train.synth_render import render
from ltsh_deploy.train.synth_types import Camera, Figure, Rendered
from ltsh_deploy.train.synth_visibility import people_truth

__all__ = ["MixedIn", "cover_joints", "guess_camera"]

Mask = npt.NDArray[np.uint8]

_HEIGHT = 1.7  # metres of the annotated person: nobody knows, and this is an adult's
_STEEPEST = 15.0  # degrees that most photographs of people look down at most
_TALLEST = 1.3  # times the annotated person's height in pixels
_MOST_COVERED = 0.4  # of the picture
_MOST_JOINTS_HIDDEN = 0.5  # of each annotated person's
_BEHIND = 0.3  # metres behind the annotated person from which synthetic people must not be drawn over them
_MOST_OVERLAP = 0.05
_LEAST_SIDE, _LEAST_HEIGHT = 48, 24.0  # pixels: there is nothing to be seen of people in less
_MOST_INSTANCES = 255  # people, annotated ones among them, that 8 bits can number
_GREYEST = 12  # JPEG gives a grey photograph colours up to so many levels
_COARSE = 200  # the longer side of the masks by which places are judged, in pixels


@dataclass(frozen=True)
class MixedIn:
    """The recipe of D_M.

    Attributes:
        seed: of everything that is drawn.
        kind: of the data set, as ``open_dataset`` has it.
        dataset: its file or folder.
        split: the part of it to use, and what the pictures are for.
        ignore_outside: as ``open_dataset`` has it, or None.
        options: the kind's own, as a JSON object.
        per_image: pictures made of each real one.
        people: synthetic people in a picture, on average; above 0.
        mocap: folder of BVH files to take poses from too, or None.
    """

    seed: int
    kind: str
    dataset: Path
    split: str
    ignore_outside: float | None
    options: str
    per_image: int
    people: float
    mocap: Path | None = None

    def samples(self) -> SampleList:
        """The real pictures.

        Raises:
            LtshError: when the data set cannot be opened.
        """
        return _opened(self)

    def total(self) -> int:
        """How many pictures there are to be made."""
        return len(self.samples()) * self.per_image

    def record(self) -> dict[str, Any]:
        """What the pictures depend on.

        Raises:
            LtshError: when the data set cannot be opened, or the motions not be used.
        """
        samples = self.samples()
        return {
            "kind": "mixed",
            "seed": self.seed,
            "people": float(self.people),
            "per_image": self.per_image,
            "dataset": {"kind": self.kind, "name": samples.name, "samples": len(samples), "licence": samples.licence},
            "ignore_outside": self.ignore_outside,
            "options": json.loads(self.options),
            "split": self.split,
            "mocap": describe_motions(self.mocap),
        }

    def open(self) -> MixedMaker:
        """A maker with the body, clothes and labels loaded."""
        return MixedMaker(self)


@lru_cache(maxsize=1)
def _opened(recipe: MixedIn) -> SampleList:
    return open_dataset(
        recipe.kind,
        recipe.dataset,
        split=recipe.split,
        ignore_outside=recipe.ignore_outside,
        **json.loads(recipe.options),
    )


class MixedMaker:
    """Makes the pictures of D_M."""

    def __init__(self, recipe: MixedIn) -> None:
        self._recipe, self._record = recipe, recipe.record()
        self._samples = recipe.samples()
        self._cast = Cast(recipe.mocap)

    def make(self, index: int) -> dict[str, bytes]:
        """A shard's files of one picture.

        Raises:
            ImageError: when the real picture cannot be read.
        """
        return encode_picture(self.scene(index), {**self._record, "index": index})

    def scene(self, index: int) -> Scene:
        """One picture and what is known of it.

        Raises:
            ImageError: when the real picture cannot be read.
        """
        sample = self._samples[index // self._recipe.per_image]
        photo = sample.read_image()
        rng = np.random.default_rng([self._recipe.seed, index])
        camera, reference = guess_camera(sample, photo, rng)
        rejected: Counter[str] = Counter()
        asked = max(0, min(draw_number(rng, self._recipe.people), _MOST_INSTANCES - len(sample)))
        figures: list[Figure] = []
        if min(photo.shape[:2]) < _LEAST_SIDE or reference < _LEAST_HEIGHT:
            rejected["picture_too_small"] = asked
        else:
            room = _Room(sample, camera, reference)
            for _ in range(asked):
                figure = self._cast.draw(rng, rejected)
                placed = find_place(figure, figures, partial(room.draw_offset, rng), rejected)
                if placed is not None:
                    room.take(placed)
                    figures.append(placed)
        light = light_from_background(photo, camera, rng)
        rendered = render(figures, camera, photo, light, self._cast.textures)
        ignore = sample.read_ignore(camera.size)
        return Scene(
            picture=through_lens(_toned(rendered, photo), rendered.alpha, rng, measure_lens(photo)),
            instances=rendered.instances,
            depth=rendered.depth,
            material_kind=rendered.material_kind,
            camera=camera,
            light=light,
            figures=figures,
            truths=people_truth(figures, camera, rendered),
            asked=asked,
            rejected=+rejected,
            place={"picture": sample.id},
            real=cover_joints(sample, rendered.instances > 0),
            # Of a synthetic person all is known, also where the photograph shows somebody nobody labelled.
            ignore=None if ignore is None else ignore & (rendered.instances == 0),
        )


def guess_camera(sample: Sample, photo: Image, rng: np.random.Generator) -> tuple[Camera, float]:
    """A camera that may have taken a photograph [H, W, 3], and the height in pixels of the person it was guessed by.

    The tallest annotated person is taken for an adult who stands on the ground; how far the camera looks down (0 to 15
    degrees) and its focal length are drawn. Where nobody is annotated, somebody in the middle is assumed, 0.6 of the
    picture tall.
    """
    size = (photo.shape[1], photo.shape[0])
    focal = max(size) * rng.uniform(1.1, 2.2)
    labelled = sample.labelled.any(axis=1)
    centre, height = np.array(size) / 2, 0.6 * size[1]
    if labelled.any():
        tallest = int(np.argmax(np.where(labelled, sample.scales, 0)))
        centre, height = sample.centres[tallest], float(sample.scales[tallest]) * PIXELS_PER_SCALE
    camera = aim_camera(
        (0.0, 0.0, _HEIGHT / 2),
        focal * _HEIGHT / height,
        rng.uniform(0, _STEEPEST),
        focal,
        size,
        principal=(float(centre[0]), float(centre[1])),
    )
    return camera, height


def cover_joints(sample: Sample, covered: npt.NDArray[np.bool_]) -> Sample:
    """The sample with the joints that lie on pixels [H, W] which are covered now marked as hidden."""
    joints = sample.joints.copy()
    hidden = _lie_on(joints, covered) & (joints[..., 2] == 2)
    joints[..., 2] = np.where(hidden, 1, joints[..., 2])
    return replace(sample, joints=joints)


def _toned(rendered: Rendered, photo: Image) -> Image:
    """The rendered picture, its people without colour where the photograph [H, W, 3] has none."""
    colour = np.ptp(photo.astype(np.int16), axis=2)
    if np.percentile(colour, 99) > _GREYEST:
        return rendered.image
    grey = cv2.cvtColor(rendered.image, cv2.COLOR_RGB2GRAY)[..., None]
    toned: Image = np.where(rendered.alpha[..., None] > 0, grey, rendered.image)
    return toned


def _lie_on(joints: npt.NDArray[np.float64], covered: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """[P, J] which labelled joints [P, J, 3] lie on covered pixels [H, W]."""
    labelled = joints[..., 2] > 0
    xy = np.rint(np.clip(np.where(labelled[..., None], joints[..., :2], -1), -1, 1e6)).astype(np.int64)
    columns, rows = xy[..., 0], xy[..., 1]
    inside = labelled & (columns >= 0) & (columns < covered.shape[1]) & (rows >= 0) & (rows < covered.shape[0])
    return np.asarray(inside & covered[np.where(inside, rows, 0), np.where(inside, columns, 0)])


class _Room:
    """Where there is room for synthetic people in a photograph: judged on coarse masks, before anything is rendered."""

    def __init__(self, sample: Sample, camera: Camera, reference: float) -> None:
        self._camera, self._reference = camera, reference
        self._shrink = min(1.0, _COARSE / max(camera.size))
        shape = tuple(max(1, math.ceil(side * self._shrink)) for side in reversed(camera.size))
        self._taken, self._real = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self._joints = sample.to_skeleton(LTSH15).joints * [self._shrink, self._shrink, 1]
        for joints, scale in zip(self._joints, sample.scales.tolist(), strict=True):
            paint_person(self._real, np.nan_to_num(joints), scale * self._shrink)

    def draw_offset(self, rng: np.random.Generator, figure: Figure) -> npt.NDArray[np.float64] | None:
        """[3] a point of the ground for the figure, or None when the draw gave none that will do."""
        camera = self._camera
        distance = float(np.linalg.norm(camera.centre - [0, 0, _HEIGHT / 2]))
        nearest = camera.focal * float(figure.attributes["height"]) / (_TALLEST * self._reference)
        # Half of them before the annotated person, half beside and behind.
        depth = rng.uniform(nearest, max(nearest, distance)) if rng.random() < 0.5 else rng.uniform(0.95, 2) * distance
        across = rng.uniform(-0.05, 1.05) * camera.size[0] - camera.principal[0]
        level = math.hypot(camera.rotation[2, 0], camera.rotation[2, 1])
        offset = np.array([across / camera.focal * depth, (depth - distance) / level, 0.0])
        moved = figure.moved(offset)
        if camera.to_camera(moved.joints)[:, 2].min() < max(0.5, 0.8 * nearest):
            return None
        own = self._paint(moved)
        return offset if self._suits(own, depth - distance) else None

    def _suits(self, own: Mask, behind: float) -> bool:
        """Whether a figure may be painted there, ``behind`` metres further away than the annotated person."""
        pixels = int(own.sum())
        if not pixels:
            return False
        if behind > _BEHIND and (own & self._real).sum() > _MOST_OVERLAP * pixels:
            return False
        together = self._taken | own
        if together.mean() > _MOST_COVERED:
            return False
        hidden = _lie_on(self._joints, together > 0).sum(axis=1)
        return bool((hidden <= _MOST_JOINTS_HIDDEN * (self._joints[..., 2] > 0).sum(axis=1)).all())

    def take(self, figure: Figure) -> None:
        """The figure is there."""
        self._taken |= self._paint(figure)

    def _paint(self, figure: Figure) -> Mask:
        mask = np.zeros_like(self._taken)
        paint_figure(mask, figure, self._camera, CAPSULE_RADII, self._shrink)
        return mask
