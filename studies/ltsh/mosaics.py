"""Pictures of several real people with known joints: validation people of LSPET, four in each picture.

Made by the same code that makes mosaics for training, but always the same ones: everybody comes once at most, upright,
and large enough that some are cut off by the edge of their part.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Dataset, Sample, open_dataset
from ltsh_deploy.errors import InputError
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.augment import draw_warp
from ltsh_deploy.train.compose import draw_split, mosaic, tiles
from ltsh_deploy.train.crops import Crop, make_crop
from ltsh_deploy.train.data_config import CropConfig
from ltsh_deploy.train.synth_writers import ShardWriter, encode_members
from studies.ltsh.configs import IGNORE_OUTSIDE

__all__ = ["make_mosaics", "mosaic_members"]

#: People in a mosaic.
PEOPLE = 4
# Between the crop's cells, so that what counts is known of whole cells.
_STRIDE = 8
_CROP = CropConfig(target_scale=1.25, zoom=(0.9, 1.5), rotation=0, shift=40, mirror=0)


def make_mosaics(real: Path, folder: Path, count: int, tile: int, seed: int = 0) -> int:
    """Write mosaics of the validation people of a folder of shards as one shard; returns how many there are.

    Args:
        real: folder of shards with one labelled person a picture.
        folder: to write to; made where it is not there.
        count: mosaics at most; there are fewer where there are fewer than four times as many people.
        tile: half a mosaic's side, pixels.
        seed: of the order of people, and of where they stand.

    Raises:
        InputError: when the data set cannot be read, has fewer than four people, or several in a picture.
        OutputError: when the shard cannot be written.
    """
    dataset = open_dataset("shards", real, split="val", ignore_outside=IGNORE_OUTSIDE)
    count = min(count, len(dataset) // PEOPLE)
    if count < 1:
        raise InputError(f"{real}: has {len(dataset)} validation people, and a mosaic needs {PEOPLE}")
    folder.mkdir(parents=True, exist_ok=True)
    with ShardWriter(folder, "val", 0) as writer:
        for members in mosaic_members(dataset, count, tile, seed):
            writer.add(members)
    return count


def mosaic_members(dataset: Dataset, count: int, tile: int, seed: int) -> Iterator[dict[str, bytes]]:
    """The files of each mosaic, by extension: picture, labels, and a mask of where people may be whom nobody labelled.

    Raises:
        InputError: when a picture has not exactly one labelled person.
        ImageError: when a picture cannot be read.
    """
    order = np.random.default_rng([seed]).permutation(len(dataset))
    for index in range(count):
        samples = [dataset[int(i)].to_skeleton(LTSH15) for i in order[PEOPLE * index : PEOPLE * (index + 1)]]
        rng = np.random.default_rng([seed, index])
        size = (2 * tile, 2 * tile)
        places = tiles(size, draw_split(rng, size, _STRIDE))
        crops, scales = [], []
        for sample, (_, _, width, height) in zip(samples, places, strict=True):
            if len(sample) != 1:
                raise InputError(
                    f"sample {sample.id!r}: has {len(sample)} people, and mosaics are made of pictures with one each"
                )
            warp = draw_warp(rng, _CROP, sample.centres[0], float(sample.scales[0]), (width, height))
            crops.append(make_crop(sample, 0, warp, _STRIDE))
            scales.append(float(sample.scales[0]) * warp.zoom)
        whole = mosaic(crops, places, _STRIDE)
        ignored = np.kron(whole.ignored, np.full((_STRIDE, _STRIDE), 255, np.uint8)).astype(np.uint8)
        yield encode_members(whole.image, _labels(whole, samples, scales), {"ignore.png": ignored})


def _labels(whole: Crop, samples: list[Sample], scales: list[float]) -> dict[str, Any]:
    people = []
    for joints, (x1, y1, x2, y2), scale in zip(whole.joints, whole.clips, scales, strict=True):
        with np.errstate(invalid="ignore"):
            x, y = joints[:, 0], joints[:, 1]
            # Beyond the edge of their tile nobody can be seen.
            seen = (joints[:, 2] > 0) & (x >= x1) & (y >= y1) & (x < x2) & (y < y2)
        inside = joints[seen, :2]
        centre: npt.NDArray[np.float64] = (inside.min(axis=0) + inside.max(axis=0)) / 2 if len(inside) else np.zeros(2)
        people.append(
            {
                "joints": [[*map(float, joint)] if there else None for joint, there in zip(joints, seen, strict=True)],
                "centre": [*map(float, centre)],
                "scale": scale,
            }
        )
    height, width = whole.image.shape[:2]
    made_of = [sample.id for sample in samples]
    return {"skeleton": LTSH15.name, "width": width, "height": height, "people": people, "made_of": made_of}
