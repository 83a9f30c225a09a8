"""The history of a run: ``metrics.jsonl`` in its folder, and TensorBoard's files where they are asked for.

One JSON object a line, in the order of the steps::

    {"kind": "train", "step": 50, "time": 1771234567.123, "loss": 12.3, "lr": 5e-05}
    {"kind": "window", "step": 60, "time": 1771234568.5, "window": 2, "group": 1, "probabilities": [0.4, 0.6]}
    {"kind": "validation", "step": 100, "time": 1771234570.0, "pck": 41.2}

``time`` is in seconds since 1970. What is no number (NaN, infinity) is ``null``. A line is in the file as soon as it is
written, so the history of a run that was killed ends in half a line at worst.
"""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError, OutputError
from ltsh_deploy.images import Image
from ltsh_deploy.train.board import Board
from ltsh_deploy.whole_files import write_error

__all__ = ["METRICS", "History", "Line", "distribution", "heat_map", "read_history", "series"]

METRICS = "metrics.jsonl"

#: One line of the file: ``kind``, ``step``, and what was measured.
Line = Mapping[str, Any]
FloatArray = npt.NDArray[np.float64]


class History:
    """Writes a run's history; a context manager. In training by several processes, the first one's alone.

    Args:
        folder: of the run.
        step: how many are done, 0 for a new run. What is in the file of later steps, which come again, is cut off.
        tensorboard: whether to write TensorBoard's files too, into the folder ``tensorboard``.
        over: whether no step is left of a run that goes on. What it ended with comes again, so it is cut off too.

    Raises:
        OutputError: when the file cannot be written.
        InputError: when the file of a run that goes on is damaged.
        MissingPartError: when TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: str | Path, *, step: int = 0, tensorboard: bool = False, over: bool = False) -> None:
        self._path = Path(folder) / METRICS
        self._rows = distribution(self._cut(step, over))[1].tolist()
        self._step, self._drawn = step, step
        self._board = Board(Path(folder), step) if tensorboard else None
        try:
            # Without a buffer: a line that did not fit on the disk must not be tried again when the file is closed.
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise write_error(self._path, error) from None

    def _cut(self, step: int, over: bool) -> list[Line]:
        """Shorten the file to the lines up to a step, without the final one where it is over, and return them."""
        if not self._path.exists():
            return []
        lines, ends = _parse(self._path) if step > 0 else ([], [])

        def comes_again(line: Line) -> bool:
            return bool(line["step"] > step or (over and line["kind"] == "final" and line["step"] == step))

        kept = next((i for i, line in enumerate(lines) if comes_again(line)), len(lines))
        try:
            with self._path.open("r+b") as file:
                file.truncate(ends[kept - 1] if kept else 0)
        except OSError as error:
            raise write_error(self._path, error) from None
        return lines[:kept]

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Add a line.

        Args:
            kind: ``train``, ``window``, ``validation``, or anything else.
            step: steps done; never fewer than in the line before.
            values: numbers, texts, None, and lists of those, by name; not ``kind``, ``step`` or ``time``.

        Raises:
            OutputError: when it, or one of TensorBoard's files, cannot be written.
        """
        assert not {"kind", "step", "time"} & values.keys()
        plain = {name: _plain(value) for name, value in values.items()}
        line = {"kind": kind, "step": step, "time": round(time.time(), 3), **plain}
        self._step = step
        text = (json.dumps(line, allow_nan=False) + "\n").encode()
        try:
            if self._file.write(text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise write_error(self._path, error) from None
        self._write_board(line)

    def _write_board(self, line: Line) -> None:
        if self._board is None:
            return
        for name, value in line.items():
            if isinstance(value, int | float) and name not in ("step", "time"):
                self._board.number(f"{line['kind']}/{name}", line["step"], value)
        if line["kind"] == "window" and line.get("probabilities"):
            self._rows.append(line["probabilities"])
        if line["kind"] == "validation":
            self._write_distribution(line["step"])

    def _write_distribution(self, step: int) -> None:
        if self._rows and step > self._drawn:
            self.picture("teacher/distribution", step, heat_map(np.asarray(self._rows)))
            self._drawn = step

    def picture(self, name: str, step: int, picture: Image) -> None:
        """Show a [H, W, 3] uint8 RGB picture in TensorBoard; without TensorBoard, nothing happens.

        Raises:
            OutputError: when TensorBoard's files cannot be written.
        """
        if self._board is not None:
            self._board.picture(name, step, picture)

    def close(self) -> None:
        """Finish the files.

        Raises:
            OutputError: when TensorBoard's cannot be written.
        """
        self._file.close()
        if self._board is not None:
            try:
                self._write_distribution(self._step)
            finally:
                self._board.close()

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except OutputError:
            # What went wrong before is what has to be told; this may be no more than its consequence.
            if error is None:
                raise


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: what is no number becomes None, arrays become lists."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def read_history(path: str | Path) -> list[Line]:
    """The lines of a ``metrics.jsonl``, or of the one in a run's folder, in order.

    Half a line at the end, of a run that was killed or is writing at this moment, is left out.

    Raises:
        InputError: when it cannot be read, or is no such file; the line is named.
    """
    path = Path(path)
    return _parse(path / METRICS if path.is_dir() else path)[0]


def _parse(path: Path) -> tuple[list[Line], list[int]]:
    """The lines, and for each the number of bytes up to its end."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "It is written by ltsh train.") from None
    lines: list[Line] = []
    ends: list[int] = []
    whole = data[: data.rfind(b"\n") + 1]
    for number, text in enumerate(whole.splitlines(keepends=True), 1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        step = line.get("step") if isinstance(line, dict) else None
        if not _is_number(step) or not isinstance(line.get("kind"), str):
            raise InputError(f"{path}:{number}: is no line of a run's history", "The file is damaged: remove the line.")
        lines.append(line)
        ends.append(len(text) + (ends[-1] if ends else 0))
    return lines, ends


def _is_number(value: object) -> bool:
    """Whether it is a number that float64 holds; JSON may have others."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300


def series(lines: Sequence[Line], kind: str, name: str) -> tuple[FloatArray, FloatArray]:
    """[n] steps and [n] values of what the lines of one kind say under one name, where that is a number."""
    found = [(line["step"], line[name]) for line in lines if line["kind"] == kind and _is_number(line.get(name))]
    array = np.asarray(found, dtype=np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def distribution(lines: Sequence[Line]) -> tuple[FloatArray, FloatArray]:
    """[n] steps at the windows' ends, and [n, G] what the teacher thought of the groups in each; n may be 0.

    Raises:
        InputError: when the windows do not all have as many groups, or numbers for them.
    """
    found = [line for line in lines if line["kind"] == "window" and line.get("probabilities")]
    steps = np.asarray([line["step"] for line in found], dtype=np.float64)
    if not found:
        return steps, np.zeros((0, 0))
    rows = [line["probabilities"] for line in found]
    if not all(isinstance(row, list) and len(row) == len(rows[0]) and all(map(_is_number, row)) for row in rows):
        raise InputError(
            "the history's windows do not all have one number for each group", "The file was changed, or joined of two."
        )
    return steps, np.asarray(rows, dtype=np.float64)


def heat_map(rows: FloatArray, width: int = 600, group_height: int = 16) -> Image:
    """A teacher's distribution over time as a picture: time to the right, the first group on top, bright is likely.

    Args:
        rows: [n, G] probabilities, n at least 1.
        width: pixels at most; windows that share a pixel are averaged.
        group_height: pixels of a group.

    Returns:
        [G * group_height, <= width, 3] uint8 RGB; the brightest colour is the largest probability in it.
    """
    import cv2

    bins = np.array_split(rows, min(len(rows), width))
    means = np.stack([part.mean(axis=0) for part in bins], axis=1)
    levels = np.rint(255 * means / max(float(means.max()), 1e-12)).astype(np.uint8)
    coloured = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[:, :, ::-1]
    stretch = max(1, width // len(bins))
    return np.ascontiguousarray(coloured.repeat(group_height, axis=0).repeat(stretch, axis=1))
