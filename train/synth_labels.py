"""What is written down about a synthesised picture, in the form of docs/data.md, and the files that come with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Sample
from ltsh_deploy.datasets.bodies import PIXELS_PER_SCALE, box_centres, joint_boxes
from ltsh_deploy.images import Image
from ltsh_deploy.skeletons import LTSH15, MPII16, conversion_matrix
from ltsh_deploy.train.synth_types import Camera, Figure, Light
from ltsh_deploy.train.synth_visibility import Person, State
from ltsh_deploy.train.synth_writers import encode_members

__all__ = ["Scene", "encode_picture", "scene_labels"]

FloatArray = npt.NDArray[np.float64]

_MILLIMETRES = 1000.0
# What is further away is written as this, so it stands for "at or beyond 65.535 m".
_DEEPEST = 65_535
# Digits kept: a thousandth of a pixel, a tenth of a millimetre.
_PIXEL_DIGITS, _METRE_DIGITS, _PLAIN_DIGITS = 3, 4, 5


@dataclass(frozen=True, eq=False)
class Scene:
    """A finished picture and everything that is known of it.

    Attributes:
        picture: [H, W, 3] uint8 RGB.
        instances: [H, W] uint8: 0 nobody, p + 1 for figure p.
        depth: [H, W] float32 metres along the optical axis; 0 where no figure is.
        material_kind: [H, W] int8 kind of material; -1 where no figure is.
        camera: it was seen by.
        light: it was lit by.
        figures: the P people that were placed.
        truths: of those people.
        asked: how many people the draw wanted.
        rejected: reason to how often a pose, a place or a person was rejected for it.
        place: what is behind the people, for the record.
        real: the annotated picture that people were put into, with joints hidden where they are covered; None for a
            scene of synthetic people alone.
        ignore: [H, W] true where nothing is to be learned, or None.
    """

    picture: Image
    instances: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    material_kind: npt.NDArray[np.int8]
    camera: Camera
    light: Light
    figures: Sequence[Figure]
    truths: Sequence[Person]
    asked: int
    rejected: Mapping[str, int]
    place: Mapping[str, Any]
    real: Sample | None = None
    ignore: npt.NDArray[np.bool_] | None = None


def encode_picture(scene: Scene, generator: Mapping[str, Any]) -> dict[str, bytes]:
    """A shard's files for one picture, by extension.

    Args:
        scene: the picture.
        generator: what made it: everything that is needed to make it again.
    """
    listed = _listed(scene)
    renumbered = np.zeros(256, np.uint8)
    first = 0 if scene.real is None else len(scene.real)
    for place, p in enumerate(listed):
        renumbered[p + 1] = first + place + 1
    instances = renumbered[scene.instances]
    depth = np.clip(np.rint(scene.depth * _MILLIMETRES), 0, _DEEPEST).astype(np.uint16)
    masks = {
        "instances.png": instances,
        "depth.png": depth,
        "materials.png": (scene.material_kind + 1).astype(np.uint8),
    }
    if scene.ignore is not None:
        masks["ignore.png"] = scene.ignore.astype(np.uint8) * 255
    return encode_members(scene.picture, scene_labels(scene, listed, generator), masks)


def _listed(scene: Scene) -> list[int]:
    """The figures that are in the picture: something of them is seen, or a joint is within it."""
    seen = np.bincount(scene.instances.ravel(), minlength=len(scene.figures) + 1)[1:] > 0
    return [p for p, truth in enumerate(scene.truths) if seen[p] or (truth.state != State.OUTSIDE).any()]


def scene_labels(scene: Scene, listed: Sequence[int], generator: Mapping[str, Any]) -> dict[str, Any]:
    """The labels of a picture, its real people first and the synthetic ones in the order of ``listed`` after them."""
    height, width = scene.picture.shape[:2]
    people = [] if scene.real is None else _annotated_people(scene.real)
    people += [_synthetic_person(scene, p) for p in listed]
    _relate(people, [scene.truths[p] for p in listed])
    camera, light = scene.camera, scene.light
    return {
        "skeleton": LTSH15.name,
        "width": width,
        "height": height,
        "people": people,
        "generator": dict(generator),
        "camera": plain(
            {
                "pitch": camera.pitch,
                "focal": camera.focal,
                "principal": list(camera.principal),
                "rotation": camera.rotation,
                "centre": camera.centre,
            }
        ),
        "light": plain(light),
        "place": plain(scene.place),
        "asked": scene.asked,
        "placed": len(scene.figures),
        "rejected": dict(scene.rejected),
    }


def _synthetic_person(scene: Scene, p: int) -> dict[str, Any]:
    truth, figure, camera = scene.truths[p], scene.figures[p], scene.camera
    mpii = np.column_stack([truth.joints2d, np.where(truth.state == State.VISIBLE, 2.0, 1.0)])
    # What is behind the camera has no place in its picture.
    mpii[~((truth.joints3d[:, 2] > 0) & np.isfinite(mpii).all(axis=1))] = np.nan, np.nan, 0
    joints = _to_ltsh15(mpii)
    centre = box_centres(joint_boxes(joints[None]))[0]
    middle = float(np.median(truth.joints3d[:, 2]))
    height = float(figure.attributes["height"]) * camera.focal / max(middle, 0.1)
    return {
        "joints": _joints(joints, _PIXEL_DIGITS),
        "centre": [round(v, _PIXEL_DIGITS) for v in centre.tolist()],
        "scale": round(height / PIXELS_PER_SCALE, _METRE_DIGITS),
        "is_synthetic": True,
        "characteristics": {
            "camera_pitch": round(camera.pitch, _METRE_DIGITS),
            "visibility": round(float(truth.visibility), _METRE_DIGITS),
            "cropped": round(float(truth.cropped), _METRE_DIGITS),
        },
        "extra": {
            "states": [State(s).name.lower() for s in _worst_states(truth.state).tolist()],
            "joints_3d": np.round(_TO_LTSH15 @ truth.joints3d, _METRE_DIGITS).tolist(),
            "mpii16": _joints(mpii, _PIXEL_DIGITS),
            "person": plain(figure.attributes),
        },
    }


_TO_LTSH15 = conversion_matrix(MPII16, LTSH15)


def _to_ltsh15(joints: FloatArray) -> FloatArray:
    """[15, 3] of [16, 3], like ``Sample.to_skeleton``: the torso is as visible as the worse of its two ends."""
    known = joints[:, 2] > 0
    lowest = np.where(_TO_LTSH15 > 0, joints[:, 2], np.inf).min(axis=1)
    xy = _TO_LTSH15 @ np.where(known[:, None], joints[:, :2], 0.0)
    xy[lowest == 0] = np.nan
    return np.column_stack([xy, lowest])


def _worst_states(states: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[15] of [16] states: the torso's centre is in the worse state of its two, by the order of ``State``."""
    worst: npt.NDArray[Any] = np.where(_TO_LTSH15 > 0, states, -1).max(axis=1)
    return worst


