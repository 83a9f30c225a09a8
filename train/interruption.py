"""Stopping a run when somebody asks for it, but only between two steps."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Interrupted", "Interruption"]

_log = logging.getLogger(__name__)

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """A run was stopped by a signal.

    Attributes:
        signal: its number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


class Interruption:
    """Whether somebody asked the program to stop (Ctrl-C, SIGTERM, or SIGHUP, by which a terminal says that it closes).

    Attributes:
        signal: the number of the first signal that came; 0 before.
    """

    def __init__(self) -> None:
        self.signal = 0

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Inside, the first request is only noted; another Ctrl-C stops at once.

        Signals that are ignored, such as SIGHUP by a program that was started with nohup, stay so. Outside the main
        thread, where signals never arrive, this does nothing.

        Raises:
            Interrupted: at the second Ctrl-C.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: object) -> None:
            # Services and closing terminals send several signals at once; only a person means more by the second.
            if self.signal and number == signal.SIGINT:
                raise Interrupted(self.signal)
            if not self.signal:
                self.signal = number
                _log.info("stopping after this step, with a checkpoint; Ctrl-C once more stops at once")

        heard = [number for number in _SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
        before = {number: signal.signal(number, note) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
