"""Write what an evaluation is made of: ``report.html``, one page that opens anywhere, and ``report.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ltsh_deploy.errors import UsageError
from ltsh_deploy.evaluation.analysis import breakdowns
from ltsh_deploy.evaluation.comparison import compare
from ltsh_deploy.evaluation.error_kinds import ap_without, count_kinds
from ltsh_deploy.evaluation.evaluation import Evaluation
from ltsh_deploy.evaluation.judging import Judgement, judge
from ltsh_deploy.evaluation.page import page
from ltsh_deploy.evaluation.report_data import DrawnUnit, ModelAnalysis, Report
from ltsh_deploy.evaluation.worst import draw_unit, tally, worst_first
from ltsh_deploy.metrics import mpii_table
from ltsh_deploy.skeletons import COCO17, LSP14
from ltsh_deploy.whole_files import write_error, write_whole

__all__ = ["HTML", "JSON", "REPORT_FILES", "analyse", "write_report"]

HTML = "report.html"
JSON = "report.json"
REPORT_FILES = (HTML, JSON)
#: How many of a model's worst units are drawn.
WORST = 12


def write_report(
    folder: str | Path, evaluations: Sequence[Evaluation], *, draws: int = 1000, seed: int = 0, worst: int = WORST
) -> Path:
    """Analyse one model, or two on the same units, and write the report into a folder, which is made where needed.

    Args:
        folder: for :data:`HTML` and :data:`JSON`; older ones are replaced.
        evaluations: one or two; the second is compared with the first.
        draws: of the bootstrap that compares them; the intervals of single bins take a fifth of it.
        seed: of the draws; the same seed gives the same report.
        worst: how many of a model's worst units are drawn.

    Returns:
        The page's path.

    Raises:
        UsageError: when there are other than one or two evaluations, or of different units.
        InputError: when nothing can be measured.
        OutputError: when the folder or a file cannot be written.
    """
    report = analyse(evaluations, draws=draws, seed=seed, worst=worst)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise write_error(folder, error) from None
    text = json.dumps(report.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    # A name from the system may hold bytes that are no text.
    write_whole(folder / JSON, (text + "\n").encode("utf-8", "backslashreplace"))
    write_whole(folder / HTML, page(report).encode("utf-8", "backslashreplace"))
    return folder / HTML


def analyse(evaluations: Sequence[Evaluation], *, draws: int = 1000, seed: int = 0, worst: int = WORST) -> Report:
    """The same as :func:`write_report`, without writing.

    Raises:
        UsageError: see :func:`write_report`.
        InputError: see :func:`write_report`.
    """
    if len(evaluations) not in (1, 2):
        raise UsageError(f"a report is of one model or of two, not of {len(evaluations)}")
    data = evaluations[0].data
    for evaluation in evaluations:
        if [p.unit_id for p in evaluation.predictions] != [unit.id for unit in data]:
            raise UsageError(
                f"the predictions of {evaluation.source} are not of the units of {data.source}",
                "Models are compared on the same units: evaluate both on the same data set.",
            )
    judgements = [judge(data, evaluation.predictions) for evaluation in evaluations]
    measures = [judgement.measure for judgement in judgements]
    first = judgements[0]
    there = [np.asarray(own.annotated.any(axis=1)) for own in first.matches]
    return Report(
        kind=data.kind,
        source=data.source,
        metric=data.metric,
        units=len(data),
        people=sum(int(own.sum()) for own in there),
        joints=first.joints,
        models=tuple(map(_model, _names(evaluations), evaluations, judgements, [worst] * len(evaluations))),
        breakdowns=breakdowns(data, first.joints, there, measures, max(1, draws // 5), seed),
        comparison=compare(measures[0], measures[1], draws, seed) if len(measures) == 2 else None,
    )


def _names(evaluations: Sequence[Evaluation]) -> list[str]:
    """What to call the models: their files' names, with as many folders as it takes to tell two apart."""
    parts = [Path(evaluation.source).parts or ("",) for evaluation in evaluations]
    longest = max(map(len, parts))
    for depth in range(1, longest + 1):
        names = [str(Path(*own[-depth:])) for own in parts]
        if len(set(names)) == len(names):
            return names
    names = [own[-1] for own in parts]
    return names if len(names) == 1 else [f"{name} ({n})" for n, name in enumerate(names, start=1)]


def _model(name: str, evaluation: Evaluation, judgement: Judgement, worst: int) -> ModelAnalysis:
    measure = judgement.measure
    figures = measure.figures()
    kinds, extra = count_kinds(judgement.errors, len(judgement.joints))
    is_ap = evaluation.data.metric == "ap"
    return ModelAnalysis(
        name=name,
        source=evaluation.source,
        notes=tuple(evaluation.notes),
        figures=dict(zip(measure.names, figures.tolist(), strict=True)),
        rows=mpii_table(figures[1:], judgement.joints) if is_ap else {},
        curves=tuple(measure.curves()),
        kinds=kinds,
        extra=extra,
        mended=ap_without(judgement.matches, judgement.errors) if is_ap else {},
        worst=tuple(_drawn(evaluation, judgement, worst)),
    )


def _drawn(evaluation: Evaluation, judgement: Judgement, worst: int) -> list[DrawnUnit]:
    tallies = [tally(errors) for errors in judgement.errors]
    # The 14 joints of the other metrics are those of Leeds Sports Pose.
    skeleton = COCO17 if evaluation.data.metric == "oks" else LSP14
    found = []
    for index in worst_first(tallies, worst):
        unit = evaluation.data.units[index]
        true, predicted, reason = draw_unit(unit, evaluation.predictions[index].poses, skeleton)
        own = tallies[index]
        found.append(DrawnUnit(unit.id, unit.image_name, own, own.score, true, predicted, reason))
    return found
