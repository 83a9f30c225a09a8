"""From what formats say of pictures and people to samples, by the rules that hold for every format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.bodies import PIXELS_PER_SCALE, box_centres, estimate_scales, joint_boxes
from ltsh_deploy.datasets.files import Presence
from ltsh_deploy.datasets.regions import Region, box_polygon
from ltsh_deploy.datasets.samples import Sample
from ltsh_deploy.datasets.skips import Skips
from ltsh_deploy.datasets.stored import Stored
from ltsh_deploy.skeletons import Skeleton

__all__ = ["PIXELS_PER_SCALE", "Person", "Picture", "build_samples"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Positions and scales beyond these are mistakes, and would overflow where they are computed with.
_FARTHEST = 1e6
_LEAST_SCALE, _LARGEST_SCALE = 1e-4, 1e4


@dataclass
class Person:
    """One person as a format describes them.

    Attributes:
        joints: [J, 3] x, y, label, as in :class:`~ltsh_deploy.datasets.samples.Sample`.
        centre: (x, y) pixels, or None where the format does not say.
        scale: height / 200 pixels, or None.
        extent: the longer side of a box around what is seen of the person, in pixels, or None: a scale that is
            computed is at least as large as this says.
    """

    joints: FloatArray
    centre: tuple[float, float] | None = None
    scale: float | None = None
    is_synthetic: bool = False
    trainable: bool = True
    characteristics: Mapping[str, float] = field(default_factory=dict)
    extent: float | None = None


@dataclass
class Picture:
    """One picture and its people, on the way to a sample; ``size`` is (width, height) where the format says it."""

    id: str
    image: Stored
    people: list[Person]
    split: str = "train"
    ignore: Stored | None = None
    instances: Stored | None = None
    regions: list[Region] = field(default_factory=list)
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Everyone:
    """The people of all pictures, one after the other, in arrays: numpy is slow on few numbers at a time."""

    people: Sequence[Person]
    joints: FloatArray
    centres: FloatArray
    scales: FloatArray
    labelled: BoolArray
    placed: BoolArray
    synthetic: BoolArray
    trainable: BoolArray


def build_samples(pictures: Sequence[Picture], skeleton: Skeleton, skips: Skips) -> list[Sample]:
    """Samples of the pictures, in their order.

    Centres and scales that are absent are computed from the joints. Real people without labelled joints become regions
    to ignore. A synthetic person is no centre of a crop with the centre outside the picture, with no joint visible or
    none inside, or beside a real person. Pictures that are not there, or whose mask is not, that have nobody labelled,
    or an id that came before are left out and counted.
    """
    everyone = _gather(pictures, skeleton, skips)
    presence = Presence()
    samples: list[Sample] = []
    ids: set[str] = set()
    first = 0
    for picture in pictures:
        own = slice(first, first + len(picture.people))
        first = own.stop
        reason = _reason_to_skip(picture, ids, presence)
        if reason:
            skips.add(reason[0], reason[1])
            continue
        sample = _sample(picture, everyone, own, skeleton, skips)
        if sample is not None:
            ids.add(picture.id)
            samples.append(sample)
    return samples


def _gather(pictures: Sequence[Picture], skeleton: Skeleton, skips: Skips) -> _Everyone:
    people = [person for picture in pictures for person in picture.people]
    joints = np.array([p.joints for p in people], dtype=np.float64).reshape(-1, skeleton.num_joints, 3)
    far = np.asarray((np.abs(joints[:, :, :2]) > _FARTHEST).any(axis=2))
    if far.any():
        joints[far] = np.nan, np.nan, 0
        owners = [picture.id for picture in pictures for _ in picture.people]
        for p in np.flatnonzero(far.any(axis=1)).tolist():
            skips.add("people with joints a million pixels away", owners[p], broken=False)
    scales = np.array([np.nan if p.scale is None else p.scale for p in people], dtype=np.float64)
    centres = np.array([(np.nan, np.nan) if p.centre is None else p.centre for p in people], dtype=np.float64)
    centres = centres.reshape(-1, 2)
    extents = np.array([p.extent or 0.0 for p in people], dtype=np.float64)
    unsized = ~((scales >= _LEAST_SCALE) & (scales < _LARGEST_SCALE))
    unplaced = ~(np.abs(centres) < _FARTHEST).all(axis=1)
    estimates = np.fmax(estimate_scales(skeleton, joints[unsized]), extents[unsized] / PIXELS_PER_SCALE)
    scales[unsized] = np.where(estimates >= _LEAST_SCALE, estimates, np.nan)
    centres[unplaced] = box_centres(joint_boxes(joints[unplaced]))
    labelled: BoolArray = np.asarray((joints[:, :, 2] > 0).any(axis=1))
    return _Everyone(
        people,
        joints,
        centres,
        scales,
        labelled,
        np.asarray(np.isfinite(scales) & np.isfinite(centres).all(axis=1)),
        np.array([p.is_synthetic for p in people], dtype=np.bool_),
        labelled & np.array([p.trainable for p in people], dtype=np.bool_),
    )


def _reason_to_skip(picture: Picture, ids: set[str], presence: Presence) -> tuple[str, str] | None:
    """Why the picture cannot be used, and the example of it; None when it can."""
    if picture.id in ids:
        return "pictures with an id that came before", picture.id
    for file, what in ((picture.image, "pictures"), (picture.ignore, "masks"), (picture.instances, "masks")):
        if isinstance(file, Path) and not presence.has(file):
            return f"{what} that are not there", str(file)
    return None


def _sample(picture: Picture, everyone: _Everyone, own: slice, skeleton: Skeleton, skips: Skips) -> Sample | None:
    placed, labelled, synthetic = everyone.placed[own], everyone.labelled[own], everyone.synthetic[own]
    if picture.instances is not None and not placed.all():
        skips.add("pictures with an instance mask, and people without centre and scale", picture.id)
        return None
    # An instance mask counts on everybody; and of a synthetic person all is known even where no joint is labelled.
    keep = placed & (labelled | synthetic | (picture.instances is not None))
    regions = list(picture.regions)
    for p in np.flatnonzero(~keep).tolist():
        if placed[p]:
            regions.append(_whereabouts(everyone.centres[own][p], everyone.scales[own][p]))
        else:
            skips.add("people without a place and a size", picture.id, broken=False)
    if not (keep & labelled).any():
        skips.add("pictures without labelled people", picture.id, broken=False)
        return None
    kept = np.flatnonzero(keep) + own.start
    trainable = everyone.trainable[kept]
    synthetic = synthetic[keep]
    if synthetic.any():
        usable = _synthetic_usable(everyone.joints[kept], everyone.centres[kept], picture.size) & synthetic.all()
        trainable = trainable & (usable | ~synthetic)
    return Sample(
        id=picture.id,
        image=picture.image,
        skeleton=skeleton,
        joints=everyone.joints[kept],
        centres=everyone.centres[kept],
        scales=everyone.scales[kept],
        is_synthetic=synthetic,
        trainable=trainable,
        characteristics=_characteristics([everyone.people[p] for p in kept.tolist()]),
        ignore=picture.ignore,
        split=picture.split,
        regions=tuple(regions),
        instances=picture.instances,
    )


def _synthetic_usable(joints: FloatArray, centres: FloatArray, size: tuple[int, int] | None) -> BoolArray:
    """[P] which people have a visible joint and, in a picture of known size, their centre and a joint inside."""
    usable = (joints[:, :, 2] == 2).any(axis=1)
    if size is not None:
        low, high = np.array([-0.5, -0.5]), np.array(size) - 0.5
        usable &= ((centres >= low) & (centres <= high)).all(axis=1)
        inside = np.asarray(((joints[:, :, :2] >= low) & (joints[:, :, :2] <= high)).all(axis=2))
        usable &= inside.any(axis=1)
    return np.asarray(usable)


def _characteristics(people: Sequence[Person]) -> dict[str, FloatArray]:
    names = sorted({name for person in people for name in person.characteristics})
    return {name: np.array([p.characteristics.get(name, np.nan) for p in people], dtype=np.float64) for name in names}


def _whereabouts(centre: FloatArray, scale: np.float64) -> Region:
    """All the places that a person of unknown pose may take up."""
    half = scale * PIXELS_PER_SCALE / 2
    return box_polygon([*(centre - half), *(centre + half)])
