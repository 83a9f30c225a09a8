"""``state.pt``: all that a run needs to go on exactly where it was.

The file is whole or absent: it is written under another name, brought to the disk, and renamed. It holds the weights
too, so that it depends on no other file. It loads with ``weights_only=True``, which runs no code from the file.
"""

from __future__ import annotations

import math
import os
import pickle
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltsh_deploy.checkpoints import Provenance
from ltsh_deploy.errors import ConfigError, InputError
from ltsh_deploy.skeletons import Skeleton
from ltsh_deploy.whole_files import WholeFile

__all__ = ["FORMAT_VERSION", "check_goes_on", "load_state", "save_state"]

FORMAT_VERSION = 1
_KEYS = ("version", "step", "config", "skeleton", "network", "optimiser", "scaler", "best", "teacher", "window")
_AS_BEGUN = "Resume with the configuration the run began with."
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
        InputError: when the file is missing, damaged, of a later version, or holds what no run has written.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file, so there is no run to resume", "Leave out --resume.")
    try:
        # torch does not look whether the file still has the bytes that were written.
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"{broken} in it has changed")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except _DAMAGES as error:
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
    wrong = next(_mistakes(state), None)
    if wrong is not None:
        raise InputError(f"{path}: is no sound state of a training run: {wrong}", _REMEDY)
    loaded: dict[str, Any] = state
    return loaded


def check_goes_on(state: Mapping[str, Any], where: str, steps: int, skeleton: Skeleton, *, has_teacher: bool) -> None:
    """Refuse a state that a run with this configuration cannot go on from.

    Args:
        state: from :func:`load_state`.
        where: it is from, for messages.
        steps: of the run.
        skeleton: that its network learns.
        has_teacher: whether it has one, of whatever kind.

    Raises:
        ConfigError: when more steps are done than the run shall have.
        InputError: when the state is of another skeleton, or of a run with a teacher where this one has none, or
            without where it has one.
    """
    if state["step"] > steps:
        raise ConfigError(
            f"steps: {steps} are asked for, and the run has done {state['step']}", "Ask for more.", "steps"
        )
    if state["skeleton"] != skeleton.to_dict():
        raise InputError(f"{where}: is of a network with another skeleton", _AS_BEGUN)
    if has_teacher != (state["teacher"] is not None):
        began, asked = ("without a teacher", "one") if has_teacher else ("with a teacher", "none")
        raise InputError(f"{where}: the run began {began}, and the configuration asks for {asked}", _AS_BEGUN)


# What zipfile and torch raise for archives that were not written by :func:`save_state`, or not read as they were.
_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
)


def _mistakes(state: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the values, as far as that can be told without the network."""
    step, best = state["step"], state["best"]
    if type(step) is not int or step < 0:
        yield f"'step' is {step!r:.60}"
    if best is not None and (type(best) is not float or not math.isfinite(best)):
        yield f"'best' is {best!r:.60}"
    best_file = state.get("best_file")
    if best_file is not None and not (isinstance(best_file, Tensor) and best_file.dtype == torch.uint8):
        yield "'best_file' holds no bytes"
    for key in ("config", "skeleton", "network", "optimiser", "scaler", "window"):
        if not isinstance(state[key], dict):
            yield f"{key!r} is no dictionary"
    for key in ("average", "teacher", "data", "skipped", "origin"):
        if not isinstance(state.get(key), dict | None):
            yield f"{key!r} is no dictionary"
    texts = {entry.name: str for entry in fields(Provenance)}
    if state.get("origin") is not None and {key: type(text) for key, text in state["origin"].items()} != texts:
        yield "'origin' holds not where the first weights came from"
    if not all(type(count) is int for count in (state.get("skipped") or {}).values()):
        yield "'skipped' holds no counts"
    if state.get("meter") is not None and not _is_meter(state["meter"]):
        yield "'meter' holds no sums"
    if not isinstance(state.get("sessions", []), list):
        yield "'sessions' is no list"
    for key in ("network", "average", "optimiser"):
        if not all(tensor.isfinite().all() for tensor in _tensors(state.get(key))):
            yield f"{key!r} holds NaN or infinity"
    sums, signals, crops = (state["window"].get(key) for key in ("sums", "signals", "crops"))
    if not (
        _is_float(sums, 1, 2)
        and sums.shape[-1] == 4
        and _is_float(signals, 1)
        and _is_float(crops, 4)
        and len(signals) == len(crops)
    ):
        yield "'window' holds no window"


def _is_float(value: object, *dimensions: int) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim in dimensions


def _is_meter(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    losses: Any = value.get("losses")
    norm, steps = value.get("norm"), value.get("steps")
    counted = type(norm) is float and type(steps) is int and steps >= 0
    return counted and _is_float(losses, 1) and bool(len(losses)) == bool(steps)


def _tensors(value: object) -> Iterator[Tensor]:
    """All tensors of numbers with a fraction, however deep."""
    if isinstance(value, Tensor) and value.is_floating_point():
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for each in inner:
        yield from _tensors(each)
