"""Finding a data set's files, and reading those that others wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ltsh_deploy.errors import InputError

__all__ = ["Presence", "find_folder", "mask_of", "read_json", "read_names", "visible_files"]


def find_folder(given: str | Path | None, usual: Sequence[Path], what: str) -> Path:
    """The folder that the user gave, or else the first of the usual ones that exists.

    Raises:
        InputError: when there is none; it says where was looked.
    """
    candidates = usual if given is None else [Path(given).expanduser()]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise InputError(f"{' or '.join(map(str, candidates))}: there is no such folder of {what}", "check the path")


def mask_of(folder: Path | None, image_name: str) -> Path | None:
    """The mask of a picture: a PNG under its name in the folder of masks, None without such a folder."""
    return None if folder is None else (folder / image_name).with_suffix(".png")


def visible_files(folder: Path, pattern: str) -> list[Path]:
    """The paths in a folder that match a pattern, by name; ``**/`` before it takes in the folders below.

    Names that begin with a dot are passed over, of folders below too: they are files that a killed program left half
    written, and what systems put beside the user's own files.
    """
    return sorted(
        path
        for path in folder.glob(pattern)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_json(path: Path) -> Any:
    """A parsed JSON file. ``NaN`` and ``Infinity`` are taken as Python's writer makes them.

    Raises:
        InputError: when there is no such file or it is not JSON; it names the line.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file", "check the path") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "check the file") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: is not JSON ({error.msg})", "check the file") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error})", "check the file") from None


def read_names(path: Path) -> frozenset[str]:
    """The lines of a text file that are not empty.

    Raises:
        InputError: when it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be read ({reason})", "check the path") from None
    return frozenset(line.strip() for line in text.splitlines() if line.strip())


class Presence:
    """Which files exist. A folder is listed once: asking for each of many files takes long on network disks."""

    def __init__(self) -> None:
        self._folders: dict[str, frozenset[str]] = {}

    def has(self, path: Path) -> bool:
        """Whether there is a file of this name."""
        folder, name = os.path.split(path)
        if folder not in self._folders:
            try:
                self._folders[folder] = frozenset(os.listdir(folder or "."))  # noqa: PTH208  (the names alone)
            except (OSError, ValueError):
                self._folders[folder] = frozenset()
        return name in self._folders[folder]
