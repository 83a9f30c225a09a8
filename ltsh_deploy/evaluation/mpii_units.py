"""MPII Human Pose as units: its groups of people for the multi-person metric, single labelled people for PCKh."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.files import find_folder, read_json
from ltsh_deploy.datasets.mpii import check_names
from ltsh_deploy.datasets.mpii_mat import (
    MpiiImage,
    MpiiPerson,
    multi_person_groups,
    read_mpii_annotations,
    read_mpii_groups,
)
from ltsh_deploy.errors import InputError
from ltsh_deploy.evaluation.groups import box_around, mean_of
from ltsh_deploy.evaluation.units import EvaluationSet, Unit, measured_heads
from ltsh_deploy.json_checks import as_list, as_mapping, as_number, as_numbers
from ltsh_deploy.skeletons import MPII16

__all__ = ["mpii_json_units", "mpii_units"]

FloatArray = npt.NDArray[np.float64]


def mpii_units(
    annotations: Path,
    groups: Path,
    images: Path | None = None,
    only: Collection[str] | None = None,
    split: str = "train",
) -> EvaluationSet:
    """The groups of people of MPII's pictures, as its multi-person benchmark takes them.

    A group with anybody who is in the picture's ``single_person`` is none of the benchmark's. A unit is named
    ``picture.jpg:1``, counting the groups of the picture that are kept.

    Args:
        annotations: MPII's annotation file.
        groups: its file of groups.
        images: folder of the pictures; ``images`` beside the annotation file, or one folder up, where left out.
        only: names of the pictures to take; None for all.
        split: ``"train"``, or ``"test"``, whose joints are not published: predictions can be made of it, not scored.

    Raises:
        MissingPartError: without scipy.
        InputError: when a file is missing, contradicts the format, belongs to another one, or nothing is left.
    """
    pictures = read_mpii_annotations(annotations)
    folder = _image_folder(images, annotations)
    notes: Counter[str] = Counter()
    units: list[Unit] = []
    counts: Counter[int] = Counter()
    check_names(only or (), pictures, annotations)
    for index, group in multi_person_groups(pictures, read_mpii_groups(groups, pictures)):
        picture = pictures[index]
        if only is not None and picture.file_name not in only:
            continue
        if picture.is_train != (split == "train"):
            notes[f"groups of pictures that are not for {split}, left out"] += 1
            continue
        counts[index] += 1
        unit = _group_unit(picture, group, f"{picture.file_name}:{counts[index]}", folder)
        if not unit.labelled.any():
            notes["groups without a labelled joint, where whoever is found counts as a mistake"] += 1
        useless = sum(picture.people[number - 1].ignored_points for number in group)
        if useless:
            notes["joints without a position or with an impossible id, which count as not labelled"] += useless
        units.append(unit)
    if not units:
        reasons = "".join(f"; {count} {what}" for what, count in notes.items())
        raise InputError(f"{groups}: has no group of people for multi-person evaluation{reasons}")
    return EvaluationSet("mpii", str(annotations), "ap", tuple(units), MPII16, notes=notes)


def _image_folder(images: Path | None, annotations: Path) -> Path | None:
    if images is not None:
        return find_folder(images, (), "pictures")
    usual = (annotations.parent / "images", annotations.parent.parent / "images")
    return next((folder for folder in usual if folder.is_dir()), None)


def _group_unit(picture: MpiiImage, group: tuple[int, ...], name: str, folder: Path | None) -> Unit:
    people = [picture.people[number - 1] for number in group]
    boxes = np.array([person.head_box or (math.nan,) * 4 for person in people], np.float64)
    scales = np.array([math.nan if person.scale is None else person.scale for person in people], np.float64)
    scales = np.where(scales > 0, scales, np.nan)
    places = np.array([person.objpos or (math.nan,) * 2 for person in people], np.float64)
    return Unit(
        id=name,
        skeleton=MPII16,
        joints=np.array([_labelled(person) for person in people]),
        head_sizes=measured_heads(boxes, scales, f"group {name}"),
        scales=scales,
        centres=places,
        image=None if folder is None else folder / picture.file_name,
        image_name=picture.file_name,
        group_box=box_around(places),
        mean_scale=mean_of(scales),
    )


def _labelled(person: MpiiPerson) -> FloatArray:
    """[16, 3] x, y, label; where nothing is said of visibility, the joint counts as visible."""
    joints = person.joints.copy()
    labelled = np.isfinite(joints[:, 0])
    joints[:, 2] = np.where(labelled, np.where(joints[:, 2] == 0, 1.0, 2.0), 0.0)
    return joints


def mpii_json_units(path: Path, images: Path | None = None) -> EvaluationSet:
    """Single people of MPII, one an entry, from JSON: a list of ``{image, joints, joints_vis, center, scale}``.

    The joints are MPII's 16 in its order, (x, y) pixels. Where a joint is missing, ``joints_vis`` is 0, and what stands
    for its position is not looked at. The head size is 25 * scale, which is what MPII's head boxes have. A unit is
    named by its picture, and ``:2`` and so on from the picture's second person on.

    Args:
        path: the file.
        images: folder of the pictures; the file's own, or ``images`` in it, when left out.

    Raises:
        InputError: when the file is missing or contradicts the form; it names the entry.
    """
    folder = find_folder(images, (path.parent / "images", path.parent), "pictures")
    counts: Counter[str] = Counter()
    units = []
    for n, value in enumerate(as_list(read_json(path), str(path))):
        where = f"{path}: entry {n}"
        entry = as_mapping(value, where)
        name = entry.get("image")
        if not isinstance(name, str) or not name:
            raise InputError(f"{where}: 'image' must be the name of a picture")
        counts[name] += 1
        units.append(_single_unit(entry, name, counts[name], folder, where))
    return EvaluationSet("mpii-json", str(path), "pckh", tuple(units), MPII16)


def _single_unit(entry: Mapping[str, Any], name: str, number: int, folder: Path, where: str) -> Unit:
    joints = _single_joints(entry, where)
    centre = as_numbers(as_list(entry.get("center"), f"{where}: 'center'"), f"{where}: 'center'")
    scale = as_number(entry.get("scale"), f"{where}: 'scale'")
    if len(centre) != 2 or scale <= 0:
        raise InputError(f"{where}: 'center' must be x, y, and 'scale' positive")
    scales = np.array([scale])
    return Unit(
        id=name if number == 1 else f"{name}:{number}",
        skeleton=MPII16,
        joints=joints[None],
        head_sizes=measured_heads(np.full((1, 4), np.nan), scales, where),
        scales=scales,
        centres=np.array([centre]),
        image=folder / name,
        image_name=name,
        mean_scale=scale,
    )


def _single_joints(entry: Mapping[str, Any], where: str) -> FloatArray:
    """[16, 3] x, y, label; NaN where the joint is missing."""
    places = as_list(entry.get("joints"), f"{where}: 'joints'")
    seen = as_numbers(as_list(entry.get("joints_vis"), f"{where}: 'joints_vis'"), f"{where}: 'joints_vis'")
    if not len(places) == len(seen) == MPII16.num_joints:
        raise InputError(f"{where}: 'joints' must be 16 times x, y, and 'joints_vis' 16 numbers")
    joints = np.full((MPII16.num_joints, 3), np.nan)
    joints[:, 2] = np.where(np.array(seen) > 0, 2.0, 0.0)
    for j in np.flatnonzero(joints[:, 2]).tolist():
        at = f"{where}: 'joints': {MPII16.joints[j]}"
        place = as_numbers(as_list(places[j], at), at)
        if len(place) != 2:
            raise InputError(f"{at}: expected x, y, found {len(place)} numbers")
        joints[j, :2] = place
    return joints
