"""The one door to every data set."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_type_hints

from ltsh_deploy.datasets.bodies import people_boxes
from ltsh_deploy.datasets.coco import read_coco
from ltsh_deploy.datasets.lsp import read_lsp
from ltsh_deploy.datasets.ltsh_json import read_ltsh
from ltsh_deploy.datasets.mpii import read_mpii
from ltsh_deploy.datasets.own import is_own, read_own
from ltsh_deploy.datasets.people import Picture, build_samples
from ltsh_deploy.datasets.samples import SPLITS, Sample, SampleList
from ltsh_deploy.datasets.shards import read_shards
from ltsh_deploy.datasets.skips import Skips
from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.skeletons import LTSH15, Skeleton

__all__ = ["KINDS", "check_path", "open_dataset", "reader_options"]

_READERS: Mapping[str, Callable[..., tuple[list[Picture], Skeleton]]] = {
    "mpii": read_mpii,
    "ltsh": read_ltsh,
    "coco": read_coco,
    "lsp": read_lsp,
    "shards": read_shards,
}
#: Formats that can be opened by name.
KINDS = tuple(_READERS)


def open_dataset(
    kind: str,
    path: str | Path,
    /,
    *,
    split: str | None = None,
    name: str | None = None,
    licence: str = "",
    ignore_outside: float | None = None,
    **options: Any,
) -> SampleList:
    """Open a data set: read its labels, but none of its pictures. What has to be left out is counted and warned of.

    Args:
        kind: one of :data:`KINDS`, or a user's own function that yields samples: ``"module:function"`` or
            ``"path/to/file.py:function"`` (docs/data.md).
        path: file or folder, as the kind expects.
        split: ``"train"`` or ``"val"`` for these samples only; None for all.
        name: how messages, mixes and model cards call it; the path's last part when left out.
        licence: what its publisher asks of users, for model cards.
        ignore_outside: ignore everything outside the labelled people's boxes, each enlarged by this factor about its
            centre (1 or more): pictures of real people often show others who are not labelled.
        options: the kind's own, as its ``read_*`` function has them.

    Raises:
        UsageError: when kind, split or an option cannot be right.
        InputError: when the data cannot be read or hold no usable sample; it names the file and the entry.
        MissingPartError: when the format needs a package that is not installed.
    """
    _check_type("kind", kind, str)
    _check_type("path", path, str | Path)
    _check_type("name", name, str | None)
    _check_type("licence", licence, str)
    if split not in (None, *SPLITS):
        raise UsageError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    limit = ignore_outside
    number = isinstance(limit, int | float) and not isinstance(limit, bool)
    if limit is not None and not (number and 1 <= limit < math.inf):
        raise UsageError(f"ignore_outside must be a factor of 1 or more, got {limit!r}")
    path = _at_home(path)
    skips = Skips(path)
    if kind in _READERS:
        samples, skeleton = _read(kind, path, split, options, skips)
    elif is_own(kind):
        samples = read_own(kind, path, options)
        skeleton = samples[0].skeleton if samples else LTSH15
    else:
        close = get_close_matches(kind, KINDS, n=1)
        meant = f"Did you mean {close[0]}? " if close else ""
        raise UsageError(
            f"there is no kind of data set {kind!r}", f"{meant}Known: {', '.join(KINDS)}, and module:function."
        )
    chosen = [s for s in samples if split in (None, s.split)]
    if samples and not chosen:
        raise InputError(f"{path}: none of its {len(samples)} samples is for split {split!r}")
    if limit is not None:
        chosen = [replace(s, keep_boxes=people_boxes(s.joints, s.scales, limit)) for s in chosen]
    skips.report(len(chosen))
    return SampleList(chosen, name or path.name.partition(".")[0] or str(path), skeleton, licence, skips)


def reader_options(kind: str) -> tuple[str, ...]:
    """The names of the options that a kind of :data:`KINDS` has beside those of :func:`open_dataset`."""
    parameters = inspect.signature(_READERS[kind]).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "split")


def check_path(path: str | Path) -> None:
    """Refuse a path at which no data set of :data:`KINDS` can be.

    Raises:
        InputError: when there is nothing, or a device or a pipe.
    """
    path = _at_home(path)
    remedy = "check the path" if path.is_absolute() else "check the path; it is looked for from the working folder"
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder", remedy)
    if not (path.is_file() or path.is_dir()):
        raise InputError(f"{path}: is a device or a pipe, and data sets are read from files", remedy)


def _at_home(path: str | Path) -> Path:
    """The path with ``~`` replaced by the user's folder; as it is, where that user is not known."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  (raises nothing)


def _read(
    kind: str, path: Path, split: str | None, options: Mapping[str, Any], skips: Skips
) -> tuple[list[Sample], Skeleton]:
    known = reader_options(kind)
    for option in options:
        if option not in known:
            has = f"It has: {', '.join(known)}." if known else "It has none."
            raise UsageError(f"data sets of kind {kind} have no option {option!r}", has)
    check_path(path)
    reader = _READERS[kind]
    types = get_type_hints(reader)
    for option, value in options.items():
        _check_type(option, value, types[option])
    extra = {"split": split} if "split" in inspect.signature(reader).parameters else {}
    pictures, skeleton = reader(path, skips, **extra, **options)
    return build_samples(pictures, skeleton, skips), skeleton


# How a user writes values of these types.
_WORDS = {str: "text", Path: "text", int: "a whole number", bool: "true or false"}


def _check_type(option: str, value: object, wanted: Any) -> None:
    """Refuse a value that is of none of the types of an annotation such as ``str | None``."""
    types = get_args(wanted) or (wanted,)
    # To Python, truth values are whole numbers.
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        words = dict.fromkeys(_WORDS[kind] for kind in types if kind is not type(None))
        remedy = "Put it in quotes." if str in types and isinstance(value, int | float | date) else ""
        raise UsageError(f"{option} must be {' or '.join(words)}, got {str(value)[:60]}", remedy)
