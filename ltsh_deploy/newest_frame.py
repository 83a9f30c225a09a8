"""The newest frame of a device, whatever the pace of the one who asks.

A queue between a camera and a slower network would fill, and results would lag behind more and more. Here a thread
reads everything and keeps one frame; what nobody fetched in time is dropped and counted.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import LtshError, SourceError
from ltsh_deploy.frames import plausible_rate

__all__ = ["CaptureDevice", "Captured", "NewestFrame", "Reconnect"]

logger = logging.getLogger("ltsh_deploy")

_JOIN_S = 0.2
_running: weakref.WeakSet[NewestFrame] = weakref.WeakSet()


class CaptureDevice(Protocol):
    """The part of cv2.VideoCapture that is used here. One thread opens, reads and releases it."""

    def isOpened(self) -> bool: ...  # noqa: D102, N802
    def read(self) -> tuple[bool, Any]: ...  # noqa: D102
    def get(self, prop: int, /) -> float: ...  # noqa: D102
    def release(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Reconnect:
    """How often and how patiently a stream is opened.

    Attributes:
        first_tries: how often a network stream that never gave a frame is tried; a camera is tried once.
        tries: how often in a row a stream that was lost is tried before it is given up.
        first_s: seconds to wait after the first failure.
        factor: how much longer to wait after each further one.
        longest_s: the longest wait, in seconds.
    """

    first_tries: int = 3
    tries: int = 10
    first_s: float = 0.5
    factor: float = 2.0
    longest_s: float = 10.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row, 1 or more."""
        # The exponent is limited so that an endless patience does not overflow a float.
        return min(self.longest_s, self.first_s * self.factor ** min(failures - 1, 64))


class Captured(NamedTuple):
    """A frame as the reader thread got it: [H, W, 3] uint8 BGR, its number from 0, and the perf_counter time."""

    bgr: npt.NDArray[np.uint8]
    number: int
    captured_at: float


class NewestFrame:
    """Reads a device on a thread of its own and hands over the newest frame, each at most once.

    A live stream does not end: when it gives no more frames it was lost, and is opened again. Only a stream that states
    its length, a recording served as a stream, ends when that many frames were read.

    Args:
        open_device: called on the reader thread for each attempt; its result is used and released there only.
        name: how log messages and errors call the stream.
        absent: raised by :meth:`read` when the device could never be opened.
        reconnect: how often to try.

    Attributes:
        dropped: frames that were read but never handed over.
        reconnects: how often the stream was opened again after it had been lost.
        rate: frames a second as the device says, None if unknown.
    """

    def __init__(
        self,
        open_device: Callable[[], CaptureDevice],
        name: str,
        absent: LtshError,
        reconnect: Reconnect | None = None,
    ) -> None:
        self.dropped = 0
        self.reconnects = 0
        self.rate: float | None = None
        self._open_device = open_device
        self._name = name
        self._absent = absent
        self._reconnect = reconnect or Reconnect()
        self._count = 0
        self._newest: Captured | None = None
        self._error: BaseException | None = None
        self._done = False
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"frames of {name}", daemon=True)
        _running.add(self)
        self._thread.start()

    def read(self) -> Captured | None:
        """Wait for a frame newer than the last one; None after :meth:`close` or at the end of a recording.

        Raises:
            SourceError: when the stream was lost for good.
            LtshError: ``absent``, when it could never be opened.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._done)
            newest, self._newest = self._newest, None
            if newest is not None and not self._stop.is_set():
                return newest
            if self._error is not None and not self._stop.is_set():
                raise self._error
            return None

    def close(self) -> None:
        """Stop. A reader that waits returns at once; a device that blocks is left to its thread, which ends with it."""
        self._stop.set()
        with self._changed:
            self._done = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)

    def __enter__(self) -> NewestFrame:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            self._keep_reading()
        except Exception as error:
            # Whatever it is, it belongs to the one who waits for frames.
            self._error = error
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def _keep_reading(self) -> None:
        failures, opened = 0, False
        while not self._stop.is_set():
            device = self._open_device()
            before = self._count
            try:
                if device.isOpened():
                    opened = True
                    self.reconnects += before > 0
                    if self._read_all(device):
                        return
            finally:
                device.release()
            failures = 1 if self._count > before else failures + 1
            if self._stop.is_set():
                return
            if failures >= (self._reconnect.tries if self._count else self._reconnect.first_tries):
                raise self._failure(failures, opened)
            delay = self._reconnect.delay(failures)
            what = "lost" if self._count else "cannot be opened"
            logger.warning("%s: %s; trying again in %.1f s", self._name, what, delay)
            self._stop.wait(delay)

    def _read_all(self, device: CaptureDevice) -> bool:
        """Read until nothing comes; True when that is the end and not a loss."""
        self.rate = plausible_rate(device.get(cv2.CAP_PROP_FPS))
        length = device.get(cv2.CAP_PROP_FRAME_COUNT)
        start = self._count
        while not self._stop.is_set():
            got, bgr = device.read()
            now = time.perf_counter()
            if not got or bgr is None:
                return 0 < length <= self._count - start
            with self._changed:
                self.dropped += self._newest is not None
                self._newest = Captured(bgr, self._count, now)
                self._count += 1
                self._changed.notify_all()
        return True

    def _failure(self, failures: int, opened: bool) -> LtshError:
        if self._count:
            return SourceError(
                f"{self._name}: lost after {self._count} frames, and {failures} attempts to open it again failed",
                "check the device or the network, then start again",
            )
        if opened:
            return SourceError(
                f"{self._name}: it opens but gives no picture", "check that no other program uses it and that it plays"
            )
        return self._absent


@atexit.register
def _close_all() -> None:
    """A thread that comes back from OpenCV into an interpreter that is being taken down would abort the process."""
    for reader in list(_running):
        reader.close()
