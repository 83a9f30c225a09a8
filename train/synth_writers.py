"""Finished pictures into WebDataset shards whose names say which pictures they hold.

A shard appears under its name only when it is whole, so a folder's file names say what is done: a run that was
interrupted goes on with what is missing, and folders made of other ranges are joined by putting them together. The same
pictures give the same bytes: nothing in a shard depends on time, place or the number of workers.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import cv2
import numpy.typing as npt

from ltsh_deploy.datasets.archives import read_archive
from ltsh_deploy.errors import InputError
from ltsh_deploy.images import Image
from ltsh_deploy.json_checks import short
from ltsh_deploy.whole_files import WholeFile

__all__ = [
    "LARGEST_INDEX",
    "ShardRange",
    "ShardWriter",
    "again",
    "encode_labels",
    "encode_members",
    "find_shards",
    "labels_of",
    "list_shard",
    "missing_runs",
    "read_labels_of",
    "read_shard",
]

_NAME = re.compile(r"(train|val)-(\d{8})-(\d{8})\.tar")
# What the generator's own lens does to a picture stays larger than what this does.
_JPEG_QUALITY = 95
_END_MARK = bytes(2 * tarfile.BLOCKSIZE)
#: A picture's number must fit the eight digits of its name.
LARGEST_INDEX = 99_999_999


@dataclass(frozen=True, order=True)
class ShardRange:
    """Pictures ``first`` to ``last``, both included, of the data set."""

    first: int
    last: int

    def overlaps(self, numbers: range) -> bool:
        """Whether it holds any of these pictures."""
        return self.first < numbers.stop and numbers.start <= self.last

    def file_name(self, split: str) -> str:
        """What a shard of these pictures is called."""
        return f"{split}-{self.first:08d}-{self.last:08d}.tar"


def find_shards(folder: Path) -> dict[ShardRange, Path]:
    """The whole shards of a folder, in the order of their pictures.

    Raises:
        InputError: when two of them hold the same pictures.
    """
    found: list[tuple[ShardRange, Path]] = []
    for path in folder.glob("*.tar"):
        match = _NAME.fullmatch(path.name)
        if match is not None:
            found.append((ShardRange(int(match[2]), int(match[3])), path))
    found.sort()
    for (before, first), (after, second) in pairwise(found):
        if after.first <= before.last:
            # Of two that begin alike, the first is not the longer one.
            spare = first if before.first == after.first else second if after.last <= before.last else None
            remedy = f"Delete {spare}: the other has all of its pictures." if spare else f"Delete {second}."
            raise InputError(
                f"{folder}: {first.name} and {second.name} hold some pictures twice",
                f"{remedy} If pictures are missing then, the command that made them makes them again.",
            )
    return dict(found)


def missing_runs(wanted: Iterable[int], present: Iterable[ShardRange], per_shard: int) -> list[range]:
    """The pictures that are not there yet, as runs that make a shard each.

    Shards end where a picture's number is a multiple of ``per_shard``, so that ranges made in different places fall
    into the same shards.

    Args:
        wanted: numbers of pictures, ascending.
        present: what is there.
        per_shard: the most pictures in a shard.
    """
    done = {index for part in present for index in range(part.first, part.last + 1)}
    runs: list[range] = []
    for index in wanted:
        if index in done:
            continue
        if runs and index == runs[-1].stop and index % per_shard:
            runs[-1] = range(runs[-1].start, index + 1)
        else:
            runs.append(range(index, index + 1))
    return runs


def encode_members(
    picture: Image, labels: Mapping[str, Any], masks: Mapping[str, npt.NDArray[Any]]
) -> dict[str, bytes]:
    """Files by extension of a picture [H, W, 3] uint8 RGB, its labels and its masks, [H, W] of 8 or 16 bits."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    members = {"jpg": bytes(cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), settings)[1])}
    members["json"] = encode_labels(labels)
    for name, mask in masks.items():
        members[name] = bytes(cv2.imencode(".png", mask)[1])
    return members


def encode_labels(labels: Mapping[str, Any]) -> bytes:
    """The labels of one picture as its file has them."""
    return json.dumps(labels, separators=(",", ":"), allow_nan=False).encode()


