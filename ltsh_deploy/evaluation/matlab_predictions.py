"""Predictions as MPII's own toolkit reads them: a Matlab structure ``pred`` with an entry for each unit.

``pred(u).annorect(p).annopoints.point(k)`` has ``x``, ``y``, ``id`` (MPII's joint, from 0) and ``score``. Beside it,
``pred(u).image.name`` is the unit's id, so that a file can be read back even where units are missing; the toolkit does
not look at it. Units are in the order of the evaluation.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.matlab import field, load_mat, records
from ltsh_deploy.errors import InputError
from ltsh_deploy.evaluation.neutral_predictions import joint_numbers, make_poses
from ltsh_deploy.evaluation.predictions import StoredPredictions, UnitPredictions
from ltsh_deploy.parts import import_part
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import MPII16
from ltsh_deploy.whole_files import write_whole

__all__ = ["read_matlab", "write_matlab"]

FloatArray = npt.NDArray[np.float64]


def write_matlab(path: Path, predictions: Sequence[UnitPredictions]) -> None:
    """Write predictions, of MPII's 16 joints; a joint that is absent has no point, a person without any no entry.

    Raises:
        MissingPartError: without scipy.
        OutputError: when the file cannot be written.
    """
    matlab = import_part("scipy.io", "Writing Matlab files", "eval", "train")
    pred = _structs(len(predictions), "annorect", "image")
    for u, prediction in enumerate(predictions):
        poses = prediction.poses
        people = np.flatnonzero(poses.present.any(axis=1)).tolist()
        rects = _structs(len(people), "annopoints", "score")
        for rect, p in zip(rects.ravel(), people, strict=True):
            rect["annopoints"] = _structs(1, "point")
            rect["annopoints"]["point"][0, 0] = _points(poses, p)
            rect["score"] = float(poses.scores[p])
        pred["annorect"][0, u] = rects
        pred["image"][0, u] = _structs(1, "name")
        pred["image"][0, u]["name"][0, 0] = prediction.unit_id
    data = io.BytesIO()
    matlab.savemat(data, {"pred": pred}, do_compression=True)
    write_whole(path, data.getvalue())


def _structs(count: int, *fields: str) -> npt.NDArray[Any]:
    """A Matlab structure array of 1 x count."""
    return np.empty((1, count), dtype=[(name, object) for name in fields])


def _points(poses: Poses, person: int) -> npt.NDArray[Any]:
    joints = np.flatnonzero(poses.present[person]).tolist()
    points = _structs(len(joints), "x", "y", "id", "score")
    for point, j in zip(points.ravel(), joints, strict=True):
        point["x"], point["y"] = poses.xy[person, j].tolist()
        point["id"], point["score"] = float(j), float(poses.joint_scores[person, j])
    return points


def read_matlab(path: Path, units: Sequence[tuple[str, str]]) -> StoredPredictions:
    """Read predictions of MPII's joints.

    Other programs name an entry after its picture, of which there may be several units, or not at all. Such entries
    are those of the units in order.

    Args:
        path: of the file.
        units: in their order, each one's id and the name of its picture.

    Raises:
        MissingPartError: without scipy.
        InputError: when the file contradicts the form, has another number of entries and no names, or names one twice.
    """
    variables = load_mat(path)
    if "pred" not in variables:
        raise InputError(f"{path}: has no 'pred', so it holds no predictions for MPII's toolkit")
    entries = records(variables["pred"])
    notes: Counter[str] = Counter()
    names = [_name(entry) for entry in entries]
    if not all(names) or names == [picture for _, picture in units]:
        if len(entries) not in (0, len(units)):
            raise InputError(
                f"{path}: has {len(entries)} entries, the data set {len(units)} units",
                "Without names in pred.image.name, there must be one entry a unit, in the order of the data set.",
            )
        names = [unit for unit, _ in units[: len(entries)]]
    found: dict[str, Poses] = {}
    for n, (name, entry) in enumerate(zip(names, entries, strict=True), start=1):
        where = f"{path}: pred({n})"
        if name in found:
            raise InputError(f"{where}: {name!r} came before", "Give all people of a picture in one entry.")
        found[name] = _people(entry, where, notes)
    return StoredPredictions(str(path), MPII16, found, notes)


def _people(entry: Any, where: str, notes: Counter[str]) -> Poses:
    rects = records(field(entry, "annorect"))
    joints = np.full((len(rects), MPII16.num_joints, 3), np.nan)
    scores = np.full(len(rects), np.nan)
    for p, rect in enumerate(rects):
        at = f"{where}.annorect({p + 1})"
        score = field(rect, "score")
        if score is not None and np.size(score):
            scores[p] = _number(rect, "score", at)
            if not np.isfinite(scores[p]):
                raise InputError(f"{at}: 'score' is {scores[p]:g}", "Leave it out, or give it a number.")
        points = [point for outer in records(field(rect, "annopoints")) for point in records(field(outer, "point"))]
        for point in points:
            joint = _number(point, "id", at)
            if joint not in range(MPII16.num_joints):
                raise InputError(f"{at}: there is no joint {joint:g}", "Ids of joints are 0 to 15, as MPII has them.")
            if not np.isnan(joints[p, int(joint), 0]):
                raise InputError(f"{at}: joint {joint:g} comes twice", "Give each joint one point.")
            joints[p, int(joint)] = joint_numbers([[_number(point, name, at) for name in ("x", "y", "score")]], at)[0]
    return make_poses(MPII16, joints, scores, [f"{where}.annorect({p + 1})" for p in range(len(rects))], notes)


def _number(record: Any, name: str, where: str) -> float:
    value = np.asarray(field(record, name))
    if value.size != 1 or value.dtype.kind not in "fiub":
        raise InputError(f"{where}: expected one number as {name!r}")
    return float(value.ravel()[0])


def _name(entry: Any) -> str:
    for image in records(field(entry, "image")):
        text = np.asarray(field(image, "name")).ravel()
        if len(text) == 1 and isinstance(text[0], str):
            return str(text[0])
    return ""
