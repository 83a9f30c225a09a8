"""A range of pictures, made by several processes and written in order; it may be interrupted at any time and go on.

Every picture is made from the seed and its own number alone, so it does not matter which process makes it, on which
machine, or after how many others.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection
from pathlib import Path
from typing import Any, Protocol

import cv2

import ltsh_deploy
from ltsh_deploy.errors import ImageError, LtshError, OutputError, UsageError
from ltsh_deploy.result_names import make_folder
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.synth_ltsh import complete_ltsh
from ltsh_deploy.train.synth_writers import INDEX, ShardWriter, find_shards, made_by, missing_runs, remove_leftovers
from ltsh_deploy.whole_files import write_whole

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
        """Everything that the pictures depend on, as JSON values.

        Raises:
            LtshError: when something that is needed cannot be used.
        """

    def open(self) -> Maker:
        """Load what is needed."""


@dataclass(frozen=True)
class Outcome:
    """What a run did: pictures ``made``, and ``left_out`` because a file they need cannot be read."""

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

    A picture for which a file cannot be read is left out with a warning, and counts as done.

    When it is interrupted or fails, the pictures that were finished stay, and calling it again makes the rest.

    Args:
        recipe: what to make.
        folder: made where it does not exist.
        wanted: ascending numbers.
        per_shard: pictures in a shard.
        workers: processes.
        ltsh: write the LTSH JSON layout too.
        done: called with the number of pictures that have just been finished, also with those that were there.

    Raises:
        UsageError: when the folder holds pictures of another recipe.
        OutputError: when something cannot be written, or a worker was killed.
        LtshError: what the recipe's maker raised.
    """
    record = recipe.record()
    make_folder(folder)
    _claim(folder, record)
    remove_leftovers(folder)
    if ltsh:
        complete_ltsh(folder)
    runs = missing_runs(wanted, find_shards(folder), per_shard)
    missing = sum(map(len, runs))
    done(len(wanted) - missing)
    if not missing:
        return Outcome(0, 0)
    left_out = 0
    with _workers(min(workers, missing)) as pool, _told_to_go_on():
        pictures = _in_order(pool, recipe, [index for run in runs for index in run], _AHEAD * workers)
        for run in runs:
            with ShardWriter(folder, recipe.split, run.start) as writer:
                for index in run:
                    found = next(pictures)
                    if isinstance(found, str):
                        _log.warning("picture %d is left out: %s", index, found)
                        left_out += 1
                        found = {}
                    writer.add(found)
                    done(1)
            if ltsh:
                complete_ltsh(folder)
    return Outcome(missing - left_out, left_out)


@contextmanager
def _told_to_go_on() -> Iterator[None]:
    """Inside, an error about writing without a remedy gets one."""
    try:
        yield
    except OutputError as error:
        remedy = error.remedy or "What was finished is kept. When that is mended, the same command makes the rest."
        raise OutputError(error.message, remedy) from None


def _claim(folder: Path, record: Mapping[str, Any]) -> None:
    """Write down what the folder is for, or see that it is for the same.

    Raises:
        UsageError: when it holds pictures that were made otherwise.
        InputError: when it holds another kind of data set.
    """
    form = {"skeleton": LTSH15.name, "generator": {"version": ltsh_deploy.__version__, **record}}
    form = json.loads(json.dumps(form))
    made = made_by(folder)
    if made is None:
        if any(folder.glob("*.tar")):
            raise UsageError(f"{folder}: holds shards that `ltsh synthesize` did not make", "Name another folder.")
        write_whole(folder / INDEX, json.dumps(form, indent=2).encode())
        return
    for key in [*form["generator"], *made]:
        old, new = made.get(key), form["generator"].get(key)
        if old != new:
            raise UsageError(
                f"{folder}: holds pictures made with {key} {json.dumps(old)}, and now it is {json.dumps(new)}",
                "Name another folder, or give the options of its index.json.",
            )


def _in_order(
    pool: ProcessPoolExecutor, recipe: Recipe, indices: Sequence[int], ahead: int
) -> Iterator[dict[str, bytes] | str]:
    """The pictures of these numbers, or why one is left out, in this order and with so many on the way."""
    waiting: deque[Future[dict[str, bytes] | str]] = deque()
    coming = iter(indices)
    for _ in indices:
        while len(waiting) < ahead:
            index = next(coming, None)
            if index is None:
                break
            with _signals_held():
                waiting.append(pool.submit(_make, recipe, index))
        try:
            yield waiting.popleft().result()
        except BrokenProcessPool:
            raise OutputError(
                "a worker process ended before its picture was finished; mostly, the system was out of memory",
                "Run the same command again with fewer --workers: it goes on where it stopped.",
            ) from None


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
