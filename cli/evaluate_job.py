"""The work of ``ltsh evaluate``, once its options are known."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from ltsh_deploy.cli import console
from ltsh_deploy.decode_config import DecodeConfig
from ltsh_deploy.default_model import default_model
from ltsh_deploy.errors import ExitCode, UsageError
from ltsh_deploy.evaluation.evaluation import Evaluation, evaluate_model, evaluate_predictions
from ltsh_deploy.evaluation.opening import open_evaluation_set, read_predictions
from ltsh_deploy.evaluation.protocols import Protocol, choose_protocol
from ltsh_deploy.evaluation.report import REPORT_FILES, write_report
from ltsh_deploy.evaluation.results import as_json, as_text, result_files, write_results
from ltsh_deploy.result_names import make_folder, refuse_overwriting
from ltsh_deploy.whole_files import WholeFile, write_whole

__all__ = ["EvaluateJob"]

_log = logging.getLogger("ltsh_deploy.evaluate")

# What stored predictions are; everything else that is compared is a model.
_STORED = (".json", ".jsonl", ".mat")
#: What --out keeps the predictions in as they come: of the model, and of the one it is compared with.
_KEPT, _KEPT_OTHER = "predictions.jsonl", "predictions_compared.jsonl"
# Failures beyond these are counted, not listed: a wrong folder fails thousands of times.
_LISTED = 3


class EvaluateJob:
    """One evaluation. The arguments are those of ``ltsh evaluate``; its --help describes them.

    Raises:
        LtshError: before anything is looked at, for everything that can be known to be wrong by then.
    """

    def __init__(
        self,
        model: Path | None,
        *,
        kind: str,
        annotations: Path,
        predictions: Path | None,
        protocol: str | None,
        scales: tuple[float, ...] | None,
        flip: bool,
        size: tuple[int, int] | None,
        filter_groups: bool | None,
        threshold: float | None,
        device: str,
        threads: int | None,
        batch: int | None,
        out: Path | None,
        restart: bool,
        json_target: str | None,
        report: Path | None,
        compare: Path | None,
        **places: Any,
    ) -> None:
        if model is not None and predictions is not None:
            raise UsageError("either a MODEL or --predictions is to be evaluated, not both")
        if model is None and predictions is None:
            model = default_model()
        if compare is not None and report is None:
            raise UsageError("--compare is for the report, and no folder was named for it", "Add --report DIR.")
        self.entrants = [path for path in (model or predictions, compare) if path is not None]
        self.is_model = [model is not None, compare is not None and compare.suffix.lower() not in _STORED]
        for name, value in (
            ("--protocol", protocol),
            ("--scales", scales),
            ("--flip", flip or None),
            ("--size", size),
            ("--threshold", threshold),
            ("--restart", restart or None),
            ("--threads", threads),
            ("--batch", batch),
            ("--device", None if device == "auto" else device),
        ):
            if value is not None and not any(self.is_model):
                raise UsageError(f"{name} is for models, and stored predictions are evaluated")
        if restart and out is None:
            raise UsageError("--restart discards what --out has, and no folder was named", "Add --out DIR.")
        self.filter_groups, self.batch = filter_groups, batch
        self.out, self.restart, self.json_target, self.report = out, restart, json_target, report
        self.data = open_evaluation_set(kind, annotations, **places)
        if filter_groups and not any(unit.group_box for unit in self.data):
            raise UsageError(f"--filter-groups is for groups of people, and data sets of kind {kind} tell of none")
        self.protocol: Protocol = choose_protocol(self.data, protocol, scales, flip, size)
        decode = DecodeConfig() if threshold is None else DecodeConfig(peak_threshold=threshold)
        self.options: dict[str, Any] = {"device": device, "threads": threads, "decode": decode}
        needed = [annotations, *self.entrants, *(path for path in places.values() if isinstance(path, Path))]
        self._prepare_targets(needed)

    def _prepare_targets(self, needed: list[Path]) -> None:
        """Make the folders of all results, and make sure that each can be written and replaces nothing."""
        own = [] if self.out is None else [*result_files(self.out, self.data), self.out / _KEPT, self.out / _KEPT_OTHER]
        targets = [] if self.report is None else [self.report / name for name in REPORT_FILES]
        if self.json_target not in (None, "-"):
            targets.append(Path(str(self.json_target)))
            if any(targets[-1].absolute() == file.absolute() for file in own + targets[:-1]):
                raise UsageError(
                    f"{self.json_target}: is the name of another file that this run writes", "Name another file."
                )
        for folder in (self.out, self.report):
            if folder is not None:
                make_folder(folder)
        for target in own[: len(own) - 2 * (self.out is not None)] + targets:
            refuse_overwriting(target, needed)
            # Its checks are wanted: hours of looking should not end at a folder that cannot be written to.
            WholeFile(target)

    def run(self) -> int:
        """Do it, write what was asked for, and return the exit code."""
        evaluations = [self._evaluate(number) for number in range(len(self.entrants))]
        first = evaluations[0]
        # Files first: a reader of stdout who has gone away should cost nothing else.
        if self.out is not None:
            write_results(self.out, first)
            _log.info("the figures and the predictions are in %s", self.out)
        if self.json_target not in (None, "-"):
            write_whole(str(self.json_target), as_json(first).encode())
        if self.report is not None:
            _log.info("the report is %s", write_report(self.report, evaluations))
        if self.json_target == "-":
            click.echo(as_json(first))
        else:
            click.echo("\n\n".join(console.printable(as_text(each)) for each in evaluations))
        return _report_failures(evaluations, named=self.out is not None)

    def _evaluate(self, number: int) -> Evaluation:
        entrant = self.entrants[number]
        if not self.is_model[number]:
            stored = read_predictions(entrant, self.data)
            return evaluate_predictions(self.data, stored, filter_groups=self.filter_groups)
        keep = None if self.out is None else self.out / (_KEPT_OTHER if number else _KEPT)
        with console.progress(entrant.name, len(self.data)) as advance:
            try:
                return evaluate_model(
                    entrant,
                    self.data,
                    self.protocol,
                    filter_groups=self.filter_groups,
                    batch=self.batch,
                    keep=keep,
                    restart=self.restart,
                    done=advance,
                    **self.options,
                )
            except KeyboardInterrupt:
                if keep is not None:
                    _log.info("what was found so far is in %s; the same command goes on from there", keep)
                raise


def _report_failures(evaluations: list[Evaluation], *, named: bool) -> int:
    """Say which pictures could not be used; returns the exit code.

    Args:
        evaluations: all of the run.
        named: whether a file of the run names them all.
    """
    code = ExitCode.OK
    for evaluation in evaluations:
        failures = list(evaluation.failures.items())
        for name, error in failures[:_LISTED]:
            console.print_error(error.message if name in error.message else f"{name}: {error.message}", error.remedy)
        if len(failures) > _LISTED:
            where = "metrics.json names them" if named else "with --out, metrics.json names them"
            console.print_error(f"{len(failures) - _LISTED} more pictures could not be used; {where}")
        if failures:
            code = ExitCode.BAD_INPUT
    return code
