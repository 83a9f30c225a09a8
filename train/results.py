"""What a run leaves behind besides its weights: the headline figure, curves, and the model card."""

from __future__ import annotations

import logging
from pathlib import Path

from ltsh_deploy.checkpoints import Provenance, load_checkpoint
from ltsh_deploy.errors import MissingPartError
from ltsh_deploy.network_base import ImageNetwork
from ltsh_deploy.train.curves import CURVES, draw_curves
from ltsh_deploy.train.folder import BEST, LAST
from ltsh_deploy.train.history import Line, read_history
from ltsh_deploy.train.loop import Run
from ltsh_deploy.train.model_card import MODEL_CARD, DataRecord, RunRecord, model_card
from ltsh_deploy.train.pools import Pool
from ltsh_deploy.train.processes import num_processes
from ltsh_deploy.train.validation import Measurement, validate
from ltsh_deploy.whole_files import write_whole

__all__ = ["headline", "write_card", "write_curves"]

_log = logging.getLogger(__name__)


def headline(run: Run) -> Measurement | None:
    """PCK@0.2 of ``best.safetensors``, measured on the whole pictures of all validation people.

    None for a run without validation.

    Raises:
        ModelFileError: when the file cannot be read.
        InputError: when not one person can be measured.
    """
    if run.pools.validation is None:
        return None
    network, _ = load_checkpoint(run.folder / BEST)
    images = ImageNetwork(network).to(run.device).eval()
    return validate(images, run.pools.validation, run.config, run.device, view="picture")


def write_curves(run: Run) -> None:
    """Draw the run's history into ``curves.png``; without matplotlib there is a warning instead.

    Raises:
        OutputError: when the file cannot be written.
        InputError: when the history is damaged.
    """
    try:
        draw_curves(read_history(run.folder), run.folder / CURVES, run.folder.name, _group_names(run))
    except MissingPartError as error:
        _log.warning("%s: not drawn: %s. %s", run.folder / CURVES, error.message, error.remedy)


def write_card(run: Run, measured: Measurement | None) -> None:
    """Write ``model_card.md``.

    Args:
        run: after its last step.
        measured: the headline figure; None where there is none.

    Raises:
        OutputError: when the file cannot be written.
        InputError: when the history is damaged.
    """
    config, lines = run.config, read_history(run.folder)
    network = run.network
    record = RunRecord(
        name=run.folder.resolve().name,
        network=f"{network.name}, trained on crops of {config.size[0]} x {config.size[1]} pixels",
        skeleton=network.skeleton.name,
        parameters=sum(p.numel() for p in network.parameters()),
        data=_data(run),
        config=config.model_dump(mode="json"),
        metrics=_metrics(lines, measured),
        history=lines,
        group_names=_group_names(run),
        sessions=run.sessions,
        command=f"{_launcher()}ltsh train config.yaml --out {Path('runs') / run.folder.resolve().name}",
        seed=config.seed,
        steps=run.step,
        notes=_notes(run, measured),
    )
    write_whole(run.folder / MODEL_CARD, model_card(record).encode())


def _launcher() -> str:
    processes = num_processes()
    return "" if processes == 1 else f"torchrun --nproc-per-node {processes} --no-python "


def _group_names(run: Run) -> tuple[str, ...]:
    grouping = run.groups.grouping
    return () if grouping is None else tuple(f"{grouping.characteristic} {name}" for name in grouping.names)


def _data(run: Run) -> list[DataRecord]:
    pools = run.pools
    parts = zip(pools.training, pools.parts, strict=True)
    used: list[tuple[Pool, str]] = [(pool, f"training, {100 * part:.3g} % of every batch") for pool, part in parts]
    if pools.validation is not None:
        used.append((pools.validation, "validation, and the choice of the best weights"))
    return [
        DataRecord(
            name=pool.name,
            licence=pool.dataset.licence,
            use=use,
            samples=len(set(pool.samples.tolist())),
            people=len(pool),
            skipped=pool.dataset.skipped,
        )
        for pool, use in used
    ]


def _metrics(lines: list[Line], measured: Measurement | None) -> dict[str, float | str]:
    metrics: dict[str, float | str] = {}
    if measured is not None:
        score = measured.score
        metrics[f"PCK@0.2 of {BEST}, whole pictures of {score.people:,} validation people"] = score.pck
        metrics |= {f"PCK@0.2 of {BEST}, {name}": rate for name, rate in score.joints.items()}
        metrics |= {f"validation people {reason}, left out": float(n) for reason, n in measured.left_out.items()}
    validations = [line for line in lines if line["kind"] == "validation"]
    if validations:
        metrics[f"PCK@0.2 of {LAST}, measured as during training"] = validations[-1]["pck"]
        metrics["validation loss of the last weights"] = validations[-1]["loss"]
    return metrics


def _notes(run: Run, measured: Measurement | None) -> list[str]:
    notes = []
    if measured is not None:
        notes.append(
            f"The weights in {BEST} are those that did best on the validation people during training, so their figure "
            "is a little better than it would be on people never looked at."
        )
    if run.config.init is not None:
        origin = run.origin or Provenance()
        notes.append(
            f"Training began with the weights in `{run.config.init}`, which had learned from: "
            f"{origin.training_data or 'not known'}. Their licence: {origin.licence or 'not known'}."
        )
    notes += [f"{count:,} times, {reason} were replaced by others." for reason, count in run.skipped.items()]
    return notes
