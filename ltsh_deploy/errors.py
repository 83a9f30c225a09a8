"""The one tree of errors a user can meet, and the exit code the command line gives each.

Every message says what went wrong, where, and what to do about it; ``message`` and ``remedy`` are kept apart so that
the command line can set them on lines of their own. Errors that only our own bugs can cause stay ``AssertionError``.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "ConfigError",
    "DeviceError",
    "ExitCode",
    "ExportError",
    "FieldsError",
    "ImageError",
    "InputError",
    "LtshError",
    "MissingPartError",
    "ModelFileError",
    "OutputError",
    "SkeletonError",
    "SourceError",
    "TrainingError",
    "UsageError",
]


class ExitCode(IntEnum):
    """What the ``ltsh`` process returns to its caller."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    BAD_INPUT = 3
    MISSING_PART = 4
    INTERRUPTED = 130


class LtshError(Exception):
    """Anything a user's action can cause.

    Args:
        message: what went wrong and where (a file, a line, a name).
        remedy: what to do now; empty when the message makes it plain.
    """

    exit_code = ExitCode.FAILURE

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[type[LtshError], tuple[str, ...]]:
        return type(self), (self.message, self.remedy)


class UsageError(LtshError):
    """Arguments that cannot be right, whatever the files hold."""

    exit_code = ExitCode.USAGE


class InputError(LtshError):
    """A file, stream or array that cannot be used."""

    exit_code = ExitCode.BAD_INPUT


class ConfigError(InputError):
    """A configuration that nothing can be made of.

    Args:
        message: begins with the key.
        remedy: what to do now.
        key: dotted, of what is wrong; empty for the whole. By it, the command line knows who set it.
    """

    def __init__(self, message: str, remedy: str = "", key: str = "") -> None:
        super().__init__(message, remedy)
        self.key = key

    def __reduce__(self) -> tuple[type[LtshError], tuple[str, ...]]:
        return type(self), (self.message, self.remedy, self.key)


class ImageError(InputError):
    """A picture that cannot be decoded whole."""


class SourceError(InputError):
    """A video, camera, stream or folder that cannot be read."""


class SkeletonError(InputError):
    """A skeleton that contradicts itself, or two that cannot be converted into each other."""


class ModelFileError(InputError):
    """A model file that is missing, corrupt, undescribed or at odds with its description."""


class FieldsError(InputError):
    """Maps that no pose may be read from: NaN, infinity, or a shape that contradicts the skeleton."""


class OutputError(LtshError):
    """A result that could not be written."""


class ExportError(LtshError):
    """An export that failed or could not prove parity."""


class TrainingError(LtshError):
    """A training run that cannot go on, such as one whose loss is no longer a number."""


class MissingPartError(LtshError):
    """An optional package, or a program beside the package, that the request needs.

    The remedy holds the exact line that installs it.
    """

    exit_code = ExitCode.MISSING_PART


class DeviceError(MissingPartError):
    """A device (a GPU, a display, a camera index) that is not there."""
