"""Whom another network finds in the pictures of a data set, kept in files so that it is looked for once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ltsh_deploy.datasets import Dataset
from ltsh_deploy.errors import InputError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.fields import FloatArray
from ltsh_deploy.file_digests import sha256_of
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton
from ltsh_deploy.whole_files import write_whole

__all__ = ["find_people", "open_annotator"]

# Pictures to a file. It is written anew after each of them: to look at one takes longer by far.
_CHUNK = 500
# How the annotator looks.
_SIZE, _SCALES, _MIRROR = (368, 368), (0.7, 1.0, 1.3), True


def open_annotator(model: Path) -> PoseEstimator:
    """A network that looks at three sizes, and mirrored."""
    return PoseEstimator.open(model, device="cpu", threads=1, size=_SIZE, scales=_SCALES, mirror=_MIRROR)


def find_people(dataset: Dataset, model: Path, folder: Path, tell: Callable[[str], None]) -> list[Poses]:
    """Whom a network finds in each picture, in the order of the data set. What is kept in the folder is not repeated.

    Args:
        dataset: any.
        model: file of the network.
        folder: for what was found; made where it is not there.
        tell: is told what has been done.

    Raises:
        InputError: when a kept file is damaged, or of other pictures, or another network found it.
        LtshError: when the model or a picture cannot be read, or a file cannot be written.
    """
    found: list[Poses] = []
    with open_annotator(model) as annotator:
        look = {"size": list(_SIZE), "scales": list(_SCALES), "mirror": _MIRROR}
        looked = {"annotator": sha256_of(model), "joints": list(annotator.skeleton.joints), **look}
        folder.mkdir(parents=True, exist_ok=True)
        for begin in range(0, len(dataset), _CHUNK):
            samples = [dataset[index] for index in range(begin, min(begin + _CHUNK, len(dataset)))]
            path = folder / f"{begin:05d}.json"
            pictures = _read(path, looked, [sample.id for sample in samples], annotator.skeleton)
            for sample in samples[len(pictures) :]:
                pictures[sample.id] = _stored(annotator(sample.read_image()))
                write_whole(path, json.dumps({"looked": looked, "pictures": pictures}, separators=(",", ":")).encode())
                if len(pictures) == len(samples):
                    tell(f"looked at {begin + len(samples)} of {len(dataset)} pictures")
            found += [_poses(people, annotator.skeleton) for people in pictures.values()]
    return found


def _stored(poses: Poses) -> list[dict[str, Any]]:
    # Hundredths of a pixel are finer than anybody's labels.
    return [
        {"xy": [None if np.isnan(x) else [round(x, 2), round(y, 2)] for x, y in xy], "score": round(score, 4)}
        for xy, score in zip(poses.xy.tolist(), poses.scores.tolist(), strict=True)
    ]


def _read(path: Path, looked: dict[str, Any], ids: list[str], skeleton: Skeleton) -> dict[str, list[Any]]:
    """What the file has of these pictures: of none where it is not there, of the first ones after an interruption."""
    if not path.is_file():
        return {}
    again = "Delete it: it is then made again."
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        pictures: dict[str, list[Any]] = stored["pictures"]
        if stored["looked"] != looked or list(pictures) != ids[: len(pictures)]:
            raise InputError(f"{path}: is of other pictures, or another network found it, or looked otherwise", again)
        for people in pictures.values():
            _poses(people, skeleton)
        return pictures
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise InputError(f"{path}: is damaged", again) from None


def _poses(people: list[Any], skeleton: Skeleton) -> Poses:
    absent = (np.nan, np.nan)
    xy: FloatArray = np.array([[joint or absent for joint in person["xy"]] for person in people], np.float64)
    xy = xy.reshape(len(people), skeleton.num_joints, 2)
    scores: FloatArray = np.array([person["score"] for person in people], np.float64)
    present = np.isfinite(xy).all(axis=2)
    if np.isinf(xy).any() or not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("no such place or score")
    return Poses(skeleton, xy, np.where(present, scores[:, None], 0.0), scores)
