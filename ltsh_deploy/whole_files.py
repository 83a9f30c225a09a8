"""Files that appear under their name only when they are whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from ltsh_deploy.errors import OutputError

__all__ = ["WholeFile", "write_error", "write_whole"]


class WholeFile:
    """A result being written under a temporary name beside its own; a context manager.

    Leaving the block renames the file to its name, replacing an older one; leaving it by an exception removes it and
    leaves the older one as it was. Links are followed, so a link stays one.

    Args:
        path: where the result shall lie.

    Attributes:
        path: as given, for messages.
        temporary: the name to write under; it has the suffix of ``path``.

    Raises:
        OutputError: when the folder does not exist or cannot be written to, or ``path`` is a folder or a device.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self.named_errors():
            self._target = Path(os.path.realpath(self.path))
            if self._target.is_dir():
                raise OutputError(f"{self.path}: is a folder, not a file")
            if self._target.exists() and not self._target.is_file():
                raise OutputError(f"{self.path}: is a device or a pipe, and this result needs a regular file")
            if not self._target.parent.is_dir():
                folder = self._target.parent if self.path.is_symlink() else self.path.parent
                raise OutputError(f"{self.path}: there is no folder {folder}", "Create the folder first.")
            if not os.access(self._target.parent, os.W_OK):
                raise OutputError(f"{self.path}: its folder cannot be written to")
        name = f".{self._target.stem[:40]}.{secrets.token_hex(4)}.part{self._target.suffix}"
        self.temporary = self._target.with_name(name)

    def commit(self) -> None:
        """Give the file its name.

        Raises:
            OutputError: when that fails; the temporary file is then gone.
        """
        try:
            with self.named_errors():
                self.temporary.replace(self._target)
        except OutputError:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove what was written. An older file of this name stays."""
        self.temporary.unlink(missing_ok=True)

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """Inside, the system's refusals (no space, no right) become an OutputError that names the file."""
        try:
            yield
        except (OSError, ValueError) as error:
            raise write_error(self.path, error) from None

    def __enter__(self) -> WholeFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file at once, or not at all.

    Raises:
        OutputError: when it cannot be written; an older file of this name is then untouched.
    """
    with WholeFile(path) as file, file.named_errors():
        file.temporary.write_bytes(data)


def write_error(path: str | Path, error: OSError | ValueError) -> OutputError:
    """What to tell the user when the system refused to write ``path``, which may be ``-`` for stdout."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return OutputError(f"{'standard output' if str(path) == '-' else path}: could not be written ({reason})")
