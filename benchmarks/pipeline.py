"""Every stage of the pipeline on a real video, by `ltsh benchmark`. ``python -m benchmarks.pipeline``.

Video and network are third parties': ``--source`` and the models named say where they lie.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.report import machine, table, write_section
from ltsh_deploy.cli.benchmark_job import BenchmarkJob
from ltsh_deploy.default_model import default_model
from ltsh_deploy.machine import Machine

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

_COLUMNS = ["p50 ms", "p95 ms", "p99 ms", "frames/s", "% of time"]
_HOW = """`ltsh benchmark MODEL --source VIDEO` measures this for any model, on any video, picture or folder:

- `read` is decoding the file, which is opened anew at its end; `preprocess` scales and pads; `network` is all from the
  padded picture to the maps, copies to and from a GPU included; `decode` gives the people in pixels of the picture;
  `draw` draws them.
- One frame, or batch, goes through all stages before the next one begins, as in `ltsh infer`, so that `all` is the
  latency of a frame that waits for nobody. Writing results is not in it.
- p50, p95 and p99 are times that were measured, none between two: of 200 measurements, two took longer than p99.
- Each round begins with frames that are not counted. Several networks take turns, a round each, on the same frames. How
  far the rounds of one differ says what a difference between two is worth."""


def measure(
    models: list[str], source: str, threads: int | None, batch: int, frames: int
) -> tuple[list[str], list[str]]:
    """A table for each network, and a line on each that could not be run."""
    job = BenchmarkJob(
        models,
        names=[source],
        devices=(),
        threads=threads,
        batch=batch,
        size=None,
        frames=frames,
        warmup=10,
        rounds=None,
        as_json=False,
    )
    form = job.measure()
    used = f"{threads} thread{'s' * (threads != 1)}" if threads else "as many threads as it likes"
    was = Machine(**form["machine"])
    running = (
        "" if was.load is None else f" Programs that were running already, on average over a minute: {was.load:.1f}."
    )
    if was.is_busy:
        running += " **These alone keep all cores busy: on an idle machine, everything is faster.**"
    together = f", batches of {batch}" if batch > 1 else ""
    parts = [f"### The network on {used}{together}", f"The {form['decoder']} decoder.{running}"]
    for run in form["runs"]:
        parts += [_title(run), table(["stage", *_COLUMNS], _rows(run))]
    return parts, [f"Not run: `{Path(each['model']).name}`, {each['reason']}." for each in form["not_run"]]


def _title(run: dict[str, Any]) -> str:
    sizes = ", ".join(f"{width}x{height}" for width, height in run["input_sizes"])
    where = run["device"] + (f" ({run['gpu']})" if run["gpu"] else "")
    rates = run["round_rates"]
    return (
        f"`{Path(run['model']).name}`, {run['runtime']} on {where}, input {sizes}, {run['frames']} frames, "
        f"{run['people_per_frame']:.1f} people a frame; {len(rates)} rounds of {min(rates):.1f} to {max(rates):.1f} "
        "frames/s."
    )


def _rows(run: dict[str, Any]) -> list[list[object]]:
    return [
        [name, stage["p50"], stage["p95"], stage["p99"], stage["frames_per_s"], 100 * stage["share"]]
        for name, stage in (*run["stages"].items(), ("all", run["total"]))
    ]


def main() -> None:
    """Measure all and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    usual = [str(default_model()), str(SHARED / "models" / "coco_paf_mobilenet_v2_small.onnx")]
    parser.add_argument("models", nargs="*", default=usual)
    parser.add_argument("--source", default=str(SHARED / "data/real/video/walkers.avi"))
    parser.add_argument("--frames", type=int, default=200)
    given = parser.parse_args()
    parts = [
        "## Every stage of the pipeline",
        _HOW,
        f"`python -m benchmarks.pipeline`, `{Path(given.source).name}`. {machine()}.",
    ]
    missed: list[str] = []
    for threads, batch in ((1, 1), (None, 1), (None, 8)):
        tables, missed = measure(given.models, given.source, threads, batch, given.frames)
        parts += tables
    write_section("pipeline", "\n\n".join([*parts, *missed]))


if __name__ == "__main__":
    main()
