"""Tar archives from their first member to their end mark."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ltsh_deploy.errors import InputError

__all__ = ["read_archive"]


def read_archive(
    path: Path, wanted: Callable[[str], bool], remedy: str
) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """(member, contents) of each regular file of an archive that is not compressed, in the archive's order.

    Args:
        path: of the archive.
        wanted: says by a member's name whether to read its contents; of the others they are None.
        remedy: what to do about an archive that is damaged.

    Raises:
        InputError: when the file is no archive, or is damaged or cut off.
    """
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if not member.isreg():
                    continue
                data = None
                if wanted(member.name):
                    file.seek(member.offset_data)
                    data = file.read(member.size)
                yield member, data
            # tarfile takes an archive that was cut off between two members for a whole one.
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise InputError(f"{path}: is cut off: its end mark is missing", remedy)
    except tarfile.TarError as error:
        raise InputError(f"{path}: is not a tar archive, or damaged ({error})", remedy) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})", remedy) from None
