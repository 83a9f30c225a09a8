"""``state.pt``: all that a run needs to go on exactly where it was.

The file is whole or absent: it is written under another name, brought to the disk, and renamed. It holds the weights
too, so that it depends on no other file. It loads with ``weights_only=True``, which runs no code from the file.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from ltsh_deploy.errors import InputError
from ltsh_deploy.whole_files import WholeFile

__all__ = ["FORMAT_VERSION", "load_state", "save_state"]

FORMAT_VERSION = 1
_KEYS = ("version", "step", "config", "skeleton", "network", "optimiser", "best")
_REMEDY = "Without it the run cannot go on; begin another one from its last.safetensors with --set init=FILE."


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state; an older file of this name is replaced once the new one is whole and on the disk.

    Args:
        path: of the file.
        state: tensors, numbers, strings, lists and dictionaries, with all the keys that :func:`load_state` gives.

    Raises:
        OutputError: when it cannot be written, as on a full disk; the older file is then untouched.
    """
    with WholeFile(path) as file, file.named_errors():
        try:
            with file.temporary.open("wb") as stream:
                torch.save({"version": FORMAT_VERSION, **state}, stream)
                stream.flush()
                os.fsync(stream.fileno())
        # torch reports a failed write as its own failure to finish the archive.
        except RuntimeError as error:
            raise OSError(str(error).splitlines()[0]) from None


def load_state(path: Path) -> dict[str, Any]:
    """The state in a file, its tensors on the CPU.

    Raises:
        InputError: when the file is missing, damaged, or of a later version.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file, so there is no run to resume", "Leave out --resume.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: is damaged, or no state of a training run ({reason[:120]})", _REMEDY) from None
    version = state.get("version") if isinstance(state, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(
            f"{path}: is a state of format version {version}; this program reads up to {FORMAT_VERSION}",
            "It was written by a later version: pip install --upgrade ltsh-deploy",
        )
    lacking = [key for key in _KEYS if not isinstance(state, dict) or key not in state]
    if lacking:
        raise InputError(f"{path}: is no state of a training run: it lacks {', '.join(lacking)}", _REMEDY)
    loaded: dict[str, Any] = state
    return loaded
