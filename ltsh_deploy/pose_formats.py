"""The written forms of poses: our own record, OpenPose's JSON, COCO results and CSV; the first three can be read back.

Coordinates are written in pixels with two decimals and scores with four. What is written is strict JSON:
every ``to_*`` function raises :class:`~ltsh_deploy.errors.InputError` when a score is NaN or infinite.
``docs/outputs.md`` shows a sample of each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from ltsh_deploy.errors import InputError
from ltsh_deploy.json_checks import as_list, as_mapping, as_number, as_numbers, as_whole, short
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO17, SKELETONS, Skeleton

__all__ = [
    "CSV_HEADER",
    "FramePoses",
    "from_coco",
    "from_openpose",
    "from_record",
    "image_id",
    "source_stem",
    "to_coco",
    "to_csv_rows",
    "to_openpose",
    "to_record",
]

Json = dict[str, Any]

# In OpenPose's and COCO's forms a joint of score 0 is an absent one, so a joint that is there gets at least this much.
_LOWEST_SCORE = 0.0001


@dataclass(frozen=True)
class FramePoses:
    """The people of one picture or one frame of a video, and where they came from.

    Attributes:
        poses: the people, in pixels of the source image.
        source: its name: a file as the user named it, an address without what is secret, ``camera 0`` or ``stdin``.
        width: of the source image, in pixels.
        height: of the source image, in pixels.
        frame: the frame's index in its video or stream, from 0; None for a picture.
        time_s: seconds from the start of the video or stream; None for a picture.
    """

    poses: Poses
    source: str
    width: int
    height: int
    frame: int | None = None
    time_s: float | None = None


def source_stem(source: str) -> str:
    """A file name without folder and suffix for anything a user may name as a source, fit to name a result by.

    ``a/b.jpg`` gives ``b``, ``camera 0`` gives ``camera_0``, and an address its last part.
    """
    if camera := re.fullmatch("camera ([0-9]+)", source):
        return f"camera_{camera[1]}"
    address = re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+://(?:[^/]*@)?([^?#]*).*", source, re.DOTALL)
    path = PurePath(address[1][:100] if address else source)
    stem = path.stem if not address or len(path.parts) > 1 else path.name
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", stem).strip() or "source"


def image_id(frame: FramePoses) -> int | str:
    """What COCO results call this image.

    A video frame's index; for a picture the number its file name ends in (``000000197388.jpg`` and
    ``COCO_val2014_000000197388.jpg`` are 197388), where a ``_``, a ``-`` or nothing stands before it; else the stem.
    """
    if frame.frame is not None:
        return frame.frame
    stem = source_stem(frame.source)
    number = re.fullmatch(r"(?:.*[_-])?([0-9]{1,18})", stem, re.DOTALL)
    return int(number[1]) if number else stem


def to_record(frame: FramePoses) -> Json:
    """Our own form, one object an image.

    ``{source, frame, time_s, width, height, skeleton, people: [{id, score, joints: [[x, y, score] or null, ...]}]}``,
    the joints in the skeleton's order, null where absent; ``id`` only where people were tracked.
    """
    poses = _checked(frame.poses)
    ids: list[Json] = [{}] * len(poses) if poses.ids is None else [{"id": i} for i in poses.ids.tolist()]
    people = [{**ids[p], "score": _rounded(poses.scores[p], 4), "joints": _joints(poses, p)} for p in range(len(poses))]
    return {
        "source": frame.source,
        "frame": frame.frame,
        "time_s": None if frame.time_s is None else _rounded(frame.time_s, 6),
        "width": frame.width,
        "height": frame.height,
        "skeleton": poses.skeleton.name,
        "people": people,
    }


def from_record(record: object, skeleton: Skeleton | None = None, where: str = "record") -> FramePoses:
    """Read :func:`to_record`'s form.

    Args:
        record: one parsed JSON object.
        skeleton: whose joints these are; needed only where the record names none of the built-in skeletons.
        where: what to call the record in errors.

    Raises:
        InputError: when it is no such record, naming ``where``, or its skeleton is not the one given.
    """
    data = as_mapping(record, where)
    name = data.get("skeleton")
    known = skeleton if skeleton is not None else SKELETONS.get(name) if isinstance(name, str) else None
    if known is None or known.name != name:
        wanted = f"not the {skeleton.name!r} given" if skeleton is not None else "which is not built in"
        raise InputError(f"{where}: its skeleton is {short(name)}, {wanted}", "Pass the skeleton it was made with.")
    people = as_list(data.get("people"), f"{where}: 'people'")
    triples, scores, ids = [], [], []
    for p, person in enumerate(people):
        person = as_mapping(person, f"{where}: person {p}")
        triples.append(_triples(person.get("joints"), known, f"{where}: person {p}"))
        scores.append(as_number(person.get("score"), f"{where}: person {p}: 'score'"))
        if "id" in person:
            ids.append(as_whole(person["id"], f"{where}: person {p}: 'id'"))
    if ids and len(ids) != len(people):
        raise InputError(f"{where}: some people have an 'id' and some have none")
    frame, time_s = data.get("frame"), data.get("time_s")
    return FramePoses(
        poses=_poses(known, triples, scores, ids or None),
        source=str(data.get("source", "")),
        width=as_whole(data.get("width"), f"{where}: 'width'"),
        height=as_whole(data.get("height"), f"{where}: 'height'"),
        frame=None if frame is None else as_whole(frame, f"{where}: 'frame'"),
        time_s=None if time_s is None else as_number(time_s, f"{where}: 'time_s'"),
    )


def to_openpose(frame: FramePoses) -> Json:
    """OpenPose's output, version 1.3: a flat x, y, score for each joint of each person, 0, 0, 0 where absent.

    Joints are in the order of the poses' own skeleton (:data:`~ltsh_deploy.skeletons.COCO18` is OpenPose's order of its
    COCO model). ``person_id`` is [-1] where people were not tracked, as OpenPose writes it. The form has no place for a
    person's score.
    """
    poses = _checked(frame.poses)
    empty: Json = {part: [] for part in _OPENPOSE_EMPTY}
    ids = [-1] * len(poses) if poses.ids is None else poses.ids.tolist()
    people = [{"person_id": [ids[p]], "pose_keypoints_2d": _flat(poses, p), **empty} for p in range(len(poses))]
    return {"version": 1.3, "people": people}


def from_openpose(data: object, skeleton: Skeleton, where: str = "OpenPose JSON") -> Poses:
    """Read OpenPose's output for one image; a person's score becomes the mean of its joints' scores.

    Raises:
        InputError: when it is no such object, or its people do not have this skeleton's number of joints.
    """
    people = as_list(as_mapping(data, where).get("people"), f"{where}: 'people'")
    triples, ids = [], []
    for p, person in enumerate(people):
        person = as_mapping(person, f"{where}: person {p}")
        triples.append(_unflat(person.get("pose_keypoints_2d"), skeleton, f"{where}: person {p}: 'pose_keypoints_2d'"))
        given = person.get("person_id", [-1])
        ids.append(
            as_whole(given[0] if isinstance(given, list) and given else given, f"{where}: person {p}: 'person_id'")
        )
    tracked = bool(ids) and all(i >= 0 for i in ids)
    found = [[t[2] for t in person if t is not None] for person in triples]
    scores = [sum(s) / len(s) if s else 0.0 for s in found]
    return _poses(skeleton, triples, scores, ids if tracked else None)


def to_coco(frame: FramePoses) -> list[Json]:
    """COCO keypoint results, one ``{image_id, category_id: 1, keypoints: [17 x (x, y, score)], score}`` a person.

    People are converted to COCO's 17 joints by name; those the skeleton lacks are 0, 0, 0. People of whom no COCO joint
    is left are not written. See :func:`image_id` for the image's name.

    Raises:
        SkeletonError: when the skeleton has none of COCO's joints.
    """
    poses = _checked(frame.poses.to_skeleton(COCO17))
    name = image_id(frame)
    return [
        {"image_id": name, "category_id": 1, "keypoints": _flat(poses, p), "score": _rounded(poses.scores[p], 4)}
        for p in np.flatnonzero(poses.present.any(axis=1)).tolist()
    ]


def from_coco(entries: object, where: str = "COCO results") -> dict[int | str, Poses]:
    """Read COCO keypoint results: the people of each image that has any, in the order of the entries.

    Raises:
        InputError: when it is no list of such entries.
    """
    images: dict[int | str, tuple[list[_Person], list[float]]] = {}
    for n, entry in enumerate(as_list(entries, where)):
        at = f"{where}: entry {n}"
        entry = as_mapping(entry, at)
        name = entry.get("image_id")
        if not isinstance(name, str):
            name = as_whole(name, f"{at}: 'image_id'")
        people, scores = images.setdefault(name, ([], []))
        people.append(_unflat(entry.get("keypoints"), COCO17, f"{at}: 'keypoints'"))
        scores.append(as_number(entry.get("score"), f"{at}: 'score'"))
    return {name: _poses(COCO17, people, scores, None) for name, (people, scores) in images.items()}


CSV_HEADER = ("source", "frame", "time_s", "person", "id", "person_score", "joint", "x", "y", "score")


def to_csv_rows(frame: FramePoses) -> list[tuple[str | int | float, ...]]:
    """One row, as in :data:`CSV_HEADER`, for every joint that is there; ``person`` counts from 0 within the image.

    ``frame`` and ``time_s`` are empty for a picture, ``id`` where people were not tracked.
    """
    poses = _checked(frame.poses)
    time_s = "" if frame.time_s is None else _rounded(frame.time_s, 6)
    image = (frame.source, "" if frame.frame is None else frame.frame, time_s)
    rows: list[tuple[str | int | float, ...]] = []
    for p in range(len(poses)):
        person = (p, "" if poses.ids is None else int(poses.ids[p]), _rounded(poses.scores[p], 4))
        joints = zip(poses.skeleton.joints, _joints(poses, p), strict=True)
        rows += [(*image, *person, name, *joint) for name, joint in joints if joint is not None]
    return rows


# Parts of a person that OpenPose can write and we do not have; its readers expect the keys.
_OPENPOSE_EMPTY = (
    "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d",
    "pose_keypoints_3d", "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d",
)  # fmt: skip

_Joint = Sequence[float] | None
_Person = list[_Joint]


def _checked(poses: Poses) -> Poses:
    """The same poses, sure to have finite scores wherever one is written."""
    if not (np.isfinite(poses.scores).all() and np.isfinite(poses.joint_scores[poses.present]).all()):
        raise InputError("a person's or a joint's score is NaN or infinite, which no written form can hold")
    return poses


def _rounded(value: Any, digits: int) -> float:
    """Rounded; never the -0.0 that makes equal files differ."""
    return round(float(value), digits) + 0.0


def _joints(poses: Poses, person: int) -> list[list[float] | None]:
    """[x, y, score] of one person's joints, rounded; None where absent."""
    present = poses.present[person].tolist()
    values = zip(poses.xy[person].tolist(), poses.joint_scores[person].tolist(), present, strict=True)
    return [[_rounded(x, 2), _rounded(y, 2), _rounded(s, 4)] if here else None for (x, y), s, here in values]


