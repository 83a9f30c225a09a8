"""The default model's data sets: LSPET with everybody in its pictures, and its people in other photographs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Dataset, Sample, open_dataset
from ltsh_deploy.datasets.stored import read_bytes
from ltsh_deploy.engine_files import sha256_of
from ltsh_deploy.errors import InputError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.fields import FloatArray
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import LTSH15, Skeleton
from ltsh_deploy.train.synth_backgrounds import Photographs
from ltsh_deploy.train.synth_writers import ShardWriter, encode_labels, encode_members
from ltsh_deploy.whole_files import write_whole
from studies.default_model.others import choose_others
from studies.default_model.scenes import Scene, draw_inset, set_in

__all__ = ["draw_scene", "find_people", "make_data", "open_annotator", "write_everybody", "write_scenes"]

#: The characteristic that labelled people get: the score with which the annotator found them, 0 where it did not.
FOUND = "found"
#: From this one on, a person's pose is taken for one of everyday life, which the annotator was trained on.
EVERYDAY = 0.2
# Pictures whose people are found before a file is written.
_CHUNK = 500
_PER_SHARD = 1500
# Where nobody is known to be, somebody may be whom the network did not find.
_IGNORE_OUTSIDE = 1.6
# Scenes, (width, height), and most of the people that are set into each.
_SIZE, _PEOPLE = (512, 384), 6
# The first person's height in pixels lies between these, as often half as much as twice; the others' is like it.
_HEIGHT, _LIKE = (45.0, 240.0), (0.7, 1.4)


def make_data(
    real: Path, backgrounds: Path, annotator: Path, scenes: int, out: Path, tell: Callable[[str], None]
) -> None:
    """Make both data sets, ``everybody`` and ``scenes``, in a folder; shards that are there are replaced.

    Args:
        real: folder of LSPET's shards.
        backgrounds: folder of photographs without people.
        annotator: model file of the network that finds people; of any skeleton that shares joints with ltsh15.
        scenes: how many pictures to set people into.
        out: folder, made where it is not there. Whom the annotator found is kept there too.
        tell: is told what has been done.

    Raises:
        LtshError: when something cannot be read or written.
    """
    # Said before an hour's work, not after it.
    Photographs(backgrounds, _SIZE)
    with open_annotator(annotator) as network:
        # Of each annotator in a folder of its own, so that what one found is never taken for another one's.
        found = out / f"found-{sha256_of(annotator)[:12]}"
        everybody, scenery = out / "everybody", out / "scenes"
        for folder in (found, everybody, scenery):
            folder.mkdir(parents=True, exist_ok=True)
        counts = write_everybody(real, find_people(real, network, found, tell), _emptied(everybody))
    tell(f"{everybody}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    centres = write_scenes(everybody, backgrounds, scenes, _emptied(scenery))
    tell(f"{scenery}: {scenes} pictures, {centres} people to centre a crop on")


def _emptied(folder: Path) -> Path:
    """The folder, without the shards of a run before, which may have been of another size."""
    for shard in folder.glob("*.tar"):
        shard.unlink()
    return folder


def open_annotator(model: Path) -> PoseEstimator:
    """A network that looks at three sizes, and mirrored."""
    return PoseEstimator.open(model, device="cpu", threads=1, size=(368, 368), scales=(0.7, 1.0, 1.3), mirror=True)


def find_people(real: Path, annotator: PoseEstimator, folder: Path, tell: Callable[[str], None]) -> Iterator[Poses]:
    """Whom the annotator finds in each training picture, in the order of the data set; what is stored is not repeated.

    Args:
        real: folder of LSPET's shards.
        annotator: see :func:`open_annotator`.
        folder: for what was found; it must be there.
        tell: is told what has been done.

    Raises:
        LtshError: when a picture or a stored file cannot be read, or a file cannot be written.
    """
    dataset = open_dataset("shards", real, split="train")
    for begin in range(0, len(dataset), _CHUNK):
        end = min(begin + _CHUNK, len(dataset))
        path = folder / f"{begin:05d}.json"
        if not path.is_file():
            found = [_stored(annotator(dataset[index].read_image())) for index in range(begin, end)]
            write_whole(path, json.dumps(found, separators=(",", ":")).encode())
            tell(f"looked at {end} of {len(dataset)} pictures")
        yield from _read_found(path, annotator, end - begin)


def _stored(poses: Poses) -> list[dict[str, Any]]:
    # Hundredths of a pixel are finer than anybody's labels.
    return [
        {"xy": [None if np.isnan(x) else [round(x, 2), round(y, 2)] for x, y in xy], "score": round(score, 4)}
        for xy, score in zip(poses.xy.tolist(), poses.scores.tolist(), strict=True)
    ]


def _read_found(path: Path, annotator: PoseEstimator, pictures: int) -> Iterator[Poses]:
    skeleton = annotator.skeleton
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if len(stored) != pictures:
            raise ValueError
        for people in stored:
            xy = np.array([[joint or (np.nan, np.nan) for joint in person["xy"]] for person in people], np.float64)
            scores = np.array([person["score"] for person in people], np.float64)
            yield _poses(skeleton, xy.reshape(len(people), skeleton.num_joints, 2), scores)
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is damaged, or of another data set", "Delete it: it is then made again.") from None


def _poses(skeleton: Skeleton, xy: FloatArray, scores: FloatArray) -> Poses:
    return Poses(skeleton, xy, np.where(np.isfinite(xy).all(axis=2), scores[:, None], 0.0), scores)


def write_everybody(real: Path, found: Iterator[Poses], folder: Path) -> Counter[str]:
    """Write LSPET's training pictures with the people that were found in them; returns what is in them, by kind.

    Args:
        real: folder of LSPET's shards.
        found: for each of its training pictures.
        folder: to write to; it must be there.

    Raises:
        LtshError: when a picture cannot be read, or a shard cannot be written.
    """
    dataset = open_dataset("shards", real, split="train")
    counts: Counter[str] = Counter()
    for begin in range(0, len(dataset), _PER_SHARD):
        with ShardWriter(folder, "train", begin) as writer:
            for index in range(begin, min(begin + _PER_SHARD, len(dataset))):
                sample = dataset[index].to_skeleton(LTSH15)
                others = choose_others(sample, next(found))
                people = [*_people(sample), *_others(others.joints, others.trainable)]
                for person, score in zip(people, others.found.tolist(), strict=False):
                    person["characteristics"] = {FOUND: score}
                boxes = others.doubtful.round(1).tolist()
                labels = {"skeleton": LTSH15.name, "people": people, "ignore_boxes": boxes, "made_of": sample.id}
                writer.add({"jpg": read_bytes(sample.image, sample.id), "json": encode_labels(labels)})
                counts["pictures"] += 1
                counts["labelled people who are found too"] += int((others.found >= EVERYDAY).sum())
                counts["others"] += len(others.joints)
                counts["others to centre a crop on"] += int(others.trainable.sum())
                counts["doubtful"] += len(boxes)
    return counts


def _people(sample: Sample | Scene) -> list[dict[str, Any]]:
    return [
        {"joints": _joints(joints), "centre": centre.tolist(), "scale": float(scale), "trainable": bool(trainable)}
        for joints, centre, scale, trainable in zip(
            sample.joints, sample.centres, sample.scales, sample.trainable, strict=True
        )
    ]


def _others(people: FloatArray, trainable: npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
    return [{"joints": _joints(joints), "trainable": bool(own)} for joints, own in zip(people, trainable, strict=True)]


def _joints(joints: Any) -> list[list[float] | None]:
    return [[round(x, 2), round(y, 2), label] if label else None for x, y, label in joints.tolist()]


def write_scenes(everybody: Path, backgrounds: Path, count: int, folder: Path, seed: int = 0) -> int:
    """Write photographs with people set into them; returns how many people a crop may be centred on.

    Args:
        everybody: folder that :func:`write_everybody` wrote.
        backgrounds: folder of photographs without people.
        count: scenes to make.
        folder: to write to; it must be there.
        seed: of all that is drawn; each scene depends on it and its own number alone.

    Raises:
        LtshError: when a picture cannot be read, or a shard cannot be written.
    """
    dataset = open_dataset("shards", everybody, ignore_outside=_IGNORE_OUTSIDE)
    photographs = Photographs(backgrounds, _SIZE)
    everyday = [i for i in range(len(dataset)) if dataset[i].characteristics[FOUND][0] >= EVERYDAY] or range(
        len(dataset)
    )
    centres = 0
    for begin in range(0, count, _PER_SHARD):
        with ShardWriter(folder, "train", begin) as writer:
            for index in range(begin, min(begin + _PER_SHARD, count)):
                scene = draw_scene(np.random.default_rng([seed, index]), dataset, everyday, photographs)
                labels = {"skeleton": LTSH15.name, "people": _people(scene)}
                writer.add(encode_members(scene.image, labels, {"ignore.png": np.uint8(255) * scene.ignored}))
                centres += int(scene.trainable.sum())
    return centres


def draw_scene(rng: np.random.Generator, dataset: Dataset, everyday: Sequence[int], photographs: Photographs) -> Scene:
    """A photograph with up to six people of a data set, and with those who are beside them.

    Args:
        rng: all is drawn from it.
        dataset: of people.
        everyday: which of them half of the people are drawn from.
        photographs: without people.
    """
    size = _SIZE if rng.random() < 2 / 3 else _SIZE[::-1]
    scene = Scene.of(photographs.draw_picture(rng, size)[0], LTSH15.num_joints)
    height = np.exp(rng.uniform(*np.log(_HEIGHT)))
    for _ in range(rng.integers(1, _PEOPLE + 1)):
        number = everyday[int(rng.integers(len(everyday)))] if rng.random() < 0.5 else int(rng.integers(len(dataset)))
        set_in(rng, scene, draw_inset(rng, dataset[number], height * np.exp(rng.uniform(*np.log(_LIKE)))))
    return scene
