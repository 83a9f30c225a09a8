"""The tail: D_S with a part that is rare, hard and can be learned, so that there is something for a teacher to find.

Each picture has a lot, the last digit of its number, and its people with it. Nine lots differ in nothing. The pictures
of the last one are taken at night: a tenth of the light, and the noise of a camera that has too little of it. No
photograph of LSPET is like that, nor does the augmentation make one; where the joints are is the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ltsh_deploy.datasets import Sample, open_dataset
from ltsh_deploy.errors import InputError
from ltsh_deploy.images import Image, read_image
from ltsh_deploy.train.synth_writers import (
    ShardWriter,
    again,
    encode_labels,
    encode_members,
    find_shards,
    labels_of,
    read_shard,
)

__all__ = ["BOUNDARIES", "LOT", "LOTS", "NIGHT", "darken", "write_night", "write_tail"]

#: The characteristic.
LOT = "lot"
#: How many lots there are.
LOTS = 10
#: The one that is taken at night.
NIGHT = LOTS - 1
#: Between the groups, of which each lot is one.
BOUNDARIES = tuple(lot - 0.5 for lot in range(1, LOTS))
_LIGHT = 0.1
# Standard deviation, of 255.
_NOISE = 2.0
# The mask that training looks at.
_INSTANCES = "instances.png"


def darken(picture: Image, seed: int) -> Image:
    """A picture [H, W, 3] uint8 RGB as if taken at night: values of 0 to 25.5, and Gaussian noise."""
    noise = np.random.default_rng([seed]).normal(0, _NOISE, picture.shape)
    return np.asarray(np.rint(picture * _LIGHT + noise).clip(0, 255), np.uint8)


def write_tail(source: Path, folder: Path) -> int:
    """Write the pictures of D_S, those of the last lot at night; each person gets the characteristic :data:`LOT`.

    Args:
        source: folder of shards that the generator wrote.
        folder: to write to; made where it is not there. Its shards have the same names.

    Returns:
        The number of pictures.

    Raises:
        InputError: when a shard or a picture is damaged.
        OutputError: when a shard cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for part, path in find_shards(source).items():
        pictures = dict(read_shard(path))
        with ShardWriter(folder, path.name.partition("-")[0], part.first) as writer:
            for number in range(part.first, part.last + 1):
                members = pictures.get(number, {})
                writer.add(_with_lot(members, number, path) if members else {})
                count += bool(members)
    return count


def _with_lot(members: dict[str, bytes], number: int, path: Path) -> dict[str, bytes]:
    where = f"{path}: {number:08d}"
    labels, lot = labels_of(members, where), number % LOTS
    for person in labels["people"]:
        person["characteristics"] = {**person["characteristics"], LOT: lot}
    try:
        picture, instances = members["jpg"], members[_INSTANCES]
    except KeyError as error:
        raise InputError(f"{where}: has no {error.args[0]}", again(path)) from None
    if lot == NIGHT:
        return {**encode_members(darken(read_image(picture, where), number), labels, {}), _INSTANCES: instances}
    return {"jpg": picture, "json": encode_labels(labels), _INSTANCES: instances}


def write_night(real: Path, folder: Path) -> int:
    """Write LSPET's validation people at night, as one shard; returns how many pictures there are.

    Args:
        real: folder of LSPET's shards.
        folder: to write to; made where it is not there.

    Raises:
        InputError: when the data set cannot be read.
        ImageError: when a picture cannot be read.
        OutputError: when the shard cannot be written.
    """
    dataset = open_dataset("shards", real, split="val")
    folder.mkdir(parents=True, exist_ok=True)
    with ShardWriter(folder, "val", 0) as writer:
        for index in range(len(dataset)):
            sample = dataset[index]
            writer.add(encode_members(darken(sample.read_image(), index), _labels(sample), {}))
    return len(dataset)


def _labels(sample: Sample) -> dict[str, Any]:
    people = [
        {"joints": [[*map(float, joint)] if joint[2] else None for joint in joints], "centre": [*map(float, centre)]}
        | {"scale": float(scale)}
        for joints, centre, scale in zip(sample.joints, sample.centres, sample.scales, strict=True)
    ]
    return {"skeleton": sample.skeleton.name, "people": people, "made_of": sample.id}
