"""From units to predictions: a model looks at every picture, in batches, and one bad picture costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from ltsh_deploy.errors import LtshError
from ltsh_deploy.estimator import PoseEstimator, View
from ltsh_deploy.evaluation.predictions import UnitPredictions
from ltsh_deploy.evaluation.protocols import Protocol
from ltsh_deploy.evaluation.units import Unit

__all__ = ["Look", "predict_units"]


@dataclass(frozen=True)
class Look:
    """What came of looking at one unit.

    Attributes:
        unit: that was looked at.
        predictions: who was found; None where the picture could not be used.
        error: why not.
        is_limited: the network saw it smaller than the protocol has it, since views have a longest side.
    """

    unit: Unit
    predictions: UnitPredictions | None
    error: LtshError | None = None
    is_limited: bool = False


def predict_units(
    estimator: PoseEstimator, units: Iterable[Unit], protocol: Protocol, *, batch: int = 1
) -> Iterator[Look]:
    """What a model finds in each unit, in order; nothing depends on the batch.

    Args:
        estimator: the model; its own sizes, scales and mirroring are not used, but the protocol's.
        units: what to look at; pictures are read as they are needed, a batch ahead.
        protocol: how.
        batch: units that go through the network together.
    """
    waiting = iter(units)
    with ThreadPoolExecutor(1, thread_name_prefix="pictures") as reader:

        def read_next() -> Callable[[], list[Look | _Seen]]:
            together = list(islice(waiting, batch))
            return reader.submit(lambda: [_see(estimator, unit, protocol, i) for i, unit in enumerate(together)]).result

        following = read_next()
        while seen := following():
            following = read_next()
            yield from _look(estimator, seen)


@dataclass(frozen=True)
class _Seen:
    """A unit whose picture was read: what the network is to see of it."""

    unit: Unit
    views: list[View]
    is_limited: bool


def _see(estimator: PoseEstimator, unit: Unit, protocol: Protocol, index: int) -> Look | _Seen:
    try:
        return _Seen(unit, *protocol.views(estimator, unit, unit.read_image(), index))
    except LtshError as error:
        return Look(unit, None, error)


def _look(estimator: PoseEstimator, seen: list[Look | _Seen]) -> Iterator[Look]:
    whole = [each for each in seen if isinstance(each, _Seen)]
    try:
        passes = estimator.run([view for each in whole for view in each.views])
    except LtshError as error:
        # One of them is the cause, or all are too much at once; alone, each shows what it is.
        if len(seen) == 1:
            yield Look(seen[0].unit, None, error)
        else:
            for one in seen:
                yield from _look(estimator, [one])
        return
    for each in seen:
        if isinstance(each, Look):
            yield each
            continue
        try:
            poses = estimator.decode(passes[each.views[0].image])
        except LtshError as error:
            yield Look(each.unit, None, error)
        else:
            yield Look(each.unit, UnitPredictions(each.unit.id, poses), is_limited=each.is_limited)
