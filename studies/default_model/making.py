"""The default model's data sets: LSPET with everybody in its pictures, and its people in other photographs."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ltsh_deploy.datasets import Dataset, Sample, open_dataset
from ltsh_deploy.datasets.stored import read_bytes
from ltsh_deploy.errors import ImageError, InputError, OutputError
from ltsh_deploy.fields import FloatArray
from ltsh_deploy.image_headers import recognise_image
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.synth_backgrounds import Photographs
from ltsh_deploy.train.synth_writers import ShardWriter, encode_labels, encode_members
from studies.default_model.finding import find_people
from studies.default_model.others import choose_others
from studies.default_model.scenes import Scene, draw_inset, set_in

__all__ = ["EVERYDAY", "FOUND", "draw_scene", "make_data", "write_everybody", "write_scenes"]

#: The characteristic that labelled people get: the score with which the annotator found them, 0 where it did not.
FOUND = "found"
#: From this one on, a person's pose is taken for one of everyday life, which the annotator was trained on.
EVERYDAY = 0.2
_PER_SHARD = 1500
# Where nobody is known to be, somebody may be whom the network did not find.
_IGNORE_OUTSIDE = 1.6
# Scenes, (width, height), and most of the people that are set into each.
_SIZE, _PEOPLE = (512, 384), 6
# A scene's people are about so many pixels tall, as often half as much as twice; each one by a factor more or less.
_HEIGHT, _VARIETY = (45.0, 240.0), (0.7, 1.4)
# With fewer labelled joints, too little is known of a person to set them into a scene.
_JOINTS = 4
# What the files of pictures in shards are called.
_EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WebP": "webp"}


def make_data(
    real: Path, backgrounds: Path, annotator: Path, scenes: int, out: Path, tell: Callable[[str], None]
) -> None:
    """Make both data sets, ``everybody`` and ``scenes``, in a folder. Those that are there are replaced by whole ones.

    Args:
        real: folder of LSPET's shards.
        backgrounds: folder of photographs without people.
        annotator: model file of the network that finds people; of any skeleton that shares joints with ltsh15.
        scenes: how many pictures to set people into.
        out: folder, made where it is not there. Whom the annotator found is kept there too, in ``found``.
        tell: is told what has been done.

    Raises:
        LtshError: when something cannot be read or written.
    """
    # What cannot be read is said before an hour's work, not after it.
    photographs = Photographs(backgrounds, _SIZE)
    dataset = open_dataset("shards", real, split="train")
    found = find_people(dataset, annotator, out / "found", tell)
    everybody, scenery = out / "everybody", out / "scenes"
    with _replaced(everybody) as folder:
        counts = write_everybody(dataset, found, folder)
        made = {"annotator": annotator.name, "real": dataset.name, **counts}
        (folder / "made.json").write_text(json.dumps(made, indent=1), encoding="utf-8")
        # Scenes of other people would not be noticed.
        _remove(scenery)
    tell(f"{everybody}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    people = open_dataset("shards", everybody, ignore_outside=_IGNORE_OUTSIDE)
    with _replaced(scenery) as folder:
        centres = write_scenes(people, photographs, scenes, folder)
        made = {"backgrounds": photographs.record(), "pictures": scenes, "people to centre a crop on": centres}
        (folder / "made.json").write_text(json.dumps(made, indent=1), encoding="utf-8")
    tell(f"{scenery}: {scenes} pictures, {centres} people to centre a crop on")


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A new folder, which takes the other one's name and place when the block ends, and is removed when it fails."""
    new = folder.with_name(f".{folder.name}.part")
    _remove(new)
    try:
        new.mkdir(parents=True)
        yield new
        _remove(folder)
        new.rename(folder)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror})", "Name another --out, or make room."
        ) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def write_everybody(dataset: Dataset, found: Sequence[Poses], folder: Path) -> Counter[str]:
    """Write a data set's pictures with the people that were found in them; returns what is in them, by kind.

    Args:
        dataset: any.
        found: in each of its pictures.
        folder: to write to; it must be there.

    Raises:
        LtshError: when a picture cannot be read, or a shard cannot be written.
    """
    counts: Counter[str] = Counter()
    for begin in range(0, len(dataset), _PER_SHARD):
        with ShardWriter(folder, "train", begin) as writer:
            for index in range(begin, min(begin + _PER_SHARD, len(dataset))):
                sample = dataset[index].to_skeleton(LTSH15)
                others = choose_others(sample, found[index])
                people = [
                    person | {"characteristics": {FOUND: score}}
                    for person, score in zip(_people(sample), others.found.tolist(), strict=True)
                ]
                for joints, trainable in zip(others.joints, others.trainable.tolist(), strict=True):
                    people.append({"joints": _joints(joints), "trainable": trainable})
                boxes = others.doubtful.round(1).tolist()
                labels = {"skeleton": LTSH15.name, "people": people, "ignore_boxes": boxes, "made_of": sample.id}
                writer.add({**_picture(sample), "json": encode_labels(labels)})
                counts["pictures"] += 1
                counts["labelled people who are found too"] += int((others.found >= EVERYDAY).sum())
                counts["others"] += len(others.joints)
                counts["others to centre a crop on"] += int(others.trainable.sum())
                counts["doubtful"] += len(boxes)
    return counts


