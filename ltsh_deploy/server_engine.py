"""From a client's bytes to poses, for the event loop: decoding in a few threads, the network in one, both bounded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
from ltsh_deploy.skeletons import SKELETONS, conversion_matrix

if TYPE_CHECKING:
    from ltsh_deploy.server_metrics import Metrics

__all__ = ["Engine", "Found"]

_log = logging.getLogger("ltsh_deploy.server")


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
        self._reserved = self._preparing = 0
        self._ready = False
        metrics.queue.set_function(lambda: self._reserved)

    def start(self) -> None:
        """Begin."""
        self._batcher.start()
        self._ready = True

    async def stop(self) -> None:
        """End; who still waits is told so."""
        self._ready = False
        self._decoders.shutdown(wait=False, cancel_futures=True)
        await asyncio.get_running_loop().run_in_executor(None, self._batcher.stop)

    @property
    def ready(self) -> bool:
        """Whether pictures are looked at."""
        return self._ready and self._batcher.fit

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
    def places(self, wanted: int = 1) -> Iterator[int]:
        """Keep up to so many places for pictures, as many as are free; gives their number.

        Raises:
            RequestError: when there is none.
        """
        taken = min(wanted, self.config.queue - self._reserved)
        if taken < 1:
            raise RequestError("overload", "the server has too much to do", "send it again in a second")
        self._reserved += taken
        try:
            yield taken
        finally:
            self._reserved -= taken

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
        config = self.config
        self._preparing += 1
        try:
            prepared = await asyncio.get_running_loop().run_in_executor(
                self._decoders, prepare, data, self.estimator, wishes, config.max_bytes, config.max_pixels
            )
        except (RuntimeError, MemoryError) as error:
            # The pool takes no more, since the server ends; or one picture was too much.
            code = "failed" if self._ready else "ending"
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