def _annotated_people(sample: Sample) -> list[dict[str, Any]]:
    """The annotated people, their numbers as they were."""
    ltsh, mpii = sample.to_skeleton(LTSH15), sample.to_skeleton(MPII16)
    return [
        {
            "joints": _joints(ltsh.joints[p]),
            "centre": sample.centres[p].tolist(),
            "scale": float(sample.scales[p]),
            "is_synthetic": bool(sample.is_synthetic[p]),
            "trainable": bool(sample.trainable[p]),
            "characteristics": {
                name: float(values[p]) for name, values in sample.characteristics.items() if np.isfinite(values[p])
            },
            "extra": {"mpii16": _joints(_with_trunk(mpii.joints[p], ltsh.joints[p]))},
        }
        for p in range(len(sample))
    ]


_PELVIS, _THORAX = MPII16.joints.index("pelvis"), MPII16.joints.index("thorax")
_HIPS = [MPII16.joints.index(name) for name in ("left_hip", "right_hip")]


def _with_trunk(mpii: FloatArray, ltsh: FloatArray) -> FloatArray:
    """[16, 3] with a pelvis and a thorax whose middle is the torso's centre of [15, 3], where a data set has but that.

    The pelvis is the middle of the hips, where these are known, or else the torso's centre itself.
    """
    centre = ltsh[LTSH15.joints.index("torso_centre")]
    joints, known = mpii.copy(), mpii[:, 2] > 0
    if not known[_PELVIS]:
        joints[_PELVIS] = centre
        if known[_THORAX]:
            joints[_PELVIS, :2] = 2 * centre[:2] - mpii[_THORAX, :2]
        elif known[_HIPS].all():
            joints[_PELVIS, :2] = mpii[_HIPS, :2].mean(axis=0)
    if not known[_THORAX]:
        joints[_THORAX] = centre
        joints[_THORAX, :2] = 2 * centre[:2] - joints[_PELVIS, :2]
    return joints


def _relate(people: Sequence[dict[str, Any]], truths: Sequence[Person]) -> None:
    """Add what a picture's rendered people, the last of ``people``, are to each other and to the annotated ones.

    The distance of two people is that between their centres, as the crops are taken around those.
    """
    if not truths:
        return
    centres = np.array([person["centre"] for person in people])
    scales = np.array([person["scale"] for person in people])
    totals: dict[str, float] = {
        "people": len(people),
        "visibility_total": float(np.mean([t.visibility for t in truths])),
        "cropped_total": float(np.mean([t.cropped for t in truths])),
        "median_scale": float(np.median(scales)),
        "std_scale": float(np.std(scales)),
    }
    for p in range(len(people) - len(truths), len(people)):
        values = dict(totals)
        distances = np.delete(np.hypot(*(centres - centres[p]).T), p)
        if len(distances):
            values["min_distance"] = float(distances.min())
            values["median_distance"] = float(np.median(distances))
            values["std_distance"] = float(np.std(distances))
        people[p]["characteristics"] |= {name: round(value, _PIXEL_DIGITS) for name, value in values.items()}


def _joints(joints: FloatArray, digits: int | None = None) -> list[list[float] | None]:
    """[x, y, label] a joint; None for what is not labelled."""
    xy = joints[:, :2] if digits is None else np.round(joints[:, :2], digits)
    return [
        [x, y, int(label)] if label > 0 else None
        for (x, y), label in zip(xy.tolist(), joints[:, 2].tolist(), strict=True)
    ]


def plain(value: Any) -> Any:
    """The value in JSON's types: data classes and mappings as objects, arrays as lists, numbers of five decimals."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and np.isfinite(value).all():
            return np.round(value.astype(np.float64), _PLAIN_DIGITS).tolist()
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return round(value, _PLAIN_DIGITS) if math.isfinite(value) else None
    return value
