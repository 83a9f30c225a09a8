"""COCO's results files: one entry a person, ``{image_id, category_id, keypoints: 17 x (x, y, score), score, bbox}``.

``bbox``, (x, y, width, height), may be left out.

:mod:`ltsh_deploy.pose_formats` writes them for people to use; here nothing is rounded and every number read counts, so
that the figures are those of pycocotools on the same file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.evaluation.neutral_predictions import joint_numbers, make_poses
from ltsh_deploy.evaluation.predictions import StoredPredictions, UnitPredictions
from ltsh_deploy.json_checks import as_box, as_list, as_mapping, as_number, as_whole
from ltsh_deploy.skeletons import COCO17
from ltsh_deploy.whole_files import write_whole

__all__ = ["from_coco_results", "write_coco_results"]

FloatArray = npt.NDArray[np.float64]
#: What COCO itself calls people.
_PERSON = 1


def from_coco_results(data: object, source: str, categories: Collection[int] = (_PERSON,)) -> StoredPredictions:
    """Read results; the people of a picture are in the order of the file, and a joint of 0, 0, 0 is absent.

    Entries of another category than people are left out. As pycocotools has it, the first entry decides for all whether
    people's areas are those of the boxes they are told with, or of the boxes about their joints.

    Args:
        data: parsed JSON.
        source: the file, for messages.
        categories: that are people.

    Raises:
        InputError: when the data contradict the form, or hold a score that is no finite number; it names the entry.
    """
    entries = [as_mapping(value, f"{source}: entry {n}") for n, value in enumerate(as_list(data, source))]
    has_boxes = bool(entries) and entries[0].get("bbox") not in (None, [])
    people: dict[str, list[int]] = {}
    places: list[str] = []
    joints: list[FloatArray] = []
    scores: list[float] = []
    boxes: list[list[float]] = []
    for n, entry in enumerate(entries):
        where = f"{source}: entry {n}"
        if "category_id" in entry and as_whole(entry["category_id"], f"{where}: 'category_id'") not in categories:
            continue
        name = str(as_whole(entry.get("image_id"), f"{where}: 'image_id'"))
        people.setdefault(name, []).append(len(places))
        places.append(where)
        joints.append(_joints(entry.get("keypoints"), f"{where}: 'keypoints'"))
        scores.append(as_number(entry.get("score"), f"{where}: 'score'"))
        if has_boxes:
            if "bbox" not in entry:
                raise InputError(
                    f"{where}: has no 'bbox', and the first entry has one", "Give all entries boxes, or none of them."
                )
            boxes.append(as_box(entry["bbox"], f"{where}: 'bbox'"))
    notes: Counter[str] = Counter()
    if len(places) < len(entries):
        notes["entries that are no people"] = len(entries) - len(places)
    every = np.array(joints, np.float64).reshape(-1, COCO17.num_joints, 3)
    poses = make_poses(COCO17, every, np.array(scores, np.float64), places, notes)
    found = {name: poses.select(np.array(own)) for name, own in people.items()}
    told = {name: np.array([boxes[p] for p in own]) for name, own in people.items()} if has_boxes else {}
    return StoredPredictions(source, COCO17, found, notes, told)


def _joints(value: object, where: str) -> FloatArray:
    """[17, 3] x, y, score; NaN where all three are 0."""
    numbers = as_list(value, where)
    if len(numbers) != 3 * COCO17.num_joints:
        raise InputError(f"{where} must be {3 * COCO17.num_joints} numbers, found {len(numbers)}")
    joints = joint_numbers([numbers[first : first + 3] for first in range(0, len(numbers), 3)], where)
    joints[(joints == 0).all(axis=1)] = np.nan
    return joints


def write_coco_results(path: Path, predictions: Iterable[UnitPredictions], category: int = _PERSON) -> None:
    """Write predictions of COCO's joints, of units whose ids are COCO's numbers of pictures, as people of a category.

    Raises:
        OutputError: when the file cannot be written.
    """
    entries: list[dict[str, Any]] = []
    for prediction in predictions:
        poses = prediction.poses
        values = np.concatenate([poses.xy, poses.joint_scores[:, :, None]], axis=2)
        told = prediction.boxes
        boxes: list[dict[str, Any]] = [{} if told is None else {"bbox": told[p].tolist()} for p in range(len(poses))]
        values = np.where(poses.present[:, :, None], values, 0.0).reshape(len(poses), 3 * COCO17.num_joints)
        entries += [
            {
                "image_id": int(prediction.unit_id),
                "category_id": category,
                "keypoints": keypoints,
                "score": score,
                **box,
            }
            for keypoints, score, box in zip(values.tolist(), poses.scores.tolist(), boxes, strict=True)
        ]
    write_whole(path, json.dumps(entries, allow_nan=False).encode())
