"""Predictions as they come, kept in a file, so that an evaluation that was interrupted goes on where it was.

The file is JSON lines: the settings of the run, then a line for each unit. A line that was cut off is dropped and its
unit looked at again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.evaluation.neutral_predictions import read_people, to_people
from ltsh_deploy.evaluation.predictions import UnitPredictions
from ltsh_deploy.json_checks import as_mapping
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton
from ltsh_deploy.whole_files import write_error

__all__ = ["PredictionStore"]


class PredictionStore:
    """The file of one run; a context manager, inside which predictions can be added.

    Args:
        path: of the file; made where there is none.
        settings: whatever the predictions depend on, as JSON has it.
        skeleton: of all predictions.
        restart: discard what is there.

    Attributes:
        found: unit id to the people found there before.

    Raises:
        UsageError: when the file is of a run with other settings; it names them.
        InputError: when it is no such file, or damaged elsewhere than at its end.
        OutputError: when it cannot be written.
    """

    def __init__(
        self, path: str | Path, settings: Mapping[str, Any], skeleton: Skeleton, *, restart: bool = False
    ) -> None:
        self.path, self.skeleton = Path(path), skeleton
        self.settings: Mapping[str, Any] = json.loads(json.dumps({**settings, "joints": list(skeleton.joints)}))
        self.found: dict[str, Poses] = {}
        whole = 0 if restart else self._read()
        try:
            # Without a buffer, closing has nothing left to write that could fail.
            self._file = self.path.open("ab", buffering=0)
            self._file.truncate(whole)
        except OSError as error:
            raise write_error(self.path, error) from None
        if not whole:
            self._put({"settings": self.settings})

    def _read(self) -> int:
        """Take in what is there; returns the number of bytes that are whole lines."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror})", "check the file") from None
        lines = data.splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        for number, line in enumerate(lines, start=1):
            where = f"{self.path}, line {number}"
            try:
                entry = as_mapping(json.loads(line), where)
                if number == 1:
                    self._check(entry.get("settings"))
                    continue
                self.found[str(entry["id"])] = read_people(entry.get("people"), self.skeleton, where, Counter())
            except (ValueError, KeyError, RecursionError, InputError) as error:
                reason = error.message if isinstance(error, InputError) else f"{where}: is damaged ({error})"
                raise InputError(reason, "Name another folder, or look at all pictures again with --restart.") from None
        return sum(map(len, lines))

    def _check(self, settings: object) -> None:
        before = as_mapping(settings, f"{self.path}: 'settings'")
        differ = sorted(
            name for name in before.keys() | self.settings.keys() if before.get(name) != self.settings.get(name)
        )
        if differ:
            raise UsageError(
                f"{self.path}: is of an evaluation with other settings: {', '.join(differ)}",
                "Name another folder, or look at all pictures again with --restart.",
            )

    def add(self, prediction: UnitPredictions) -> None:
        """Keep the people found in one more unit.

        Raises:
            OutputError: when the file cannot be written.
        """
        self._put({"id": prediction.unit_id, "people": to_people(prediction.poses)})

    def _put(self, entry: Mapping[str, Any]) -> None:
        try:
            line = json.dumps(entry, allow_nan=False).encode() + b"\n"
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise write_error(self.path, error) from None

    def __enter__(self) -> PredictionStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
