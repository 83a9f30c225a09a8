"""Stopping a run when somebody asks for it, but only between two steps."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Interruption"]

_log = logging.getLogger(__name__)


class Interruption:
    """Whether somebody asked the program to stop (Ctrl-C, SIGTERM).

    Attributes:
        came: whether so.
    """

    def __init__(self) -> None:
        self.came = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Inside, the first request is only noted; the second one stops at once, by KeyboardInterrupt.

        Outside the main thread, where signals never arrive, this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: object) -> None:
            if self.came:
                raise KeyboardInterrupt
            self.came = True
            _log.info("stopping after this step, with a checkpoint; once more stops at once")

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
