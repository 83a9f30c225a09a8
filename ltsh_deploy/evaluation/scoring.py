"""What predictions are worth by the metric of their data set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.evaluation.matching import ap_matches, oks_pairs, single_people
from ltsh_deploy.evaluation.predictions import UnitPredictions
from ltsh_deploy.evaluation.units import EvaluationSet
from ltsh_deploy.metrics import (
    MPII_JOINTS,
    MPII_ROWS,
    JointRates,
    mpii_table,
    multi_person_ap,
    oks_ap,
    oks_matches,
    pck,
    pckh,
)
from ltsh_deploy.skeletons import COCO17, MPII16

__all__ = ["Scores", "score_units"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What was measured.

    Attributes:
        metric: one of :data:`~ltsh_deploy.evaluation.units.METRICS`.
        name: what the headline is called: ``mAP``, ``PCKh``, ``PCK``, ``AP``.
        headline: in 0..100; NaN when nothing is labelled.
        values: all figures, as metrics.json has them: numbers, or mappings of names to numbers; None where undefined.
        notes: what is to be said about the figures.
    """

    metric: str
    name: str
    headline: float
    values: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def score_units(data: EvaluationSet, predictions: Sequence[UnitPredictions]) -> Scores:
    """Measure predictions by the data set's metric.

    Args:
        data: the units.
        predictions: in their order, as :func:`~ltsh_deploy.evaluation.matching.submit` gives them.

    Raises:
        InputError: when nobody can be measured.
    """
    scorer = {"ap": _score_ap, "pckh": _score_pckh, "pck": _score_pck, "oks": _score_oks}[data.metric]
    return scorer(data, predictions)


def _score_ap(data: EvaluationSet, predictions: Sequence[UnitPredictions]) -> Scores:
    matches = ap_matches(data, predictions)
    result = multi_person_ap(matches)
    # Listed in the order of MPII's ids, by the names that the data set has for the joints.
    order = sorted(range(len(MPII_JOINTS)), key=lambda k: MPII16.joints.index(MPII_JOINTS[k]))
    names = dict(zip(data.skeleton.joints, data.labels, strict=True))

    def by_joint(values: npt.NDArray[Any]) -> dict[str, Any]:
        return {names.get(MPII_JOINTS[k], MPII_JOINTS[k]): _plain(values[k]) for k in order}

    by_name = dict(zip(MPII_JOINTS, result.ap.tolist(), strict=True))
    notes = []
    if result.left_out:
        never = ", ".join(MPII_JOINTS[k] for k in result.left_out)
        notes.append(f"never annotated, and so left out of the mean: {never}")
    lost = sum(
        int((own.annotated.any(axis=1) & ~(unit.head_sizes > 0)).sum()) for unit, own in zip(data, matches, strict=True)
    )
    if lost:
        notes.append(f"{lost} people whose head size is unknown or zero, so that none of their joints can be found")
    values = {
        "mAP": _plain(result.mean_ap),
        "table": {row: _plain(value) for row, value in mpii_table(result.ap, MPII_JOINTS).items()},
        "ap": by_joint(result.ap),
        "ap_by_id": [_plain(by_name.get(name, math.nan)) for name in MPII16.joints],
        "n_gt": by_joint(result.n_gt),
        "n_det": by_joint(result.n_detections),
        "n_tp": by_joint(result.n_true_positives),
        "people": sum(len(unit) for unit in data),
        "people_without_head_size": lost,
        "predicted_people": sum(len(p.poses) for p in predictions),
    }
    return Scores("ap", "mAP", result.mean_ap, values, tuple(notes))


def _score_pckh(data: EvaluationSet, predictions: Sequence[UnitPredictions]) -> Scores:
    people = single_people(data, predictions)
    score = pckh(people.found, people.truth, people.sizes)
    table = mpii_table(score.at_half.rates, people.joints)
    values = {
        "PCKh": _plain(score.at_half.pooled),
        "AUC": _plain(score.auc),
        "table": {row: _plain(table[row]) for row in MPII_ROWS},
        **_by_joint(score.at_half, people.joints),
        "curve": [_plain(value) for value in score.curve],
        "people": len(people.found),
        "people_not_found": int(np.isnan(people.found).all(axis=(1, 2)).sum()),
    }
    return Scores("pckh", "PCKh", score.at_half.pooled, values)


def _score_pck(data: EvaluationSet, predictions: Sequence[UnitPredictions]) -> Scores:
    people = single_people(data, predictions)
    measured = np.isfinite(people.sizes)
    if not measured.any():
        raise InputError(
            f"{data.source}: of nobody are right hip and left shoulder labelled, so there is no torso to measure PCK in"
        )
    score = pck(people.found, people.truth, people.sizes)
    left_out = int((~measured).sum())
    values = {
        "PCK": _plain(score.mean),
        **_by_joint(score, people.joints),
        "people": int(measured.sum()),
        "people_not_found": int(np.isnan(people.found[measured]).all(axis=(1, 2)).sum()),
        "people_without_torso": left_out,
    }
    notes = (f"{left_out} people without a labelled right hip and left shoulder are left out",) if left_out else ()
    return Scores("pck", "PCK", score.mean, values, notes)


def _by_joint(score: JointRates, joints: Sequence[str]) -> dict[str, dict[str, Any]]:
    columns = {"joints": score.rates, "n_gt": score.n_annotated, "n_tp": score.n_hits}
    return {name: dict(zip(joints, map(_plain, column), strict=True)) for name, column in columns.items()}


def _score_oks(data: EvaluationSet, predictions: Sequence[UnitPredictions]) -> Scores:
    result = oks_ap([oks_matches(*pair, COCO17.sigmas) for pair in oks_pairs(data, predictions)])
    stats: dict[str, Any] = {name: _plain(value) for name, value in result.stats.items()}
    stats["AP_per_threshold"] = [_plain(value) for value in result.ap_per_threshold]
    values = {
        "stats": stats,
        "people": sum(int((~unit.coco.ignored).sum()) for unit in data if unit.coco is not None),
        "predicted_people": sum(len(p.poses) for p in predictions),
    }
    return Scores("oks", "AP", 100 * result.stats["AP"], values)


def _plain(value: Any) -> Any:
    """A number as JSON has it; None for NaN."""
    number = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(number, float) and math.isnan(number) else number
