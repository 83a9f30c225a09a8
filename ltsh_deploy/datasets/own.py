"""A user's own data set: a function that yields samples."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ltsh_deploy.datasets.samples import Sample
from ltsh_deploy.errors import InputError, LtshError, UsageError

__all__ = ["is_own", "read_own"]

_REMEDY = "docs/data.md has a template of such a function."


def is_own(kind: str) -> bool:
    """Whether a kind names a function: ``package.module:function`` or ``path/to/file.py:function``."""
    source, separator, name = kind.rpartition(":")
    return bool(source and separator and name.isidentifier())


def read_own(kind: str, path: Path, options: dict[str, Any]) -> list[Sample]:
    """The samples that the user's function yields for ``path`` and the options.

    Raises:
        UsageError: when there is no such module, file or function.
        InputError: when the function fails or yields anything but samples.
    """
    function = _load(kind)
    found: list[Sample] = []
    try:
        result = function(path, **options)
        if not isinstance(result, Iterable):
            raise InputError(f"{kind} returned {type(result).__name__} instead of samples", _REMEDY)
        for sample in result:
            if not isinstance(sample, Sample):
                raise InputError(f"{kind} yielded {type(sample).__name__}, not a Sample", _REMEDY)
            found.append(sample)
    except LtshError:
        raise
    # Whatever a user's code raises is an error in it, and is told as such; --verbose shows where it happened.
    except Exception as error:
        after = f" after {len(found)} samples" if found else ""
        raise InputError(
            f"{kind} failed{after}: {type(error).__name__}: {error}", "--verbose shows the line. " + _REMEDY
        ) from error
    return found


def _load(kind: str) -> Callable[..., Any]:
    source, _, name = kind.rpartition(":")
    try:
        if source.endswith(".py"):
            file = Path(source).expanduser()
            spec = importlib.util.spec_from_file_location(file.stem, file)
            if not file.is_file() or spec is None or spec.loader is None:
                raise UsageError(f"{file}: there is no such file", _REMEDY)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(source)
    except LtshError:
        raise
    except Exception as error:
        raise UsageError(
            f"data set {kind!r}: {source} cannot be imported: {type(error).__name__}: {error}",
            f"Name a module that Python finds, or a file: my_data.py:{name}. {_REMEDY}",
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise UsageError(f"data set {kind!r}: {source} has no function {name}", _REMEDY)
    found: Callable[..., Any] = function
    return found
