"""The LTSH JSON layout of a synthesised data set, made from its shards.

A folder ``ltsh`` beside the shards holds ``images``, ``masks`` (what to ignore), ``instances``, ``depth``, and a JSON
file for each shard with one entry a person in the 16 joints of MPII. It comes last: where it is, the rest is whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ltsh_deploy.datasets.ltsh_entries import CHARACTERISTICS
from ltsh_deploy.errors import InputError
from ltsh_deploy.result_names import make_folder
from ltsh_deploy.train.synth_writers import find_shards, labels_of, read_shard
from ltsh_deploy.whole_files import write_whole

__all__ = ["LTSH_FOLDER", "complete_ltsh"]

#: The layout's place beside the shards.
LTSH_FOLDER = "ltsh"
#: The members of a shard that go into files of their own, and the folders for them.
_FOLDERS = {"jpg": "images", "ignore.png": "masks", "instances.png": "instances", "depth.png": "depth"}
_UNKNOWN = "_NaN_"


def complete_ltsh(folder: Path) -> None:
    """Write the layout of every shard in a folder that does not have it yet.

    Raises:
        InputError: when a shard is damaged.
        OutputError: when something cannot be written.
    """
    for shard in find_shards(folder).values():
        target = folder / LTSH_FOLDER / f"{shard.stem}.json"
        if not target.exists():
            _write(shard, target)


def _write(shard: Path, target: Path) -> None:
    base = target.parent
    for name in _FOLDERS.values():
        make_folder(base / name)
    entries: list[dict[str, Any]] = []
    for number, members in read_shard(shard):
        where = f"{shard}: {number:08d}"
        labels = labels_of(members, where)
        for extension, data in members.items():
            if extension in _FOLDERS:
                suffix = extension.rpartition(".")[2]
                write_whole(base / _FOLDERS[extension] / f"{number:08d}.{suffix}", data)
        if "ignore.png" not in members:
            # The layout's readers look for a mask beside every picture, or beside none.
            write_whole(base / "masks" / f"{number:08d}.png", _nothing_ignored(labels))
        try:
            entries += people_entries(labels, f"images/{number:08d}.jpg", shard.name.startswith("val"))
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{where}: its labels are not those of a synthesised picture", "make it again") from None
    write_whole(target, json.dumps({"root": entries}, separators=(",", ":")).encode())


def _nothing_ignored(labels: Mapping[str, Any]) -> bytes:
    empty = np.zeros((labels["height"], labels["width"]), np.uint8)
    return bytes(cv2.imencode(".png", empty)[1])


def people_entries(labels: Mapping[str, Any], image: str, is_val: bool) -> list[dict[str, Any]]:
    """The entries of a picture's people, from its labels in a shard.

    Args:
        labels: as :mod:`ltsh_deploy.train.synth_labels` makes them.
        image: the picture's ``img_paths``.
        is_val: whether it is for validation.
    """
    people = labels["people"]
    joints = [_joints(person["extra"]["mpii16"], labels["width"], labels["height"]) for person in people]
    entries = []
    for p, person in enumerate(people):
        others = [q for q in range(len(people)) if q != p]
        entry = {
            "img_paths": image,
            "img_width": labels["width"],
            "img_height": labels["height"],
            "isValidation": int(is_val),
            "people_index": p + 1,
            "objpos": person["centre"],
            "joint_self": joints[p],
            "scale_provided": person["scale"],
            "joint_others": _squeezed([joints[q] for q in others]),
            "objpos_other": _squeezed([people[q]["centre"] for q in others]),
            "scale_provided_other": _squeezed([people[q]["scale"] for q in others]),
            "isSynth": person["is_synthetic"],
            "isSynth_other": _squeezed([people[q]["is_synthetic"] for q in others]),
        }
        known = person["characteristics"]
        if person["is_synthetic"]:
            entry |= {key: known.get(name, _UNKNOWN) for key, name in CHARACTERISTICS.items()}
        entries.append(entry)
    return entries


def _joints(labelled: Sequence[Sequence[float] | None], width: int, height: int) -> list[list[float]]:
    """[x, y, visible] a joint: 1 visible, 0 hidden, 2 outside the picture, and (0, 0) for what is not labelled."""
    joints = []
    for joint in labelled:
        x, y, label = (0.0, 0.0, 0.0) if joint is None else joint
        inside = -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5
        # Exactly (0, 0) would be read as not labelled.
        x = math.nextafter(0.0, 1.0) if label and x == 0 and y == 0 else x
        joints.append([x, y, (1 if label == 2 else 0) if inside else 2])
    return joints


def _squeezed(values: list[Any]) -> Any:
    """As the format's writer has it: the bare thing where there is one, an empty object where there is none."""
    return {} if not values else values[0] if len(values) == 1 else values
