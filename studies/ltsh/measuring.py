"""What a trained student is worth: on LSPET by day and at night, on mosaics of its people, on synthetic people."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.evaluation.evaluation import Evaluation, evaluate_model
from ltsh_deploy.evaluation.judging import judge
from ltsh_deploy.evaluation.measures import ApMeasure, RateMeasure
from ltsh_deploy.evaluation.opening import open_evaluation_set
from ltsh_deploy.evaluation.protocols import Protocol
from ltsh_deploy.evaluation.units import EvaluationSet
from ltsh_deploy.metrics import MPII_JOINTS
from ltsh_deploy.train.folder import LAST
from ltsh_deploy.whole_files import write_whole
from studies.ltsh.data import data_note, data_settings
from studies.ltsh.plan import Budget, Layout, Study
from studies.ltsh.provenance import now, provenance
from studies.ltsh.stored import save_measure

__all__ = ["MEASURES", "Measured", "digest", "measure_run", "other_measuring", "read_measured"]

FloatArray = npt.NDArray[np.float64]

#: In the order of the tables: PCK@0.2 on LSPET, AP on mosaics of its people, AP on synthetic people,
#: PCK@0.2 on LSPET at night.
MEASURES = ("pck", "mosaics", "synthetic", "night")
# Which of the data sets that the study makes they are taken on.
_FOLDERS = {"mosaics": "mosaics", "synthetic": "validation", "night": "night"}
# Those that are of so many people of LSPET as the budget says.
_OF_PEOPLE = ("pck", "night")
# What of the settings says no more than where files lie.
_PLACES = ("real", "backgrounds")


@dataclass(frozen=True)
class Measured:
    """One figure of one run.

    Attributes:
        value: the headline, in 0..100.
        path: of what it can be taken of again; see :mod:`studies.ltsh.stored`.
        note: with what it was made.
    """

    value: float
    path: Path
    note: Mapping[str, Any]


def measure_run(study: Study, budget: Budget, layout: Layout, folder: Path, name: str) -> Measured:
    """Measure the weights after a run's last step; where that is done already, only read.

    Args:
        study: says where LSPET is.
        budget: says how the network looks.
        layout: says where the other data sets are.
        folder: of the run.
        name: one of :data:`MEASURES`.

    Raises:
        LtshError: when something cannot be read or written.
    """
    weights, settings = digest(folder / LAST), _settings(study, budget, layout, name)
    before = read_measured(folder, name)
    if before is not None and before.note["weights"] == weights and before.note["settings"] == settings:
        return before
    begin, made_with = time.perf_counter(), provenance()
    data, box = _open(study, budget, layout, name)
    # What was found so far is of these weights, looked at in this way, or else is of no use.
    mark = hashlib.sha256(json.dumps([weights, settings]).encode()).hexdigest()[:12]
    kept = folder / f"{name}-{mark}.jsonl"
    for other in folder.glob(f"{name}-*.jsonl"):
        if other != kept:
            other.unlink()
    found = evaluate_model(
        folder / LAST,
        data,
        Protocol("fast", size=(box, box)),
        batch=budget.measuring.batch,
        keep=kept,
        device=str(budget.training.get("device", "auto")),
        threads=budget.training.get("threads"),
    )
    _refuse_failures(found, data)
    judged = judge(data, found.predictions).measure
    assert isinstance(judged, ApMeasure | RateMeasure), "neither of the data sets is COCO's"
    path = folder / f"{name}.npz"
    save_measure(path, judged, _known(data))
    note = {
        "measure": name,
        "value": found.scores.headline,
        "units": len(data),
        "people": sum(len(unit) for unit in data),
        "notes": list(found.notes),
        "settings": settings,
        "weights": weights,
        "seconds": time.perf_counter() - begin,
        **made_with,
        "finished": now(),
    }
    # Written last: what it stands beside is whole.
    write_whole(folder / f"{name}.json", json.dumps(note, indent=1).encode())
    kept.unlink()
    return Measured(found.scores.headline, path, note)


def read_measured(folder: Path, name: str) -> Measured | None:
    """A figure of a run, or None where it has not been taken.

    Raises:
        InputError: when its file is damaged.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        value = float(note["value"])
        note["measure"], note["weights"], note["settings"], note["seconds"], note["units"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is damaged", "Delete it: the figure is then taken again.") from None
    return Measured(value, folder / f"{name}.npz", note)


def _settings(study: Study, budget: Budget, layout: Layout, name: str) -> dict[str, Any]:
    """All that decides a figure, but for the weights."""
    if name == "pck":
        return _settings_of(study, budget, name, {})
    note = data_note(layout, _FOLDERS[name])
    if note is None:
        raise InputError(f"{layout.data(_FOLDERS[name])}: has not been made", "The command `run` makes it.")
    return _settings_of(study, budget, name, note["settings"])


def _settings_of(study: Study, budget: Budget, name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The same, of a data set that the study made with these settings; of LSPET, nothing has to be known."""
    if name in _OF_PEOPLE:
        return {"real": str(study.real), "people": budget.measuring.people, "box": _box(budget, name)}
    return {"box": _box(budget, name), "data": data}


def _box(budget: Budget, name: str) -> int:
    measuring = budget.measuring
    boxes = {"mosaics": measuring.mosaic_box, "synthetic": measuring.synthetic_box}
    return boxes.get(name, measuring.pck_box)


def other_measuring(study: Study, budget: Budget, measured: Measured) -> list[str]:
    """The keys in which a figure's settings differ from those it would be taken with now, but for where files lie."""
    name = str(measured.note["measure"])
    data = {} if name == "pck" else data_settings(study, budget, _FOLDERS[name])
    before, now = (_flat(each) for each in (measured.note["settings"], _settings_of(study, budget, name, data)))
    return [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    whole = {**settings, **settings.get("data", {})}
    return {key: value for key, value in whole.items() if key not in ("data", *_PLACES)}


def _open(study: Study, budget: Budget, layout: Layout, name: str) -> tuple[EvaluationSet, int]:
    box = _box(budget, name)
    folder = study.real if name == "pck" else layout.data(_FOLDERS[name])
    data = open_evaluation_set("shards", folder, split="val")
    if name in _OF_PEOPLE:
        if data.metric != "pck":
            raise InputError(f"{study.real}: has not the 14 joints of Leeds Sports Pose, so there is no PCK@0.2")
        people = budget.measuring.people
        if people is not None and people < len(data):
            rows = np.linspace(0, len(data), people, endpoint=False).astype(int).tolist()
            data = replace(data, units=tuple(data.units[row] for row in rows))
    return data, box


def _known(data: EvaluationSet) -> dict[str, list[FloatArray]]:
    """What people are put into bins by."""
    known: dict[str, list[FloatArray]] = {
        "visible_joints": [
            np.asarray((unit.joints[:, _evaluated(data), 2] == 2).mean(axis=1), np.float64) for unit in data
        ]
    }
    for name in ("camera_pitch", "min_distance", "visibility"):
        known[name] = [np.asarray(unit.characteristics.get(name, np.full(len(unit), np.nan))) for unit in data]
    return known


def _evaluated(data: EvaluationSet) -> list[int]:
    return [column for column, name in enumerate(data.skeleton.joints) if name in MPII_JOINTS]


def _refuse_failures(found: Evaluation, data: EvaluationSet) -> None:
    """A figure of which some pictures are missing would stand beside others of all."""
    if found.failures:
        name, error = next(iter(found.failures.items()))
        raise InputError(f"{data.source}: {len(found.failures)} pictures cannot be used; {name}: {error.message}")


def digest(path: Path) -> str:
    """SHA-256 of a checkpoint's file.

    Raises:
        InputError: when it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "Train the row first.") from None
