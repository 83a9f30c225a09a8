"""COCO's keypoint annotations as units: every picture that is listed, people or none, in the order of its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.coco import picture_folders
from ltsh_deploy.datasets.files import find_folder, read_json
from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.evaluation.units import CocoTruth, EvaluationSet, Unit
from ltsh_deploy.json_checks import as_box, as_list, as_mapping, as_number, as_numbers, as_whole
from ltsh_deploy.skeletons import COCO17

__all__ = ["BODY", "coco_units"]

#: COCO's joints without those of the face, which many models lack.
BODY = COCO17.joints[5:]


def coco_units(path: Path, images: Path | None = None, joints: Sequence[str] = ()) -> EvaluationSet:
    """The pictures of a keypoint annotation file, for COCO's metric.

    Training leaves out pictures without people, evaluation must not: whoever is found there is a mistake.

    Args:
        path: the file.
        images: folder of the pictures; when left out, the annotation file's, or one below it or the next, by COCO's
            usual names, where there is one.
        joints: of COCO's 17, those to measure; all by default. The others count as not labelled, and people of whom no
            other is labelled as not asked for, as if the file said so.

    Raises:
        UsageError: for a joint that COCO does not have.
        InputError: when the file is missing, contradicts the form or lists a picture twice; it names the entry.
    """
    unknown = [name for name in joints if name not in COCO17.joints]
    if unknown:
        raise UsageError(f"COCO has no joint {unknown[0]!r}", f"It has {', '.join(COCO17.joints)}.")
    measured = np.isin(COCO17.joints, joints or COCO17.joints)
    data = as_mapping(read_json(path), str(path))
    categories = _person_categories(data, path)
    folder = _image_folder(path, images)
    by_image: dict[int, list[Mapping[str, Any]]] = {}
    listed: dict[int, Mapping[str, Any]] = {}
    for n, value in enumerate(as_list(data.get("images"), f"{path}: 'images'")):
        where = f"{path}: images[{n}]"
        image = as_mapping(value, where)
        number = as_whole(image.get("id"), f"{where}: 'id'")
        if number in listed:
            raise InputError(f"{where}: the id {number} came before", "Ids of pictures must differ.")
        listed[number], by_image[number] = image, []
    notes: Counter[str] = Counter()
    for n, value in enumerate(as_list(data.get("annotations"), f"{path}: 'annotations'")):
        where = f"{path}: annotations[{n}]"
        annotation = as_mapping(value, where)
        if as_whole(annotation.get("category_id"), f"{where}: 'category_id'") not in categories:
            continue
        number = as_whole(annotation.get("image_id"), f"{where}: 'image_id'")
        if number not in by_image:
            notes["annotations of pictures that are not listed, left out"] += 1
            continue
        by_image[number].append({**annotation, "where": where})
    units = [_unit(number, listed[number], by_image[number], folder, measured) for number in sorted(listed)]
    return EvaluationSet(
        "coco",
        str(path),
        "oks",
        tuple(units),
        COCO17,
        notes=notes,
        categories=tuple(sorted(categories)),
        measured=() if measured.all() else tuple(np.array(COCO17.joints)[measured].tolist()),
    )


def _person_categories(data: Mapping[str, Any], path: Path) -> set[int]:
    """The ids of categories that have COCO's 17 joints."""
    found = set()
    for n, value in enumerate(as_list(data.get("categories"), f"{path}: 'categories'")):
        category = as_mapping(value, f"{path}: categories[{n}]")
        names = category.get("keypoints")
        if isinstance(names, list) and tuple(names) == COCO17.joints:
            found.add(as_whole(category.get("id"), f"{path}: categories[{n}]: 'id'"))
    if not found:
        raise InputError(
            f"{path}: no category has COCO's 17 joints",
            "Name a keypoint annotation file, such as person_keypoints.json.",
        )
    return found


def _image_folder(path: Path, images: Path | None) -> Path | None:
    if images is not None:
        return find_folder(images, (), "pictures")
    return next((folder for folder in picture_folders(path) if folder.is_dir()), None)


def _unit(
    number: int,
    image: Mapping[str, Any],
    annotations: list[Mapping[str, Any]],
    folder: Path | None,
    measured: npt.NDArray[np.bool_],
) -> Unit:
    people = len(annotations)
    joints = np.zeros((people, COCO17.num_joints, 3))
    areas, boxes = np.zeros(people), np.zeros((people, 4))
    crowds, ignored = np.zeros(people, np.bool_), np.zeros(people, np.bool_)
    for p, annotation in enumerate(annotations):
        where = annotation["where"]
        joints[p] = _joints(annotation, where)
        areas[p] = as_number(annotation.get("area"), f"{where}: 'area'")
        if areas[p] < 0:
            raise InputError(f"{where}: 'area' is negative: {areas[p]:g}")
        boxes[p] = as_box(annotation.get("bbox"), f"{where}: 'bbox'")
        crowds[p] = bool(annotation.get("iscrowd"))
        labelled = annotation.get("num_keypoints", int((joints[p, :, 2] > 0).sum()))
        ignored[p] = crowds[p] or as_whole(labelled, f"{where}: 'num_keypoints'") == 0
        if not measured.all():
            joints[p, ~measured] = [np.nan, np.nan, 0]
            ignored[p] |= not (joints[p, :, 2] > 0).any()
    name = image.get("file_name")
    width, height = image.get("width"), image.get("height")
    return Unit(
        id=str(number),
        skeleton=COCO17,
        joints=joints,
        head_sizes=np.full(people, np.nan),
        scales=np.full(people, np.nan),
        centres=boxes[:, :2] + boxes[:, 2:] / 2,
        image=folder / name if folder is not None and isinstance(name, str) and name else None,
        image_name=name if isinstance(name, str) else "",
        size=(width, height) if isinstance(width, int) and isinstance(height, int) else None,
        coco=CocoTruth(number, areas, boxes, crowds, ignored),
    )


def _joints(annotation: Mapping[str, Any], where: str) -> npt.NDArray[np.float64]:
    """[17, 3] x, y, label; NaN where the label is 0, whatever is written there."""
    values = annotation.get("keypoints")
    if values is None:
        values = [0] * (3 * COCO17.num_joints)
    where = f"{where}: 'keypoints'"
    numbers = as_list(values, where)
    if len(numbers) != 3 * COCO17.num_joints:
        raise InputError(f"{where} must be {3 * COCO17.num_joints} numbers, found {len(numbers)}")
    joints = np.full((COCO17.num_joints, 3), np.nan)
    joints[:, 2] = np.clip(as_numbers(numbers[2::3], where), 0, 2)
    for j in np.flatnonzero(joints[:, 2]).tolist():
        joints[j, :2] = as_numbers(numbers[3 * j : 3 * j + 2], f"{where}: {COCO17.joints[j]}")
    return joints
