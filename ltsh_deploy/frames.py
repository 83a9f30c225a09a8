"""What every source gives: frames, with where and when they come from."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

from ltsh_deploy.images import Image

__all__ = ["HIGHEST_RATE", "LOWEST_RATE", "Frame", "Kind", "Source", "plausible_rate"]

Kind = Literal["image", "video", "live"]

#: Frames a second that a video can have.
LOWEST_RATE, HIGHEST_RATE = 0.01, 1000


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source.

    Attributes:
        image: [H, W, 3] uint8 RGB, upright.
        source: the source's name.
        kind: the source's kind.
        index: which frame of the source, from 0. Frames that were dropped or broken are counted too, so they show as
            gaps.
        time_s: seconds since the source's first frame: presentation time in a file, capture time when live; None for
            pictures and where the stream does not say.
        captured_at: :func:`time.perf_counter` when the picture was handed over by the decoder.
    """

    image: Image
    source: str
    kind: Kind
    index: int = 0
    time_s: float | None = None
    captured_at: float = field(default_factory=time.perf_counter)


class Source(ABC):
    """Something that frames come from. Iterating opens it, and raises its errors; opening nothing costs nothing.

    Attributes:
        kind: "image" is one picture; "video" gives every frame in order; "live" gives the newest frame;
            None while only reading will tell.
        name: how results and errors call it; never a password.
        frames: how many frames there will be, as far as the file says, from the first frame on; None if unknown.
        rate: frames a second, from the first frame on; None if unknown.
        size: (width, height) of the first frame, from then on.
        pixel_aspect: (a, b), from the first frame on, when pixels are to be shown a / b times as wide as high; None for
            square ones.
    """

    def __init__(self, kind: Kind | None, name: str) -> None:
        self.kind: Kind | None = kind
        self.name = name
        self.frames: int | None = None
        self.rate: float | None = None
        self.size: tuple[int, int] | None = None
        self.pixel_aspect: tuple[int, int] | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames.

        Raises:
            ImageError, SourceError, DeviceError: when it cannot be read; after the frames that could be, if it stops
                being readable.
        """

    def close(self) -> None:
        """Stop reading, also from another thread; an iteration that waits for a frame ends."""
        return

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def plausible_rate(rate: float) -> float | None:
    """Frames a second as a container states it, or None where it is no such thing (0, NaN, a clock's 90000)."""
    return rate if LOWEST_RATE <= rate <= HIGHEST_RATE else None
