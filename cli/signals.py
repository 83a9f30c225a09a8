"""Ctrl-C and its kin: the first asks the run to end well, and what it has begun is finished.

SIGTERM and SIGHUP, by which services and terminals end a program, do the same as Ctrl-C.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import click

__all__ = ["EndWell"]

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class EndWell:
    """While this context is entered, the first signal raises KeyboardInterrupt, the third does so again.

    The second, and all after the third, only say or do nothing: people press Ctrl-C more than once, and the video that
    is being finished would be lost.

    Attributes:
        exit_code: what a process that such a signal ended returns: 128 + the signal's number, so 130 for Ctrl-C.
    """

    def __init__(self) -> None:
        self.exit_code = 128 + signal.SIGINT
        self._count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> EndWell:
        # Python lets only the main thread set handlers, and hands signals to no other.
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # A program started with nohup ignores SIGHUP, and goes on doing so.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Once signalled, the process is about to end; a late signal must not turn its exit code into another.
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self._count else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count == 1:
            self.exit_code = 128 + number
        if self._count in (1, 3):
            raise KeyboardInterrupt
        if self._count == 2:
            # stderr may be in the middle of a write that this interrupts, or gone.
            with contextlib.suppress(RuntimeError, OSError):
                click.echo("finishing what was begun; once more to give it up", err=True)
