"""What has been run of a study, read back from its folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.evaluation.measures import Measure
from ltsh_deploy.train.history import METRICS, Line, read_history
from studies.ltsh.bootstrap import headline_draws
from studies.ltsh.configs import FIRST
from studies.ltsh.measuring import MEASURES, Measured, read_measured
from studies.ltsh.plan import Layout, Study
from studies.ltsh.running import read_trained
from studies.ltsh.stored import Stored, load_measure

__all__ = [
    "BINS",
    "Binned",
    "Results",
    "RunResult",
    "bin_differences",
    "bin_figures",
    "mean_rows",
    "read_results",
]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: What synthetic validation people are put into bins by, to the bins' edges: each holds its lower edge, the last one
#: both. Distances are parts of the picture's side.
BINS: Mapping[str, tuple[float, ...]] = {
    "camera_pitch": (float("-inf"), 9.0, 18.0, 27.0, 36.0, float("inf")),
    "min_distance": (0.0, 0.05, 0.1, 0.2, 0.4, float("inf")),
    "visibility": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "visible_joints": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
}
_SEED = re.compile(r"seed-(\d+)")


@dataclass(frozen=True, eq=False)
class Binned:
    """A figure of the people of each bin.

    Attributes:
        figures: [B] in 0..100; NaN where nobody is.
        people: [B] how many.
    """

    figures: FloatArray
    people: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class RunResult:
    """A run of which all steps are done.

    Attributes:
        row: its name.
        seed: that it was trained from.
        folder: of the run.
        trained: how.
        measured: figures by name, as far as they have been taken.
    """

    row: str
    seed: int
    folder: Path
    trained: Mapping[str, Any]
    measured: Mapping[str, Measured]

    @cached_property
    def stored(self) -> dict[str, Stored]:
        """What the figures can be taken of again, by their names."""
        return {name: load_measure(measured.path) for name, measured in self.measured.items()}

    @cached_property
    def draws(self) -> dict[str, FloatArray]:
        """[1 + B] of each figure, for the bootstrap."""
        return {name: headline_draws(stored.measure) for name, stored in self.stored.items()}

    @cached_property
    def history(self) -> list[Line]:
        """What was logged while it was trained."""
        return read_history(self.folder)

    def table(self, name: str) -> FloatArray:
        """[1 + K] all figures of one kind, the headline first."""
        return self.stored[name].measure.figures()


@dataclass(frozen=True, eq=False)
class Results:
    """What there is of one budget.

    Attributes:
        layout: where it lies.
        runs: row to its finished runs by seed; every row is there.
        begun: row to the seeds whose training is not finished.
        first: how the students were trained that rows begin with, by seed.
    """

    layout: Layout
    runs: Mapping[str, Mapping[int, RunResult]]
    begun: Mapping[str, Sequence[int]]
    first: Mapping[int, Mapping[str, Any]]

    def of(self, row: str, measure: str) -> list[RunResult]:
        """The row's runs that have been measured so, by seed."""
        return [run for run in self.runs[row].values() if measure in run.measured]

    def values(self, row: str, measure: str) -> list[float]:
        """Their figures."""
        return [run.measured[measure].value for run in self.of(row, measure)]

    def pairs(self, first: str, second: str, measure: str) -> tuple[list[RunResult], list[RunResult]]:
        """The runs of two rows whose seeds both have been measured so."""
        ones, others = ({run.seed: run for run in self.of(row, measure)} for row in (first, second))
        common = [seed for seed in ones if seed in others]
        return [ones[seed] for seed in common], [others[seed] for seed in common]

    def everything(self) -> list[RunResult]:
        """All finished runs."""
        return [run for runs in self.runs.values() for run in runs.values()]


def read_results(study: Study, layout: Layout) -> Results:
    """Read what there is.

    Raises:
        InputError: when a file is damaged; it is named.
    """
    runs: dict[str, dict[int, RunResult]] = {}
    begun: dict[str, list[int]] = {}
    for row in study.rows:
        runs[row], begun[row] = {}, []
        for seed in _seeds(layout.run(row, 0).parent):
            folder = layout.run(row, seed)
            trained = read_trained(folder)
            if trained is None:
                if (folder / METRICS).is_file():
                    begun[row].append(seed)
                continue
            found = {name: read_measured(folder, name) for name in MEASURES}
            measured = {name: one for name, one in found.items() if one is not None}
            runs[row][seed] = RunResult(row, seed, folder, trained, measured)
    folders = {seed: layout.run(FIRST, seed) for seed in _seeds(layout.run(FIRST, 0).parent)}
    first = {seed: trained for seed, folder in folders.items() if (trained := read_trained(folder)) is not None}
    return Results(layout, runs, begun, first)


def _seeds(folder: Path) -> list[int]:
    found = [_SEED.fullmatch(path.name) for path in folder.glob("seed-*")]
    return sorted(int(match[1]) for match in found if match)


def bin_figures(stored: Stored, name: str, edges: Sequence[float]) -> Binned:
    """The headline figure of the people between each two edges, as if they alone were labelled.

    Predictions matched to people of other bins are neither right nor wrong; those matched to nobody are wrong in every
    bin that has somebody in the same picture.

    Args:
        stored: what was measured.
        name: of what is known of the people.
        edges: rising.
    """
    figures, people = [], []
    pairs = list(pairwise(edges))
    for low, high in pairs:
        is_last = (low, high) == pairs[-1]
        kept = [_between(values, low, high, is_last) for values in stored.known[name]]
        chosen = stored.measure.of_people(kept)
        figures.append(float("nan") if chosen is None else float(_headline(chosen)))
        people.append(sum(int(own.sum()) for own in kept))
    return Binned(np.array(figures), tuple(people))


def bin_differences(results: Results, base: str, row: str, name: str, edges: Sequence[float]) -> FloatArray:
    """[B] by how much a row's figure of each bin is above another row's: mean over the seeds that both have.

    NaN where they have none in common.
    """
    pairs = zip(*results.pairs(base, row, "synthetic"), strict=True)
    before_after = [[bin_figures(run.stored["synthetic"], name, edges).figures for run in pair] for pair in pairs]
    if not before_after:
        return np.full(len(edges) - 1, np.nan)
    return mean_rows(after - before for before, after in before_after)


def _between(values: FloatArray, low: float, high: float, is_last: bool) -> BoolArray:
    with np.errstate(invalid="ignore"):
        below = values <= high if is_last else values < high
        return np.asarray(np.isfinite(values) & (values >= low) & below)


def _headline(measure: Measure) -> float:
    return float(measure.figures()[0])


def mean_rows(tables: Iterable[FloatArray]) -> FloatArray:
    """The mean of arrays of one shape, of what is known in each place; NaN where nothing is."""
    stack = np.array(list(tables))
    known = ~np.isnan(stack)
    total = np.where(known, stack, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
