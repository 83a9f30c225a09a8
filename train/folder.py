"""The folder of a run: whose it is, and that nobody else writes into it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ltsh_deploy.errors import OutputError, UsageError
from ltsh_deploy.train.locks import LOCK, try_lock
from ltsh_deploy.train.processes import first_alone

__all__ = ["BAD_BATCH", "BEST", "CONFIG", "LAST", "STATE", "claimed", "open_folder"]

BEST, LAST, STATE, CONFIG = "best.safetensors", "last.safetensors", "state.pt", "config.yaml"
BAD_BATCH = "bad_batch.pt"


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Inside, no other run can claim this folder, which is made where it is not there.

    The claim ends with the process, however that ends; the empty file that stands for it stays. On Windows, and where
    the file system knows no locks, nothing is claimed, and nobody is kept from running twice into one folder.

    Raises:
        UsageError: when another run has claimed it.
        OutputError: when it cannot be made or written to.
    """
    claims: list[BinaryIO] = []

    def claim() -> None:
        _make(out)
        try:
            claims.append((out / LOCK).open("ab"))
        except OSError as error:
            raise OutputError(f"{out}: the folder cannot be written to ({error.strerror})") from None
        if not try_lock(claims[0]):
            raise UsageError(f"{out}: another run is writing into this folder", "Choose another --out.")

    try:
        first_alone(claim)
        yield
    finally:
        for file in claims:
            file.close()


def open_folder(out: Path, text: str, *, resume: bool, source: Path | None = None) -> None:
    """Make the folder ready for a run, and clear away what a killed process left half written.

    Args:
        out: the folder, made where it is not there.
        text: of the run's configuration, as it will be written.
        resume: whether a run in it goes on.
        source: the file that the configuration came from.

    Raises:
        UsageError: when a new run would replace another one, or the file that its configuration came from.
        OutputError: when the folder cannot be made.
    """
    _make(out)
    if (out / STATE).exists() and not resume:
        raise UsageError(f"{out}: holds a run already", "Add --resume to go on with it, or choose another --out.")
    own = out / CONFIG
    is_own = not resume and source is not None and own.exists() and source.exists() and own.samefile(source)
    if is_own and own.read_bytes() != text.encode():
        raise UsageError(
            f"{own}: is the configuration of this run, and would be replaced by the whole one, without comments",
            "Give it another name or another place, or choose another --out.",
        )
    for path in out.glob(".*.part.*"):
        path.unlink(missing_ok=True)


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: the folder cannot be made ({error.strerror})") from None
