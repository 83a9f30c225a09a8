"""MPII's annotation file as its authors publish it: a Matlab structure with many irregular forms.

Fields differ from picture to picture and may be empty; numbers come in many types; visibility is a number, a character
or nothing. Everything is read as it stands, garbage joints included: coordinates are never corrected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.matlab import field, load_mat, number, plain, records
from ltsh_deploy.errors import InputError

__all__ = ["MpiiImage", "MpiiPerson", "multi_person_groups", "read_mpii_annotations", "read_mpii_groups"]

FloatArray = npt.NDArray[np.float64]
_JOINTS = 16


@dataclass(frozen=True, eq=False)
class MpiiPerson:
    """One person; what the file does not have is None.

    Attributes:
        joints: [16, 3] float64 x, y, visible (1, 0, or NaN where the file does not say), in MPII's order; rows of NaN
            are joints without annotation.
        head_box: (x1, y1, x2, y2).
        scale: height / 200 px.
        objpos: (x, y), roughly the person's centre.
        ignored_points: points that say nothing: an impossible id, an id that came before, no position.
    """

    joints: FloatArray
    head_box: tuple[float, float, float, float] | None
    scale: float | None
    objpos: tuple[float, float] | None
    ignored_points: int = 0


@dataclass(frozen=True, eq=False)
class MpiiImage:
    """One picture; ``index`` counts from 0, ``single_person`` holds MPII's 1-based indices of people."""

    index: int
    file_name: str
    is_train: bool
    single_person: tuple[int, ...]
    people: tuple[MpiiPerson, ...]
    video: int | None = None
    frame_sec: float | None = None
    activity: int | None = None


def read_mpii_annotations(path: Path) -> list[MpiiImage]:
    """All pictures of ``mpii_human_pose_v1_u12_1.mat``, in its order.

    Raises:
        MissingPartError: without scipy.
        InputError: naming the file and the picture that contradicts the format.
    """
    variables = load_mat(path)
    if "RELEASE" not in variables:
        raise InputError(f"{path}: has no RELEASE, so it is not MPII's annotation file")
    try:
        release = _first(variables["RELEASE"])
        images = records(release["annolist"])
        train = np.asarray(release["img_train"]).ravel()
        names = release.dtype.names or ()
        single = np.asarray(release["single_person"]).ravel() if "single_person" in names else None
        acts = records(release["act"]) if "act" in names else None
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise InputError(f"{path}: RELEASE lacks what MPII's annotation file has: {error}") from None
    lengths = {"img_train": len(train)}
    lengths |= {n: len(v) for n, v in (("single_person", single), ("act", acts)) if v is not None}
    for name, length in lengths.items():
        if length != len(images):
            raise InputError(f"{path}: annolist has {len(images)} pictures, {name} {length}")
    found = []
    for i, record in enumerate(images):
        try:
            people = tuple(_person(rect) for rect in records(record["annorect"]))
            activity = None if acts is None else number(acts[i], "act_id")
            video, second = number(record, "vididx"), number(record, "frame_sec")
            found.append(
                MpiiImage(
                    index=i,
                    file_name=_text(_first(record["image"])["name"]),
                    is_train=bool(plain(train[i])),
                    single_person=() if single is None else _whole_numbers(single[i]),
                    people=people,
                    video=None if video is None else int(video),
                    frame_sec=second,
                    activity=None if activity is None else int(activity),
                )
            )
        except (KeyError, ValueError, IndexError, TypeError, OverflowError) as error:
            raise InputError(f"{path}: picture {i}: not as MPII's annotation file has it: {error}") from None
    return found


def read_mpii_groups(path: Path, images: list[MpiiImage]) -> list[tuple[tuple[int, ...], ...]]:
    """Groups of people who are near each other: for each picture, each group's 1-based indices of people.

    Raises:
        MissingPartError: without scipy.
        InputError: when the file does not fit the annotations.
    """
    variables = load_mat(path)
    if "groups" not in variables:
        raise InputError(f"{path}: has no 'groups', so it is not MPII's groups file")
    cells = np.asarray(variables["groups"]).ravel()
    if len(cells) != len(images):
        raise InputError(f"{path}: has {len(cells)} pictures, the annotations {len(images)}")
    found = []
    for image, cell in zip(images, cells, strict=True):
        try:
            groups = tuple(_whole_numbers(group) for group in _cells(cell))
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{path}: picture {image.index}: unreadable group ({error})") from None
        groups = tuple(group for group in groups if group)
        if any(not 1 <= person <= len(image.people) for group in groups for person in group):
            raise InputError(f"{path}: picture {image.index} has {len(image.people)} people, its groups are {groups}")
        found.append(groups)
    return found


def multi_person_groups(
    images: list[MpiiImage], groups: list[tuple[tuple[int, ...], ...]]
) -> list[tuple[int, tuple[int, ...]]]:
    """(index of the picture, 1-based indices of its people) of every group for multi-person evaluation.

    These are the groups with nobody who is in the picture's ``single_person``.
    """
    return [
        (image.index, group)
        for image, own in zip(images, groups, strict=True)
        for group in own
        if not set(group) & set(image.single_person)
    ]


def _person(rect: Any) -> MpiiPerson:
    head = [number(rect, name) for name in ("x1", "y1", "x2", "y2")]
    x1, y1, x2, y2 = head
    box = None if x1 is None or y1 is None or x2 is None or y2 is None else (x1, y1, x2, y2)
    objpos = None
    for record in records(field(rect, "objpos")):
        x, y = number(record, "x"), number(record, "y")
        objpos = None if x is None or y is None else (x, y)
    joints = np.full((_JOINTS, 3), np.nan)
    ignored = 0
    for points in records(field(rect, "annopoints")):
        for point in records(field(points, "point")):
            joint, x, y = (number(point, name) for name in ("id", "x", "y"))
            usable = joint is not None and x is not None and y is not None and joint in range(_JOINTS)
            if not usable or joint is None or np.isfinite(joints[int(joint), 0]):
                ignored += 1
                continue
            visible = number(point, "is_visible")
            joints[int(joint)] = x, y, np.nan if visible is None else visible
    return MpiiPerson(joints, box, number(rect, "scale"), objpos, ignored)


def _first(value: Any) -> Any:
    """The record inside boxes of one."""
    record = plain(value)
    if not isinstance(record, np.void):
        raise TypeError(f"expected a structure, found {type(record).__name__}")
    return record


def _text(value: Any) -> str:
    text = plain(value)
    if not isinstance(text, str):
        raise TypeError("a picture has no name")
    return text


def _cells(value: Any) -> Iterator[Any]:
    if isinstance(value, np.ndarray) and value.dtype == object:
        for inner in value.ravel():
            yield from _cells(inner)
    elif value is not None:
        yield value


def _whole_numbers(value: Any) -> tuple[int, ...]:
    if isinstance(value, np.ndarray) and value.dtype == object:
        return tuple(whole for inner in value.ravel() for whole in _whole_numbers(inner))
    return tuple(int(whole) for whole in np.asarray(value).ravel())
