"""Predicted people in the JSON form in which the project stores them, at full precision.

``{joint_names, images: [{id, people: [{joints, score, bbox}]}]}``, each joint ``[x, y, score]`` or null. An entry of
``images`` is one unit of the evaluation. Where COCO's metric is to take people's areas from boxes, these are there as
``bbox``: x, y, width, height.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.evaluation.neutral_truth import joint_list, named_skeleton, unit_name
from ltsh_deploy.evaluation.predictions import StoredPredictions, UnitPredictions
from ltsh_deploy.json_checks import as_box, as_list, as_mapping, as_number, short
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton
from ltsh_deploy.whole_files import write_whole

__all__ = ["from_neutral", "joint_numbers", "make_poses", "read_people", "to_people", "write_neutral"]

FloatArray = npt.NDArray[np.float64]
#: What notes call predictions that are odd.
NO_POSITION = "predicted joints whose position is no finite number, taken as not predicted"
ODD_SCORE = "predicted joints with a score outside [0, 1], taken as it is"
ODD_PERSON = "predicted people with a score outside [0, 1], taken as it is"


def from_neutral(data: object, skeleton: Skeleton, source: str) -> StoredPredictions:
    """Read predictions.

    Args:
        data: parsed JSON.
        skeleton: of the joints, where the data do not name them.
        source: the file, for messages.

    Raises:
        InputError: when the data contradict the form, a joint has no score, a picture comes twice, or some people have
            boxes and others none.
    """
    top = as_mapping(data, source)
    if top.get("joint_names") is not None:
        skeleton = named_skeleton(top["joint_names"], f"{source}: 'joint_names'")
    notes: Counter[str] = Counter()
    found: dict[str, Poses] = {}
    told: dict[str, list[tuple[str, Any]]] = {}
    for n, value in enumerate(as_list(top.get("images"), f"{source}: 'images'")):
        where = f"{source}: images[{n}]"
        entry = as_mapping(value, where)
        name = unit_name(entry.get("id"), where)
        if name in found:
            raise InputError(f"{where}: {name!r} came before", "Give all people of a picture in one entry.")
        found[name] = read_people(entry.get("people"), skeleton, where, notes)
        told[name] = [(f"images[{n}]: person {p}", person.get("bbox")) for p, person in enumerate(entry["people"])]
    return StoredPredictions(source, skeleton, found, notes, _boxes(told, source))


def _boxes(told: Mapping[str, Sequence[tuple[str, Any]]], source: str) -> dict[str, FloatArray]:
    """[P, 4] of the people of each picture that has some, or nothing where nobody has a box.

    Args:
        told: picture to the place of each of its people in the file, and their box or None.
        source: the file, for messages.

    Raises:
        InputError: when it is no box, or some people have one and others none: areas of two kinds cannot be compared.
    """
    everybody = list(chain.from_iterable(told.values()))
    having = [place for place, box in everybody if box is not None]
    if not having:
        return {}
    if len(having) < len(everybody):
        lacking = next(place for place, box in everybody if box is None)
        raise InputError(
            f"{source}: {lacking} has no 'bbox', and {having[0]} has one", "Give everybody a box, or nobody."
        )
    return {
        name: np.array([as_box(box, f"{source}: {place}: 'bbox'") for place, box in own])
        for name, own in told.items()
        if own
    }


def read_people(value: object, skeleton: Skeleton, where: str, notes: Counter[str]) -> Poses:
    """The people of one picture.

    Args:
        value: list of ``{joints, score}``. Without a score a person has the mean of the joints'.
        skeleton: of the joints.
        where: the entry, for messages.
        notes: counts what is odd: see :func:`make_poses`.

    Raises:
        InputError: when it is no such list, or a joint's or person's score is no finite number.
    """
    people = as_list(value, f"{where}: 'people'")
    joints = np.full((len(people), skeleton.num_joints, 3), np.nan)
    scores = np.full(len(people), np.nan)
    for p, entry in enumerate(people):
        at = f"{where}: person {p}"
        person = as_mapping(entry, at)
        joints[p] = joint_numbers(joint_list(person.get("joints"), skeleton, at), at)
        if person.get("score") is not None:
            scores[p] = as_number(person["score"], f"{at}: 'score'")
    return make_poses(skeleton, joints, scores, [f"{where}: person {p}" for p in range(len(people))], notes)


def make_poses(
    skeleton: Skeleton,
    joints: FloatArray,
    scores: FloatArray,
    places: Sequence[str],
    notes: Counter[str],
) -> Poses:
    """Poses of numbers as a file has them.

    Args:
        skeleton: of the joints.
        joints: [P, J, 3] x, y, score; NaN where a joint is absent.
        scores: [P] of the people; NaN where there is none, for the mean of the joints'.
        places: [P] what messages call the people.
        notes: counts what is odd: joints whose position is NaN or infinite, and scores outside [0, 1].

    Raises:
        InputError: when a joint that has a position has no finite score.
    """
    named = np.asarray(~np.isnan(joints).all(axis=2))
    present = np.asarray(np.isfinite(joints[:, :, :2]).all(axis=2))
    bad = np.argwhere(present & ~np.isfinite(joints[:, :, 2]))
    if len(bad):
        p, j = bad[0].tolist()
        raise InputError(
            f"{places[p]}: {skeleton.joints[j]} has a position and no score that is a finite number",
            "Joints are ranked by their scores, so each needs one.",
        )
    joint_scores = np.where(present, joints[:, :, 2], 0.0)
    for what, odd in (
        (NO_POSITION, named & ~present),
        (ODD_SCORE, (joint_scores < 0) | (joint_scores > 1)),
        (ODD_PERSON, (scores < 0) | (scores > 1)),
    ):
        if odd.any():
            notes[what] += int(odd.sum())
    means = joint_scores.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    xy = np.where(present[:, :, None], joints[:, :, :2], np.nan)
    return Poses(skeleton, xy, joint_scores, np.where(np.isnan(scores), means, scores))


def joint_numbers(values: list[Any], where: str) -> FloatArray:
    """[J, 3] of a list of [x, y, score] or null: NaN for null, and infinity for a number that is null or NaN.

    Raises:
        InputError: when it is no such list.
    """
    given = [joint for joint in values if joint is not None]
    if not all(isinstance(joint, list) and len(joint) == 3 for joint in given):
        raise InputError(f"{where}: each joint must be [x, y, score] or null")
    numbers = list(chain.from_iterable(given))
    # A score that is no number is found, and named, once it is known whether the joint has a position.
    wrong = next(
        (n for n in numbers if n is not None and (isinstance(n, bool) or not isinstance(n, int | float))), None
    )
    if wrong is not None:
        raise InputError(f"{where}: expected numbers for a joint, found {short(wrong)}")
    joints = np.full((len(values), 3), np.nan)
    rows = [j for j, joint in enumerate(values) if joint is not None]
    try:
        given_numbers = np.array([np.inf if n is None else n for n in numbers], np.float64).reshape(-1, 3)
    except OverflowError:
        raise InputError(f"{where}: a joint has a number that is too large") from None
    joints[rows] = np.where(np.isnan(given_numbers), np.inf, given_numbers)
    return joints


def to_people(poses: Poses, boxes: FloatArray | None = None) -> list[dict[str, Any]]:
    """What :func:`read_people` reads; and the people's boxes [P, 4], where they are known."""
    triples = np.concatenate([poses.xy, poses.joint_scores[:, :, None]], axis=2).tolist()
    people = zip(triples, poses.present.tolist(), poses.scores.tolist(), strict=True)
    entries: list[dict[str, Any]] = [
        {"joints": [t if here else None for t, here in zip(person, present, strict=True)], "score": score}
        for person, present, score in people
    ]
    if boxes is not None:
        for entry, box in zip(entries, boxes.tolist(), strict=True):
            entry["bbox"] = box
    return entries


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
        images.append({"id": prediction.unit_id, "people": to_people(prediction.poses, prediction.boxes)})
    form = {**about, "joint_names": list(names), "images": images}
    write_whole(path, json.dumps(form, allow_nan=False).encode())
