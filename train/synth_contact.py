"""Contact sheets: pictures of a synthesised data set side by side, and the same with what is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.drawing import draw_poses
from ltsh_deploy.images import Image, read_image
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.synth_writers import again, find_shards, labels_of, read_shard

__all__ = ["contact_sheets", "draw_truth"]

_COLUMNS, _ROWS = 8, 4
_TILE = 300
_GREY = 40
_COLOURS = {"visible": (60, 220, 60), "self_occluded": (250, 210, 40), "other_occluded": (240, 50, 50)}


def contact_sheets(folder: Path) -> dict[str, Image]:
    """Two sheets by file name, of up to 32 pictures spread evenly over a folder's shards: as they are, and with truth.

    Raises:
        InputError: when a shard is damaged.
    """
    plain, drawn = [], []
    for picture, labels in _spread(folder):
        zoom = _TILE / max(picture.shape[:2])
        size = max(1, round(picture.shape[1] * zoom)), max(1, round(picture.shape[0] * zoom))
        how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        small = np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)
        plain.append(small)
        drawn.append(draw_truth(small, labels, zoom))
    return {"contact_sheet.png": _sheet(plain), "contact_sheet_truth.png": _sheet(drawn)}


def _spread(folder: Path) -> Iterator[tuple[Image, dict[str, Any]]]:
    shards = find_shards(folder)
    numbers = np.concatenate([np.arange(part.first, part.last + 1) for part in shards])
    places = np.linspace(0, len(numbers) - 1, min(len(numbers), _COLUMNS * _ROWS))
    chosen = set(numbers[np.rint(places).astype(int)].tolist())
    for part, path in shards.items():
        if chosen.isdisjoint(range(part.first, part.last + 1)):
            continue
        for number, members in read_shard(path):
            if number in chosen:
                where = f"{path}: {number:08d}"
                yield read_image(members.get("jpg", b""), where), labels_of(members, where, again(path))


def draw_truth(picture: Image, labels: Mapping[str, Any], zoom: float) -> Image:
    """The people drawn on a picture that was resized by ``zoom``; real people's joints have no states and no dots."""
    people = labels["people"]
    joints = np.array([[j or (np.nan, np.nan, 0) for j in person["joints"]] for person in people], np.float64)
    joints = joints.reshape(-1, LTSH15.num_joints, 3)
    # A pixel's centre has whole coordinates, so that the corner it is scaled about lies at -0.5.
    joints[:, :, :2] = (joints[:, :, :2] + 0.5) * zoom - 0.5
    poses = Poses(LTSH15, joints[:, :, :2], joints[:, :, 2] / 2, np.ones(len(joints)))
    drawn = draw_poses(picture, poses, labels=False)
    for person, placed in zip(people, joints, strict=True):
        for state, (x, y, label) in zip(person["extra"].get("states", ()), placed, strict=False):
            if label and state in _COLOURS:
                cv2.circle(drawn, (round(x), round(y)), 2, _COLOURS[state], -1, cv2.LINE_AA)
    return drawn


def _sheet(tiles: list[npt.NDArray[np.uint8]]) -> Image:
    """Tiles side by side, each in the middle of a grey square."""
    rows = -(-len(tiles) // _COLUMNS)
    sheet = np.full((rows * _TILE, min(len(tiles), _COLUMNS) * _TILE, 3), _GREY, np.uint8)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, _COLUMNS)
        height, width = tile.shape[:2]
        y, x = row * _TILE + (_TILE - height) // 2, column * _TILE + (_TILE - width) // 2
        sheet[y : y + height, x : x + width] = tile
    return sheet
