"""The LTSH JSON layout of a synthesised data set, made from its shards.

A folder ``ltsh`` beside the shards holds ``images``, ``masks`` (what to ignore), ``instances``, ``depth``, and a JSON
file for each shard with one entry a person in the 16 joints of MPII. It comes last: a killed run leaves none without
the rest.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ltsh_deploy.datasets.ltsh_entries import CHARACTERISTICS
from ltsh_deploy.errors import InputError
from ltsh_deploy.result_names import make_folder
from ltsh_deploy.train.synth_folder import LTSH_FOLDER
from ltsh_deploy.train.synth_writers import again, labels_of, read_shard
from ltsh_deploy.whole_files import write_whole

__all__ = ["is_whole", "people_entries", "write_ltsh"]

_IGNORE = "ignore.png"
# The members of a shard that go into files of their own, and the folders for them.
_FOLDERS = {"jpg": "images", _IGNORE: "masks", "instances.png": "instances", "depth.png": "depth"}
_UNKNOWN = "_NaN_"
# How whole files end, and files that are cut off do not: there is no other line's end in the JSON.
_JSON_END, _PNG_END = b"]}\n", b"IEND\xaeB`\x82"


def is_whole(shard: Path, sizes: Mapping[int, Mapping[str, int]]) -> bool:
    """Whether the layout of a shard is there, and no file of it is missing or cut off.

    Args:
        shard: beside which the layout's folder lies.
        sizes: of the shard's files, as :func:`~ltsh_deploy.train.synth_writers.list_shard` gives them.
    """
    base = shard.parent / LTSH_FOLDER
    try:
        if not _ends_with(base / f"{shard.stem}.json", _JSON_END):
            return False
        for number, files in sizes.items():
            for extension in files.keys() & _FOLDERS.keys():
                if _file_of(base, number, extension).stat().st_size != files[extension]:
                    return False
            if _IGNORE not in files and not _ends_with(_file_of(base, number, _IGNORE), _PNG_END):
                return False
    except OSError:
        return False
    return True


def _ends_with(path: Path, end: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - len(end)))
        return file.read() == end


def write_ltsh(shard: Path) -> None:
    """Write the layout of a shard into the folder beside it.

    Raises:
        InputError: when the shard is damaged.
        OutputError: when something cannot be written.
    """
    base = shard.parent / LTSH_FOLDER
    for name in _FOLDERS.values():
        make_folder(base / name)
    entries: list[dict[str, Any]] = []
    for number, members in read_shard(shard):
        where = f"{shard}: {number:08d}"
        labels = labels_of(members, where, again(shard))
        try:
            # The layout's readers look for a mask beside every picture, or beside none.
            files = {_IGNORE: _nothing_ignored(labels)} | members
            entries += people_entries(labels, f"images/{number:08d}.jpg", shard.name.startswith("val"))
        except (KeyError, TypeError, ValueError):
            message = f"{where}: its labels are not those of a synthesised picture"
            raise InputError(message, again(shard)) from None
        for extension in files.keys() & _FOLDERS.keys():
            write_whole(_file_of(base, number, extension), files[extension])
    text = json.dumps({"root": entries}, separators=(",", ":")).encode() + b"\n"
    write_whole(base / f"{shard.stem}.json", text)


def _file_of(base: Path, number: int, extension: str) -> Path:
    return base / _FOLDERS[extension] / f"{number:08d}.{extension.rpartition('.')[2]}"


def _nothing_ignored(labels: Mapping[str, Any]) -> bytes:
    empty = np.zeros((labels["height"], labels["width"]), np.uint8)
    return bytes(cv2.imencode(".png", empty)[1])


def people_entries(labels: Mapping[str, Any], image: str, is_val: bool) -> list[dict[str, Any]]:
    """The entries of a picture's people, from its labels in a shard.

    Who may not be the centre of a crop has no entry of their own, which is how the format says it, but is among the
    others of those who have one. Where nobody may be, everybody has an entry, lest the picture be lost.

    Args:
        labels: as :mod:`ltsh_deploy.train.synth_labels` makes them.
        image: the picture's ``img_paths``.
        is_val: whether it is for validation.
    """
    people = labels["people"]
    joints = [_joints(person["extra"]["mpii16"], labels["width"], labels["height"]) for person in people]
    trainable = [p for p, person in enumerate(people) if person.get("trainable", True)]
    entries = []
    for p in trainable or range(len(people)):
        person = people[p]
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
            "isSynth_other": _flags([people[q]["is_synthetic"] for q in others]),
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


def _flags(values: list[bool]) -> Any:
    """As the format has flags: [[true], [false]] of two or more, the bare flag of one, an empty object of none."""
    return [[value] for value in values] if len(values) > 1 else _squeezed(values)
