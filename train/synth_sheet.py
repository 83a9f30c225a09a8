"""The data sheet of a synthesised data set: what is in it, in numbers, histograms and pictures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.synth_contact import contact_sheets
from ltsh_deploy.train.synth_folder import made_by, shared_files
from ltsh_deploy.train.synth_writers import again, read_labels_of
from ltsh_deploy.whole_files import write_whole

__all__ = ["SHEET", "Summary", "summarise", "write_sheet"]

#: The data sheet's name beside the shards.
SHEET = "datasheet.md"
_POSITIONS = "joint_positions.png"
_SEEN = "seen part of what is within the picture (share of the outline)"
_CROPPED = "part beyond the picture's edges (share of the outline)"
_BAR = 40
_CELLS = 128
# What pictures have kept of those that they were made from, by the kind of data set.
_KEPT = {
    "mixed": "Pixels that no synthetic person and no shadow reaches are the photograph's, but for JPEG's compression.",
    "stylised": "Pixels that no synthetic person covers are the mixed ones, but for JPEG's compression once more.",
}
#: The states of a joint, by the names that labels have for them.
_STATES = ("visible", "self_occluded", "other_occluded", "outside")


@dataclass
class Summary:
    """What a data set's labels add up to.

    Attributes:
        pictures: how many.
        asked: people that the draws wanted.
        placed: people that were put into scenes.
        labelled: synthetic people that are in their pictures, and so in the labels.
        real: annotated people that were there before.
        rejected: reason to how often a pose, a place or a person was rejected for it.
        values: histograms' numbers, by what they are of.
        states: [15] joints by state, one counter a joint.
        positions: [128, 128] how many joints lie where in their pictures, each stretched to a square.
    """

    pictures: int = 0
    asked: int = 0
    placed: int = 0
    labelled: int = 0
    real: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    values: dict[str, list[float]] = field(default_factory=dict)
    states: list[Counter[str]] = field(default_factory=lambda: [Counter() for _ in LTSH15.joints])
    positions: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((_CELLS, _CELLS), np.int64))

    def add(self, labels: Mapping[str, Any]) -> None:
        """Count one picture in, from its labels."""
        # Annotated people, who may be somebody else's synthetic ones, have no states.
        synthetic = [person for person in labels["people"] if "states" in person["extra"]]
        self.pictures += 1
        self.asked += labels["asked"]
        self.placed += labels["placed"]
        self.labelled += len(synthetic)
        self.real += len(labels["people"]) - len(synthetic)
        self.rejected.update(labels["rejected"])
        self._note("synthetic people in a picture", len(synthetic))
        self._note("camera pitch (degrees)", labels["camera"]["pitch"])
        for person in synthetic:
            known = person["characteristics"]
            self._note("distance to the nearest other person (pixels)", known.get("min_distance"))
            self._note(_SEEN, known["visibility"])
            self._note(_CROPPED, known["cropped"])
            self._note("height (pixels)", 200 * person["scale"])
            for j, (state, joint) in enumerate(zip(person["extra"]["states"], person["joints"], strict=True)):
                self.states[j][state] += 1
                if joint is not None:
                    column = int((joint[0] + 0.5) / labels["width"] * _CELLS)
                    row = int((joint[1] + 0.5) / labels["height"] * _CELLS)
                    if 0 <= column < _CELLS and 0 <= row < _CELLS:
                        self.positions[row, column] += 1

    def _note(self, what: str, value: float | None) -> None:
        if value is not None:
            self.values.setdefault(what, []).append(float(value))


def summarise(folder: Path) -> Summary:
    """Add up the labels of a folder's shards.

    Raises:
        InputError: when a shard is damaged.
    """
    summary = Summary()
    for shard, labels in read_labels_of(folder):
        try:
            summary.add(labels)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError(f"{shard}: holds labels that no synthesised picture has", again(shard)) from None
    return summary


def write_sheet(folder: Path) -> Summary:
    """Write the data sheet, and its pictures, of a folder's shards; returns what they add up to.

    Args:
        folder: with at least one shard, and the index that says what made them.

    Raises:
        InputError: when a shard is damaged.
        OutputError: when something cannot be written.
    """
    summary = summarise(folder)
    if not summary.pictures:
        raise InputError(f"{folder}: holds no pictures; all were left out")
    sheets = contact_sheets(folder) | {_POSITIONS: _heat(summary.positions)}
    text = _markdown(folder.resolve().name, summary, made_by(folder) or {})
    with shared_files(folder):
        for name, picture in sheets.items():
            _write_png(folder / name, picture)
        write_whole(folder / SHEET, text.encode())
    return summary


def _write_png(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    write_whole(path, bytes(cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]))


def _heat(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """[512, 512, 3] RGB: dark where there are no joints, bright where there are most."""
    shares = np.sqrt(counts / max(1, counts.max()))
    large = cv2.resize((255 * shares).astype(np.uint8), (512, 512), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(large, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), np.uint8)


def _markdown(name: str, summary: Summary, generator: Mapping[str, Any]) -> str:
    lines = [
        f"# Data sheet: {name}",
        "",
        f"{summary.pictures} pictures with {summary.labelled} synthetic people"
        + (f" and {summary.real} annotated ones" if summary.real else "")
        + f"; {summary.asked} were asked for, {summary.placed} placed.",
        "",
        *((_KEPT[kind], "") if (kind := str(generator.get("kind"))) in _KEPT else ()),
        "Made by `ltsh synthesize` with",
        "",
        "| option | |",
        "|---|---|",
        *(f"| {key} | {_cell(value)} |" for key, value in generator.items()),
        "",
        "![Pictures](contact_sheet.png)",
        "",
        "![The same with what is known of them](contact_sheet_truth.png)",
        "",
        "Joints: green visible, yellow hidden by the person's own body, red hidden by somebody else.",
        "",
        "## Rejected while drawing",
        "",
        "| reason | times |",
        "|---|---|",
        *(f"| {reason.replace('_', ' ')} | {count} |" for reason, count in sorted(summary.rejected.items())),
        "",
        "## Joints",
        "",
        f"| joint | {' | '.join(state.replace('_', ' ') for state in _STATES)} |",
        "|---|---|---|---|---|",
    ]
    for joint, counts in zip(LTSH15.joints, summary.states, strict=True):
        total = max(1, counts.total())
        shares = " | ".join(f"{100 * counts[state] / total:.1f} %" for state in _STATES)
        lines.append(f"| {joint.replace('_', ' ')} | {shares} |")
    lines += ["", f"Where they lie in the picture, stretched to a square:\n\n![Positions]({_POSITIONS})", ""]
    for what, values in summary.values.items():
        lines += [f"## {what[0].upper()}{what[1:]}", "", *_histogram(values, what in (_SEEN, _CROPPED)), ""]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("|", "\\|")


def _histogram(values: Sequence[float], shares: bool) -> list[str]:
    """Lines of a text histogram: a bar for each whole number, where they are few, else ten bins; shares from 0 to 1."""
    numbers = np.asarray(values)
    low, high = (0.0, 1.0) if shares else (float(numbers.min()), float(numbers.max()))
    whole = not shares and bool((numbers == np.rint(numbers)).all()) and high - low < 30
    edges = np.arange(low, high + 2) if whole else np.linspace(low, high if high > low else low + 1, 11)
    counts = np.histogram(numbers, edges)[0].tolist()
    most = max(counts)
    lines = [f"mean {numbers.mean():.4g}, median {np.median(numbers):.4g}, {len(numbers)} values", "", "```"]
    for start, end, count in zip(edges, edges[1:], counts, strict=False):
        label = f"{start:9.0f}" if whole else f"{start:9.4g} to {end:9.4g}"
        lines.append(f"{label} {count:8}  {'#' * round(_BAR * count / most)}".rstrip())
    return [*lines, "```"]
