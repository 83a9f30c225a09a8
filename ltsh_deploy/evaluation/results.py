"""What an evaluation leaves: a table for people, and files that others read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltsh_deploy.evaluation.coco_results import write_coco_results
from ltsh_deploy.evaluation.evaluation import Evaluation
from ltsh_deploy.evaluation.matlab_predictions import write_matlab
from ltsh_deploy.evaluation.neutral_predictions import write_neutral
from ltsh_deploy.evaluation.units import EvaluationSet
from ltsh_deploy.whole_files import write_whole

__all__ = ["METRICS_FILE", "as_json", "as_text", "result_files", "write_results"]

METRICS_FILE = "metrics.json"


def as_json(evaluation: Evaluation) -> str:
    """metrics.json: everything that was measured, numbers at full precision."""
    return json.dumps(evaluation.to_dict(), indent=2, allow_nan=False)


def result_files(folder: Path, data: EvaluationSet) -> list[Path]:
    """The files that :func:`write_results` writes: metrics.json, predictions.json, and the data set's own form.

    That is ``predictions.mat`` for MPII's toolkit, and ``coco_results.json`` for COCO's metric.
    """
    own = ["predictions.mat"] if data.kind == "mpii" else ["coco_results.json"] if data.metric == "oks" else []
    return [folder / name for name in (METRICS_FILE, "predictions.json", *own)]


def write_results(folder: Path, evaluation: Evaluation) -> None:
    """Write the figures, and the predictions as they were scored, into :func:`result_files`.

    Args:
        folder: that exists; older files of these names are replaced.
        evaluation: what to write.

    Raises:
        OutputError: when one cannot be written.
        MissingPartError: for ``predictions.mat`` without scipy.
    """
    metrics, predictions, *own = result_files(folder, evaluation.data)
    write_whole(metrics, as_json(evaluation).encode())
    about = {"predictions_of": evaluation.source, "data_set": evaluation.data.kind}
    write_neutral(predictions, evaluation.predictions, about)
    for path in own:
        if path.suffix == ".mat":
            write_matlab(path, evaluation.predictions)
        else:
            write_coco_results(path, evaluation.predictions, evaluation.data.categories[0])


def as_text(evaluation: Evaluation) -> str:
    """The figures as a plain table; percent with two decimals, a dash where something is not defined."""
    values = evaluation.scores.values
    data, protocol = evaluation.data, evaluation.protocol
    looked = ""
    if protocol is not None:
        looked = f", protocol {protocol.name}, scales {' '.join(f'{scale:g}' for scale in protocol.scales)}"
        looked += ", mirrored too" if protocol.flip else ""
    lines = [
        f"{evaluation.source} on {data.kind} {data.source}{looked}",
        f"{len(data)} units, {values['people']} people",
        "",
    ]
    if evaluation.scores.metric == "oks":
        stats = {name: value for name, value in values["stats"].items() if name != "AP_per_threshold"}
        lines += _columns({name: None if value is None else 100 * value for name, value in stats.items()})
    else:
        name = evaluation.scores.name
        rows = {row: value for row, value in values.get("table", {}).items() if row != name}
        auc = {"AUC": values["AUC"]} if "AUC" in values else {}
        lines += _columns({**rows, name: values[name], **auc})
        lines += ["", *_joint_rows(values)]
    return "\n".join([*lines, *([""] if evaluation.notes else []), *(f"note: {note}" for note in evaluation.notes)])


def _columns(values: Mapping[str, Any]) -> list[str]:
    """Names, and below them the numbers."""
    width = max(10, *(len(name) + 2 for name in values))
    return [
        "".join(f"{name:>{width}}" for name in values),
        "".join(f"{_percent(value):>{width}}" for value in values.values()),
    ]


def _joint_rows(values: Mapping[str, Any]) -> list[str]:
    """A line for each joint: its rate and its counts."""
    rates = values["ap"] if "ap" in values else values["joints"]
    columns = [("AP" if "ap" in values else "found", rates)]
    columns += [(title, values[name]) for title, name in _COUNTS if name in values]
    width = max(len(name) for name in rates)
    lines = [f"{'joint':{width}}" + "".join(f"{title:>12}" for title, _ in columns)]
    for name in rates:
        cells = [_percent(rates[name]), *(f"{column[name]}" for _, column in columns[1:])]
        lines.append(f"{name:{width}}" + "".join(f"{cell:>12}" for cell in cells))
    return lines


_COUNTS = (("labelled", "n_gt"), ("predicted", "n_det"), ("right", "n_tp"))


def _percent(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"
