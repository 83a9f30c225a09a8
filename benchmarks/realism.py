"""How well low-level features tell synthetic people from real ones, and what each ingredient of the pictures buys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.realism_features import features, tell_apart, weights
from benchmarks.report import table
from benchmarks.synthetic_speed import recipe_of
from ltsh_deploy.datasets import open_dataset
from ltsh_deploy.images import Image
from ltsh_deploy.skeletons import LSP14, MPII16
from ltsh_deploy.train import synth_cast, synth_figure, synth_render, synth_scenes
from ltsh_deploy.train.synth_figure import dress
from ltsh_deploy.train.synth_garments import wear_trousers
from ltsh_deploy.train.synth_light import light_from_background
from ltsh_deploy.train.synth_materials import PLAIN
from ltsh_deploy.train.synth_types import Figure

__all__ = ["VARIANTS", "crop_person", "realism", "synthetic_crops"]

_REAL, _SYNTHETIC = 1500, 400
SIDE = 96
# Pixels of a person's longer side, all joints included. Synthetic people are larger at first, and are scaled down.
_LEAST, _MOST = 60.0, 130.0
# That of the real pictures, which all have the same tables.
_JPEG = 84
_AROUND = 1.9
_GOAL, _GOAL_LESS = 0.88, 0.05


class Crops(NamedTuple):
    """Crops [N, S, S, 3] uint8 RGB, and for each the number of what is behind the person [N]."""

    images: npt.NDArray[np.uint8]
    places: npt.NDArray[np.int64]


def crop_person(picture: Image, xy: npt.NDArray[Any]) -> Image | None:
    """The square around a person's joints [J, 2], as long as their longer side, at SIDE x SIDE pixels.

    None where the square reaches beyond the picture.
    """
    low, high = xy.min(axis=0), xy.max(axis=0)
    side = float((high - low).max())
    left, top = np.rint((low + high - side) / 2).astype(int).tolist()
    right, bottom = left + round(side), top + round(side)
    if left < 0 or top < 0 or right > picture.shape[1] or bottom > picture.shape[0]:
        return None
    square = picture[top:bottom, left:right]
    return np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


def real_crops(lspet: Path, count: int) -> tuple[Crops, npt.NDArray[np.float64]]:
    """Crops of real people whose joints are all labelled, and the longer sides of these people in pixels."""
    dataset = open_dataset("shards", lspet, split="train")
    order = np.random.default_rng(0).permutation(len(dataset))
    crops: list[Image] = []
    sides: list[float] = []
    for index in order:
        sample = dataset[int(index)]
        known = [sample.skeleton.joints.index(name) for name in LSP14.joints]
        joints = sample.joints[0, known]
        side = float(np.ptp(joints[:, :2], axis=0).max())
        if (joints[:, 2] > 0).all() and _LEAST <= side <= _MOST:
            crop = crop_person(sample.read_image(), joints[:, :2])
            if crop is not None:
                crops.append(crop)
                sides.append(side)
        if len(crops) == count:
            break
    return Crops(np.array(crops), np.arange(len(crops))), np.array(sides)


def synthetic_crops(photographs: Path | None, sides: npt.NDArray[np.float64], count: int) -> Crops:
    """Crops of synthetic people who are nearly whole, at sizes drawn from those of real ones.

    The picture goes the way of the real ones: scaled down, cut to 1.9 times the person, compressed; then cropped.
    """
    maker: Any = recipe_of(photographs, seed=5).open()
    names: dict[str, int] = {}
    crops: list[Image] = []
    places: list[int] = []
    index = 0
    mpii = [MPII16.joints.index(name) for name in LSP14.joints]
    while len(crops) < count:
        rng = np.random.default_rng([1, index])
        scene = maker.scene(index)
        index += 1
        place = names.setdefault(str(scene.place.get("photograph", index)), len(names))
        for truth in scene.truths:
            xy = truth.joints2d[mpii]
            side = float(np.ptp(xy, axis=0).max())
            wanted = float(rng.choice(sides))
            if not (side >= _MOST and truth.visibility > 0.85 and truth.cropped < 0.02) or len(crops) == count:
                continue
            crop = _as_the_real_ones(scene.picture, xy, wanted / side)
            if crop is not None:
                crops.append(crop)
                places.append(place)
    return Crops(np.array(crops), np.array(places))


def _as_the_real_ones(picture: Image, xy: npt.NDArray[np.float64], scale: float) -> Image | None:
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    xy = (xy + 0.5) * scale - 0.5
    low, high = xy.min(axis=0), xy.max(axis=0)
    reach = _AROUND * (high - low).max() / 2
    first = np.maximum(np.rint((low + high) / 2 - reach), 0).astype(int)
    last = np.rint((low + high) / 2 + reach).astype(int)
    part = np.ascontiguousarray(small[first[1] : last[1], first[0] : last[0], ::-1])
    data = cv2.imencode(".jpg", part, (cv2.IMWRITE_JPEG_QUALITY, _JPEG))[1]
    read = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return crop_person(np.ascontiguousarray(read), xy - first)


@contextmanager
def _patched(*changes: tuple[Any, str, Callable[..., Any]]) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, function in changes:
            stack.enter_context(patch.object(owner, name, function))
        yield


def _without_lens() -> AbstractContextManager[None]:
    return _patched((synth_scenes, "photograph", lambda image, rng: image))


def _without_shadows() -> AbstractContextManager[None]:
    def flat(*arguments: Any) -> Any:
        light = light_from_background(*arguments)
        ambient = np.zeros_like(light.ambient)
        ambient[0] = light.ambient[0] + 0.5 * light.key_colour
        return replace(light, ambient=ambient, key_colour=np.zeros_like(light.key_colour))

    return _patched(
        (synth_scenes, "light_from_background", flat),
        (synth_render, "ambient_occlusion", lambda depth, *_: np.ones_like(depth)),
        (synth_render, "ground_light", lambda camera, *_: np.ones((camera.size[1], camera.size[0], 2), np.float32)),
    )


def _plain(figure: Figure) -> Figure:
    materials = figure.materials.copy()
    materials["pattern"] = PLAIN
    for name in ("mottle", "relief", "hem", "specular"):
        materials[name] = 0
    return replace(figure, materials=materials)


def _without_textures() -> AbstractContextManager[None]:
    return _patched((synth_cast, "dress", lambda *arguments: _plain(dress(*arguments))))


def _without_clothes() -> AbstractContextManager[None]:
    return _patched(
        (synth_figure, "choose_clothes", lambda outfit, male: wear_trousers(outfit, "briefs")),
        (synth_figure, "choose_props", lambda outfit: None),
    )


@contextmanager
def _bare() -> Iterator[None]:
    with _without_textures(), _without_clothes():
        yield


def _without_props() -> AbstractContextManager[None]:
    return _patched((synth_figure, "choose_props", lambda outfit: None))


#: What is left out, and how.
VARIANTS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "nothing: as they are made": nullcontext,
    "the lens: blur, exposure, noise, JPEG": _without_lens,
    "key light, shadows, occlusion": _without_shadows,
    "textures: patterns, folds, seams, shine": _without_textures,
    "clothes, but for briefs": _without_clothes,
    "clothes and textures": _bare,
    "things in hand and on the back": _without_props,
}


def realism(lspet: Path, photographs: Path) -> Sequence[str]:
    """The paragraphs of the section."""
    if not (lspet.is_dir() and photographs.is_dir()):
        raise SystemExit(f"{lspet} and {photographs} are needed: real people, and photographs without any.")
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    real, sides = real_crops(lspet, _REAL)
    known = np.array([features(crop) for crop in real.images])
    rows: list[list[object]] = []
    areas: dict[str, float] = {}
    telling: list[tuple[str, float]] = []
    for name, changed in VARIANTS.items():
        with changed():
            crops = synthetic_crops(photographs, sides, _SYNTHETIC)
        found = np.array([features(crop) for crop in crops.images])
        area, spread = tell_apart(known, found, crops.places)
        areas[name] = area
        rows.append(
            [name, f"{area:.3f}", f"{spread:.3f}", f"{tell_apart(known, found, crops.places, linear=True)[0]:.3f}"]
        )
        if not telling:
            telling = weights(known, found)[:10]
    full = areas["nothing: as they are made"]
    goals = [["area under the curve", f"at most {_GOAL}", f"{full:.3f}", "yes" if full <= _GOAL else "no"]]
    for name in ("textures: patterns, folds, seams, shine", "clothes and textures"):
        less = areas[name] - full
        kept = "yes" if less >= _GOAL_LESS else "no"
        goals.append([f"less than without {name.partition(':')[0]}", f"at least {_GOAL_LESS}", f"{less:.3f}", kept])
    return [
        f"{len(real.images)} crops of real people (Leeds Sports Pose Extended, all joints labelled) against "
        f"{_SYNTHETIC} of D_S on photographs. Synthetic pictures go the way of the real ones: scaled down until people "
        f"are as large, cut to {_AROUND} times the person, compressed as JPEG of quality {_JPEG}, which is the real "
        f"ones'. Both are then cropped by the same code: the square of a person's joints, {SIDE} x {SIDE} pixels, "
        f"background included. A classifier (one hidden layer of 64) sees {known.shape[1]} features: how much "
        "detail of four sizes, histograms of lightness and colour, directions of edges. Area under its curve (0.5: it "
        "can tell nothing) on held-out crops of five folds; no photograph behind people is in two of them.",
        table(["goal", "", "measured", "kept"], goals),
        table(["left out", "area", "spread over folds", "logistic regression"], rows),
        "What tells them apart most: standardised weights of a logistic regression; positive for more of it in "
        "synthetic crops.",
        table(["feature", "weight"], [[name, f"{weight:+.2f}"] for name, weight in telling]),
    ]
