"""One thread that owns the network: pictures of many clients wait their turn and go through together."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from ltsh_deploy.errors import LtshError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.poses import Poses
from ltsh_deploy.server_errors import RequestError
from ltsh_deploy.server_pictures import Prepared, group

__all__ = ["Batcher", "Looked", "Work"]

_log = logging.getLogger("ltsh_deploy.server")
# So many batches in a row must fail before the server calls itself unfit: one may be a client's doing.
_FAILURES_TO_BE_UNFIT = 3


@dataclass(frozen=True)
class Looked:
    """What became of a picture.

    Attributes:
        poses: its people.
        queue_s: seconds that it waited for its turn.
        network_s: seconds that the network took for the batch it was in.
        grouping_s: seconds from the network's maps to people.
        together: pictures in its batch.
    """

    poses: Poses
    queue_s: float
    network_s: float
    grouping_s: float
    together: int


@dataclass(eq=False)
class Work:
    """A picture on its way.

    Attributes:
        prepared: the picture.
        lane: whose it is; lanes take turns.
        deliver: is called once, in the batcher's thread, with what became of it.
        wanted: is asked, in that thread, whether anybody still waits for it.
        since: when it was ready, by :func:`time.perf_counter`.
    """

    prepared: Prepared
    lane: Hashable
    deliver: Callable[[Looked | RequestError], None]
    wanted: Callable[[], bool]
    since: float = field(default_factory=time.perf_counter)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of its views; only pictures of equal shapes go together."""
        return tuple(view.pixels.shape for view in self.prepared.views)


class Batcher:
    """Takes pictures by turns of their lanes, those of one shape together.

    It holds what it is given: whoever submits sees to it that this is not too much.

    Args:
        estimator: used by this thread alone, but for ``prepare``.
        batch: at most so many pictures go together.
        wait_s: the first of a batch waits at most so long for others,
        coming: and only while this says that some are on their way.
    """

    def __init__(self, estimator: PoseEstimator, batch: int, wait_s: float, coming: Callable[[], bool]) -> None:
        self._estimator, self._batch, self._wait_s, self._coming = estimator, batch, wait_s, coming
        estimator.batch = max(estimator.batch, batch)
        self._lanes: OrderedDict[Hashable, deque[Work]] = OrderedDict()
        self._changed = threading.Condition()
        self._ending = False
        self._failures = 0
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)

    @property
    def fit(self) -> bool:
        """Whether the thread runs and the network does not fail again and again."""
        return self._thread.is_alive() and not self._ending and self._failures < _FAILURES_TO_BE_UNFIT

    @property
    def waiting(self) -> int:
        """Pictures whose turn has not come."""
        with self._changed:
            return sum(map(len, self._lanes.values()))

    def submit(self, work: Work) -> None:
        """Put a picture at the end of its lane; from any thread."""
        with self._changed:
            if not self._ending:
                self._lanes.setdefault(work.lane, deque()).append(work)
                self._changed.notify_all()
                return
        work.deliver(RequestError("ending", "the server ends"))

    def start(self) -> None:
        """Begin to look at what is submitted."""
        self._thread.start()

    def stop(self) -> None:
        """End after the batch that is being looked at; those that wait are told so."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join()
        for lane in self._lanes.values():
            for work in lane:
                work.deliver(RequestError("ending", "the server ends"))
        self._lanes.clear()

    def _work(self) -> None:
        while (works := self._next_batch()) is not None:
            wanted = [work for work in works if work.wanted()]
            if wanted:
                self._look(wanted)

    def _next_batch(self) -> list[Work] | None:
        """The pictures to look at now; None when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._ending or bool(self._lanes))
            if self._ending:
                return None
            leader = next(iter(self._lanes.values()))[0]
            while (left := leader.since + self._wait_s - time.perf_counter()) > 0:
                if self._ending or self._alike(leader) >= self._batch or not self._coming():
                    break
                self._changed.wait(left)
            return self._take(leader)

    def _alike(self, leader: Work) -> int:
        return sum(work.shapes == leader.shapes for lane in self._lanes.values() for work in lane)

    def _take(self, leader: Work) -> list[Work]:
        """The leader and what may go with it, one of each lane, then another of each; served lanes go to the end."""
        taken: list[Work] = []
        found = True
        while found and len(taken) < self._batch:
            found = False
            for name, lane in list(self._lanes.items()):
                if len(taken) < self._batch and lane and lane[0].shapes == leader.shapes:
                    taken.append(lane.popleft())
                    self._lanes.move_to_end(name)
                    found = True
                if not lane:
                    del self._lanes[name]
        return taken

    def _look(self, works: list[Work]) -> None:
        """Put pictures through the network together, each alone if that fails, and deliver."""
        begin = time.perf_counter()
        views = [replace(view, image=i) for i, work in enumerate(works) for view in work.prepared.views]
        try:
            passes = self._estimator.run(views)
        except Exception as error:
            if len(works) > 1:
                # One of them is the cause, or all are too much at once; alone, each shows what it is.
                for work in works:
                    self._look([work])
            else:
                self._failures += 1
                works[0].deliver(_failed(error))
            return
        self._failures = 0
        looked = time.perf_counter()
        for i, work in enumerate(works):
            grouping = time.perf_counter()
            try:
                poses = group(self._estimator, passes[i], work.prepared.wishes)
            except Exception as error:
                work.deliver(_failed(error))
                continue
            done = time.perf_counter()
            # What it waited while others of its batch were grouped is part of the queue.
            queue = begin - work.since + grouping - looked
            work.deliver(Looked(poses, queue, looked - begin, done - grouping, len(works)))


def _failed(error: Exception) -> RequestError:
    """For the client: that it failed. For the log: why, which may name files."""
    if isinstance(error, LtshError):
        _log.error("the network failed: %s", error)
    else:
        # Whatever it is, the thread must live on for the other clients.
        _log.error("the network failed: %s", error, exc_info=error)
    return RequestError("failed", "the network failed on this picture")