def _picture(sample: Sample) -> dict[str, bytes]:
    """The picture's file, as it is, by extension."""
    data = read_bytes(sample.image, f"the picture of {sample.id}")
    kind = recognise_image(data)
    if kind not in _EXTENSIONS:
        raise ImageError(f"{sample.id}: is no picture of the kinds {', '.join(_EXTENSIONS)}", "Convert it.")
    return {_EXTENSIONS[kind]: data}


def _people(sample: Sample | Scene) -> list[dict[str, Any]]:
    return [
        {"joints": _joints(joints), "centre": centre.tolist(), "scale": float(scale), "trainable": bool(trainable)}
        for joints, centre, scale, trainable in zip(
            sample.joints, sample.centres, sample.scales, sample.trainable, strict=True
        )
    ]


def _joints(joints: FloatArray) -> list[list[float] | None]:
    """One person's joints [J, 3] as label files have them."""
    return [[round(x, 2), round(y, 2), label] if label else None for x, y, label in joints.tolist()]


def write_scenes(people: Dataset, photographs: Photographs, count: int, folder: Path, seed: int = 0) -> int:
    """Write photographs with people set into them; returns how many people a crop may be centred on.

    Args:
        people: that :func:`write_everybody` wrote.
        photographs: without people.
        count: scenes to make.
        folder: to write to; it must be there.
        seed: of all that is drawn; each scene depends on it and its own number alone.

    Raises:
        InputError: when too little is known of everybody.
        LtshError: when a picture cannot be read, or a shard cannot be written.
    """
    known = [index for index in range(len(people)) if people[index].labelled[0].sum() >= _JOINTS]
    everyday = [index for index in known if _found(people[index]) >= EVERYDAY] or known
    if not known:
        raise InputError(
            f"{people.name}: nobody has {_JOINTS} labelled joints, so that there is nobody to set into scenes"
        )
    centres = 0
    for begin in range(0, count, _PER_SHARD):
        with ShardWriter(folder, "train", begin) as writer:
            for index in range(begin, min(begin + _PER_SHARD, count)):
                scene = draw_scene(np.random.default_rng([seed, index]), people, known, everyday, photographs)
                labels = {"skeleton": LTSH15.name, "people": _people(scene)}
                writer.add(encode_members(scene.image, labels, {"ignore.png": np.uint8(255) * scene.ignored}))
                centres += int(scene.trainable.sum())
    return centres


def _found(sample: Sample) -> float:
    values = sample.characteristics.get(FOUND)
    return 0.0 if values is None else float(values[0])


def draw_scene(
    rng: np.random.Generator, people: Dataset, known: Sequence[int], everyday: Sequence[int], photographs: Photographs
) -> Scene:
    """A photograph with up to six people of a data set, and with those who are beside them.

    Args:
        rng: all is drawn from it.
        people: to set into it.
        known: their numbers.
        everyday: the numbers of those of whom there are as many as of all.
        photographs: without people.
    """
    size = _SIZE if rng.random() < 2 / 3 else _SIZE[::-1]
    scene = Scene.of(photographs.draw_picture(rng, size)[0], LTSH15.num_joints)
    height = np.exp(rng.uniform(*np.log(_HEIGHT)))
    for _ in range(rng.integers(1, _PEOPLE + 1)):
        among = everyday if rng.random() < 0.5 else known
        sample = people[among[int(rng.integers(len(among)))]]
        set_in(rng, scene, draw_inset(rng, sample, height * np.exp(rng.uniform(*np.log(_VARIETY)))))
    return scene
