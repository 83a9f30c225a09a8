"""The tables of docs/study.md."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltsh_deploy.metrics import MPII_JOINTS, mpii_table
from ltsh_deploy.train.history import Line, distribution
from studies.ltsh.bootstrap import Effect, effect, seeds_apart
from studies.ltsh.hardness import AFTER, SHOWN, Hardness, Spread, read_hardness, spreads, who_is_asked
from studies.ltsh.measuring import MEASURES
from studies.ltsh.night import LOT
from studies.ltsh.plan import Study
from studies.ltsh.results import BINS, Results, bin_figures, mean_rows

__all__ = [
    "BIN_NAMES",
    "bin_tables",
    "bin_title",
    "cost_table",
    "effect_table",
    "hardness_table",
    "paper_tables",
    "relative",
    "row_table",
    "scaled_edges",
    "teacher_table",
]

_NOT_RUN = "not run"
_HEADINGS = {
    "pck": "PCK@0.2, LSPET",
    "mosaics": "mAP, mosaics",
    "synthetic": "mAP, synthetic",
    "night": "PCK@0.2, LSPET at night",
}
#: What the bins are of, for readers.
BIN_NAMES = {
    "camera_pitch": "camera pitch, degrees",
    "min_distance": "distance to the nearest other person, parts of the picture's side",
    "visibility": "visible part of the outline",
    "visible_joints": "ratio of visible joints",
}


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _mean_and_spread(values: Sequence[float]) -> str:
    if not values:
        return _NOT_RUN
    spread = seeds_apart(values)
    return _number(float(np.mean(values))) + ("" if math.isnan(spread) else f" ± {spread:.1f}")


def row_table(study: Study, results: Results) -> str:
    """Every row's figures: mean over seeds, and standard deviation."""
    rows = []
    for name, row in study.rows.items():
        done = sorted(results.runs[name])
        state = ", ".join(map(str, done)) or "none"
        if results.begun[name]:
            state += f" (begun: {', '.join(map(str, results.begun[name]))})"
        figures = [_mean_and_spread(results.values(name, measure)) for measure in MEASURES]
        rows.append([name, row.about, state, *figures])
    return _markdown(["row", "what", "seeds", *(_HEADINGS[measure] for measure in MEASURES)], rows)


def paper_tables(results: Results, paper: Mapping[str, Any]) -> str:
    """The paper's tables, each of its lines beside ours: AP on mosaics, mean over seeds."""
    columns = list(paper["columns"])
    parts = []
    for table in paper["tables"]:
        lines = []
        for name, theirs in table["rows"].items():
            told = [_number(float(value)) for value in theirs] if theirs else ["-"] * len(columns)
            lines.append([name, "paper", *told])
            lines.append(["", "here", *_mpii_line(results, name, columns)])
        parts.append(f"**{table['title']}**\n\n" + _markdown(["row", "", *columns], lines))
    return "\n\n".join(parts)


def _mpii_line(results: Results, row: str, columns: Sequence[str]) -> list[str]:
    tables = [mpii_table(run.table("mosaics")[1:], MPII_JOINTS) for run in results.of(row, "mosaics")]
    if not tables:
        return [_NOT_RUN] * len(columns)
    return [_number(float(mean_rows(np.array([table[column]]) for table in tables)[0])) for column in columns]


def effect_table(study: Study, results: Results) -> str:
    """Each row against those it is compared with, and how many comparisons that makes."""
    rows, comparisons = [], 0
    for name, row in study.rows.items():
        for other in row.against:
            line = [f"{name} less {other}"]
            seeds = 0
            for measure in MEASURES:
                before, after = results.pairs(other, name, measure)
                if not before:
                    line.append(_NOT_RUN)
                    continue
                found = effect([run.draws[measure] for run in before], [run.draws[measure] for run in after])
                seeds, comparisons = max(seeds, found.seeds), comparisons + 1
                line.append(_effect(found))
            rows.append([*line, str(seeds)])
    table = _markdown(["rows", *(_HEADINGS[measure] for measure in MEASURES), "seeds"], rows)
    return (
        f"{table}\n\nThese are {comparisons} comparisons, and p is not corrected for that: if no row differed from any "
        f"other, about {comparisons / 20:.0f} would be below 0.05, and more where there are few seeds."
    )


def _effect(found: Effect) -> str:
    """In points: the change, the bootstrap's interval and p, and half of Student's interval over the seeds."""
    if math.isnan(found.change):
        return "-"
    parts = [f"{found.change:+.2f}"]
    if not math.isnan(found.p_value):
        parts.append(f"[{found.low:+.2f}, {found.high:+.2f}], p {found.p_value:.3f}")
    if not math.isnan(found.over_seeds):
        parts.append(f"(seeds ± {found.over_seeds:.2f})")
    return " ".join(parts)


def bin_tables(study: Study, results: Results, side: int) -> str:
    """AP on synthetic validation people by what is known of them."""
    parts = []
    for name in BINS:
        edges = scaled_edges(name, side)
        lines: list[list[str]] = []
        people: tuple[int, ...] = ()
        for row in study.rows:
            found = [bin_figures(run.stored["synthetic"], name, edges) for run in results.of(row, "synthetic")]
            if not found:
                lines.append([row, *[_NOT_RUN] * (len(edges) - 1)])
                continue
            people = found[0].people
            lines.append([row, *(_number(float(v)) for v in mean_rows(each.figures for each in found))])
        header = [bin_title(low, high) for low, high in zip(BINS[name][:-1], BINS[name][1:], strict=True)]
        counts = [["people", *map(str, people)]] if people else []
        parts.append(f"By {BIN_NAMES[name]}:\n\n" + _markdown(["row", *header], [*counts, *lines]))
    return "\n\n".join(parts)


