"""Cameras and network streams as sources, and how late their results are."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np

from ltsh_deploy.errors import DeviceError, LtshError, SourceError
from ltsh_deploy.frames import Frame, Source
from ltsh_deploy.images import Image, check_image
from ltsh_deploy.newest_frame import CaptureDevice, NewestFrame, Reconnect
from ltsh_deploy.opencv_quirks import hush_opencv

__all__ = ["CaptureDevice", "LatencyMeter", "LiveSource", "Reconnect", "open_device", "public_address"]

_OPEN_TIMEOUT_MS = 10_000
_READ_TIMEOUT_MS = 5_000


def open_device(target: int | str) -> CaptureDevice:
    """Open a camera by its index or a stream by its address. Check ``isOpened()``: this raises nothing."""
    hush_opencv()
    if isinstance(target, int):
        return cv2.VideoCapture(target)
    # Decoding on several threads holds back as many frames as there are threads.
    options = [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_TIMEOUT_MS),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_TIMEOUT_MS),
        *(cv2.CAP_PROP_N_THREADS, 1),
    ]
    return cv2.VideoCapture(target, cv2.CAP_FFMPEG, options)


class LiveSource(Source):
    """A camera (``target`` is its index) or a network stream (its address): the newest frame, again and again.

    Attributes:
        replaced: frames that were given, and then replaced by newer ones before they were used.
    """

    def __init__(
        self,
        target: int | str,
        name: str | None = None,
        reconnect: Reconnect | None = None,
        open_device: Callable[[int | str], CaptureDevice] = open_device,
    ) -> None:
        super().__init__("live", name or (f"camera {target}" if isinstance(target, int) else public_address(target)))
        self._target = target
        self._open = open_device
        self._reconnect = reconnect or Reconnect()
        if isinstance(target, int):
            self._reconnect = replace(self._reconnect, first_tries=1)
        self._reader: NewestFrame | None = None
        self.replaced = 0

    def __iter__(self) -> Iterator[Frame]:
        with NewestFrame(lambda: self._open(self._target), self.name, self._absent(), self._reconnect) as reader:
            self._reader = reader
            start: float | None = None
            while (captured := reader.read()) is not None:
                bgr = check_image(captured.bgr, f"{self.name}: its frame")
                image: Image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
                if start is None:
                    start = captured.captured_at
                    self.rate, self.size = reader.rate, (image.shape[1], image.shape[0])
                time_s = captured.captured_at - start
                yield Frame(image, self.name, "live", captured.number, time_s, captured.captured_at)

    @property
    def dropped(self) -> int:
        """Frames that came while an earlier one was still being worked on."""
        return self.replaced + (self._reader.dropped if self._reader else 0)

    @property
    def reconnects(self) -> int:
        """How often the stream was opened again after it had been lost."""
        return self._reader.reconnects if self._reader else 0

    def close(self) -> None:
        """Stop reading; an iteration that waits for a frame ends. Not before the first frame was asked for."""
        if self._reader:
            self._reader.close()

    def _absent(self) -> LtshError:
        if isinstance(self._target, str):
            return SourceError(
                f"{self.name}: this address cannot be opened", "check address, network, user name and password"
            )
        present = sorted(int(n) for p in Path("/dev").glob("video*") if (n := p.name.removeprefix("video")).isdigit())
        found = f"the system has {', '.join(map(str, present))}" if present else "the system has no camera"
        return DeviceError(f"{self.name} cannot be opened ({found})", "plug it in, or close the program that uses it")


def public_address(address: str) -> str:
    """An address without user name, password and query, which may hold secrets too; for messages and results.

    An address that may hide a password elsewhere, because a character in it was not escaped, loses all but its scheme.
    """
    scheme = address.partition("://")[0]
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        hidden = parts.port is not None and "@" in parts.path and "@" not in parts.netloc
    except ValueError:
        return f"{scheme}://..."
    return f"{scheme}://..." if hidden else f"{scheme}://{host}{parts.path}"


class LatencyMeter:
    """Percentiles of the time from a frame's capture to its result, over the newest ``window`` frames."""

    def __init__(self, window: int = 10_000) -> None:
        self._milliseconds: deque[float] = deque(maxlen=window)
        self.count = 0

    def add(self, captured_at: float, done_at: float | None = None) -> None:
        """Record a result for the frame captured at this :func:`time.perf_counter`, done at that one, or now."""
        self._milliseconds.append(1000 * ((time.perf_counter() if done_at is None else done_at) - captured_at))
        self.count += 1

    def recent(self, results: int = 15) -> float | None:
        """Milliseconds: the median of the last so many results; None before the first."""
        last = list(itertools.islice(reversed(self._milliseconds), results))
        return float(np.median(last)) if last else None

    def percentiles(self) -> dict[str, float]:
        """Milliseconds: {"p50": ..., "p95": ..., "p99": ...}; empty before the first result."""
        if not self._milliseconds:
            return {}
        values = np.percentile(list(self._milliseconds), [50, 95, 99])
        return {name: float(value) for name, value in zip(("p50", "p95", "p99"), values, strict=True)}
