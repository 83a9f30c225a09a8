"""D_Style: the synthetic people of mixed pictures in the colours and the grain of the photographs they are in.

For skin and for everything else, the colours of the synthetic people are moved towards the photograph's by the linear
map between two Gaussian distributions that moves colours least (Monge-Kantorovich; Pitié and Kokaram 2007, "The linear
Monge-Kantorovitch linear colour mapping for example-based colour transfer"). The change is smoothed by a guided filter
(He, Sun and Tang 2010), so that it follows the people's own edges. Only pixels of synthetic people change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

import ltsh_deploy
from ltsh_deploy.errors import ImageError, InputError
from ltsh_deploy.images import Image, read_image
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.synth_folder import made_by
from ltsh_deploy.train.synth_lens import MOST_NOISE, noise_level
from ltsh_deploy.train.synth_materials import EYE, SKIN
from ltsh_deploy.train.synth_outlines import paint_person
from ltsh_deploy.train.synth_writers import ShardRange, again, encode_members, find_shards, labels_of, read_shard

__all__ = ["Stylised", "colour_map", "stylise"]

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

# What is compared with skin in the photograph.
_SKIN_KINDS = (SKIN, EYE)
# Clothes differ more from one person to the next than skin does, so less of the map is taken.
_CLOTHES_SHARE = 0.6
# Where the photograph shows no skin, its other colours say little of how skin would look in it.
_UNLIKE_SHARE = 0.25
# Dark skin in the light of a photograph of light skin is still dark: limit of the mean change, of 100.
_MOST_LIGHTER = 10.0
# A stretch of colours beyond these makes blotches.
_LEAST_GAIN, _MOST_GAIN = 0.5, 1.8
# Below this lightness, of 100, things have ever less colour: black clothes stay black.
_COLOURED_FROM = 40.0
_FEWEST_PIXELS = 150
_SAMPLES = 4000
_GUIDED_SIDE, _GUIDED_SOFTNESS = 9, 2e-3
_REMEDY = "Name a folder that `ltsh synthesize mixed` wrote."


@dataclass(frozen=True)
class Stylised:
    """The recipe of D_Style.

    Attributes:
        seed: of the grain.
        mixed: folder of a mixed data set.
        strength: 0 leaves colours as they are, 1 takes all of the map.
    """

    seed: int
    mixed: Path
    strength: float

    @cached_property
    def _generator(self) -> Mapping[str, Any]:
        if not self.mixed.is_dir():
            raise InputError(f"{self.mixed}: there is no such folder", _REMEDY)
        generator = made_by(self.mixed)
        if generator is None or generator.get("kind") != "mixed":
            raise InputError(f"{self.mixed}: holds no mixed data set", _REMEDY)
        return generator

    @property
    def split(self) -> str:
        """The mixed pictures' split."""
        return str(self._generator.get("split", "train"))

    def record(self) -> dict[str, Any]:
        """What the pictures depend on.

        Raises:
            InputError: when the folder holds no mixed data set.
        """
        # The mixed pictures' own record has a digest of the data that they were made of.
        return {
            "kind": "stylised",
            "version": ltsh_deploy.__version__,
            "seed": self.seed,
            "strength": self.strength,
            "mixed": dict(self._generator),
        }

    def numbers(self) -> list[int]:
        """The numbers of the mixed pictures, ascending.

        Raises:
            InputError: when the folder holds no mixed data set, or an empty one.
        """
        self.record()
        numbers = [n for part in find_shards(self.mixed) for n in range(part.first, part.last + 1)]
        if not numbers:
            raise InputError(f"{self.mixed}: holds no shards", "Make the mixed data set first.")
        return numbers

    def open(self) -> _Maker:
        """A maker that reads the mixed data set."""
        return _Maker(self)


