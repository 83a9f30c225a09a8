"""One model's predictions as the analysis wants them: what is measured, and what kind of mistake each joint is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ltsh_deploy.evaluation.error_kinds import UnitErrors, unit_errors
from ltsh_deploy.evaluation.matching import MPII_COLUMNS, ap_matches, oks_pairs, single_people
from ltsh_deploy.evaluation.measures import ApMeasure, Measure, RateMeasure
from ltsh_deploy.evaluation.measures_oks import OksMeasure
from ltsh_deploy.evaluation.predictions import UnitPredictions
from ltsh_deploy.evaluation.units import EvaluationSet
from ltsh_deploy.metrics import (
    HIT_THRESHOLD,
    MPII_JOINTS,
    PCK_THRESHOLD,
    OksPrediction,
    OksTruth,
    UnitMatches,
    oks_matrix,
    relative_distances,
)
from ltsh_deploy.skeletons import COCO17, LSP14, MPII16

__all__ = ["Judgement", "judge"]

FloatArray = npt.NDArray[np.float64]


# A keypoint of COCO this similar to the true one is good (Ronchi and Perona 2017). Twice as far away, the similarity is
# 0.52, so that what is jitter here is what they call so: 0.5 to 0.85.
_GOOD_SIMILARITY = 0.85
# COCO's metric matches people at ten similarities. Mistakes are of whoever is somewhat similar.
_MATCH_SIMILARITY = 0.1


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a model's predictions on U units are.

    Attributes:
        joints: [K] names of the joints that are evaluated.
        measure: the figures.
        matches: [U] who was found by whom.
        errors: [U] the kinds of the joints.
    """

    joints: tuple[str, ...]
    measure: Measure
    matches: tuple[UnitMatches, ...]
    errors: tuple[UnitErrors, ...]


def judge(data: EvaluationSet, predictions: Sequence[UnitPredictions]) -> Judgement:
    """Judge predictions by the data set's metric.

    Args:
        data: the units.
        predictions: as :func:`~ltsh_deploy.evaluation.matching.submit` gives them.

    Raises:
        InputError: when they cannot be measured.
    """
    if data.metric == "ap":
        return _judge_groups(data, predictions)
    return _judge_coco(data, predictions) if data.metric == "oks" else _judge_single(data, predictions)


def _judge_groups(data: EvaluationSet, predictions: Sequence[UnitPredictions]) -> Judgement:
    matches = tuple(ap_matches(data, predictions))
    mirror = LSP14.flip_joints
    errors = []
    for unit, prediction, own in zip(data, predictions, matches, strict=True):
        truth = unit.to_poses().to_skeleton(MPII16).xy[:, MPII_COLUMNS]
        reach = np.repeat(HIT_THRESHOLD * unit.head_sizes[:, None], len(MPII_COLUMNS), axis=1)
        errors.append(unit_errors(own, truth, prediction.poses.xy[:, MPII_COLUMNS], reach, mirror))
    return Judgement(MPII_JOINTS, ApMeasure(matches, ("mAP", *MPII_JOINTS)), matches, tuple(errors))


def _judge_single(data: EvaluationSet, predictions: Sequence[UnitPredictions]) -> Judgement:
    people = single_people(data, predictions)
    threshold = HIT_THRESHOLD if data.metric == "pckh" else PCK_THRESHOLD
    hits = relative_distances(people.found, people.truth, people.sizes) <= threshold
    annotated, present = (np.asarray(np.isfinite(joints).all(axis=2)) for joints in (people.truth, people.found))
    # Of whom nothing is asked, nothing can be wrong.
    present &= annotated.any(axis=1, keepdims=True)
    # Both metrics of single people have the joints of Leeds Sports Pose, in their order.
    mirror = LSP14.flip_joints
    matches, errors = [], []
    for n in range(len(data)):
        one = slice(n, n + 1)
        # Whoever was chosen answers to the labelled person, however far away.
        own = UnitMatches(
            np.zeros(1, np.int64), hits[one], present[one], present[one].astype(np.float64), annotated[one]
        )
        matches.append(own)
        reach = np.full(annotated[one].shape, threshold * people.sizes[n])
        errors.append(unit_errors(own, people.truth[one], people.found[one], reach, mirror))
    names = ("PCKh" if data.metric == "pckh" else "PCK", *people.joints)
    measure = RateMeasure(tuple(hits[:, None]), tuple(annotated[:, None]), names, pooled=data.metric == "pckh")
    return Judgement(people.joints, measure, tuple(matches), tuple(errors))


def _judge_coco(data: EvaluationSet, predictions: Sequence[UnitPredictions]) -> Judgement:
    pairs = oks_pairs(data, predictions)
    mirror = COCO17.flip_joints
    matches, errors = [], []
    for unit, prediction, (truth, found) in zip(data, predictions, pairs, strict=True):
        reach = _good_distances(truth.areas, COCO17.sigmas)
        own = _oks_people(truth, found, np.asarray(prediction.poses.joint_scores, np.float64), reach)
        matches.append(own)
        errors.append(unit_errors(own, unit.joints[:, :, :2], found.joints, reach, mirror))
    measure = OksMeasure(tuple(t for t, _ in pairs), tuple(p for _, p in pairs), COCO17.sigmas)
    return Judgement(COCO17.joints, measure, tuple(matches), tuple(errors))


def _good_distances(areas: FloatArray, sigmas: Sequence[float]) -> FloatArray:
    """[G, K] pixels at which a keypoint's similarity exp(-d^2 / (2 area (2 sigma)^2)) is 0.85."""
    widths = 2 * np.asarray(sigmas, np.float64) * math.sqrt(-2 * math.log(_GOOD_SIMILARITY))
    return np.sqrt(np.maximum(areas, 0.0))[:, None] * widths


def _oks_people(truth: OksTruth, found: OksPrediction, joint_scores: FloatArray, reach: FloatArray) -> UnitMatches:
    """Match people of a picture, the best score first, each to the most similar person whom nobody took before."""
    oks = oks_matrix(truth, found, COCO17.sigmas)
    present, annotated = (np.asarray(np.isfinite(joints).all(axis=2)) for joints in (found.joints, truth.joints))
    truth_of = np.full(len(present), -1, np.int64)
    # Who need not be found excuses whoever is predicted there.
    excused = (oks[:, truth.ignored] >= _MATCH_SIMILARITY).any(axis=1)
    oks[:, truth.ignored] = -1.0
    annotated &= ~truth.ignored[:, None]
    for p in np.argsort(-found.scores, kind="stable").tolist():
        best = int(oks[p].argmax()) if oks.shape[1] else -1
        if best >= 0 and oks[p, best] >= _MATCH_SIMILARITY:
            truth_of[p] = best
            oks[:, best] = -1.0
    present &= ~(excused & (truth_of < 0))[:, None]
    hits = np.zeros_like(present)
    matched = np.flatnonzero(truth_of >= 0)
    own = truth_of[matched]
    offsets = found.joints[matched] - truth.joints[own]
    hits[matched] = np.sqrt(np.square(offsets).sum(axis=2)) <= reach[own]
    return UnitMatches(truth_of, hits, present, joint_scores, annotated)
