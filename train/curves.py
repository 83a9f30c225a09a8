"""A run's history as one picture: losses, measurements, learning rate, and what the teacher thought of the groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ltsh_deploy.parts import import_part
from ltsh_deploy.train.history import FloatArray, Line, distribution, series
from ltsh_deploy.whole_files import WholeFile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CURVES", "draw_curves"]

CURVES = "curves.png"

# What else is in the lines of validations; a curve for each joint would be too many.
_NO_MEASUREMENTS = ("kind", "step", "time", "loss", "people", "pck_")

Panel = Callable[["Axes"], None]


def draw_curves(lines: Sequence[Line], path: str | Path, title: str = "", group_names: Sequence[str] = ()) -> None:
    """Draw a history into a PNG file. What it says nothing of has no panel; of an empty one, no file is made.

    Args:
        lines: of the history; see :func:`~ltsh_deploy.train.history.read_history`.
        path: of the file.
        title: above all panels.
        group_names: [G] what the teacher's groups hold.

    Raises:
        MissingPartError: when matplotlib is not installed.
        OutputError: when the file cannot be written.
        InputError: when the windows' distributions contradict each other.
    """
    import_part("matplotlib", "Drawing curves", "train")
    from matplotlib.figure import Figure

    possible = (_losses(lines), _measurements(lines), _rate(lines), _signals(lines), _teacher(lines, group_names))
    panels = [panel for panel in possible if panel is not None]
    if not panels:
        return
    # The figure is asked for directly: the usual way, pyplot, keeps global state and may want a display.
    figure = Figure(figsize=(9, 1 + 2.4 * len(panels)), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for panel, axes in zip(panels, all_axes, strict=True):
        panel(axes)
    all_axes[-1].set_xlabel("step")
    if title:
        figure.suptitle(title)
    with WholeFile(path) as file, file.named_errors():
        figure.savefig(file.temporary, format="png", dpi=110)


def _losses(lines: Sequence[Line]) -> Panel | None:
    steps, losses = series(lines, "train", "loss")
    measured = series(lines, "validation", "loss")
    if not len(steps) and not len(measured[0]):
        return None

    def draw(axes: Axes) -> None:
        axes.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=1)
        axes.plot(steps, _smooth(losses), color="tab:blue", label="training")
        axes.plot(*measured, "o-", color="tab:orange", markersize=4, label="validation")
        everything = np.concatenate([losses, measured[1]])
        if everything.min() > 0:
            axes.set_yscale("log")
        _finish(axes, "loss")

    return draw


def _measurements(lines: Sequence[Line]) -> Panel | None:
    names = dict.fromkeys(name for line in lines if line["kind"] == "validation" for name in line)
    names_left = [
        name for name in names if name not in ("kind", "step", "time") and not name.startswith(_NO_MEASUREMENTS)
    ]
    found = {name: values for name in names_left if len((values := series(lines, "validation", name))[0])}
    if not found:
        return None

    def draw(axes: Axes) -> None:
        for name, values in found.items():
            axes.plot(*values, "o-", markersize=4, label=f"{name}, best {values[1].max():.4g}")
        _finish(axes, "validation")

    return draw


def _rate(lines: Sequence[Line]) -> Panel | None:
    steps, rates = series(lines, "train", "lr")
    if not len(steps):
        return None

    def draw(axes: Axes) -> None:
        axes.plot(steps, rates, color="tab:grey")
        _finish(axes, "learning rate")

    return draw


def _signals(lines: Sequence[Line]) -> Panel | None:
    found = {name: series(lines, "window", f"{name}_signal") for name in ("synthetic", "real")}
    if not any(len(steps) for steps, _ in found.values()):
        return None

    def draw(axes: Axes) -> None:
        for (name, (steps, values)), colour in zip(found.items(), ("tab:red", "tab:blue"), strict=True):
            axes.plot(steps, values, color=colour, alpha=0.3, linewidth=1)
            axes.plot(steps, _smooth(values), color=colour, label=name)
        _finish(axes, "loss a joint")

    return draw


def _teacher(lines: Sequence[Line], names: Sequence[str]) -> Panel | None:
    steps, rows = distribution(lines)
    if not len(steps):
        return None

    def draw(axes: Axes) -> None:
        groups = rows.shape[1]
        # A column reaches from the end of the window before to the end of its own.
        edges = np.concatenate([[2 * steps[0] - steps[1] if len(steps) > 1 else 0], steps])
        mesh = axes.pcolormesh(edges, np.arange(groups + 1) - 0.5, rows.T, cmap="viridis", vmin=0)
        axes.plot(*series(lines, "window", "group"), ".", color="white", markersize=2, alpha=0.6)
        axes.set_ylim(groups - 0.5, -0.5)
        if len(names) == groups <= 20:
            axes.set_yticks(range(groups), names, fontsize="x-small")
        axes.set_ylabel("teacher's group")
        axes.figure.colorbar(mesh, ax=axes, label="probability")

    return draw


def _finish(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best", fontsize="small")


def _smooth(values: FloatArray) -> FloatArray:
    """[n] running means over the last twentieth of all values, at most as many as there are before."""
    width = max(1, len(values) // 20)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - width)
    return np.asarray((sums[ends] - sums[begins]) / (ends - begins))
