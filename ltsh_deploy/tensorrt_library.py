"""Whichever TensorRT is installed: ``tensorrt`` 8.6, 10 and 11, or ``tensorrt_rtx``, and what it says while it works.

What a version can do is asked of the module itself (``hasattr``), never concluded from its number.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ltsh_deploy.errors import MissingPartError
from ltsh_deploy.parts import import_part, install_line

__all__ = [
    "LIBRARIES",
    "Messages",
    "freed_on_error",
    "import_tensorrt",
    "library_name",
    "library_version",
    "listen",
    "plain_words",
]

#: Modules that build and run engines, the one that is preferred first, and the extra that brings each.
LIBRARIES = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx"}
_NAMES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}

_log = logging.getLogger(__name__)


def import_tensorrt(what: str, module: str | None = None) -> Any:
    """The module of a TensorRT.

    Args:
        what: what needs it, to begin a message with.
        module: which of :data:`LIBRARIES`; None takes the first that is installed.

    Raises:
        MissingPartError: when it, or all of them, are not installed or broken.
    """
    if module is not None:
        return import_part(module, what, LIBRARIES[module])
    absent = []
    for name, extra in LIBRARIES.items():
        try:
            return import_part(name, what, extra)
        except MissingPartError as error:
            # A broken one is no reason to take another silently: an engine runs only in the library that built it.
            if error.message != f"{what} needs {name}, which is not installed":
                raise
            absent.append(install_line(extra))
    raise MissingPartError(f"{what} needs TensorRT, which is not installed", " or ".join(absent))


def library_name(trt: Any) -> str:
    """Which of :data:`LIBRARIES` a module is."""
    name = str(trt.__name__)
    return name if name in LIBRARIES else "tensorrt"


def library_version(trt: Any) -> str:
    """Its name and version as users know them."""
    return f"{_NAMES[library_name(trt)]} {trt.__version__}"


@dataclass
class Messages:
    """What a TensorRT said. Whoever owns it must keep it as long as anything that was made with its logger lives.

    Attributes:
        errors: what went wrong, first to last.
        warnings: what TensorRT warned of, likewise.
        layers: the builder's lists of the layers it built, each one text.
        logger: for builders, parsers and runtimes.
        recorder: for builders, runtimes and engines: freed before them, it takes the process along.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)
    logger: Any = None
    recorder: Any = None

    def last_error(self) -> str:
        """The last error in plain words; empty where there was none."""
        return plain_words(self.errors[-1]) if self.errors else ""


def listen(trt: Any) -> Messages:
    """A logger and an error recorder that keep what they are told, and print nothing."""
    messages = Messages()
    severe = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in severe:
                messages.errors.append(message)
            elif severity == trt.ILogger.Severity.WARNING:
                messages.warnings.append(message)
            elif "LayerType: " in message:
                messages.layers.append(message)
            if severity in (*severe, trt.ILogger.Severity.WARNING):
                _log.debug("TensorRT: %s", message)

    class Recorder(trt.IErrorRecorder):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IErrorRecorder.__init__(self)
            self._recorded: list[tuple[Any, str]] = []

        def num_errors(self) -> int:
            return len(self._recorded)

        def get_error_code(self, index: int) -> Any:
            return self._recorded[index][0]

        def get_error_desc(self, index: int) -> str:
            return self._recorded[index][1]

        def has_overflowed(self) -> bool:
            return False

        def clear(self) -> None:
            self._recorded.clear()

        def report_error(self, code: Any, description: str) -> bool:
            self._recorded.append((code, description))
            # The logger hears of most errors too, before or after.
            if description not in messages.errors:
                messages.errors.append(description)
            return False

    messages.logger, messages.recorder = Logger(), Recorder()
    return messages


@contextmanager
def freed_on_error() -> Iterator[None]:
    """See to it that an exception keeps none of TensorRT's objects alive, nor memory of the GPU.

    Its traceback would, by the variables of the functions that it went through, until after the logger and the recorder
    are freed, which then ends the process.
    """
    try:
        yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise


def plain_words(message: str) -> str:
    """A TensorRT message without the names of its own functions, files and error codes."""
    text = message.strip().splitlines()[0] if message.strip() else ""
    text = re.sub(r"^(\d+: )?(\[\w+\.cpp::\w+::\d+\] )?", "", text)
    text = re.sub(r"^\w+(::\w+)+: ", "", text)
    # "Error Code 4: API Usage Error (what it is about)": the brackets hold all that matters.
    inner = re.fullmatch(r"(?:Error Code \d+: )[^()]*\((.*)\)\.?", text)
    text = inner[1] if inner else re.sub(r"^Error Code \d+: ", "", text)
    text = re.sub(r"\.? ?In [\w:<>~]+ at \S+?:\d+", "", text)
    text = re.sub(r"\[\w+\.cpp:\d+: \w+\] ", "", text)
    text = re.sub(r"^(?:\[\d+\] )?Assertion failed: .*?: (?=\S)", "", text)
    return text.strip()[:400]
