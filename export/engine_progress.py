"""How far a TensorRT build is, as one number, and a way to end it early.

TensorRT reports phases within phases, each with a number of steps; a phase runs within one step of its parent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["BuildProgress", "Done", "monitor", "uninterrupted"]

Result = TypeVar("Result")
#: Is told of so many further percents, and what is being done.
Done = Callable[[int, str], None]


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class BuildProgress:
    """Phases in, percents out; they never go back.

    Args:
        done: is told of every further percent, and of every new phase with 0.

    Attributes:
        failure: what ``done`` raised; the build is then to end.
    """

    def __init__(self, done: Done) -> None:
        self._done, self._phases, self._percent = done, dict[str, _Phase](), 0
        self.failure: BaseException | None = None
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Have the build end at its next step."""
        self._cancelled.set()

    @property
    def goes_on(self) -> bool:
        """Whether the build is to go on."""
        return not self._cancelled.is_set()

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase begins, within a step of its parent."""
        self._phases[phase] = _Phase(parent if parent in self._phases else None, max(1, steps))
        self._tell(phase)

    def step(self, phase: str, step: int) -> None:
        """A step of a phase, counted from 0, is done."""
        if phase in self._phases:
            self._phases[phase].done = step + 1
            self._tell("")

    def finish(self, phase: str) -> None:
        """A phase is over, whether or not all of its steps were done."""
        if phase in self._phases:
            self._phases[phase].done = self._phases[phase].steps
            self._tell("")
            del self._phases[phase]

    def _fraction(self, name: str) -> float:
        phase = self._phases[name]
        within = max((self._fraction(n) for n, other in self._phases.items() if other.parent == name), default=0.0)
        return min(1.0, (phase.done + within) / phase.steps)

    def _tell(self, note: str) -> None:
        reached = max((self._fraction(n) for n, phase in self._phases.items() if phase.parent is None), default=0.0)
        percent = max(self._percent, int(100 * reached))
        if percent > self._percent or note:
            try:
                self._done(percent - self._percent, note)
            # An exception must not travel through TensorRT: the build is ended, and it is raised after that.
            except BaseException as error:
                # Its traceback would keep alive what TensorRT must be able to free.
                self.failure = error.with_traceback(None)
                self.cancel()
            self._percent = percent


def monitor(trt: Any, progress: BuildProgress) -> Any | None:
    """TensorRT's own object for all this, which must outlive the build; None where it has no such thing (8.6)."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            progress.start(name, parent, steps)

        def step_complete(self, name: str, step: int) -> bool:
            progress.step(name, step)
            return progress.goes_on

        def phase_finish(self, name: str) -> None:
            progress.finish(name)

    return Monitor()


def uninterrupted(work: Callable[[], Result], progress: BuildProgress) -> Result:
    """Do a build's work in a thread of its own, so that Ctrl-C is never raised inside TensorRT's calls of Python.

    A first interruption cancels the build and is raised when TensorRT has ended it; a second is raised at once.
    """
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        # Raised again where the caller waits.
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="TensorRT build", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        progress.cancel()
        thread.join()
        raise
    if progress.failure is not None:
        raise progress.failure
    if failures:
        raise failures[0]
    return results[0]