def _flat(poses: Poses, person: int) -> list[float]:
    """x, y, score of one person's joints in one list; 0, 0, 0 where absent."""
    joints = ((0.0, 0.0, 0.0) if j is None else (j[0], j[1], max(j[2], _LOWEST_SCORE)) for j in _joints(poses, person))
    return [value for joint in joints for value in joint]


def _poses(skeleton: Skeleton, people: list[_Person], scores: list[float], ids: list[int] | None) -> Poses:
    absent = (math.nan, math.nan, 0.0)
    filled = [[absent if joint is None else joint for joint in person] for person in people]
    values = np.array(filled, dtype=np.float64).reshape(len(people), skeleton.num_joints, 3)
    track_ids = None if ids is None else np.array(ids, dtype=np.int64)
    xy, joint_scores = values[:, :, :2].copy(), values[:, :, 2].copy()
    return Poses(skeleton, xy, joint_scores, np.array(scores, dtype=np.float64), track_ids)


def _triples(value: object, skeleton: Skeleton, where: str) -> _Person:
    joints = as_list(value, f"{where}: 'joints'")
    if len(joints) != skeleton.num_joints:
        raise InputError(f"{where}: {skeleton.name} has {skeleton.num_joints} joints, found {len(joints)}")
    if not all(joint is None or (isinstance(joint, list) and len(joint) == 3) for joint in joints):
        raise InputError(f"{where}: each joint is [x, y, score] or null")
    return [None if joint is None else as_numbers(joint, where) for joint in joints]


def _unflat(value: object, skeleton: Skeleton, where: str) -> _Person:
    values = as_numbers(as_list(value, where), where)
    if len(values) != 3 * skeleton.num_joints:
        found = f"found {len(values)} numbers"
        raise InputError(f"{where}: {skeleton.name} has {skeleton.num_joints} joints of 3 numbers each, {found}")
    triples = (values[i : i + 3] for i in range(0, len(values), 3))
    return [triple if triple[2] > 0 else None for triple in triples]
