"""The JSON labels of one picture in a shard; docs/data.md is their description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.people import Person
from ltsh_deploy.datasets.regions import Region, box_polygon
from ltsh_deploy.errors import InputError
from ltsh_deploy.json_checks import as_list, as_mapping, as_number, as_numbers, as_whole, short
from ltsh_deploy.skeletons import SKELETONS, Skeleton, load_skeleton

__all__ = ["Labels", "read_labels", "skeleton_of"]

FloatArray = npt.NDArray[np.float64]
_PERSON_KEYS = {"joints", "centre", "scale", "is_synthetic", "trainable", "characteristics", "extra"}


@dataclass(frozen=True)
class Labels:
    """What a label file says: people, places to ignore, the picture's (width, height), and whose joints they are."""

    people: list[Person]
    regions: list[Region]
    size: tuple[int, int] | None
    skeleton: Skeleton


def skeleton_of(value: object, where: str) -> Skeleton | None:
    """The skeleton that a name, a skeleton's own form, or a list of joint names means; None for None.

    Raises:
        InputError: naming ``where``, when there is no such skeleton.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if value.lower() not in SKELETONS:
            known = ", ".join(SKELETONS)
            raise InputError(f"{where}: there is no skeleton {short(value)}", f"Known: {known}; or write it out.")
        return load_skeleton(value)
    if isinstance(value, list):
        names = tuple(_long_name(n) if isinstance(n, str) else n for n in value)
        known_one = next((s for s in SKELETONS.values() if s.joints == names), None)
        return known_one or Skeleton.from_dict({"name": "joints", "joints": names, "limbs": []}, where)
    return Skeleton.from_dict(value, where)


def _long_name(name: str) -> str:
    return f"right_{name[2:]}" if name.startswith("r_") else f"left_{name[2:]}" if name.startswith("l_") else name


def read_labels(data: object, skeleton: Skeleton | None, where: str) -> Labels:
    """Read one label file's contents.

    Args:
        data: as parsed from JSON.
        skeleton: of the data set, where that is known.
        where: the file, for messages.

    Raises:
        InputError: naming ``where`` and what is wrong.
    """
    top = as_mapping(data, where)
    own = skeleton if top.get("skeleton") in (None, skeleton and skeleton.name) else None
    own = own or skeleton_of(top.get("skeleton"), f"{where}: 'skeleton'")
    if own is None:
        raise InputError(f"{where}: neither the labels nor an index.json beside the shards name a skeleton")
    if skeleton is not None and own != skeleton:
        raise InputError(f"{where}: has skeleton {own.name!r}, the data set {skeleton.name!r}")
    regions: list[Region] = []
    if "ignore_boxes" in top:
        for box in as_list(top["ignore_boxes"], f"{where}: 'ignore_boxes'"):
            numbers = as_numbers(as_list(box, f"{where}: 'ignore_boxes'"), f"{where}: 'ignore_boxes'")
            if len(numbers) != 4:
                raise InputError(f"{where}: 'ignore_boxes' must have four numbers each, found {len(numbers)}")
            regions.append(box_polygon(numbers))
    if "people" in top:
        entries = as_list(top["people"], f"{where}: 'people'")
        people = [_person(entry, top, own, f"{where}: person {p}") for p, entry in enumerate(entries)]
    elif "joints" in top:
        joints = _joints(top["joints"], own, where)
        # The one person's third number says no more than whether the joint is labelled.
        joints[:, 2] = np.where(joints[:, 2] > 0, 2.0, 0.0)
        people = [_described(joints, top, {}, where)]
    else:
        raise InputError(f"{where}: has neither 'people' nor 'joints'")
    return Labels(people, regions, _size(top, where), own)


def _size(top: Mapping[str, object], where: str) -> tuple[int, int] | None:
    if top.get("width") is None or top.get("height") is None:
        return None
    width, height = as_whole(top["width"], f"{where}: 'width'"), as_whole(top["height"], f"{where}: 'height'")
    if width < 1 or height < 1:
        raise InputError(f"{where}: a picture cannot have {width} x {height} pixels")
    return width, height


def _person(entry: object, top: Mapping[str, object], skeleton: Skeleton, where: str) -> Person:
    person = as_mapping(entry, where)
    unknown = set(person) - _PERSON_KEYS
    if unknown:
        raise InputError(
            f"{where}: unknown keys {short(sorted(map(str, unknown)))}", "What is not for training goes into 'extra'."
        )
    if "joints" not in person:
        raise InputError(f"{where}: has no 'joints'")
    return _described(_joints(person["joints"], skeleton, where), person, top, where)


def _described(joints: FloatArray, person: Mapping[str, object], top: Mapping[str, object], where: str) -> Person:
    """The person; what ``top`` says of the whole picture goes for a person who says nothing else."""
    centre = None
    if person.get("centre") is not None:
        numbers = as_numbers(as_list(person["centre"], f"{where}: 'centre'"), f"{where}: 'centre'")
        if len(numbers) != 2:
            raise InputError(f"{where}: 'centre' must be two numbers, found {len(numbers)}")
        centre = numbers[0], numbers[1]
    scale = None if person.get("scale") is None else as_number(person["scale"], f"{where}: 'scale'")
    if scale is not None and scale <= 0:
        raise InputError(f"{where}: 'scale' must be positive, found {short(scale)}")
    flags = {}
    for name, default in (("is_synthetic", False), ("trainable", True)):
        flag = person.get(name, top.get(name, default))
        if not isinstance(flag, bool):
            raise InputError(f"{where}: {name!r} must be true or false, found {short(flag)}")
        flags[name] = flag
    values: dict[str, float] = {}
    for part in (top, person):
        named = as_mapping(part.get("characteristics") or {}, f"{where}: 'characteristics'")
        for name, value in named.items():
            if value is not None:
                values[name] = as_number(value, f"{where}: characteristic {name!r}")
    return Person(joints, centre, scale, characteristics=values, **flags)


def _joints(value: object, skeleton: Skeleton, where: str) -> FloatArray:
    """[J, 3] of a list of [x, y, label] or null."""
    entries = as_list(value, f"{where}: 'joints'")
    if len(entries) != skeleton.num_joints:
        raise InputError(f"{where}: has {len(entries)} joints, skeleton {skeleton.name!r} {skeleton.num_joints}")
    try:
        joints = np.array([(np.nan, np.nan, 0) if j is None else j for j in entries], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        joints = np.empty(0)
    if joints.shape != (len(entries), 3):
        raise InputError(f"{where}: each of 'joints' must be [x, y, label] or null")
    labels = joints[:, 2]
    if not ((labels == 0) | (labels == 1) | (labels == 2)).all():
        raise InputError(f"{where}: labels of joints must be 0, 1 or 2")
    joints[labels == 0, :2] = np.nan
    if not np.isfinite(joints[labels > 0]).all():
        raise InputError(f"{where}: a labelled joint has no finite position")
    return joints