class _Maker:
    def __init__(self, recipe: Stylised) -> None:
        self._recipe = recipe
        self._shards = find_shards(recipe.mixed)
        self._record = recipe.record()
        self._part: ShardRange | None = None
        self._pictures: dict[int, dict[str, bytes]] = {}

    def make(self, index: int) -> dict[str, bytes]:
        """The files of one picture: the mixed picture's, with another picture and a note of what changed it."""
        shard, found = self._read(index)
        members, where = dict(found), f"{shard}: {index:08d}"
        labels = labels_of(members, where, again(shard))
        picture = read_image(members.pop("jpg", b""), where)
        kinds = _mask(members, "materials.png", picture, where).astype(np.int8) - 1
        style = np.zeros(picture.shape[:2], np.uint8)
        try:
            annotated = _annotated(labels["people"])
        except (KeyError, TypeError, ValueError):
            message = f"{where}: its labels are not those of a synthesised picture"
            raise InputError(message, again(shard)) from None
        for joints, scale in annotated:
            paint_person(style, joints, scale)
        rng = np.random.default_rng([self._recipe.seed, index])
        changed = stylise(picture, kinds, style > 0, self._recipe.strength, rng)
        labels["generator"] = {**self._record, "index": index}
        del members["json"]
        return {**encode_members(changed, labels, {}), **members}

    def _read(self, index: int) -> tuple[Path, Mapping[str, bytes]]:
        """The mixed picture's shard, and its files. Pictures are asked for in order, so the whole shard is kept."""
        part = next((part for part in self._shards if part.first <= index <= part.last), None)
        if part is None:
            raise InputError(f"{self._recipe.mixed}: has no picture {index}")
        if part != self._part:
            self._part, self._pictures = part, dict(read_shard(self._shards[part]))
        if index not in self._pictures:
            raise ImageError(f"{self._shards[part]}: picture {index} was left out there too")
        return self._shards[part], self._pictures[index]


def _annotated(people: Sequence[Mapping[str, Any]]) -> list[tuple[npt.NDArray[np.float64], float]]:
    """(joints [15, 3], scale) of those of a picture's people who are not rendered."""
    return [
        (
            np.array([joint or (0, 0, 0) for joint in person["joints"]], np.float64).reshape(LTSH15.num_joints, 3),
            float(person["scale"]),
        )
        for person in people
        if "states" not in person["extra"]
    ]


def _mask(members: Mapping[str, bytes], name: str, picture: Image, where: str) -> npt.NDArray[np.uint8]:
    data = members.get(name, b"")
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if mask is None or mask.shape != picture.shape[:2]:
        raise InputError(f"{where}: its {name} is missing or damaged", "make it again with `ltsh synthesize mixed`")
    return np.asarray(mask, np.uint8)


