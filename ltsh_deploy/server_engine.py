"""From a client's bytes to poses, for the event loop: decoding in a few threads, the network in one, both bounded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ltsh_deploy.errors import InputError, SkeletonError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.pose_formats import FramePoses, to_record
from ltsh_deploy.poses import Poses
from ltsh_deploy.server_batches import Batcher, Looked, Work
from ltsh_deploy.server_config import ServerConfig
from ltsh_deploy.server_errors import RequestError
from ltsh_deploy.server_pictures import Prepared, Wishes, prepare
from ltsh_deploy.server_turns import Turns
from ltsh_deploy.skeletons import SKELETONS, conversion_matrix

if TYPE_CHECKING:
    from ltsh_deploy.server_metrics import Metrics

__all__ = ["Engine", "Found"]

_log = logging.getLogger("ltsh_deploy.server")
# Pictures of more pixels wait for each other: telephones make such photographs, and they take a tenth of a second.
_LARGE = 16_000_000


@dataclass(frozen=True)
class Found:
    """The people of one picture.

    Attributes:
        poses: in pixels of the picture.
        width: of the picture, upright, in pixels.
        height: likewise.
        timing: milliseconds by name, as answers have them.
    """

    poses: Poses
    width: int
    height: int
    timing: dict[str, float]

    def answer(self, poses: Poses) -> dict[str, Any]:
        """What a client gets to know, these being the people.

        Raises:
            RequestError: when the network gave a score that is no number.
        """
        try:
            record = to_record(FramePoses(poses, "", self.width, self.height))
        except InputError as error:
            _log.error("the network failed: %s", error.message)
            raise RequestError("failed", "the network failed on this picture") from None
        kept = ("width", "height", "skeleton", "people")
        return {**{key: record[key] for key in kept}, "timing": self.timing}


class Engine:
    """What all requests and frames share. Its methods belong to the event loop's thread.

    Args:
        estimator: finds the people; the caller closes it.
        config: the limits.
        metrics: counts.
    """

    def __init__(self, estimator: PoseEstimator, config: ServerConfig, metrics: Metrics) -> None:
        self.estimator, self.config, self._metrics = estimator, config, metrics
        self._decoders = ThreadPoolExecutor(config.decoders, "decoder")
        self._batcher = Batcher(estimator, config.batch, config.batch_wait_s, lambda: self._preparing > 0)
        self._turns = Turns(config.decoders)
        self._preparing, self._held = 0, Counter[Hashable]()
        self._running = False
        metrics.queue.set_function(self._held.total)

    def start(self) -> None:
        """Begin."""
        self._batcher.start()
        self._running = True

    async def stop(self) -> None:
        """End; who still waits is told so."""
        self._running = False
        self._decoders.shutdown(wait=False, cancel_futures=True)
        await asyncio.get_running_loop().run_in_executor(None, self._batcher.stop)

    @property
    def running(self) -> bool:
        """Whether pictures are taken: between start and end, also while the network fails."""
        return self._running

    @property
    def ready(self) -> bool:
        """Whether pictures are looked at."""
        return self._running and self._batcher.fit

    def check(self, wishes: Wishes) -> None:
        """Make sure that wishes can be fulfilled.

        Raises:
            RequestError: when the network's joints are none of the skeleton's that is wanted.
        """
        try:
            if wishes.skeleton is not None:
                conversion_matrix(self.estimator.skeleton, SKELETONS[wishes.skeleton])
        except SkeletonError as error:
            raise RequestError("bad_parameter", error.message) from None

    @contextmanager
    def places(self, lane: Hashable, wanted: int = 1) -> Iterator[int]:
        """Keep up to so many places for pictures, as many as a lane may have; gives their number.

        A lane has no more places than are free: one alone gets half of them, and leaves the others to those who come
        (A. K. Choudhury and E. L. Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998).

        Raises:
            RequestError: when there is none.
        """
        free = self.config.queue - self._held.total()
        taken = min(wanted, (free - self._held[lane] + 1) // 2)
        if taken < 1:
            raise RequestError("overload", "the server has too much to do", "send it again in a second")
        self._held[lane] += taken
        try:
            yield taken
        finally:
            self._held[lane] -= taken
            if not self._held[lane]:
                del self._held[lane]

    async def find(self, data: bytes, wishes: Wishes, lane: Hashable, arrived: float) -> Found:
        """The people of a picture, for which there is a place.

        Args:
            data: the picture's file.
            wishes: what its client wants.
            lane: whose it is; lanes take turns.
            arrived: when it was received, by :func:`time.perf_counter`.

        Raises:
            RequestError: when it cannot be used, or the network fails.
        """
        self._preparing += 1
        try:
            prepared = await self._prepare(data, wishes, lane, large=False)
            if prepared is None:
                prepared = await self._prepare(data, wishes, lane, large=True)
            assert prepared is not None
        except (RuntimeError, MemoryError) as error:
            # The pool takes no more, since the server ends; or one picture was too much.
            code = "failed" if self._running else "ending"
            raise RequestError(code, "the picture could not be decoded") from error
        finally:
            self._preparing -= 1
        ready = time.perf_counter()
        looked = await self._look(prepared, lane)
        total = time.perf_counter() - arrived
        seconds = {
            "decode": prepared.seconds,
            "queue": looked.queue_s + max(0.0, ready - arrived - prepared.seconds),
            "network": looked.network_s,
            "grouping": looked.grouping_s,
            "total": total,
        }
        self._metrics.looked(seconds, looked.together, len(looked.poses))
        timing = {f"{name}_ms": round(1000 * value, 2) for name, value in seconds.items()}
        return Found(looked.poses, prepared.width, prepared.height, timing)

    async def _prepare(self, data: bytes, wishes: Wishes, lane: Hashable, large: bool) -> Prepared | None:
        """Decode a picture when it is its lane's turn; None for one that turns out to be large but came as small."""
        loop, config = asyncio.get_running_loop(), self.config
        await self._turns.take(lane, large)

        def give(_: Future[Prepared | None]) -> None:
            # Not before the thread is free, although nobody may wait for it any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._turns.give, large)

        most = config.max_pixels if large else _LARGE
        try:
            work = self._decoders.submit(
                prepare, data, self.estimator, wishes, config.max_bytes, config.max_pixels, most
            )
        except RuntimeError:
            self._turns.give(large)
            raise
        work.add_done_callback(give)
        return await asyncio.wrap_future(work)

    async def _look(self, prepared: Prepared, lane: Hashable) -> Looked:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Looked | RequestError] = loop.create_future()

        def deliver(result: Looked | RequestError) -> None:
            # The loop may have ended before the network did.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, answer, result)

        self._batcher.submit(Work(prepared, lane, deliver, lambda: not answer.done()))
        result = await answer
        if isinstance(result, RequestError):
            raise result
        return result


def _settle(answer: asyncio.Future[Any], result: object) -> None:
    # Whoever waited may have gone.
    if not answer.done():
        answer.set_result(result)