class ShardWriter:
    """Writes the pictures of one run, in order; a context manager.

    What was written when the block ends, by an exception too, becomes a shard of the pictures it holds. When the disk
    is full, the picture that did not fit is taken back and those before it are kept.

    Args:
        folder: that the shard shall lie in.
        split: ``"train"`` or ``"val"``.
        first: number of the first picture.

    Raises:
        OutputError: when the folder cannot be written to.
    """

    def __init__(self, folder: Path, split: str, first: int) -> None:
        self._split, self._first, self._count, self._end = split, first, 0, 0
        self._folder = folder
        # The last picture's number is not known yet, so that the file gets its name at the end.
        self._file = WholeFile(folder / f"{split}-{first:08d}.tar")
        with self._file.named_errors():
            self._stream: IO[bytes] = self._file.temporary.open("xb", buffering=0)
        self.path: Path | None = None

    def add(self, members: Mapping[str, bytes]) -> None:
        """Write the next picture.

        Args:
            members: contents by extension, such as "jpg" and "json"; none for a picture that is left out.

        Raises:
            OutputError: when there is no space left.
        """
        name = f"{self._first + self._count:08d}"
        blob = b"".join(_member(f"{name}.{extension}", data) for extension, data in members.items())
        with self._file.named_errors():
            self._stream.seek(self._end)
            # The mark goes with each picture, so that there is room for it when the disk is full.
            _write_all(self._stream, blob + _END_MARK)
        self._end += len(blob)
        self._count += 1

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._count:
                part = ShardRange(self._first, self._first + self._count - 1)
                path = self._folder / part.file_name(self._split)
                with self._file.named_errors():
                    # A picture that did not fit, or that an interruption cut off, is taken back.
                    self._stream.seek(self._end)
                    _write_all(self._stream, _END_MARK)
                    self._stream.truncate()
                    os.fsync(self._stream.fileno())
                    self._file.temporary.replace(path)
                self.path = path
        finally:
            self._stream.close()
            self._file.discard()


def _write_all(stream: IO[bytes], data: bytes) -> None:
    """Write to an unbuffered file, which may take less than it is given."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def _member(name: str, data: bytes) -> bytes:
    """A tar archive's header and contents for one file; without an owner or a time, so always the same."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    padding = -len(data) % tarfile.BLOCKSIZE
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(padding)


def read_shard(path: Path, only: str | None = None) -> Iterator[tuple[int, dict[str, bytes]]]:
    """(number, contents by extension) of each picture of a shard that a ShardWriter wrote.

    Args:
        path: of the shard.
        only: the one extension to read; None reads all.

    Raises:
        InputError: when the file is no such shard, or damaged.
    """
    number, members = -1, dict[str, bytes]()
    for found, extension, _, data in _members(path, lambda extension: only in (None, extension)):
        if found != number and members:
            yield number, members
            members = {}
        number = found
        if data is not None:
            members[extension] = data
    if members:
        yield number, members


def list_shard(path: Path) -> dict[int, dict[str, int]]:
    """The pictures that a shard holds: for each number the sizes in bytes of its files, by extension.

    Raises:
        InputError: when the file is no such shard, or damaged.
    """
    sizes: dict[int, dict[str, int]] = {}
    for number, extension, size, _ in _members(path, lambda _: False):
        sizes.setdefault(number, {})[extension] = size
    return sizes


def _members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[int, str, int, bytes | None]]:
    """(number, extension, size, contents if they are wanted) of each file in a shard."""
    for member, data in read_archive(path, lambda name: wanted(name.partition(".")[2]), again(path)):
        stem, _, extension = member.name.partition(".")
        if not stem.isdecimal():
            message = f"{path}: {short(member.name)} is not a picture of a synthesised data set"
            raise InputError(message, again(path))
        yield int(stem), extension, member.size, data


def again(shard: Path) -> str:
    """What to do about a damaged shard, for messages."""
    return f"Delete {shard} and give the command that made it once more: it makes these pictures again."


def labels_of(members: Mapping[str, bytes], where: str, remedy: str = "") -> dict[str, Any]:
    """The labels of one picture that :func:`read_shard` gave.

    Args:
        members: its files by extension.
        where: they lie, for messages.
        remedy: what to do where they are damaged; see :func:`again`.

    Raises:
        InputError: when they are missing or no labels.
    """
    try:
        labels = json.loads(members["json"])
    except (KeyError, ValueError, RecursionError):
        raise InputError(f"{where}: has no labels, or damaged ones", remedy) from None
    if not isinstance(labels, dict) or not isinstance(labels.get("people"), list):
        raise InputError(f"{where}: its labels are not those of a synthesised picture", remedy)
    return labels


def read_labels_of(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(shard, labels) of every picture in a folder's shards, in the order of their numbers.

    Raises:
        InputError: when a shard is damaged.
    """
    for shard in find_shards(folder).values():
        for number, members in read_shard(shard, only="json"):
            yield shard, labels_of(members, f"{shard}: {number:08d}", again(shard))
