"""What a picture shows of each person: joints, which of them are hidden and by whom, how much of the body is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from ltsh_deploy.skeletons import MPII16
from ltsh_deploy.train.synth_raster import NEAR, nearest_at, place_samples, rasterise, sample_bounds
from ltsh_deploy.train.synth_types import Camera, Doubles, Figure, Rendered

__all__ = ["Person", "State", "joint_depths", "people_truth"]


class State(IntEnum):
    """What became of a joint, from best to worst."""

    VISIBLE = 0
    SELF_OCCLUDED = 1
    OTHER_OCCLUDED = 2
    OUTSIDE = 3


@dataclass(frozen=True, eq=False)
class Person:
    """The truth about one person in a picture.

    Attributes:
        joints2d: [J, 2] float64 pixels, J = 16 in the order of MPII16; NaN for what is behind the camera.
        joints3d: [J, 3] float64 camera coordinates in metres.
        state: [J] int8 of :class:`State`.
        visibility: 0 to 1: how much of the person's outline within the picture is not covered by someone else; 0 when
            nothing of it is within.
        cropped: 0 to 1: how much of the person's outline, alone, lies outside the picture.
    """

    joints2d: Doubles
    joints3d: Doubles
    state: npt.NDArray[np.int8]
    visibility: float
    cropped: float


# Metres by which a surface may lie in front of a joint and still be the flesh or cloth around that joint, for someone
# of 1.7 m.
_DEPTHS = {
    "ankle": 0.10, "knee": 0.11, "hip": 0.20, "pelvis": 0.25, "thorax": 0.19, "neck": 0.11, "head_top": 0.14,
    "wrist": 0.075, "elbow": 0.09, "shoulder": 0.125,
}  # fmt: skip
_ADULT = 1.7


def joint_depths(height: float) -> Doubles:
    """[J] how many metres below the surface joints may lie and count as seen, for a person of a height in metres."""
    names = (name.removeprefix("left_").removeprefix("right_") for name in MPII16.joints)
    return np.array([_DEPTHS[name] for name in names]) * height / _ADULT


def people_truth(figures: Sequence[Figure], camera: Camera, rendered: Rendered) -> list[Person]:
    """The truth about each figure of a rendered picture, in their order.

    A joint is judged by the first surface on the way from the camera to it. It is seen when there is none, or when that
    is the person's own body no further in front of the joint than :func:`joint_depths`; else it is hidden, by the
    person or by another.
    """
    if not figures:
        return []
    placed = [place_samples(figure.vertices, camera, 1) for figure in figures]
    bounds = [sample_bounds(points) for points in placed]
    projected = [camera.project(figure.joints) for figure in figures]
    places, depths = (np.concatenate(parts) for parts in zip(*projected, strict=True))
    surfaces = np.full((len(figures), len(places)), np.inf)
    for q, figure in enumerate(figures):
        near = ((places >= bounds[q][0]) & (places <= bounds[q][1])).all(axis=1)
        surfaces[q, near] = nearest_at(placed[q], figure.faces, figure.cut, places[near])
    owner = surfaces.argmin(axis=0)
    people = np.repeat(np.arange(len(figures)), MPII16.num_joints)
    heights = [float(figure.attributes.get("height", _ADULT)) for figure in figures]
    tolerance = np.where(owner == people, np.concatenate([joint_depths(height) for height in heights]), 0.0)
    hidden = surfaces.min(axis=0) < depths - tolerance
    state = np.where(hidden, np.where(owner == people, State.SELF_OCCLUDED, State.OTHER_OCCLUDED), State.VISIBLE)
    with np.errstate(invalid="ignore"):
        inside = ((places >= -0.5) & (places < np.array(camera.size) - 0.5)).all(axis=1) & (depths > NEAR)
    state = np.where(inside, state, State.OUTSIDE).astype(np.int8).reshape(len(figures), -1)
    return [
        Person(
            projected[p][0],
            camera.to_camera(figure.joints),
            state[p],
            *_shares(p, figure, camera, rendered.instances, *bounds[p]),
        )
        for p, figure in enumerate(figures)
    ]


# An outline is looked at in at most so many places.
_MOST_PLACES = 20_000


def _shares(
    p: int, figure: Figure, camera: Camera, instances: npt.NDArray[np.uint8], low: Doubles, high: Doubles
) -> tuple[float, float]:
    """How much of a person's outline is seen of what lies within the picture, and how much lies outside.

    The person, who reaches from pixel ``low`` [2] to ``high``, is drawn once more, alone and on a sheet that reaches as
    far beyond the picture as the picture is large.
    """
    width, height = camera.size
    left, top = np.floor(np.maximum(low, [-width, -height])).tolist()
    right, bottom = np.ceil(np.minimum(high, [2 * width, 2 * height])).tolist()
    columns, rows = right - left + 1, bottom - top + 1
    if not (columns >= 1 and rows >= 1):
        return 0.0, 1.0
    if left >= 0 and top >= 0 and right < width and bottom < height:
        around = instances[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
        if ((around == 0) | (around == p + 1)).all():
            return 1.0, 0.0
    density = min(1.0, math.sqrt(_MOST_PLACES / (columns * rows)))
    x, y = camera.principal
    sheet = replace(camera, principal=(x - left, y - top))
    shape = math.ceil(rows * density), math.ceil(columns * density)
    faces, nearness = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
    rasterise(place_samples(figure.vertices, sheet, density), figure.faces, figure.cut, faces, nearness)
    outline_rows, outline_columns = np.nonzero(faces >= 0)
    column = np.rint((outline_columns + 0.5) / density - 0.5 + left).astype(int)
    row = np.rint((outline_rows + 0.5) / density - 0.5 + top).astype(int)
    within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    shown = instances[row[within], column[within]]
    covered = np.count_nonzero((shown != 0) & (shown != p + 1))
    if len(within) == 0:
        return 0.0, 1.0
    total = np.count_nonzero(within)
    return 1 - covered / total if total else 0.0, 1 - total / len(within)
