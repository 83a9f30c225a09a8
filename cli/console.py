"""What the command line writes, and where: results to stdout, everything else to stderr.

How much goes to stderr is the level of the ``ltsh_deploy`` logger and nothing else, so that log messages, progress bars
and tracebacks agree. rich is imported when there is something to write, never before; where it cannot be, messages are
written plainly and there is no progress bar.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task

__all__ = [
    "Advance",
    "Verbosity",
    "configure",
    "is_quiet",
    "is_verbose",
    "print_error",
    "printable",
    "progress",
    "shows_progress",
    "stderr_console",
]

_log = logging.getLogger("ltsh_deploy")


class Verbosity:
    """Levels of the package's logger that the global options set."""

    QUIET = logging.ERROR
    NORMAL = logging.INFO
    VERBOSE = logging.DEBUG


def configure(level: int) -> None:
    """Send log messages of this level and above to stderr; other packages' from warnings upwards.

    From then on characters that the encoding of stdout or stderr lacks are written out, as ``\\u56fe``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
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


def printable(message: str, kept: str = "\n\t") -> str:
    """The message with control characters, all but ``kept``, written out: a file's name must not steer the terminal."""
    return "".join(c if c.isprintable() or c in kept else repr(c)[1:-1] for c in message)


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


class Advance(Protocol):
    """What :func:`progress` gives."""

    def __call__(self, steps: int, note: str = "") -> None:
        """Report so many further steps as done; ``note``, where given, is shown behind the bar from then on."""


@contextmanager
def progress(description: str, total: int | None = None, done: int = 0) -> Iterator[Advance]:
    """A progress bar on stderr with the rate and the time left; nothing where :func:`shows_progress` is False.

    Args:
        description: what is being done.
        total: how many steps there will be; None when nobody knows, as with a camera.
        done: how many of them had been done before.
    """
    console = stderr_console() if shows_progress() else None
    if console is None:
        yield lambda steps, note="": None
        return
    from rich import progress as rich_progress
    from rich.markup import escape
    from rich.text import Text

    class Rate(rich_progress.ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.1f}/s")

    class Note(rich_progress.ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(str(task.fields["note"]))

    known = total is not None
    columns: list[rich_progress.ProgressColumn] = [
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn() if known else rich_progress.TextColumn("{task.completed}"),
        Rate(),
        rich_progress.TimeRemainingColumn() if known else rich_progress.TimeElapsedColumn(),
        Note(),
    ]
    with rich_progress.Progress(*columns, console=console) as bar:
        task = bar.add_task(escape(printable(description)), total=total, completed=done, note="")

        def advance(steps: int, note: str = "") -> None:
            bar.update(task, advance=steps)
            if note:
                bar.update(task, note=printable(note))

        yield advance


def shows_progress() -> bool:
    """Whether :func:`progress` shows a bar: stderr is a terminal, more than errors is wanted there, and rich works."""
    return sys.stderr is not None and sys.stderr.isatty() and not is_quiet() and stderr_console() is not None
