"""What a run's people were found as, kept so that every figure and every interval can be taken of it again.

One .npz file a run and a data set. Units lie one after another: of those measured by AP, the arrays of
:class:`~ltsh_deploy.metrics.UnitMatches` with the numbers of people predicted and labelled; of those measured by PCK,
the hits and the joints that could be hit; and what is known of each labelled person, by name.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.evaluation.measures import ApMeasure, Measure, RateMeasure
from ltsh_deploy.metrics import UnitMatches
from ltsh_deploy.whole_files import write_whole

__all__ = ["Stored", "load_measure", "save_measure"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

_KNOWN = "known_"


@dataclass(frozen=True, eq=False)
class Stored:
    """A measure of U units.

    Attributes:
        measure: the figures.
        known: name to what is known of each unit's labelled people, [G] each; NaN where unknown.
    """

    measure: Measure
    known: Mapping[str, Sequence[FloatArray]]


def save_measure(path: Path, measure: ApMeasure | RateMeasure, known: Mapping[str, Sequence[FloatArray]]) -> None:
    """Write a measure, and what is known of the people.

    Raises:
        OutputError: when it cannot be written.
    """
    arrays: dict[str, Array] = {"names": np.array(measure.names)}
    if isinstance(measure, ApMeasure):
        units = measure.matches
        arrays["predicted"] = np.array([len(unit.truth_of) for unit in units], np.int64)
        arrays["people"] = np.array([len(unit.annotated) for unit in units], np.int64)
        for name in ("truth_of", "hits", "present", "scores", "annotated"):
            arrays[name] = np.concatenate([getattr(unit, name) for unit in units])
    else:
        arrays["pooled"] = np.array(measure.pooled)
        arrays["people"] = np.array([len(unit) for unit in measure.annotated], np.int64)
        arrays["hits"], arrays["annotated"] = np.concatenate(measure.hits), np.concatenate(measure.annotated)
    arrays |= {_KNOWN + name: np.concatenate(list(values)) for name, values in known.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_whole(path, buffer.getvalue())


def load_measure(path: Path) -> Stored:
    """Read what :func:`save_measure` wrote.

    Raises:
        InputError: when the file cannot be read or is none of these.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, Array] = {name: file[name] for name in file.files}
        people = np.cumsum(arrays["people"])[:-1]

        def parts(name: str) -> tuple[Array, ...]:
            return tuple(np.split(arrays[name], people))

        known = {name.removeprefix(_KNOWN): parts(name) for name in arrays if name.startswith(_KNOWN)}
        names = tuple(map(str, arrays["names"]))
        if "predicted" not in arrays:
            rates = RateMeasure(parts("hits"), parts("annotated"), names, bool(arrays["pooled"]))
            return Stored(rates, known)
        predicted = np.cumsum(arrays["predicted"])[:-1]
        columns = [np.split(arrays[name], predicted) for name in ("truth_of", "hits", "present", "scores")]
        matches = tuple(UnitMatches(*unit) for unit in zip(*columns, parts("annotated"), strict=True))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(
            f"{path}: is damaged ({type(error).__name__})", "Delete it, and give the command that made it again."
        ) from None
    return Stored(ApMeasure(matches, names), known)
