"""One entry (one person) of an LTSH or CPM annotation file, in all the forms its Matlab writer gives it.

That writer drops a list around a single thing and writes an empty object where there is nothing: the other people of a
picture are a list of lists when they are two or more, bare values when there is one, and ``{}`` when there is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.people import Person
from ltsh_deploy.errors import InputError
from ltsh_deploy.json_checks import as_mapping, short
from ltsh_deploy.skeletons import MPII16

__all__ = ["CHARACTERISTICS", "Entry", "read_entry", "validation_of"]

FloatArray = npt.NDArray[np.float64]

#: The characteristics of synthetic people by their names in the files.
CHARACTERISTICS: Mapping[str, str] = {
    "camera_angle": "camera_pitch",
    "minDist": "min_distance",
    "median_dist": "median_distance",
    "std_dist": "std_distance",
    "median_scale": "median_scale",
    "std_scale": "std_scale",
    "nr_people": "people",
    "visibility_ratio_total": "visibility_total",
    "visibility_person": "visibility",
    "cropped_ratio_total": "cropped_total",
    "cropped_person": "cropped",
}
_NOT_NUMBERS = {"_NaN_", "_Inf_", "-_Inf_", "NaN"}


@dataclass(frozen=True)
class Entry:
    """What an entry says.

    Attributes:
        image: ``img_paths``.
        size: (width, height) of the picture, or None.
        person: whose entry it is.
        others: the picture's other people.
        is_val: for validation.
        index: ``people_index``, or None.
        odd: characteristics that are neither numbers nor one of the forms of "unknown".
    """

    image: str
    size: tuple[int, int] | None
    person: Person
    others: tuple[Person, ...]
    is_val: bool
    index: int | None
    odd: tuple[str, ...]


def validation_of(entry: Mapping[str, Any]) -> bool | None:
    """Whether the entry is for validation; None where ``isValidation`` is not a number."""
    value = _number(_bare(entry.get("isValidation")))
    return None if math.isnan(value) else value != 0


def read_entry(data: object, where: str, synthetic: bool | None) -> Entry:
    """Read one entry whose ``isValidation`` is a number.

    Args:
        data: as parsed from JSON.
        where: the file and the entry, for messages.
        synthetic: whether people are rendered; None to go by ``isSynth``, and where that is absent by whether the
            entry has a synthetic person's characteristics.

    Raises:
        InputError: naming ``where`` and the key that is wrong.
    """
    entry = as_mapping(data, where)
    image = entry.get("img_paths")
    if not isinstance(image, str) or not image:
        raise InputError(f"{where}: 'img_paths' must be a path, found {short(image)}")
    by_default = synthetic
    if by_default is None:
        by_default = "isSynth" not in entry and ("camera_angle" in entry or "minDist" in entry)
    values, odd = _characteristics(entry)

    joints = _array(entry.get("joint_self"), (-1, MPII16.num_joints, 3), f"{where}: 'joint_self'")
    if len(joints) != 1:
        raise InputError(f"{where}: 'joint_self' must be {MPII16.num_joints} x [x, y, visible]")
    centre = _array(entry.get("objpos"), (-1, 2), f"{where}: 'objpos'")
    scale = _array(entry.get("scale_provided"), (-1,), f"{where}: 'scale_provided'")
    is_synthetic = by_default if synthetic is not None else _flag(entry.get("isSynth"), by_default, where)
    person = Person(
        _labels(joints[0], f"{where}: 'joint_self'"),
        _point(centre[0]) if len(centre) else None,
        _positive(scale[0]) if len(scale) else None,
        is_synthetic,
        characteristics=values,
    )
    return Entry(
        image=image,
        size=_size(entry),
        person=person,
        others=_others(entry, where, synthetic, by_default),
        is_val=bool(validation_of(entry)),
        index=_whole(entry.get("people_index")),
        odd=odd,
    )


def _others(entry: Mapping[str, Any], where: str, synthetic: bool | None, by_default: bool) -> tuple[Person, ...]:
    joints = _array(entry.get("joint_others"), (-1, MPII16.num_joints, 3), f"{where}: 'joint_others'")
    centres = _array(entry.get("objpos_other"), (-1, 2), f"{where}: 'objpos_other'")
    scales = _array(entry.get("scale_provided_other"), (-1,), f"{where}: 'scale_provided_other'")
    flags = np.full(len(joints), by_default)
    if synthetic is None and not _nothing(entry.get("isSynth_other")):
        flags = _array(entry["isSynth_other"], (-1,), f"{where}: 'isSynth_other'") != 0
    for name, values in (("objpos_other", centres), ("scale_provided_other", scales), ("isSynth_other", flags)):
        if len(values) != len(joints):
            raise InputError(f"{where}: 'joint_others' has {len(joints)} people, {name!r} {len(values)}")
    return tuple(
        Person(
            _labels(joints[p], f"{where}: 'joint_others'"),
            _point(centres[p]),
            _positive(scales[p]),
            bool(flags[p]),
            trainable=False,
        )
        for p in range(len(joints))
    )


def _nothing(value: object) -> bool:
    return value is None or value in ({}, [])


def _array(value: object, shape: tuple[int, ...], where: str) -> FloatArray:
    """Numbers of this shape, with or without the lists that the writer drops around a single thing."""
    if _nothing(value):
        return np.zeros((0, *shape[1:]))
    try:
        numbers = np.asarray(value, dtype=np.float64)
        shaped: FloatArray = numbers.reshape(shape)
    except (TypeError, ValueError, OverflowError):
        try:
            shaped = np.asarray(_without_words(value), dtype=np.float64).reshape(shape)
        except (TypeError, ValueError, OverflowError):
            wanted = " x ".join(map(str, shape[1:])) or "single"
            raise InputError(f"{where}: expected {wanted} numbers, found {short(value)}") from None
    return shaped


def _without_words(value: object) -> object:
    """The value with NaN for the writer's words for what is no number."""
    if isinstance(value, list):
        return [_without_words(inner) for inner in value]
    return math.nan if isinstance(value, str) and value in _NOT_NUMBERS else value


