"""Matlab files, and the structures in them, whose single values and records come in boxes of one or none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ltsh_deploy.errors import InputError
from ltsh_deploy.parts import import_part

__all__ = ["field", "load_mat", "number", "plain", "records"]


def load_mat(path: Path) -> dict[str, Any]:
    """The variables of a Matlab file.

    Raises:
        MissingPartError: without scipy.
        InputError: when the file cannot be read.
    """
    io = import_part("scipy.io", "Reading Matlab files", "eval", "train")
    try:
        variables: dict[str, Any] = io.loadmat(str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file", "check the path") from None
    except NotImplementedError:
        raise InputError(
            f"{path}: is a Matlab file of version 7.3, which cannot be read", "In Matlab, save it with -v7."
        ) from None
    # scipy's reader lets out whatever a damaged file leads it to.
    except Exception as error:
        raise InputError(f"{path}: is not a Matlab file, or damaged ({error})", "copy or download it again") from error
    return variables


def plain(value: Any) -> Any:
    """The one thing in however many boxes of one; None when a box is empty."""
    while isinstance(value, np.ndarray):
        if value.size == 0:
            return None
        value = value.ravel()[0]
    return value


def records(value: Any) -> list[Any]:
    """The records of a structure array of any shape; none of an empty array of any type."""
    if isinstance(value, np.void):
        return [value]
    if not isinstance(value, np.ndarray) or value.size == 0:
        return []
    if value.dtype.names is not None:
        return list(value.ravel())
    if value.dtype == object:
        return [record for inner in value.ravel() for record in records(inner)]
    return []


def field(record: Any, name: str) -> Any:
    """A field of a record; None where it has none of this name."""
    return record[name] if name in (record.dtype.names or ()) else None


def number(record: Any, name: str) -> float | None:
    """A field as a number, whatever type it is stored in; None when it is absent, empty or no finite number."""
    value = plain(field(record, name))
    try:
        found = math.nan if value is None else float(value)
    except (TypeError, ValueError):
        found = math.nan
    return found if math.isfinite(found) else None
