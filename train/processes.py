"""Several processes that train together (torchrun): who am I, and one answer for all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from ltsh_deploy.errors import LtshError, TrainingError, UsageError

__all__ = ["first_alone", "gathered", "is_first", "joined_processes", "num_processes", "rank", "together"]

T = TypeVar("T")

# The others wait while the first process measures, which may take long on a large validation set.
_PATIENCE = timedelta(hours=2)


def num_processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that writes files and talks."""
    return rank() == 0


@contextmanager
def joined_processes(device: str) -> Iterator[None]:
    """Inside, the processes that torchrun started act as one; where there is but one, nothing happens.

    Args:
        device: as configured; on GPUs, NCCL carries what the processes tell each other, else gloo.

    Raises:
        UsageError: when the environment that torchrun sets is incomplete, or the processes do not find each other.
        TrainingError: when another process has ended before its time, and so the connection to it.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    gpu = device != "cpu" and torch.cuda.is_available()
    try:
        if gpu:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        distributed.init_process_group("nccl" if gpu else "gloo", timeout=_PATIENCE)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"WORLD_SIZE is set, but the {os.environ['WORLD_SIZE']} processes cannot be joined ({reason})",
            "Start them with torchrun; or, for one process, unset WORLD_SIZE.",
        ) from None
    try:
        yield
    except RuntimeError as error:
        # gloo has no type of its own for a connection that is lost.
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise TrainingError("another process of this run has ended", "What that one said is the reason.") from None
        raise
    finally:
        distributed.destroy_process_group()


def first_alone(ask: Callable[[], T]) -> T:
    """What the call returns in the first process, where alone it is made; all must call this together.

    Raises:
        LtshError: what the call raised, in every process.
    """
    if num_processes() == 1:
        return ask()
    told: list[Any] = [None, None]
    if is_first():
        try:
            told[0] = ask()
        except LtshError as error:
            told[1] = error
    distributed.broadcast_object_list(told, src=0)
    if told[1] is not None:
        raise told[1]
    answer: T = told[0]
    return answer


def together(act: Callable[[], T]) -> T:
    """What the call returns in this process. All must call this together, and none goes on where one has failed.

    Raises:
        LtshError: what the call raised in any process, in all of them.
    """
    if num_processes() == 1:
        return act()
    answer, problem = None, None
    try:
        answer = act()
    except LtshError as error:
        problem = error
    # A number is told much faster than an object, and there is seldom an error to tell.
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    failed = torch.tensor(problem is not None, dtype=torch.int32, device=device)
    distributed.all_reduce(failed, distributed.ReduceOp.MAX)
    if failed:
        raise next(error for error in gathered(problem) if error is not None)
    result: T = answer  # type: ignore[assignment]
    return result


def gathered(value: T) -> list[T]:
    """The values of all processes, which must call this together, in the order of their numbers."""
    if num_processes() == 1:
        return [value]
    values: list[Any] = [None] * num_processes()
    distributed.all_gather_object(values, value)
    return values
