"""What ``ltsh benchmark`` measured, for people."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ltsh_deploy.machine import Machine

__all__ = ["as_text"]

#: Rounds of one network that differ by more deserve a word.
_UNSTEADY = 0.1
_COLUMNS = ("p50 ms", "p95 ms", "p99 ms", "frames/s", "% of time")


def as_text(form: dict[str, Any]) -> str:
    """Tables of the figures that ``--json`` writes.

    Args:
        form: the figures, as that has them.
    """
    machine, runs, batch, rounds = Machine(**form["machine"]), form["runs"], form["batch"], form["rounds"]
    frames = runs[0]["frames"]
    together = "one at a time" if batch == 1 else f"{batch} at a time; latencies are those of {batch} together"
    load = "unknown" if machine.load is None else f"{machine.load:.1f}"
    threads = "as many threads as it likes" if form["threads"] is None else _count(form["threads"], "thread")
    lines = [
        f"{', '.join(form['sources'])}: {frames} frames, {together}",
        f"{_count(rounds, 'round')} of {frames // rounds}, each after {form['warmup']} that do not count; the network "
        f"on {threads}; the {form['decoder']} decoder",
        f"{machine}",
        f"Programs that were running already, on average over a minute: {load}",
    ]
    if machine.is_busy:
        lines.append("These alone keep all its cores busy: without them, everything is faster.")
    for run in runs:
        lines += ["", *_table(run)]
    measured = frames // batch
    slower = measured - math.ceil(0.99 * measured)
    lines += ["", f"Of {_count(measured, 'measurement')} of each stage, {slower or 'none'} took longer than p99."]
    lines += [f"Not run: {Path(each['model']).name}, {each['reason']}" for each in form["not_run"]]
    return "\n".join(lines)


def _table(run: dict[str, Any]) -> list[str]:
    sizes = [f"{width}x{height}" for width, height in run["input_sizes"]]
    shown = ", ".join(sizes[:3]) + (f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else "")
    gpu = f" ({run['gpu']})" if run["gpu"] else ""
    lines = [
        f"{Path(run['model']).name}, {run['runtime']} on {run['device']}{gpu}; input {shown}; "
        f"{run['people_per_frame']:.1f} people a frame",
        f"{'':12}" + "".join(f"{column:>11}" for column in _COLUMNS),
    ]
    for name, stage in (*run["stages"].items(), ("all", run["total"])):
        milliseconds = "".join(f"{stage[key]:11.2f}" for key in ("p50", "p95", "p99"))
        lines.append(f"{name:12}{milliseconds}{stage['frames_per_s']:11.1f}{100 * stage['share']:11.1f}")
    rates = run["round_rates"]
    if len(rates) > 1:
        lines.append(f"Rounds: {min(rates):.1f} to {max(rates):.1f} frames/s.")
    if run["spread"] > _UNSTEADY:
        lines.append(
            f"They differ by {100 * run['spread']:.0f} %, as frames, other programs and the machine's pace do:\n"
            "a network that is faster by less than that may not be faster."
        )
    return lines


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
