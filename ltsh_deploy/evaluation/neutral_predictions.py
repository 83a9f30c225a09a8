"""Predicted people in the JSON form in which the project stores them, at full precision.

``{joint_names, images: [{id, people: [{joints, score}]}]}``, each joint ``[x, y, score]`` or null. An entry of
``images`` is one unit of the evaluation.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.evaluation.neutral_truth import joint_list, named_skeleton, unit_name
from ltsh_deploy.evaluation.predictions import StoredPredictions, UnitPredictions
from ltsh_deploy.json_checks import as_list, as_mapping, as_number, short
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton
from ltsh_deploy.whole_files import write_whole

__all__ = ["from_neutral", "make_poses", "read_people", "to_people", "write_neutral"]

FloatArray = npt.NDArray[np.float64]
#: What notes call predicted joints that are odd.
NO_POSITION = "predicted joints whose position is no finite number, taken as not predicted"
ODD_SCORE = "predicted joints with a score outside [0, 1], which only ranks them"


def from_neutral(data: object, skeleton: Skeleton, source: str) -> StoredPredictions:
    """Read predictions.

    Args:
        data: parsed JSON.
        skeleton: of the joints, where the data do not name them.
        source: the file, for messages.

    Raises:
        InputError: when the data contradict the form, a joint has no score, or a picture comes twice.
    """
    top = as_mapping(data, source)
    if top.get("joint_names") is not None:
        skeleton = named_skeleton(top["joint_names"], f"{source}: 'joint_names'")
    notes: Counter[str] = Counter()
    found: dict[str, Poses] = {}
    for n, value in enumerate(as_list(top.get("images"), f"{source}: 'images'")):
        where = f"{source}: images[{n}]"
        entry = as_mapping(value, where)
        name = unit_name(entry.get("id"), where)
        if name in found:
            raise InputError(f"{where}: {name!r} came before", "Give all people of a picture in one entry.")
        found[name] = read_people(entry.get("people"), skeleton, where, notes)
    return StoredPredictions(source, skeleton, found, notes)


def read_people(value: object, skeleton: Skeleton, where: str, notes: Counter[str]) -> Poses:
    """The people of one picture.

    Args:
        value: list of ``{joints, score}``. Without a score a person has the mean of the joints'.
        skeleton: of the joints.
        where: the entry, for messages.
        notes: counts what is odd: joints whose position is NaN or infinite, and scores outside [0, 1].

    Raises:
        InputError: when it is no such list, or a joint's or person's score is no finite number.
    """
    people = as_list(value, f"{where}: 'people'")
    joints = np.full((len(people), skeleton.num_joints, 3), np.nan)
    scores = np.full(len(people), np.nan)
    for p, entry in enumerate(people):
        at = f"{where}: person {p}"
        person = as_mapping(entry, at)
        joints[p] = _joints(joint_list(person.get("joints"), skeleton, at), at)
        if person.get("score") is not None:
            scores[p] = as_number(person["score"], f"{at}: 'score'")
    return make_poses(skeleton, joints, scores, where, notes)


def make_poses(
    skeleton: Skeleton,
    joints: FloatArray,
    scores: FloatArray,
    where: str,
    notes: Counter[str],
) -> Poses:
    """Poses of x, y, score [P, J, 3], all NaN where a joint is absent, and scores [P], NaN where there is none.

    Raises:
        InputError: when a joint that has a position has no finite score.
    """
    named = np.asarray(~np.isnan(joints).all(axis=2))
    present = np.asarray(np.isfinite(joints[:, :, :2]).all(axis=2))
    bad = np.argwhere(present & ~np.isfinite(joints[:, :, 2]))
    if len(bad):
        p, j = bad[0].tolist()
        raise InputError(
            f"{where}: person {p}: {skeleton.joints[j]} has a position and no score that is a finite number",
            "Joints are ranked by their scores, so each needs one.",
        )
    joint_scores = np.where(present, joints[:, :, 2], 0.0)
    for what, odd in ((NO_POSITION, named & ~present), (ODD_SCORE, (joint_scores < 0) | (joint_scores > 1))):
        if odd.any():
            notes[what] += int(odd.sum())
    means = joint_scores.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    xy = np.where(present[:, :, None], joints[:, :, :2], np.nan)
    return Poses(skeleton, xy, joint_scores, np.where(np.isnan(scores), means, scores))


def _joints(values: list[Any], where: str) -> FloatArray:
    """[J, 3] of a list of [x, y, score] or null, NaN for null."""
    given = [joint for joint in values if joint is not None]
    if not all(isinstance(joint, list) and len(joint) == 3 for joint in given):
        raise InputError(f"{where}: each joint must be [x, y, score] or null")
    numbers = list(chain.from_iterable(given))
    # A score of null is found, and named, once it is known whether the joint has a position.
    wrong = next(
        (n for n in numbers if n is not None and (isinstance(n, bool) or not isinstance(n, int | float))), None
    )
    if wrong is not None:
        raise InputError(f"{where}: expected numbers for a joint, found {short(wrong)}")
    joints = np.full((len(values), 3), np.nan)
    rows = [j for j, joint in enumerate(values) if joint is not None]
    try:
        joints[rows] = np.array([np.inf if n is None else n for n in numbers], np.float64).reshape(-1, 3)
    except OverflowError:
        raise InputError(f"{where}: a joint has a number that is too large") from None
    return joints


def to_people(poses: Poses) -> list[dict[str, Any]]:
    """What :func:`read_people` reads."""
    triples = np.concatenate([poses.xy, poses.joint_scores[:, :, None]], axis=2).tolist()
    people = zip(triples, poses.present.tolist(), poses.scores.tolist(), strict=True)
    return [
        {"joints": [t if here else None for t, here in zip(person, present, strict=True)], "score": score}
        for person, present, score in people
    ]


def write_neutral(path: Path, predictions: Iterable[UnitPredictions], about: Mapping[str, Any]) -> None:
    """Write predictions of one skeleton.

    Args:
        path: of the file; an older one is replaced.
        predictions: unit by unit.
        about: what else the file is to say, before the people.

    Raises:
        OutputError: when it cannot be written.
    """
    images = []
    names: tuple[str, ...] = ()
    for prediction in predictions:
        names = prediction.poses.skeleton.joints
        images.append({"id": prediction.unit_id, "people": to_people(prediction.poses)})
    form = {**about, "joint_names": list(names), "images": images}
    write_whole(path, json.dumps(form, allow_nan=False).encode())