def scaled_edges(name: str, side: int) -> tuple[float, ...]:
    """The edges of bins as the data have them: distances are in pixels there."""
    factor = side if name == "min_distance" else 1
    return tuple(edge * factor for edge in BINS[name])


def bin_title(low: float, high: float) -> str:
    """A bin's bounds in words."""
    if math.isinf(low):
        return f"below {high:g}"
    return f"{low:g} and more" if math.isinf(high) else f"{low:g} to {high:g}"


def teacher_table(study: Study, results: Results) -> str:
    """What teachers thought of the groups early and late, and which one they chose most."""
    rows = []
    for name, row in study.rows.items():
        if row.training.get("teacher", {}).get("kind") != "group":
            continue
        for run in results.runs[name].values():
            _, probabilities = distribution(run.history)
            if not len(probabilities):
                continue
            quarter = max(1, len(probabilities) // 4)
            early, late = probabilities[:quarter], probabilities[-quarter:]
            cells = [f"{part.max(axis=1).mean():.2f}, {_evenness(part):.2f}" for part in (early, late)]
            counts = [str(len(probabilities)), str(probabilities.shape[1])]
            rows.append([name, str(run.seed), *counts, *cells, _most_chosen(run.history)])
    if not rows:
        return "No teacher that learns has been run."
    return _markdown(["row", "seed", "windows", "groups", "first quarter", "last quarter", "chosen most"], rows)


def _most_chosen(history: Sequence[Line]) -> str:
    """The group that most windows were of, and their part."""
    groups = [int(line["group"]) for line in history if line["kind"] == "window"]
    group, windows = Counter(groups).most_common(1)[0]
    return f"{group}: {100 * windows / len(groups):.0f} %"


def _evenness(probabilities: Any) -> float:
    """The mean entropy of distributions [n, G] over that of a uniform one."""
    safe = np.maximum(probabilities, 1e-12)
    return float((-(safe * np.log(safe)).sum(axis=1) / math.log(probabilities.shape[1])).mean())


def hardness_table(study: Study, budget_name: str, results: Results) -> str:
    """How the loss of synthetic people differs between groups, before the rows and after: mean over seeds."""
    budget = study.budget(budget_name)
    everybody: list[Hardness] = []
    rows: list[list[str]] = []
    for shown in (row for row in SHOWN if row in study.rows):
        found = [
            [one for seed in seeds if (one := read_hardness(results.layout.run(row, seed), shown)) is not None]
            for row, seeds in who_is_asked(results, shown).items()
        ]
        before, after = ([spreads(one, budget) for one in students] for students in found)
        if not before or not after:
            continue
        everybody = everybody or [one for students in found for one in students]
        for name in before[0]:
            # The tail's people are D_S's but for their lot.
            if (shown == AFTER or name == LOT) and all(name in one for one in before + after):
                rows.append(_hardness_line(name, [one[name] for one in before], [one[name] for one in after]))
    if not rows:
        return "Not measured: `python -m studies.ltsh hardness`."
    people = float(np.mean([one.losses.std() / one.losses.mean() for one in everybody]))
    crops = budget.teacher["window"] * budget.training["batch"] * study.rows[AFTER].mix["purely"]
    header = ["characteristic", "groups", "largest", "apart, before", "apart, after", "hardest, after"]
    return (
        f"From person to person, the loss varies by {100 * people:.0f} % of its mean; so means of a window's "
        f"{crops:.0f} crops vary by {100 * people / math.sqrt(crops):.0f} % whatever is chosen. This is how far the "
        "means of the groups that can be chosen are apart, as standard deviations, and how far they would be by "
        "chance if all groups were equally hard. The hardest of ten equal groups is then one and a half times that "
        'above the others. "After" is after R+S; of the lots in the tail, after uniform-T:\n\n'
        + _markdown(header, rows)
    )


def _hardness_line(name: str, before: Sequence[Spread], after: Sequence[Spread]) -> list[str]:
    cells = [
        f"{100 * float(np.mean([one.apart for one in spread])):.1f} %, by chance "
        f"{100 * float(np.mean([one.chance for one in spread])):.1f}"
        for spread in (before, after)
    ]
    hardest = ", ".join(f"{one.hardest}: {100 * one.excess:+.0f} %" for one in after)
    return [name, str(before[0].groups), f"{100 * before[0].largest:.0f} %", *cells, hardest]


def cost_table(study: Study, results: Results, data: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """How long everything took, in minutes."""
    rows = [
        [f"data set {name}", f"{note['pictures']} pictures", f"{note['seconds'] / 60:.1f}", ""] for name, note in data
    ]
    if results.first:
        students = list(results.first.values())
        seconds = sum(float(trained["seconds"]) for trained in students)
        steps = f"{len(students)} x {students[0]['steps']} steps"
        rows.append(["first students", steps, f"{seconds / 60:.1f}", ""])
    for name in study.rows:
        runs = list(results.runs[name].values())
        if runs:
            training = sum(float(run.trained["seconds"]) for run in runs) / 60
            measuring = sum(float(one.note["seconds"]) for run in runs for one in run.measured.values()) / 60
            rows.append(
                [name, f"{len(runs)} x {runs[0].trained['steps']} steps", f"{training:.1f}", f"{measuring:.1f}"]
            )
    if not rows:
        return "Nothing has been run."
    return _markdown(["", "", "making or training, minutes by the clock", "measuring"], rows)


def relative(path: Path, page: Path) -> str:
    """A path as a page beside it links to it."""
    return path.relative_to(page.parent).as_posix()
