"""The folder of a synthesised data set: what it is for, who makes which of its pictures, what killed runs left in it.

Several runs may write into one folder, on several machines, as long as they make other pictures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ltsh_deploy.datasets.files import read_json, visible_files
from ltsh_deploy.errors import InputError, OutputError, UsageError
from ltsh_deploy.result_names import make_folder
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.locks import LOCK, try_lock, unlock
from ltsh_deploy.train.synth_writers import LARGEST_INDEX, find_shards
from ltsh_deploy.whole_files import write_whole

__all__ = ["INDEX", "LTSH_FOLDER", "claimed", "made_by", "shared_files"]

#: The file beside the shards that says whose joints they have and what made them.
INDEX = "index.json"
#: The place of the LTSH JSON layout beside the shards.
LTSH_FOLDER = "ltsh"
# Byte n of the lock stands for picture n, and this one for the files that are about all of them.
_SHARED = range(LARGEST_INDEX + 1, LARGEST_INDEX + 2)
_TEMPORARY = r"\.[0-9a-f]{8}\.part\.[a-z]+"
# A shard, or its file in the layout, by its first picture; or a picture's file in the layout.
_OF_PICTURES = re.compile(rf"\.(?:(?:train|val)-)?(\d{{8}})(?:-\d{{8}})?{_TEMPORARY}")
_OF_SHARD = re.compile(r"(?:train|val)-(\d{8})-(\d{8})\.json")
_OF_ALL = re.compile(rf"\.(?:index|datasheet|contact_sheet|contact_sheet_truth|joint_positions){_TEMPORARY}")


@contextmanager
def claimed(folder: Path, record: Mapping[str, Any], wanted: range) -> Iterator[None]:
    """Inside, no other run makes any of these pictures; what killed ones left of them half written is gone.

    The folder is made where it is not there, and what its pictures are made from is written into it.

    Args:
        folder: of the data set.
        record: what the pictures depend on, as JSON values.
        wanted: their numbers.

    Raises:
        UsageError: when another run is making some of them, or the folder holds pictures that were made otherwise.
        InputError: when it holds another kind of data set, or shards that hold the same pictures.
        OutputError: when it cannot be made or written to.
    """
    make_folder(folder)
    with _lock_file(folder) as file:
        # The layout of a shard is written by one run, also where the shard has more pictures than are wanted.
        parts = [part for part in find_shards(folder) if part.overlaps(wanted)]
        first = min([wanted.start, *(part.first for part in parts)])
        claim = range(first, max([wanted.stop, *(part.last + 1 for part in parts)]))
        if not try_lock(file, claim):
            raise UsageError(
                f"{folder}: another run is making some of the pictures {wanted.start} to {wanted.stop - 1}",
                "Wait until it has ended, or name another folder.",
            )
        with _held(file):
            _set_purpose(folder, record)
            _remove_leftovers(folder, claim)
        yield


@contextmanager
def shared_files(folder: Path) -> Iterator[None]:
    """Inside, no other run writes the files of a folder that are about all of its pictures.

    Raises:
        OutputError: when the folder cannot be written to.
    """
    with _lock_file(folder) as file, _held(file):
        yield


@contextmanager
def _lock_file(folder: Path) -> Iterator[BinaryIO]:
    try:
        file = (folder / LOCK).open("ab")
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be written to ({error.strerror})") from None
    with file:
        yield file


@contextmanager
def _held(file: BinaryIO) -> Iterator[None]:
    try_lock(file, _SHARED, wait=True)
    try:
        yield
    finally:
        unlock(file, _SHARED)


def _set_purpose(folder: Path, record: Mapping[str, Any]) -> None:
    """Write down what the folder is for, or see that it is for the same."""
    text = json.dumps({"skeleton": LTSH15.name, "generator": record}, indent=2, allow_nan=False)
    form = json.loads(text)
    made = made_by(folder)
    if made is None:
        if visible_files(folder, "*.tar"):
            raise UsageError(f"{folder}: holds shards that `ltsh synthesize` did not make", "Name another folder.")
        write_whole(folder / INDEX, text.encode())
        return
    for key in [*form["generator"], *made]:
        old, new = made.get(key), form["generator"].get(key)
        if old != new:
            raise UsageError(
                f"{folder}: holds pictures made with {key} {json.dumps(old)}, and now it is {json.dumps(new)}",
                "Name another folder, or give the options of its index.json.",
            )


def _remove_leftovers(folder: Path, numbers: range) -> None:
    """Remove the temporary files of these pictures, and those about all pictures: whoever wrote them is gone.

    Of the layout, the files of shards that somebody deleted go too, whose pictures will be in others.
    """
    layout = folder / LTSH_FOLDER
    for path in [*folder.glob(".*.part.*"), *layout.glob(".*.part.*"), *layout.glob("*/.*.part.*")]:
        match = _OF_PICTURES.fullmatch(path.name)
        if (match and int(match[1]) in numbers) or _OF_ALL.fullmatch(path.name):
            path.unlink(missing_ok=True)
    for path in layout.glob("*.json"):
        match = _OF_SHARD.fullmatch(path.name)
        covered = match is not None and int(match[1]) in numbers and int(match[2]) in numbers
        if covered and not (folder / f"{path.stem}.tar").exists():
            path.unlink(missing_ok=True)


def made_by(folder: Path) -> dict[str, Any] | None:
    """What a folder's index says of the options that its pictures were made with.

    Returns:
        The options; None where there is no index.

    Raises:
        InputError: when the index cannot be read, or is that of another kind of data set.
    """
    index = folder / INDEX
    if not index.exists():
        return None
    form = read_json(index)
    generator = form.get("generator") if isinstance(form, dict) else None
    if not isinstance(generator, dict):
        raise InputError(f"{folder}: holds a data set that `ltsh synthesize` did not make", "Name another folder.")
    return generator
