"""Where the bytes of a picture lie: a file, a part of a larger file, or memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ltsh_deploy.errors import ImageError

__all__ = ["FilePart", "Stored", "read_bytes", "source_name"]


@dataclass(frozen=True)
class FilePart:
    """Bytes inside a larger file, as a member of a tar archive.

    Attributes:
        path: the larger file.
        offset: of the first byte.
        size: number of bytes.
        name: what the part is called inside the file, for messages.
    """

    path: Path
    offset: int
    size: int
    name: str

    def __str__(self) -> str:
        return f"{self.path}: {self.name}"

    def read(self, most: int | None = None) -> bytes:
        """The bytes, or the first ``most`` of them.

        The file is opened for each call, so threads and processes may share the object.

        Raises:
            ImageError: when the file is gone, cannot be read, or has become too short.
        """
        wanted = self.size if most is None else min(self.size, most)
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(wanted)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise ImageError(f"{self}: cannot be read ({reason or error})", "check the file") from None
        if len(data) != wanted:
            raise ImageError(f"{self}: the file ends too early; it was changed or cut off", "copy the file again")
        return data


Stored = Path | bytes | FilePart


def read_bytes(source: Stored, name: str, most: int | None = None) -> bytes:
    """The bytes of a source that ``name`` describes in messages; no more than the first ``most``, where that is given.

    Raises:
        ImageError: when they cannot be read.
    """
    if isinstance(source, bytes):
        return source[:most]
    if isinstance(source, FilePart):
        return source.read(most)
    try:
        # A device may never end, and a pipe never begin.
        if source.exists() and not source.is_file():
            raise ImageError(f"{name}: is not a file", "check the path")
        with source.open("rb") as file:
            return file.read(-1 if most is None else most)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ImageError(f"{name}: cannot be read ({reason or error})", "check the path") from None


def source_name(source: Stored, owner: str) -> str:
    """What to call a source in messages; bytes in memory go by their owner's name."""
    return owner if isinstance(source, bytes) else str(source)
