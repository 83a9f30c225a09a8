"""True people in a JSON form that belongs to no data set, in which numbers of evaluators can be compared.

``{joint_names, images: [{id, file_name, width, height, people: [{joints, head_box, scale, objpos}]}]}``, each joint
``[x, y, visible]`` or null, visible 1, 0 or null. An entry of ``images`` is one unit of the evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ltsh_deploy.datasets.files import read_json
from ltsh_deploy.datasets.shard_labels import skeleton_of
from ltsh_deploy.errors import InputError, SkeletonError
from ltsh_deploy.evaluation.groups import box_around, mean_of
from ltsh_deploy.evaluation.units import EvaluationSet, Unit, measured_heads
from ltsh_deploy.json_checks import as_list, as_mapping, as_number, as_numbers, as_whole, short
from ltsh_deploy.metrics import MPII_JOINTS
from ltsh_deploy.skeletons import MPII16, Skeleton

__all__ = ["joint_list", "named_skeleton", "read_neutral_truth", "unit_name"]


def read_neutral_truth(path: Path, images: Path | None = None) -> EvaluationSet:
    """True people in the neutral form, as units of the multi-person metric.

    Args:
        path: the file. Without ``joint_names`` its joints are MPII's 16, in their order.
        images: folder of the pictures, where a model is to see them.

    Raises:
        InputError: when the file is missing or contradicts the form; it names the entry.
    """
    data = as_mapping(read_json(path), str(path))
    names = data.get("joint_names")
    skeleton = MPII16 if names is None else named_skeleton(names, f"{path}: 'joint_names'")
    if not set(MPII_JOINTS) & set(skeleton.joints):
        raise InputError(f"{path}: 'joint_names': has none of MPII's joints, which are {', '.join(MPII_JOINTS)}")
    units = [
        _unit(as_mapping(entry, f"{path}: images[{n}]"), skeleton, images, f"{path}: images[{n}]")
        for n, entry in enumerate(as_list(data.get("images"), f"{path}: 'images'"))
    ]
    labels = skeleton.joints if names is None else tuple(names)
    return EvaluationSet("conformance", str(path), "ap", tuple(units), skeleton, labels)


def named_skeleton(names: object, where: str) -> Skeleton:
    """The skeleton of these joint names: r_ and l_ may stand for right_ and left_, and MPII's upper neck is a neck.

    Raises:
        InputError: when they are no names.
    """
    given = ["neck" if name == "upper_neck" else name for name in as_list(names, where)]
    try:
        skeleton = skeleton_of(given, where)
    except SkeletonError as error:
        raise InputError(error.message, "Give each joint a name of its own, such as left_knee.") from None
    assert skeleton is not None, "only None has no skeleton"
    return skeleton


def unit_name(value: object, where: str) -> str:
    """A unit's id from a file: text, or a whole number written out; else an InputError."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InputError(f"{where}: 'id' must be a name or a whole number, found {short(value)}")


def _unit(entry: Mapping[str, Any], skeleton: Skeleton, images: Path | None, where: str) -> Unit:
    joints, boxes, scales, places = [], [], [], []
    for p, value in enumerate(as_list(entry.get("people"), f"{where}: 'people'")):
        at = f"{where}: person {p}"
        person = as_mapping(value, at)
        joints.append(_true_joints(person.get("joints"), skeleton, at))
        boxes.append(_numbers_or_nan(person.get("head_box"), 4, f"{at}: 'head_box'"))
        scale = person.get("scale")
        scales.append(math.nan if scale is None else as_number(scale, f"{at}: 'scale'"))
        places.append(_numbers_or_nan(person.get("objpos"), 2, f"{at}: 'objpos'"))
    size = None
    if entry.get("width") is not None and entry.get("height") is not None:
        size = as_whole(entry["width"], f"{where}: 'width'"), as_whole(entry["height"], f"{where}: 'height'")
    name = entry.get("file_name")
    known = np.array(scales, np.float64)
    known = np.where(known > 0, known, np.nan)
    positions = np.array(places, np.float64).reshape(-1, 2)
    return Unit(
        id=unit_name(entry.get("id"), where),
        skeleton=skeleton,
        joints=np.array(joints, np.float64).reshape(-1, skeleton.num_joints, 3),
        head_sizes=measured_heads(np.array(boxes, np.float64).reshape(-1, 4), known, where),
        scales=known,
        centres=positions,
        image=images / name if images is not None and isinstance(name, str) and name else None,
        image_name=name if isinstance(name, str) else "",
        size=size,
        group_box=box_around(positions),
        mean_scale=mean_of(known),
    )


def _numbers_or_nan(value: object, count: int, where: str) -> list[float]:
    """So many numbers, NaN where the file has null or nothing."""
    if value is None:
        return [math.nan] * count
    numbers = as_numbers(as_list(value, where), where)
    if len(numbers) != count:
        raise InputError(f"{where}: expected {count} numbers, found {len(numbers)}")
    return numbers


def _true_joints(value: object, skeleton: Skeleton, where: str) -> list[tuple[float, float, float]]:
    """x, y, label of each joint; what is not said to be hidden is visible."""
    found = []
    for j, joint in enumerate(joint_list(value, skeleton, where)):
        if joint is None:
            found.append((math.nan, math.nan, 0.0))
            continue
        at = f"{where}: joint {j}"
        if not isinstance(joint, list) or len(joint) not in (2, 3):
            raise InputError(f"{at}: expected [x, y, visible] or null, found {short(joint)}")
        x, y = as_numbers(joint[:2], at)
        hidden = len(joint) == 3 and joint[2] is not None and as_number(joint[2], at) == 0
        found.append((x, y, 1.0 if hidden else 2.0))
    return found


def joint_list(value: object, skeleton: Skeleton, where: str) -> list[Any]:
    """The list, which has an entry for each joint of the skeleton; else an InputError."""
    joints = as_list(value, f"{where}: 'joints'")
    if len(joints) != skeleton.num_joints:
        raise InputError(f"{where}: expected {skeleton.num_joints} joints, found {len(joints)}")
    return joints
