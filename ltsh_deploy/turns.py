"""Several sources at once: each is read by a thread of its own, and they are served in fair turns.

A source that waits holds up no other. A live one is always good for its newest frame; of every other, all frames come,
in order, and it waits while nobody takes them: memory stays flat however long the run and however uneven the pace.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import NamedTuple

from ltsh_deploy.errors import LtshError
from ltsh_deploy.frames import Frame, Source
from ltsh_deploy.streams import LiveSource

__all__ = ["FILES_AT_ONCE", "Turn", "Turns"]

#: So many video files are open at the same time; the next one begins when one of them ends.
FILES_AT_ONCE = 8
_JOIN_S = 1.0
_STEP_S = 0.05


class Turn(NamedTuple):
    """A source's turn: a frame of it, or its end.

    Attributes:
        source: whose turn it is.
        frame: its next frame, or its newest if it is live; None when it gives no more.
        error: why it gives no more, where that is not its usual end.
    """

    source: Source
    frame: Frame | None
    error: LtshError | None = None


class Turns:
    """Reads several sources at once; a context manager, outside of which nothing is read.

    Pictures count as one source: they come one after the other. Of video files, :data:`FILES_AT_ONCE` are read at
    the same time.

    Args:
        sources: closed when they have been read.
        max_frames: so many frames are given of each source, which then ends; None for all.

    Attributes:
        at_once: how many sources are read at the same time.
    """

    def __init__(self, sources: Sequence[Source], max_frames: int | None = None) -> None:
        self._changed = threading.Condition()
        pictures, files = SimpleQueue[Source](), SimpleQueue[Source]()
        queues: list[SimpleQueue[Source]] = []
        for source in sources:
            own = {"image": pictures, "video": files}.get(source.kind or "", SimpleQueue[Source]())
            if own is files or own.empty():
                queues.append(own)
            own.put(source)
        spare = max(0, files.qsize() - FILES_AT_ONCE)
        for _ in range(spare):
            queues.remove(files)
        self._lanes = [_Lane(own, self._changed, max_frames) for own in queues]
        self.at_once = len(self._lanes)
        self._first = 0

    def take(self, most: int) -> list[Turn]:
        """What is ready, but at most one turn of each source and ``most`` frames in all; [] after every source's end.

        Waits until something is ready, never for more. Who was not served now comes first the next time.

        Raises:
            Exception: whatever a source raised that is no :class:`LtshError`.
        """
        turns: list[Turn] = []
        finished: list[Source] = []
        lanes = self._lanes
        with self._changed:
            self._changed.wait_for(lambda: any(lane.ready for lane in lanes) or all(lane.ended for lane in lanes))
            for place in [(self._first + step) % len(lanes) for step in range(len(lanes))]:
                if sum(turn.frame is not None for turn in turns) == most:
                    break
                if lanes[place].ready:
                    turn, last = lanes[place].take()
                    turns.append(turn)
                    finished += [turn.source] * last
                    self._first = (place + 1) % len(lanes)
            self._changed.notify_all()
        for source in finished:
            source.close()
        return turns

    def __enter__(self) -> Turns:
        for lane in self._lanes:
            lane.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            for lane in self._lanes:
                lane.stopped = True
            self._changed.notify_all()
        deadline = time.monotonic() + _JOIN_S
        for lane in self._lanes:
            lane.close()
            while lane.thread.is_alive() and time.monotonic() < deadline:
                # Again, for it may have been opening only when it was closed.
                lane.close()
                lane.thread.join(_STEP_S)


class _Lane:
    """What one thread reads: one source after the other. All but ``thread`` is used under the lock of ``changed``."""

    def __init__(
        self, sources: SimpleQueue[Source], changed: threading.Condition, max_frames: int | None = None
    ) -> None:
        self.stopped = False
        self.ended = False
        self.thread = threading.Thread(target=self._run, name="a source's frames", daemon=True)
        self._sources = sources
        self._changed = changed
        self._max_frames = max_frames
        self._waiting: deque[Turn] = deque()
        self._trouble: Exception | None = None
        self._source: Source | None = None
        self._taken = 0  # frames of that source

    @property
    def ready(self) -> bool:
        """Whether :meth:`take` has something to give or to raise."""
        return bool(self._waiting) or self._trouble is not None

    def take(self) -> tuple[Turn, bool]:
        """The turn that is ready, and whether it holds the last frame that is wanted of its source."""
        if not self._waiting and self._trouble is not None:
            raise self._trouble
        turn = self._waiting.popleft()
        self._taken += turn.frame is not None
        return turn, turn.frame is not None and self._taken == self._max_frames

    def close(self) -> None:
        """Make an iteration that waits for a frame end."""
        source = self._source
        if source is not None:
            source.close()

    def _run(self) -> None:
        try:
            while not self.stopped:
                try:
                    source = self._sources.get_nowait()
                except Empty:
                    break
                self._read(source)
        except Exception as error:
            # Whatever it is, it belongs to the one who takes the frames.
            self._trouble = error
        finally:
            with self._changed:
                self.ended = True
                self._changed.notify_all()

    def _read(self, source: Source) -> None:
        failure: LtshError | None = None
        with self._changed:
            self._source, self._taken = source, 0
        with source:
            try:
                for frame in source:
                    if not self._offer(Turn(source, frame)):
                        break
            except LtshError as error:
                failure = error
        with self._changed:
            # The next source's frames are counted from zero, so this one's must be gone.
            self._waiting.append(Turn(source, None, failure))
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting or self.stopped)

    def _offer(self, turn: Turn) -> bool:
        """Have a frame ready to be taken; False when no more are wanted."""
        source = turn.source
        with self._changed:
            if isinstance(source, LiveSource):
                if self._waiting:
                    source.replaced += 1
                    self._waiting.clear()
            else:
                self._changed.wait_for(lambda: not self._waiting or self.stopped)
            if self.stopped or self._taken == self._max_frames:
                return False
            self._waiting.append(turn)
            self._changed.notify_all()
            # A file or pipe is not read beyond what is wanted; what is offered of a live source may not be taken.
            wanted = self._max_frames
            return isinstance(source, LiveSource) or wanted is None or self._taken + len(self._waiting) < wanted
