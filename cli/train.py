"""``ltsh train``: a configuration in, a folder with checkpoints and metrics out."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ltsh_deploy.cli import console

if TYPE_CHECKING:
    from ltsh_deploy.train.loop import Record, Run

__all__ = ["command"]

_log = logging.getLogger("ltsh_deploy.cli.train")

# Seconds between two lines of the log, where there is no progress bar.
_LINE_EVERY = 30.0


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
    from ltsh_deploy.parts import import_part
    from ltsh_deploy.train.config_file import blame, read_config

    settings = read_config(config, overrides)
    import_part("torch", "Training", "train")
    from ltsh_deploy.train.folder import claimed
    from ltsh_deploy.train.interruption import Interrupted
    from ltsh_deploy.train.processes import is_first, joined_processes
    from ltsh_deploy.train.start import prepare

    folder = out if out is not None else Path("runs") / config.stem
    try:
        with blame(config, overrides), joined_processes(settings.device):
            if not is_first():
                console.configure(console.Verbosity.QUIET)
            with claimed(folder):
                _train(prepare(settings, folder, resume=resume, source=config))
    except Interrupted as stop:
        # For the handler that was there before the run's: it sees to the exit code, which depends on the signal.
        signal.raise_signal(stop.signal)
        raise


def _train(run: Run) -> None:
    """Train, and in the first process write down what came of it."""
    from ltsh_deploy.train.history import History
    from ltsh_deploy.train.processes import first_alone, is_first

    steps, begun = run.config.steps, run.step
    if begun == steps:
        _log.info("%s: nothing is left to do, all %d steps are done", run.folder, steps)
    else:
        _log.info("%s: training from step %d to %d on %s", run.folder, begun, steps, run.device)
    with ExitStack() as closing:
        histories: list[History] = []

        def open_history() -> None:
            history = History(run.folder, step=begun, tensorboard=run.config.tensorboard, over=begun == steps)
            histories.append(closing.enter_context(history))

        def write(record: Record) -> None:
            histories[0].write(record.kind, record.step, record.values)
            for name, picture in record.pictures.items():
                histories[0].picture(f"people/{name}", record.step, picture)

        first_alone(open_history)
        with _display(run) if is_first() else nullcontext(lambda record: None) as show:

            def report(record: Record) -> None:
                write(record)
                show(record)

            run.train(report)
        first_alone(lambda: _finish(run, write, closing.close))


def _finish(run: Run, write: Callable[[Record], None], close: Callable[[], None]) -> None:
    """Write down what a run that is over has come to."""
    from ltsh_deploy.train.folder import BEST
    from ltsh_deploy.train.loop import Record
    from ltsh_deploy.train.results import headline, write_card, write_curves

    measured = headline(run)
    if measured is not None:
        write(Record("final", run.step, measured.values))
    close()
    write_curves(run)
    write_card(run, measured)
    for reason, count in run.skipped.items():
        _log.warning("%d %s were skipped", count, reason)
    if measured is not None:
        for reason, count in measured.left_out.items():
            _log.warning("%d validation people %s are left out", count, reason)
        _log.info(
            "%s: PCK@0.2 %.1f on whole pictures of %d people",
            run.folder / BEST,
            measured.score.pck,
            measured.score.people,
        )
    _log.info("%s: done", run.folder)


@contextmanager
def _display(run: Run) -> Iterator[Callable[[Record], None]]:
    """A progress bar where there is a terminal, else lines of the log."""
    steps = run.config.steps
    first, begun = run.step, time.perf_counter()
    reached, last_line, measured = first, begun, ""
    bar = console.shows_progress()

    with console.progress("training", steps, first) as advance:

        def show(record: Record) -> None:
            nonlocal reached, last_line, measured
            now, values = time.perf_counter(), record.values
            if record.kind == "validation":
                measured = f", PCK@0.2 {values['pck']:.1f}"
                _log.info("step %d: PCK@0.2 %.1f, validation loss %.2f", record.step, values["pck"], values["loss"])
            if record.kind != "train":
                return
            note = (
                f"loss {values['loss']:.3f}, {values['images_per_s']:.0f} images/s, "
                f"{100 * values['wait']:.0f} % waiting{measured}"
            )
            advance(record.step - reached, note)
            reached = record.step
            if not bar and now - last_line > _LINE_EVERY:
                last_line = now
                left = (now - begun) / max(1, record.step - first) * (steps - record.step)
                hours, minutes = divmod(round(left / 60), 60)
                _log.info("step %d of %d: %s, %d:%02d h left", record.step, steps, note, hours, minutes)

        yield show