def _labels(joints: FloatArray, where: str) -> FloatArray:
    """The format's [x, y, visible] as ours.

    (0, 0) is missing. 1 is visible, 0 hidden, and 2 cropped: beyond the picture's edge, so hidden too.
    """
    labelled = np.isfinite(joints[:, :2]).all(axis=1) & (joints[:, :2] != 0).any(axis=1)
    flags = joints[labelled, 2]
    if not ((flags == 0) | (flags == 1) | (flags == 2)).all():
        raise InputError(f"{where}: the third number of a joint must be 0 (hidden), 1 (visible) or 2 (cropped)")
    found = np.full(joints.shape, np.nan)
    found[labelled, :2] = joints[labelled, :2]
    found[:, 2] = np.where(labelled, np.where(joints[:, 2] == 1, 2.0, 1.0), 0.0)
    return found


def _bare(value: object) -> object:
    """The one thing in however many lists of one."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def _number(value: object) -> float:
    """A number, or NaN for what is none."""
    try:
        return float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return math.nan


def _characteristics(entry: Mapping[str, Any]) -> tuple[dict[str, float], tuple[str, ...]]:
    values, odd = {}, []
    for key, name in CHARACTERISTICS.items():
        if key in entry:
            value = _bare(entry[key])
            number = _number(value)
            values[name] = number if math.isfinite(number) else math.nan
            word = isinstance(value, str) and value in _NOT_NUMBERS
            unknown = _nothing(value) or isinstance(value, int | float) or word
            if not unknown:
                odd.append(f"{key} {short(value)}")
    return values, tuple(odd)


def _flag(value: object, default: bool, where: str) -> bool:
    value = _bare(value)
    if _nothing(value):
        return default
    if not isinstance(value, int | float):
        raise InputError(f"{where}: 'isSynth' must be true or false, found {short(value)}")
    return value != 0


def _whole(value: object) -> int | None:
    number = _number(_bare(value))
    return int(number) if math.isfinite(number) else None


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = _whole(entry.get("img_width")), _whole(entry.get("img_height"))
    return (width, height) if width is not None and height is not None and width > 0 and height > 0 else None


def _point(xy: FloatArray) -> tuple[float, float] | None:
    return (float(xy[0]), float(xy[1])) if np.isfinite(xy).all() else None


def _positive(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) and value > 0 else None
