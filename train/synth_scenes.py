"""D_S: synthetic people alone, before photographs or in drawn rooms and streets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import ltsh_deploy
from ltsh_deploy.train.synth_backgrounds import Backgrounds, open_backgrounds
from ltsh_deploy.train.synth_camera import sample_camera
from ltsh_deploy.train.synth_cast import Cast, describe_motions, draw_number, find_place
from ltsh_deploy.train.synth_labels import Scene, encode_picture
from ltsh_deploy.train.synth_lens import photograph
from ltsh_deploy.train.synth_light import light_from_background
from ltsh_deploy.train.synth_render import render
from ltsh_deploy.train.synth_types import Camera, Figure
from ltsh_deploy.train.synth_visibility import people_truth

__all__ = ["PurelySynthetic"]

# How tall a person at the point that the camera is aimed at appears, in parts of the picture's shorter side.
_HEIGHTS = (0.2, 0.65)
_OFF_CENTRE = 0.15
# People stand between these parts of the distance to the point that the camera is aimed at, nearer and further.
_NEARER, _FURTHER = 0.5, 1.0
# Metres between the camera and the nearest joint, at least.
_LEAST_DEPTH = 0.7
# The middle of a person lies in the picture, or beyond its edge by no more than this part of its side.
_MARGIN = 0.04


@dataclass(frozen=True)
class PurelySynthetic:
    """The recipe of D_S.

    Attributes:
        seed: of everything that is drawn.
        people: how many a picture has on average; above 0.
        pitch: degrees that cameras look down, from and to.
        size: (width, height) of the pictures.
        backgrounds: folder of photographs without people; None for drawn places.
        mocap: folder of BVH files to take poses from too, or None.
    """

    seed: int
    people: float
    pitch: tuple[float, float]
    size: tuple[int, int]
    backgrounds: Path | None = None
    mocap: Path | None = None
    split: str = "train"

    def record(self) -> dict[str, Any]:
        """What the pictures depend on.

        Raises:
            InputError: when a folder holds nothing that can be used.
        """
        return self.record_with(open_backgrounds(self.backgrounds, self.size))

    def record_with(self, backgrounds: Backgrounds) -> dict[str, Any]:
        """The same where the backgrounds have been opened already, which takes a while."""
        return {
            "kind": "purely",
            "version": ltsh_deploy.__version__,
            "seed": self.seed,
            "people": float(self.people),
            "pitch": [float(angle) for angle in self.pitch],
            "size": list(self.size),
            "backgrounds": backgrounds.record(),
            "mocap": describe_motions(self.mocap),
        }

    def open(self) -> PurelyMaker:
        """A maker with the body, clothes and backgrounds loaded."""
        return PurelyMaker(self)


class PurelyMaker:
    """Makes the pictures of D_S."""

    def __init__(self, recipe: PurelySynthetic) -> None:
        self._recipe, self._backgrounds = recipe, open_backgrounds(recipe.backgrounds, recipe.size)
        self._record = recipe.record_with(self._backgrounds)
        self._cast = Cast(recipe.mocap)

    def make(self, index: int) -> dict[str, bytes]:
        """A shard's files of one picture."""
        return encode_picture(self.scene(index), {**self._record, "index": index})

    def scene(self, index: int) -> Scene:
        """One picture and what is known of it."""
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, index])
        camera = _anywhere(sample_camera(rng, recipe.size, recipe.pitch, _HEIGHTS), rng)
        place = self._backgrounds.draw(rng, camera)
        rejected: Counter[str] = Counter()
        asked = draw_number(rng, recipe.people)
        figures: list[Figure] = []
        for _ in range(asked):
            figure = self._cast.draw(rng, rejected)
            placed = find_place(figure, figures, partial(_offset, rng, camera), rejected)
            if placed is not None:
                figures.append(placed)
        light = place.light or light_from_background(place.image, camera, rng)
        rendered = render(figures, camera, place.image, light, self._cast.textures, place.ground)
        truths = people_truth(figures, camera, rendered)
        return Scene(
            picture=photograph(rendered.image, rng),
            instances=rendered.instances,
            depth=rendered.depth,
            material_kind=rendered.material_kind,
            camera=camera,
            light=light,
            figures=figures,
            truths=truths,
            asked=asked,
            rejected=+rejected,
            place=place.record,
        )


def _anywhere(camera: Camera, rng: np.random.Generator) -> Camera:
    """The camera, its picture cropped off its middle, so that people are not always half way up."""
    width, height = camera.size
    across, down = rng.uniform(-_OFF_CENTRE, _OFF_CENTRE, 2)
    return replace(camera, principal=(camera.principal[0] + across * width, camera.principal[1] + down * height))


def _offset(rng: np.random.Generator, camera: Camera, figure: Figure) -> npt.NDArray[np.float64] | None:
    """[3] a point of the ground where the camera would see the figure, or None when the draw gave none."""
    aimed = float(np.hypot(*camera.centre[:2]))
    forward = rng.uniform(-_NEARER, _FURTHER) * max(aimed, 1.0)
    width, height = camera.size
    depth = float(camera.to_camera(np.array([[0.0, forward, 0.9]]))[0, 2])
    across = rng.uniform(-_MARGIN, 1 + _MARGIN) * width - camera.principal[0]
    offset = np.array([across / camera.focal * depth, forward, 0.0])
    middle, _ = camera.project((figure.joints.mean(axis=0) + offset)[None])
    nearest = camera.to_camera(figure.joints + offset)[:, 2].min()
    low, high = -_MARGIN, 1 + _MARGIN
    inside = (low * width < middle[0, 0] < high * width) and (low * height < middle[0, 1] < high * height)
    return offset if inside and nearest > _LEAST_DEPTH else None
