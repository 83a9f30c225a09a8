"""A range of pictures, made by several processes and written in order; it may be interrupted at any time and go on.

Every picture is made from the seed and its own number alone, so it does not matter which process makes it, on which
machine, or after how many others.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection
from pathlib import Path
from typing import Any, Protocol

import cv2

from ltsh_deploy.errors import ImageError, InputError, LtshError, OutputError
from ltsh_deploy.train.synth_folder import claimed
from ltsh_deploy.train.synth_ltsh import is_whole, write_ltsh
from ltsh_deploy.train.synth_writers import ShardWriter, find_shards, list_shard, missing_runs

__all__ = ["Maker", "Outcome", "Recipe", "make_pictures"]

_log = logging.getLogger(__name__)

# Several threads would fight for the cores that other workers use, and may add numbers in another order.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
# Pictures on the way for each worker: enough to keep it busy while the others' are waited for.
_AHEAD = 4


class Maker(Protocol):
    """Makes pictures; holds what all of them need."""

    def make(self, index: int) -> dict[str, bytes]:
        """A shard's files of the picture of this number, by extension; the same whenever it is asked for.

        Raises:
            ImageError: when a file that this picture alone needs cannot be read.
        """


class Recipe(Protocol):
    """What is to be made, small enough to be sent to another process, and hashable."""

    @property
    def split(self) -> str:
        """What the pictures are for: ``"train"`` or ``"val"``."""

    def __hash__(self) -> int:
        """The same for recipes that are equal."""

    def record(self) -> dict[str, Any]:
        """Everything that the pictures depend on, as JSON values, the version of this package among them.

        Raises:
            LtshError: when something that is needed cannot be used.
        """

    def open(self) -> Maker:
        """Load what is needed."""


@dataclass(frozen=True)
class Outcome:
    """What a run did: pictures ``made``; ``left_out``, by it or before, because a file they need could not be read."""

    made: int
    left_out: int


def make_pictures(
    recipe: Recipe,
    folder: Path,
    wanted: Sequence[int],
    *,
    per_shard: int,
    workers: int,
    ltsh: bool,
    done: Callable[[int], None],
) -> Outcome:
    """Make the pictures of these numbers that a folder does not have yet.

    A picture for which a file cannot be read is left out with a warning, and is not tried again.

    When it is interrupted or fails, the pictures that were finished stay, and calling it again makes the rest.

    Args:
        recipe: what to make.
        folder: made where it does not exist.
        wanted: ascending numbers, at least one.
        per_shard: pictures in a shard.
        workers: processes.
        ltsh: write the LTSH JSON layout too.
        done: called with the number of pictures that have just been finished, also with those that were there.

    Raises:
        UsageError: when the folder holds pictures of another recipe, or another run is making some of these.
        InputError: when a shard is damaged, or there are two of the same pictures.
        OutputError: when something cannot be written, or a worker was killed.
        LtshError: what the recipe's maker raised.
    """
    with claimed(folder, recipe.record(), range(wanted[0], wanted[-1] + 1)), _told_to_go_on():
        left_out = _take_stock(folder, wanted, ltsh)
        runs = missing_runs(wanted, find_shards(folder), per_shard)
        missing = sum(map(len, runs))
        done(len(wanted) - missing)
        if not missing:
            return Outcome(0, left_out)
        without = 0
        with _workers(min(workers, missing)) as pool:
            pictures = _in_order(pool, recipe, [index for run in runs for index in run], _AHEAD * workers)
            for run in runs:
                with ShardWriter(folder, recipe.split, run.start) as writer:
                    for index in run:
                        found = next(pictures)
                        if isinstance(found, str):
                            _log.warning("picture %d is left out: %s", index, found)
                            without += 1
                            found = {}
                        writer.add(found)
                        done(1)
                if ltsh and writer.path is not None:
                    write_ltsh(writer.path)
    return Outcome(missing - without, left_out + without)


def _take_stock(folder: Path, wanted: Sequence[int], ltsh: bool) -> int:
    """Look through the shards that hold some of the wanted pictures; returns how many of these were left out of them.

    The layout of those shards is written where it is missing or cut off.
    """
    left_out: list[tuple[int, str]] = []
    for part, shard in find_shards(folder).items():
        if not part.overlaps(range(wanted[0], wanted[-1] + 1)):
            continue
        sizes = list_shard(shard)
        stranger = next((n for n in sizes if not part.first <= n <= part.last), None)
        if stranger is not None:
            message = f"{shard}: holds picture {stranger}, and its name says that it does not"
            raise InputError(message, "Give it the name that it was made with, or delete it.")
        left_out += [(n, shard.name) for n in wanted if part.first <= n <= part.last and n not in sizes]
        if ltsh and not is_whole(shard, sizes):
            write_ltsh(shard)
    if left_out:
        _log.warning(
            "%d of the pictures were left out before, since files that they need could not be read (first: picture %d "
            "of %s); to have them tried again, delete their shards",
            len(left_out),
            *left_out[0],
        )
    return len(left_out)


@contextmanager
def _told_to_go_on() -> Iterator[None]:
    """Inside, an error about writing without a remedy gets one."""
    try:
        yield
    except OutputError as error:
        remedy = error.remedy or "What was finished is kept. When that is mended, the same command makes the rest."
        raise OutputError(error.message, remedy) from None


def _in_order(
    pool: ProcessPoolExecutor, recipe: Recipe, indices: Sequence[int], ahead: int
) -> Iterator[dict[str, bytes] | str]:
    """The pictures of these numbers, or why one is left out, in this order and with so many on the way."""
    waiting: deque[Future[dict[str, bytes] | str]] = deque()
    coming = iter(indices)
    for _ in indices:
        try:
            while len(waiting) < ahead:
                index = next(coming, None)
                if index is None:
                    break
                with _signals_held():
                    waiting.append(pool.submit(_make, recipe, index))
            picture = waiting.popleft().result()
        except BrokenProcessPool:
            raise OutputError(
                "a worker process ended before its picture was finished; mostly, the system was out of memory",
                "Run the same command again with fewer --workers: it goes on where it stopped.",
            ) from None
        yield picture


@contextmanager
def _workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each. An exception lets them finish the pictures they are at, and no others."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    with _signals_held():
        pool = ProcessPoolExecutor(
            count, multiprocessing.get_context("spawn"), _prepare_worker, (_log.getEffectiveLevel(),)
        )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _signals_held() -> Iterator[None]:
    """Processes that are started inside never hear of Ctrl-C, which reaches every process of the terminal.

    The first process decides what it means, once it is outside again. Ignoring signals in a worker would come too late
    for those that reach it while it loads.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_worker(level: int) -> None:
    """Run first in a worker process."""
    logging.getLogger("ltsh_deploy").setLevel(max(level, logging.ERROR))
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this process when the one that started it is gone, even if it was killed."""
    connection.wait([sentinel])
    os._exit(1)


@lru_cache(maxsize=1)
def _opened(recipe: Recipe) -> Maker:
    return recipe.open()


def _make(recipe: Recipe, index: int) -> dict[str, bytes] | str:
    """In a worker: one picture, or why it is left out."""
    try:
        return _opened(recipe).make(index)
    except ImageError as error:
        return error.message
    except LtshError:
        raise
    except Exception as error:
        raise RuntimeError(f"picture {index}: {type(error).__name__}: {error}") from error
