"""What tells one set of input files from another of the same name, in the record of a synthesised data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from ltsh_deploy.datasets import Sample, SampleList
from ltsh_deploy.datasets.regions import Polygon, Region
from ltsh_deploy.datasets.stored import FilePart, Stored
from ltsh_deploy.errors import ModelFileError
from ltsh_deploy.file_digests import sha256_of

__all__ = ["digest_of_files", "digest_of_samples"]

_DIGITS = 16


def digest_of_files(folder: Path, files: Iterable[Path]) -> str:
    """A digest of the names and contents of files below a folder, in this order."""
    return _digest([path.relative_to(folder).as_posix(), _content(path)] for path in files)


def digest_of_samples(samples: SampleList) -> str:
    """A digest of all that a data set's labels say, and of the sizes in bytes of its pictures and ignore masks."""
    return _digest(chain([[samples.skeleton.joints]], map(_labels_of, samples)))


def _labels_of(sample: Sample) -> list[object]:
    return [
        sample.id,
        _size(sample.image),
        sample.joints.tolist(),
        sample.centres.tolist(),
        sample.scales.tolist(),
        sample.is_synthetic.tolist(),
        sample.trainable.tolist(),
        {name: values.tolist() for name, values in sorted(sample.characteristics.items())},
        None if sample.ignore is None else _size(sample.ignore),
        [_numbers_of(region) for region in sample.regions],
        None if sample.keep_boxes is None else sample.keep_boxes.tolist(),
    ]


def _numbers_of(region: Region) -> list[object]:
    return [region.corners.tolist()] if isinstance(region, Polygon) else [region.counts.tolist(), region.size]


def _digest(entries: Iterable[list[object]]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(json.dumps(entry).encode() + b"\n")
    return digest.hexdigest()[:_DIGITS]


def _content(path: Path) -> str:
    """A digest of what is in a file; "" for one that cannot be read."""
    try:
        return sha256_of(path)
    except ModelFileError:
        return ""


def _size(stored: Stored) -> int:
    """In bytes; -1 for a file that is not there."""
    if isinstance(stored, bytes):
        return len(stored)
    if isinstance(stored, FilePart):
        return stored.size
    try:
        return stored.stat().st_size
    except (OSError, ValueError):
        return -1
