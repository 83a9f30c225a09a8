"""Locks on files, by which the processes of several commands keep out of each other's way.

A lock ends with its process, however that ends; an empty file that stands for it stays. On Windows, and where the file
system knows no locks, nothing is locked.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import BinaryIO

__all__ = ["LOCK", "try_lock", "unlock"]

#: What the file is called that stands for the claim to a folder.
LOCK = ".lock"


def try_lock(file: BinaryIO, part: range | None = None, *, wait: bool = False) -> bool:
    """Take the lock of a file until it is closed.

    Args:
        file: open for writing.
        part: bytes of the file, which need not be there, so that others may hold other parts at the same time. None
            takes the file as a whole. A file is locked either in parts or as a whole. Parts belong to a process: it
            is never refused what it has, and gives back all it has of a file when it closes that file anywhere.
        wait: until whoever has the lock gives it back.

    Returns:
        Whether it is this process's now. So it is said to be where nothing can be locked.
    """
    try:
        import fcntl
    except ImportError:
        return True
    how = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
    try:
        if part is None:
            fcntl.flock(file, how)
        else:
            fcntl.lockf(file, how, len(part), part.start)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def unlock(file: BinaryIO, part: range) -> None:
    """Give back a part of a file that :func:`try_lock` took."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_UN, len(part), part.start)
