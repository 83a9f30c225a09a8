"""What ``ltsh export`` says of the ONNX file that it made."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ltsh_deploy.export.accuracy import Accuracy
    from ltsh_deploy.export.agreement import Agreement
    from ltsh_deploy.export.likeness import Likeness
    from ltsh_deploy.export.parity import Parity
    from ltsh_deploy.export.precision import OnnxExport

__all__ = ["accuracy_lines", "as_dict", "as_text"]


def as_dict(report: OnnxExport, own: bool) -> dict[str, Any]:
    """The report for JSON.

    Args:
        report: what was written.
        own: whether this program drew the pictures that prove it.
    """
    description = report.description
    form: dict[str, Any] = {
        "file": str(report.path),
        "bytes": report.size_bytes,
        "opset": report.opset,
        "precision": report.precision,
        "operators": report.operators,
        "network": description.network,
        "skeleton": description.skeleton.name,
        "stride": description.stride,
        "size": list(description.size),
    }
    if description.calibration:
        form["calibration"] = description.calibration
    for key in ("parity", "likeness", "accuracy"):
        part = getattr(report, key)
        if part is not None:
            form[key] = part.to_dict() if key == "accuracy" else {"drawn_pictures": own, **part.to_dict()}
    return form


def as_text(report: OnnxExport, source: Path, own: bool, title: str | None = None) -> str:
    """The report for people.

    Args:
        report: what was written.
        source: what it was made from.
        own: whether this program drew the pictures that prove it.
        title: what the file is called; by default its path.
    """
    description = report.description
    width, height = description.size
    operators = ", ".join(f"{count} in {name}" for name, count in report.operators.items())
    lines = [
        f"{title or report.path}: {report.size_bytes / 1e6:.1f} MB, {report.precision} (convolutions: {operators}), "
        f"opset {report.opset}, network {description.network}, skeleton {description.skeleton.name}, stride "
        f"{description.stride}, size {width}x{height}"
    ]
    if description.calibration:
        lines.append(f"Calibrated on {description.calibration}")
    drawn = " drawn by this program (--images takes yours)" if own else ""
    if report.parity is not None:
        lines += ["", *_parity(report.parity, source, drawn)]
    if report.likeness is not None:
        lines += ["", *_likeness(report.likeness, report.precision, drawn)]
    if report.accuracy is not None:
        lines += ["", *accuracy_lines(report.accuracy)]
    return "\n".join(lines)


def _parity(parity: Parity, source: Path, drawn: str) -> list[str]:
    lines = [
        f"Parity with {source} on {_pictures(parity.pictures)}{drawn}",
        f"{'':10}{'largest value':>15}{'checkpoint':>15}{'exported':>15}{'allowed':>15}",
    ]
    for name, maps in (("heat maps", parity.heatmaps), ("PAFs", parity.pafs)):
        errors = (maps.relative(error) for error in (maps.checkpoint, maps.exported, maps.limit))
        lines.append(f"{name:10}{maps.extent:15.4g}" + "".join(f"{error:15.1e}" for error in errors))
    lines += [
        "Errors are those of the worst cell, against the same weights in float64, as a part of the largest value.",
        f"Poses: {parity.poses} people, the same in both; joints at most {parity.pose_distance:.4f} px apart."
        if parity.poses
        else "Poses: none were compared: nobody in these pictures, for either. The maps alone prove it.",
    ]
    return lines


def _likeness(likeness: Likeness, precision: str, drawn: str) -> list[str]:
    return [
        f"{precision} beside fp32 on {_pictures(likeness.agreement.pictures)}{drawn}",
        f"Maps differ by {likeness.heatmap_error:.2g} (heat maps) and {likeness.paf_error:.2g} (PAFs) of their size, "
        "root mean square.",
        _people(likeness.agreement),
    ]


def accuracy_lines(accuracy: Accuracy) -> list[str]:
    """What came of ``--verify``, for people."""
    lines = [f"Accuracy on {accuracy.data} ({_pictures(accuracy.agreement.pictures)})"]
    if accuracy.metric is not None:
        lines.append(
            f"{accuracy.metric} {accuracy.after:.2f}, {accuracy.before:.2f} before: {_change(accuracy.loss)}; "
            f"{accuracy.precision} may lose {accuracy.limit.points:g} points."
        )
    return [*lines, _people(accuracy.agreement)]


def _change(loss: float) -> str:
    return f"{abs(loss):.2f} points {'lost' if loss > 0 else 'won' if loss < 0 else 'apart'}"


def _people(agreement: Agreement) -> str:
    if not agreement.people:
        return "People: the model is sure of nobody in these pictures, so none could be compared."
    median = "" if math.isnan(agreement.distance) else f"; joints {agreement.distance:.2g} px apart (median)"
    return f"People: {agreement.people - agreement.lost} of {agreement.people} are found again{median}."


def _pictures(count: int) -> str:
    return f"{count} picture{'s' * (count != 1)}"
