"""The plots of docs/study.md."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ltsh_deploy.parts import import_part
from ltsh_deploy.train.history import distribution
from ltsh_deploy.whole_files import WholeFile
from studies.ltsh.measuring import MEASURES
from studies.ltsh.plan import BASE, Study
from studies.ltsh.results import BINS, Results, bin_differences
from studies.ltsh.tables import BIN_NAMES, bin_title, scaled_edges

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_bins", "plot_rows", "plot_teachers"]

# All of them dark enough for a thin line on white.
_COLOURS = ("tab:blue", "tab:orange", "black", "tab:green", "tab:red", "tab:purple", "tab:brown")
_KINDS = (("-", "o"), ("--", "s"), (":", "^"))
_TITLES = {
    "pck": "PCK@0.2 on LSPET",
    "mosaics": "mAP on mosaics",
    "synthetic": "mAP on synthetic people",
    "night": "PCK@0.2 at night",
}


def plot_rows(study: Study, results: Results, path: Path) -> bool:
    """Every row's figures: a bar for the mean, a dot for each seed. Returns whether there is anything to draw."""
    names = [name for name in study.rows if any(results.values(name, measure) for measure in MEASURES)]
    if not names:
        return False
    figure = _figure((13, 1.2 + 0.32 * len(names)))
    for axes, measure in zip(figure.subplots(1, len(MEASURES), sharey=True), MEASURES, strict=True):
        for place, name in enumerate(names):
            values = results.values(name, measure)
            if values:
                axes.barh(place, np.mean(values), color="tab:blue", alpha=0.35)
                axes.plot(values, [place] * len(values), "o", color="tab:blue", markersize=4)
        axes.set_title(_TITLES[measure], fontsize="medium")
        axes.set_xlabel("bar: mean over seeds; dot: one seed", fontsize="small")
        axes.grid(axis="x", alpha=0.3)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
    _save(figure, path)
    return True


def plot_bins(study: Study, results: Results, side: int, path: Path) -> bool:
    """AP on synthetic people, less that of R+S (of the first row that has been run, where that one has not).

    A row's line is the mean over the seeds that it has in common with that one.
    """
    names = [name for name in study.rows if results.of(name, "synthetic")]
    if not names:
        return False
    base = BASE if BASE in names else names[0]
    figure = _figure((12, 11))
    all_axes = figure.subplots(2, 2).ravel()
    for axes, name in zip(all_axes, BINS, strict=True):
        edges = scaled_edges(name, side)
        places = np.arange(len(edges) - 1)
        for row in names:
            line = bin_differences(results, base, row, name, edges)
            axes.plot(places, line, markersize=4, linewidth=1.2, label=row, **_style(list(study.rows).index(row)))
        titles = [bin_title(low, high) for low, high in pairwise(BINS[name])]
        axes.set_xticks(places, titles, fontsize="small")
        axes.set_xlabel(BIN_NAMES[name])
        axes.set_ylabel(f"mAP less that of {base}")
        axes.grid(alpha=0.3)
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize="small")
    _save(figure, path)
    return True


def plot_teachers(study: Study, results: Results, path: Path) -> bool:
    """What each run's teacher thought of the groups, over time; a row of pictures for each row, one for each seed."""
    found = []
    for name, row in study.rows.items():
        if row.training.get("teacher", {}).get("kind") != "group":
            continue
        tables = {run.seed: distribution(run.history) for run in results.runs[name].values()}
        tables = {seed: table for seed, table in tables.items() if len(table[0])}
        if tables:
            found.append((name, tables))
    if not found:
        return False
    across = max(len(tables) for _, tables in found)
    figure = _figure((1.5 + 4 * across, 2.6 * len(found)))
    grid = figure.subplots(len(found), across, squeeze=False)
    highest = max(float(rows.max()) for _, tables in found for _, rows in tables.values())
    # The root is coloured, lest all but the surest moments look alike: one group of ten has 0.1.
    root = _power_norm(highest)
    mesh: Any = None
    for line, (name, tables) in zip(grid, found, strict=True):
        for axes in line[len(tables) :]:
            axes.set_visible(False)
        for axes, (seed, (steps, rows)) in zip(line, tables.items(), strict=False):
            edges = np.concatenate([[0.0], steps])
            mesh = axes.pcolormesh(edges, np.arange(rows.shape[1] + 1) - 0.5, rows.T, norm=root)
            axes.set_title(f"{name}, seed {seed}", fontsize="medium")
            axes.set_xlabel("step")
            axes.set_ylabel("group, 0 of the lowest values")
    figure.colorbar(mesh, ax=grid, label="probability", aspect=10 * len(found))
    _save(figure, path)
    return True


def _style(number: int) -> dict[str, Any]:
    """How the line of a row is drawn: it differs from others' in its colour, and from the eighth on in its kind."""
    kind, colour = divmod(number, len(_COLOURS))
    line, marker = _KINDS[kind % len(_KINDS)]
    return {"color": _COLOURS[colour], "linestyle": line, "marker": marker}


def _power_norm(highest: float) -> Any:
    return import_part("matplotlib.colors", "Drawing the plots", "train").PowerNorm(0.5, vmin=0, vmax=highest)


def _figure(size: tuple[float, float]) -> Figure:
    import_part("matplotlib", "Drawing the plots", "train")
    # The figure is asked for directly: the usual way, pyplot, keeps global state and may want a display.
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    with WholeFile(path) as file, file.named_errors():
        figure.savefig(file.temporary, format="png", dpi=90)
