"""One run of the study: a row trained from one seed, and measured. Everything that is done already is left alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.train.config_file import dump_config, read_config
from ltsh_deploy.train.folder import CONFIG, LAST, STATE
from ltsh_deploy.train.history import History, read_history
from ltsh_deploy.whole_files import write_whole
from studies.ltsh.claims import claim, wait_for
from studies.ltsh.configs import FIRST, run_config
from studies.ltsh.measuring import MEASURES, measure_run
from studies.ltsh.plan import Layout, Study
from studies.ltsh.provenance import machine_facts, now

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig
    from ltsh_deploy.train.loop import Record

__all__ = ["TRAINED", "other_settings", "read_trained", "run_row"]

TRAINED = "trained.json"
# What may differ between two sessions of one run: where, and how fast, it is computed.
_ANYWHERE = ("device", "threads", "workers", "prefetch", "log_every", "checkpoint_every")
# Seconds between two lines that say how far a run is.
_LINE_EVERY = 60.0


def run_row(
    study: Study, budget_name: str, row: str, seed: int, layout: Layout, tell: Callable[[str], None] = lambda line: None
) -> bool:
    """Train and measure one row from one seed, as far as it is not done.

    Args:
        study: what all rows share, and the row.
        budget_name: how large everything is.
        row: its name.
        seed: of everything that is drawn.
        layout: where.
        tell: is told what is done.

    Returns:
        Whether it is done; False where another process is at it.

    Raises:
        UsageError: when the run was begun with other settings.
        LtshError: when something cannot be read or written.
        KeyboardInterrupt: after a checkpoint; the same call goes on there.
    """
    folder, budget = layout.run(row, seed), study.budget(budget_name)
    config = run_config(study, budget_name, row, seed, layout)
    if study.rows[row].begins == "first":
        _train_first(study, budget_name, seed, layout, tell)
    with ExitStack() as stack:
        if not claim(folder, stack):
            return False
        _same_settings(folder, config)
        _train_if_needed(config, folder, f"{row}, seed {seed}", tell)
        for name in MEASURES:
            measured = measure_run(study, budget, layout, folder, name)
            tell(f"{row}, seed {seed}: {name} {measured.value:.1f}")
    return True


def _train_first(study: Study, budget_name: str, seed: int, layout: Layout, tell: Callable[[str], None]) -> None:
    """The student that rows begin with; where another process trains it, wait for that."""
    folder, config = layout.run(FIRST, seed), run_config(study, budget_name, FIRST, seed, layout)
    name = f"the student on real people, seed {seed}"
    with ExitStack() as stack:
        wait_for(folder, stack, name, tell)
        _same_settings(folder, config)
        _train_if_needed(config, folder, name, tell)


def read_trained(folder: Path) -> dict[str, Any] | None:
    """How a run was trained, or None where its last step is not done.

    ``sessions`` are the parts of it that were made with other code or packages than the one before, each with ``code``
    and ``packages``.

    Raises:
        InputError: when its file is damaged.
    """
    path = folder / TRAINED
    if not path.is_file():
        return None
    try:
        trained: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        trained["steps"], trained["seconds"], trained["machine"], trained["finished"]
        # Files of older versions tell of the last part alone.
        if "sessions" not in trained:
            trained["sessions"] = [{key: trained[key] for key in ("code", "packages")}]
        for session in trained["sessions"]:
            session["code"]["package"], session["code"]["commit"], session["code"]["changed"]
            session["packages"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: is damaged", "Delete it: the run's last step is then looked at again.") from None
    return trained


def _same_settings(folder: Path, config: RunConfig) -> None:
    """Refuse to put two configurations' steps into one run, and one's figures beside the other's name."""
    if not (folder / STATE).is_file() and not (folder / TRAINED).is_file():
        return
    differ = other_settings(folder, config)
    if differ:
        raise UsageError(
            f"{folder}: was begun with other settings: {', '.join(differ)}",
            "Choose another --out, or delete this folder.",
        )


def other_settings(folder: Path, config: RunConfig) -> list[str]:
    """The keys in which a run's configuration differs from this one, but for where it is computed.

    Raises:
        InputError: when the run's configuration cannot be read.
    """
    before, now = read_config(folder / CONFIG).model_dump(mode="json"), config.model_dump(mode="json")
    return [key for key in now if key not in _ANYWHERE and before.get(key) != now[key]]


def _train_if_needed(config: RunConfig, folder: Path, name: str, tell: Callable[[str], None]) -> None:
    if read_trained(folder) is None or not (folder / LAST).is_file():
        _train(config, folder, name, tell)


def _train(config: RunConfig, folder: Path, name: str, tell: Callable[[str], None]) -> None:
    from ltsh_deploy.train.start import prepare

    run = prepare(config, folder, resume=(folder / STATE).is_file())
    begun, last_line = run.step, time.perf_counter()
    tell(f"{name}: training from step {begun} to {config.steps}")
    with History(folder, step=begun, over=begun == config.steps) as history:

        def report(record: Record) -> None:
            nonlocal last_line
            history.write(record.kind, record.step, record.values)
            now = time.perf_counter()
            if record.kind == "train" and now - last_line > _LINE_EVERY:
                last_line = now
                speed = record.values["images_per_s"] / config.batch
                left = (config.steps - record.step) / speed / 60
                tell(f"{name}: step {record.step} of {config.steps}, {1000 / speed:.0f} ms a step, {left:.0f} min left")

        run.train(report)
    trained = {
        "steps": config.steps,
        "seconds": _seconds(folder, config.batch),
        "skipped": dict(run.skipped),
        "config": dump_config(config),
        "machine": machine_facts(),
        "sessions": [session.to_dict() for session in run.sessions],
        "finished": now(),
    }
    write_whole(folder / TRAINED, json.dumps(trained, indent=1).encode())


def _seconds(folder: Path, batch: int) -> float:
    """How long all steps took, in whatever sessions; steps that a killed session lost do not count."""
    seconds, before = 0.0, 0
    for line in read_history(folder):
        if line["kind"] == "train" and line.get("images_per_s"):
            seconds += batch * (line["step"] - before) / line["images_per_s"]
            before = line["step"]
    return seconds
