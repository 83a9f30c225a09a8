"""What tells one set of input files from another of the same name, in the record of a synthesised data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from ltsh_deploy.datasets import SampleList
from ltsh_deploy.datasets.stored import FilePart, Stored

__all__ = ["digest_of_files", "digest_of_samples"]

_DIGITS = 16


def digest_of_files(folder: Path, files: Iterable[Path]) -> str:
    """A digest of the names and sizes in bytes of files below a folder, in this order."""
    return _digest([path.relative_to(folder).as_posix(), _size(path)] for path in files)


def digest_of_samples(samples: SampleList) -> str:
    """A digest of a data set's pictures and people: ids, sizes of the picture files in bytes, and what is labelled."""
    return _digest(
        [
            sample.id,
            _size(sample.image),
            sample.joints.tolist(),
            sample.centres.tolist(),
            sample.scales.tolist(),
            sample.is_synthetic.tolist(),
        ]
        for sample in samples
    )


def _digest(entries: Iterable[list[object]]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(json.dumps(entry).encode() + b"\n")
    return digest.hexdigest()[:_DIGITS]


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
