"""COCO's results files: one entry a person, ``{image_id, category_id, keypoints: 17 x (x, y, score), score}``.

:mod:`ltsh_deploy.pose_formats` writes them for people to use; here nothing is rounded and every number read counts, so
that the figures are those of pycocotools on the same file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ltsh_deploy.errors import InputError
from ltsh_deploy.evaluation.predictions import StoredPredictions, UnitPredictions
from ltsh_deploy.json_checks import as_list, as_mapping, as_number, as_numbers, as_whole
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO17
from ltsh_deploy.whole_files import write_whole

__all__ = ["from_coco_results", "write_coco_results"]

#: What COCO itself calls people.
_PERSON = 1


def from_coco_results(data: object, source: str, categories: Collection[int] = (_PERSON,)) -> StoredPredictions:
    """Read results; the people of a picture are in the order of the file, and a joint of 0, 0, 0 is absent.

    Entries of another category than people are left out.

    Args:
        data: parsed JSON.
        source: the file, for messages.
        categories: that are people.

    Raises:
        InputError: when the data contradict the form, or hold a number that is not finite.
    """
    joints: dict[str, list[list[float]]] = {}
    scores: dict[str, list[float]] = {}
    others = 0
    for n, value in enumerate(as_list(data, source)):
        where = f"{source}: entry {n}"
        entry = as_mapping(value, where)
        if "category_id" in entry and as_whole(entry["category_id"], f"{where}: 'category_id'") not in categories:
            others += 1
            continue
        numbers = as_numbers(as_list(entry.get("keypoints"), f"{where}: 'keypoints'"), f"{where}: 'keypoints'")
        if len(numbers) != 3 * COCO17.num_joints:
            raise InputError(f"{where}: 'keypoints' must be {3 * COCO17.num_joints} numbers, found {len(numbers)}")
        name = str(as_whole(entry.get("image_id"), f"{where}: 'image_id'"))
        joints.setdefault(name, []).append(numbers)
        scores.setdefault(name, []).append(as_number(entry.get("score"), f"{where}: 'score'"))
    found = {name: _poses(joints[name], scores[name]) for name in joints}
    return StoredPredictions(source, COCO17, found, {"entries that are no people": others} if others else {})


def _poses(joints: list[list[float]], scores: list[float]) -> Poses:
    values = np.array(joints, np.float64).reshape(-1, COCO17.num_joints, 3)
    absent = (values == 0).all(axis=2)
    xy = np.where(absent[:, :, None], np.nan, values[:, :, :2])
    return Poses(COCO17, xy, values[:, :, 2].copy(), np.array(scores, np.float64))


def write_coco_results(path: Path, predictions: Iterable[UnitPredictions], category: int = _PERSON) -> None:
    """Write predictions of COCO's joints, of units whose ids are COCO's numbers of pictures, as people of a category.

    Raises:
        OutputError: when the file cannot be written.
    """
    entries: list[dict[str, Any]] = []
    for prediction in predictions:
        poses = prediction.poses
        values = np.concatenate([poses.xy, poses.joint_scores[:, :, None]], axis=2)
        values = np.where(poses.present[:, :, None], values, 0.0).reshape(len(poses), 3 * COCO17.num_joints)
        entries += [
            {"image_id": int(prediction.unit_id), "category_id": category, "keypoints": keypoints, "score": score}
            for keypoints, score in zip(values.tolist(), poses.scores.tolist(), strict=True)
        ]
    write_whole(path, json.dumps(entries, allow_nan=False).encode())
