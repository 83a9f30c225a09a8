"""``ltsh train``: a configuration in, a folder with checkpoints and metrics out."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ltsh_deploy.train.loop import Record, Run

__all__ = ["command"]

_log = logging.getLogger("ltsh_deploy.cli.train")


@click.command("train")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the configuration, as in --set optimiser.lr=0.001; may be given several times.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The run's folder; runs/NAME_OF_CONFIG by default.")
@click.option("--resume", is_flag=True, help="Go on where the folder's last checkpoint was written.")
def command(config: Path, overrides: tuple[str, ...], out: Path | None, resume: bool) -> None:
    """Train a network as CONFIG (a YAML file) says.

    The folder gets best.safetensors and last.safetensors, which `ltsh export` takes, and what --resume needs.
    """
    # On a processor that others use too, or that the data threads keep busy, torch's threads would otherwise lose most
    # of the time waiting for each other at full speed. It has to be said before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from ltsh_deploy.train.config_file import read_config
    from ltsh_deploy.train.start import prepare

    settings = read_config(config, overrides)
    folder = out if out is not None else Path("runs") / config.stem
    run = prepare(settings, folder, resume=resume)
    _log.info("%s: training from step %d to %d", folder, run.step, settings.steps)
    with _metrics_file(folder / "metrics.jsonl", run.step) as write, _display(run, settings.steps) as show:

        def report(record: Record) -> None:
            write(record)
            show(record)

        run.train(report)
    for reason, count in run.maker.skipped.items():
        _log.warning("%d %s were skipped", count, reason)
    best = "" if run.best is None else f"; best PCK@0.2 {run.best:.1f}"
    _log.info("%s: done%s", folder, best)


@contextmanager
def _metrics_file(path: Path, step: int) -> Iterator[Callable[[Record], None]]:
    """Append records as JSON lines; those of steps after ``step``, which a killed run wrote, are dropped."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() and step else []
    with path.open("w", encoding="utf-8", buffering=1) as file:
        file.writelines(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step)
        yield lambda r: print(json.dumps({"kind": r.kind, "step": r.step, "time": time.time(), **r.values}), file=file)


@contextmanager
def _display(run: Run, steps: int) -> Iterator[Callable[[Record], None]]:
    """A progress bar where there is a terminal, else lines of the log."""
    begun, first = time.perf_counter(), run.step
    last_line = begun

    def show(record: Record) -> None:
        nonlocal last_line
        values = record.values
        now = time.perf_counter()
        if record.kind == "validation":
            _log.info("step %d: PCK@0.2 %.1f, validation loss %.2f", record.step, values["pck"], values["loss"])
        elif record.kind == "train" and now - last_line > _LINE_EVERY:
            last_line = now
            left = (now - begun) / max(1, record.step - first) * (steps - record.step)
            _log.info(
                "step %d of %d: loss %.3f, %.1f images/s, %.0f%% waiting, %d:%02d h left",
                record.step, steps, values["loss"], values["images_per_s"], 100 * values["wait"],
                *divmod(round(left / 60), 60),
            )  # fmt: skip

    yield show


# Seconds between two lines of the log.
_LINE_EVERY = 10.0
