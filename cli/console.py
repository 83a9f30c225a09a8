"""What the command line writes, and where: results to stdout, everything else to stderr.

How much goes to stderr is the level of the ``ltsh_deploy`` logger and nothing else, so that log messages, progress bars
and tracebacks agree. rich is imported when there is something to write, never before; where it cannot be, messages are
written plainly and there is no progress bar.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task

__all__ = ["Verbosity", "configure", "is_quiet", "is_verbose", "print_error", "printable", "progress", "stderr_console"]

_log = logging.getLogger("ltsh_deploy")


class Verbosity:
    """Levels of the package's logger that the global options set."""

    QUIET = logging.ERROR
    NORMAL = logging.INFO
    VERBOSE = logging.DEBUG


def configure(level: int) -> None:
    """Send log messages of this level and above to stderr; other packages' from warnings upwards."""
    root = logging.getLogger()
    if not any(isinstance(h, _StderrHandler) for h in root.handlers):
        root.addHandler(_StderrHandler())
    root.setLevel(max(level, logging.WARNING))
    _log.setLevel(level)


def is_quiet() -> bool:
    """Whether nothing but errors is wanted on stderr."""
    return _log.getEffectiveLevel() >= Verbosity.QUIET


def is_verbose() -> bool:
    """Whether details and tracebacks are wanted on stderr."""
    return _log.getEffectiveLevel() <= Verbosity.VERBOSE


@lru_cache(maxsize=1)
def stderr_console() -> Console | None:
    """The one console for stderr: sharing it keeps messages above a running progress bar. NO_COLOR is respected.

    None where rich is missing or broken; what a broken package raises may be anything.
    """
    try:
        from rich import progress, text  # noqa: F401  (all that is used later)
        from rich.console import Console

        return Console(stderr=True, highlight=False)
    except Exception:
        return None


def print_error(message: str, remedy: str = "") -> None:
    """What went wrong, and on lines of its own what to do about it; shown however quiet the rest is."""
    _print("error: ", "bold red", message)
    if remedy:
        _print("", "", remedy)


def printable(message: str) -> str:
    """The message with control characters written out: a file's name must not steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in message)


def _print(label: str, style: str, message: str) -> None:
    # A closed stderr is no reason to fail: there is nobody to tell.
    if sys.stderr is None:
        return
    console = stderr_console()
    if console is None:
        sys.stderr.write(f"{label}{printable(message)}\n")
        return
    from rich.text import Text

    console.print(Text.assemble((label, style), printable(message)), soft_wrap=True)


class _StderrHandler(logging.Handler):
    """Log records as "level: message" on stderr, in colour on a terminal."""

    _STYLES = ((logging.ERROR, "bold red"), (logging.WARNING, "yellow"), (logging.INFO, "cyan"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = self.format(record)
            style = next((s for level, s in self._STYLES if record.levelno >= level), "dim")
            _print(f"{record.levelname.lower()}: ", style, message)
        except Exception:
            self.handleError(record)


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr with the rate and the time left.

    There is none where stderr is no terminal, with --quiet, and where rich is missing.

    Args:
        description: what is being done.
        total: how many steps there will be; None when nobody knows, as with a camera.

    Yields:
        a function that reports so many further steps as done.
    """
    console = None
    if sys.stderr is not None and sys.stderr.isatty() and not is_quiet():
        console = stderr_console()
    if console is None:
        yield lambda steps: None
        return
    from rich import progress as rich_progress
    from rich.markup import escape
    from rich.text import Text

    class Rate(rich_progress.ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.1f}/s")

    known = total is not None
    columns: list[rich_progress.ProgressColumn] = [
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn() if known else rich_progress.TextColumn("{task.completed}"),
        Rate(),
        rich_progress.TimeRemainingColumn() if known else rich_progress.TimeElapsedColumn(),
    ]
    with rich_progress.Progress(*columns, console=console) as bar:
        task = bar.add_task(escape(printable(description)), total=total)
        yield lambda steps: bar.advance(task, steps)
