"""D_M: synthetic people among the annotated people of real pictures, whose own labels stay as they are."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import ltsh_deploy
from ltsh_deploy.datasets import Sample, SampleList, open_dataset
from ltsh_deploy.datasets.bodies import PIXELS_PER_SCALE
from ltsh_deploy.images import Image
from ltsh_deploy.train.synth_camera import aim_camera
from ltsh_deploy.train.synth_cast import Cast, describe_motions, draw_number, find_place
from ltsh_deploy.train.synth_digests import digest_of_samples
from ltsh_deploy.train.synth_labels import Scene, encode_picture
from ltsh_deploy.train.synth_lens import measure_lens, through_lens
from ltsh_deploy.train.synth_light import light_from_background
from ltsh_deploy.train.synth_render import render
from ltsh_deploy.train.synth_standing_room import ADULT_HEIGHT, StandingRoom, cover_joints
from ltsh_deploy.train.synth_types import Camera, Figure, Rendered
from ltsh_deploy.train.synth_visibility import people_truth

__all__ = ["MixedIn", "guess_camera"]

_STEEPEST = 15.0  # degrees that most photographs of people look down at most
_LEAST_SIDE, _LEAST_HEIGHT = 48, 24.0  # pixels: there is nothing to be seen of people in less
_MOST_INSTANCES = 255  # people, annotated ones among them, that 8 bits can number
_GREYEST = 12  # JPEG gives a grey photograph colours up to so many levels


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
            "version": ltsh_deploy.__version__,
            "seed": self.seed,
            "people": float(self.people),
            "per_image": self.per_image,
            "dataset": {
                "kind": self.kind,
                "name": samples.name,
                "samples": len(samples),
                "digest": digest_of_samples(samples),
                "licence": samples.licence,
            },
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
            room = StandingRoom(sample, camera, reference)
            for _ in range(asked):
                figure = self._cast.draw(rng, rejected)
                placed = find_place(figure, figures, partial(room.draw_offset, rng), rejected)
                if placed is not None:
                    room.take()
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
        (0.0, 0.0, ADULT_HEIGHT / 2),
        focal * ADULT_HEIGHT / height,
        rng.uniform(0, _STEEPEST),
        focal,
        size,
        principal=(float(centre[0]), float(centre[1])),
    )
    return camera, height


def _toned(rendered: Rendered, photo: Image) -> Image:
    """The rendered picture, its people without colour where the photograph [H, W, 3] has none."""
    colour = np.ptp(photo.astype(np.int16), axis=2)
    if np.percentile(colour, 99) > _GREYEST:
        return rendered.image
    grey = cv2.cvtColor(rendered.image, cv2.COLOR_RGB2GRAY)[..., None]
    toned: Image = np.where(rendered.alpha[..., None] > 0, grey, rendered.image)
    return toned
