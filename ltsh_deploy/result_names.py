"""Which names results get, and which they must not have."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from ltsh_deploy.errors import OutputError, UsageError
from ltsh_deploy.whole_files import write_error

__all__ = ["FileSet", "UniqueNames", "make_folder", "means_folder", "refuse_overwriting"]


class FileSet:
    """Files by their identity: the same whatever path, link or second name leads to them.

    Args:
        paths: of files; one that does not exist, or is no path at all, does no harm.
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self._identities = {identity for path in paths for identity in _identities(path)}

    def __contains__(self, path: str | Path) -> bool:
        return not self._identities.isdisjoint(_identities(path))


def _identities(path: str | Path) -> list[object]:
    found: list[object] = []
    with contextlib.suppress(OSError, ValueError):
        found.append(os.path.realpath(path))
        status = os.stat(path)  # noqa: PTH116  (a path may be one with a NUL, which is a ValueError here)
        found.append((status.st_dev, status.st_ino))
    return found


def refuse_overwriting(target: str | Path, protected: Iterable[str | Path]) -> None:
    """Make sure that a result does not replace a file that the run needs.

    Raises:
        UsageError: when the target is one of the protected files, under whatever name.
    """
    for path in protected:
        if target in FileSet([path]):
            raise UsageError(f"{target}: the result would replace {path}, which is read", "Name another file.")


class UniqueNames:
    """File names for sources: each source keeps its name, and no two get the same, upper and lower case alike."""

    def __init__(self, taken: Callable[[str], bool] = lambda name: False) -> None:
        self._taken = taken
        self._names: dict[str, str] = {}
        self._used: set[str] = set()

    def of(self, source: str, stem: str, suffix: str = "") -> str:
        """The name of this source's result: the stem, a number where that is taken, and the suffix."""
        if source not in self._names:
            name, count = stem + suffix, 1
            while name.casefold() in self._used or self._taken(name):
                count += 1
                name = f"{stem}_{count}{suffix}"
            self._used.add(name.casefold())
            self._names[source] = name
        return self._names[source]


def means_folder(target: str) -> bool:
    """Whether the user means a folder: it is one, or its name ends like one."""
    try:
        return target.endswith(("/", os.sep)) or Path(target).is_dir()
    except OSError:
        return False


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where there is none.

    Raises:
        OutputError: when that fails.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"{path}: exists and is not a folder", "Name a folder, or a file with a suffix.") from None
    except (OSError, ValueError) as error:
        raise write_error(path, error) from None