def stylise(
    picture: Image, kinds: npt.NDArray[np.int8], real: Mask, strength: float, rng: np.random.Generator
) -> Image:
    """Synthetic people in the photograph's colours and grain; every other pixel stays as it is.

    Args:
        picture: [H, W, 3] uint8 RGB.
        kinds: [H, W] kind of material of synthetic people's pixels, -1 elsewhere.
        real: [H, W] where real people are, roughly; where synthetic ones hide them does not matter.
        strength: of the change of colours, 0 to 1.
        rng: of the grain, and of the pixels that colours are measured at.
    """
    people = kinds >= 0
    photograph = ~people
    if people.sum() < _FEWEST_PIXELS or photograph.sum() < _FEWEST_PIXELS:
        return picture
    lab: Floats = np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)
    models = lab[real & photograph]
    if len(models) < _FEWEST_PIXELS:
        models = lab[photograph]
    # Skin is reddish and yellowish, whatever its lightness.
    of_skin = models[(models[:, 0] > 15) & (models[:, 1] > 6) & (models[:, 2] > 4)]
    around = _some(lab[photograph], _SAMPLES // 5, rng)
    is_skin = np.isin(kinds, _SKIN_KINDS)
    has_skin = len(of_skin) >= _FEWEST_PIXELS
    change = np.zeros_like(lab)
    for own, style, share in (
        (people & is_skin, of_skin if has_skin else models, strength if has_skin else strength * _UNLIKE_SHARE),
        (people & ~is_skin, models, strength * _CLOTHES_SHARE),
    ):
        if own.sum() >= _FEWEST_PIXELS:
            target = np.concatenate([_some(style, _SAMPLES, rng), around])
            matrix, offset = colour_map(_some(lab[own], _SAMPLES, rng), target)
            moved = share * (lab[own] @ matrix.T + offset - lab[own])
            lighter = float(moved[:, 0].mean())
            moved[:, 0] -= lighter - np.clip(lighter, -_MOST_LIGHTER, _MOST_LIGHTER)
            moved[:, 1:] *= np.minimum(lab[own][:, :1] / _COLOURED_FROM, 1)
            change[own] = moved
    change = _follow_edges(lab[..., 0] / np.float32(100), change, people)
    rgb = cv2.cvtColor(lab + change, cv2.COLOR_Lab2RGB).clip(0, 1) * 255
    rgb += _missing_noise(picture, people) * rng.standard_normal(people.shape, np.float32)[..., None]
    result: Image = np.where(people[..., None], np.rint(rgb).clip(0, 255), picture).astype(np.uint8)
    return result


def _missing_noise(picture: Image, people: Mask) -> float:
    """Standard deviation of the noise that people [H, W] lack in a picture [H, W, 3]; 0 where it cannot be told."""
    around, own = noise_level(picture, ~people), noise_level(picture, people)
    if around is None or own is None:
        return 0.0
    return min(math.sqrt(max(around**2 - own**2, 0.0)), MOST_NOISE)


def colour_map(source: Floats, target: Floats) -> tuple[Floats, Floats]:
    """The matrix [3, 3] and offset [3] that give ``source`` [N, 3] the mean and covariance of ``target`` [M, 3].

    T = S^-1/2 (S^1/2 D S^1/2)^1/2 S^-1/2 with the covariances S and D; its gains are kept between 0.5 and 1.8.
    """
    spread = 1e-3 * np.eye(3)
    own = np.cov(source.T.astype(np.float64)) + spread
    wanted = np.cov(target.T.astype(np.float64)) + spread
    root, inverse = _power(own, 0.5), _power(own, -0.5)
    left, gains, right = np.linalg.svd(inverse @ _power(root @ wanted @ root, 0.5) @ inverse)
    matrix = left @ np.diag(np.clip(gains, _LEAST_GAIN, _MOST_GAIN)) @ right
    offset = target.mean(axis=0) - matrix @ source.mean(axis=0)
    return matrix.astype(np.float32), offset.astype(np.float32)


def _power(matrix: npt.NDArray[np.float64], exponent: float) -> npt.NDArray[np.float64]:
    """A power of a symmetric matrix that is positive definite but for rounding."""
    values, vectors = np.linalg.eigh(matrix)
    powered: npt.NDArray[np.float64] = vectors @ np.diag(np.maximum(values, 1e-12) ** exponent) @ vectors.T
    return powered


def _some(pixels: Floats, most: int, rng: np.random.Generator) -> Floats:
    return pixels if len(pixels) <= most else pixels[rng.integers(len(pixels), size=most)]


def _follow_edges(guide: Floats, change: Floats, people: Mask) -> Floats:
    """The change [H, W, 3], smoothed but for edges of the guide [H, W], and fading at the people's own edge."""

    def mean(values: npt.NDArray[np.floating[Any]]) -> Floats:
        return np.asarray(cv2.blur(values, (_GUIDED_SIDE, _GUIDED_SIDE)), np.float32)

    inside = people.astype(np.float32)
    weight = np.maximum(mean(inside), 1e-3)
    guide_mean = mean(guide * inside) / weight
    variance = mean(guide * guide * inside) / weight - guide_mean**2
    smooth = np.empty_like(change)
    for channel in range(3):
        own = change[..., channel] * inside
        own_mean = mean(own) / weight
        slope = (mean(guide * own) / weight - guide_mean * own_mean) / (variance + _GUIDED_SOFTNESS)
        level = own_mean - slope * guide_mean
        slope, level = mean(slope * inside) / weight, mean(level * inside) / weight
        smooth[..., channel] = slope * guide + level
    # Pixels at the edge are partly background.
    share = inside * cv2.blur(inside, (3, 3))
    return np.asarray(smooth * share[..., None], np.float32)
