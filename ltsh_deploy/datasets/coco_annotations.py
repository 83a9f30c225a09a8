"""One COCO keypoint annotation: a person's joints, or the place of somebody who has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.people import Person
from ltsh_deploy.datasets.regions import Polygon, Region, RunLengths, box_polygon, decode_counts
from ltsh_deploy.errors import InputError
from ltsh_deploy.json_checks import as_list, as_numbers, as_whole
from ltsh_deploy.skeletons import Skeleton

__all__ = ["read_annotation"]

FloatArray = npt.NDArray[np.float64]
#: Smaller people are no centre of a crop: their joints cannot be told apart.
MIN_AREA = 32.0 * 32.0


def read_annotation(
    annotation: Mapping[str, Any], skeleton: Skeleton, min_joints: int, where: str
) -> tuple[Person | None, Sequence[Region]]:
    """The person, or None and the regions to ignore: of a crowd, or of somebody without labelled joints.

    Raises:
        InputError: naming ``where`` and the key that is wrong.
    """
    joints = _joints(annotation, skeleton, where)
    if annotation.get("iscrowd") or not (joints[:, 2] > 0).any():
        return None, _regions(annotation, where)
    return _person(annotation, joints, min_joints, where), ()


def _joints(annotation: Mapping[str, Any], skeleton: Skeleton, where: str) -> FloatArray:
    numbers = annotation.get("keypoints")
    if numbers is None:
        return np.zeros((skeleton.num_joints, 3))
    values = as_list(numbers, f"{where}: 'keypoints'")
    if len(values) != 3 * skeleton.num_joints:
        raise InputError(f"{where}: 'keypoints' must be {3 * skeleton.num_joints} numbers, found {len(values)}")
    # Number by number only where something is wrong: there are millions of them.
    try:
        joints = np.array(values, dtype=np.float64).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError):
        joints = np.full((skeleton.num_joints, 3), np.nan)
    if not set(map(type, values)) <= {int, float} or not np.isfinite(joints).all():
        joints = np.array(as_numbers(values, f"{where}: 'keypoints'")).reshape(-1, 3)
    labels = joints[:, 2]
    if not ((labels == 0) | (labels == 1) | (labels == 2)).all():
        raise InputError(f"{where}: the third number of a keypoint must be 0, 1 or 2")
    joints[labels == 0, :2] = np.nan
    return joints


def _box(annotation: Mapping[str, Any], where: str) -> tuple[float, float, float, float] | None:
    """(x1, y1, x2, y2) in our pixels: COCO's boxes begin at the pixels' edges."""
    if annotation.get("bbox") is None:
        return None
    box = as_numbers(as_list(annotation["bbox"], f"{where}: 'bbox'"), f"{where}: 'bbox'")
    if len(box) != 4:
        raise InputError(f"{where}: 'bbox' must be four numbers, found {len(box)}")
    return box[0] - 0.5, box[1] - 0.5, box[0] + box[2] - 0.5, box[1] + box[3] - 0.5


def _person(annotation: Mapping[str, Any], joints: FloatArray, min_joints: int, where: str) -> Person:
    box = _box(annotation, where)
    area = annotation.get("area")
    # Compared as it is: no float can hold the largest whole numbers that JSON may have.
    is_large = not isinstance(area, int | float) or area >= MIN_AREA
    person = Person(joints)
    person.trainable = bool((joints[:, 2] > 0).sum() >= min_joints) and is_large
    if box is not None:
        person.centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        person.extent = max(box[2] - box[0], box[3] - box[1])
    return person


def _regions(annotation: Mapping[str, Any], where: str) -> Sequence[Region]:
    """Where somebody is who has no joints: as exactly as the file says."""
    outline = annotation.get("segmentation")
    if isinstance(outline, Mapping):
        height, width = (
            as_whole(n, f"{where}: 'size'") for n in (*as_list(outline.get("size"), where), None, None)[:2]
        )
        counts = outline.get("counts")
        lengths = decode_counts(counts) if isinstance(counts, str) else as_list(counts, f"{where}: 'counts'")
        runs = [as_whole(n, f"{where}: 'counts'") for n in lengths]
        if min(runs, default=0) < 0 or min(width, height) < 1 or sum(runs) != width * height:
            raise InputError(f"{where}: the run lengths do not sum to {width} x {height} pixels")
        return [RunLengths(np.array(runs, dtype=np.int64), (width, height))]
    if isinstance(outline, list) and outline:
        polygons = []
        for part in outline:
            numbers = as_numbers(as_list(part, f"{where}: 'segmentation'"), f"{where}: 'segmentation'")
            if len(numbers) < 6 or len(numbers) % 2:
                raise InputError(f"{where}: a polygon needs three points or more")
            polygons.append(Polygon(np.array(numbers).reshape(-1, 2) - 0.5))
        return polygons
    box = _box(annotation, where)
    return [] if box is None else [box_polygon(box)]
