"""From units and predictions to what the metrics take: joints of the benchmark, people paired with people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import SkeletonError
from ltsh_deploy.evaluation.choosing import choose_person
from ltsh_deploy.evaluation.groups import filter_group
from ltsh_deploy.evaluation.predictions import UnitPredictions
from ltsh_deploy.evaluation.units import EvaluationSet, Unit
from ltsh_deploy.metrics import (
    MPII_JOINTS,
    MultiPersonPrediction,
    MultiPersonTruth,
    OksPrediction,
    OksTruth,
    UnitMatches,
    multi_person_matches,
    torso_lengths,
)
from ltsh_deploy.skeletons import COCO17, LSP14, MPII16, Skeleton, conversion_matrix

__all__ = [
    "MPII_COLUMNS",
    "SinglePeople",
    "ap_matches",
    "joints_without_source",
    "oks_pairs",
    "single_people",
    "submit",
]

FloatArray = npt.NDArray[np.float64]

_WANTED: Mapping[str, Skeleton] = {"ap": MPII16, "pckh": MPII16, "pck": LSP14, "oks": COCO17}
#: Where the benchmark's 14 joints stand among MPII's 16.
MPII_COLUMNS = [MPII16.joints.index(name) for name in MPII_JOINTS]
# How tall a person of MPII's scale 1 is.
_PIXELS_PER_SCALE = 200.0


def submit(
    data: EvaluationSet, predictions: Sequence[UnitPredictions], *, filter_groups: bool = False
) -> list[UnitPredictions]:
    """The predictions as they are scored and handed in: in the joints of the metric.

    MPII's pelvis and thorax are no joints of its benchmark: where a model finds them, they are left out, and the centre
    of the torso becomes neither.

    Args:
        data: the units.
        predictions: in the order of the units, all of one skeleton.
        filter_groups: leave out who cannot belong to the unit's group; see
            :func:`~ltsh_deploy.evaluation.groups.filter_group`.

    Raises:
        SkeletonError: when the predictions have none of the joints that the metric counts.
    """
    joints_without_source(data, predictions[0].poses.skeleton, "predictions")
    wanted = _WANTED[data.metric]
    handed_in = []
    for unit, prediction in zip(data, predictions, strict=True):
        poses = prediction.poses.to_skeleton(wanted)
        if wanted is MPII16:
            measured = np.isin(MPII16.joints, MPII_JOINTS)
            xy = np.where(measured[None, :, None], poses.xy, np.nan)
            poses = replace(poses, xy=xy, joint_scores=np.where(measured, poses.joint_scores, 0.0))
        boxes = prediction.boxes if wanted is COCO17 else None
        # Somebody of whom none of these joints was found is nobody; but whoever is in a COCO results file counts.
        if wanted is not COCO17 or prediction.poses.skeleton != COCO17:
            somebody = np.asarray(poses.present.any(axis=1))
            poses, boxes = poses.select(somebody), None if boxes is None else boxes[somebody]
        # Units of COCO's metric, the only one that takes boxes, are no groups.
        if filter_groups:
            poses = filter_group(poses, unit)
        handed_in.append(UnitPredictions(prediction.unit_id, poses, boxes))
    return handed_in


def joints_without_source(data: EvaluationSet, skeleton: Skeleton, source: str) -> tuple[str, ...]:
    """The names of joints that the metric counts and predictions of this skeleton never have: all of them are misses.

    Args:
        data: what is evaluated on.
        skeleton: of the predictions.
        source: where they are from, for messages.

    Raises:
        SkeletonError: when they have none of the metric's joints.
    """
    wanted = _WANTED[data.metric]
    counted = data.measured or (MPII_JOINTS if wanted is MPII16 else wanted.joints)
    try:
        had = np.asarray(conversion_matrix(skeleton, wanted).any(axis=1))
    except SkeletonError:
        had = np.zeros(wanted.num_joints, np.bool_)
    lacking = tuple(name for name in counted if not had[wanted.joints.index(name)])
    if len(lacking) == len(counted):
        raise SkeletonError(
            f"{source}: its joints ({', '.join(skeleton.joints)}) are none that {data.kind} is measured by",
            f"These are {', '.join(counted)}.",
        )
    return lacking


def ap_matches(data: EvaluationSet, predictions: Sequence[UnitPredictions]) -> list[UnitMatches]:
    """Who is found by whom in each unit, of the 14 joints :data:`~ltsh_deploy.metrics.MPII_JOINTS` in their order.

    Who is matched to nobody, and has more than half of the predicted joints where the data set says that its labels are
    not complete, counts as not predicted. MPII and its neutral form tell no such places.

    Raises:
        ImageError: when a mask of such places cannot be read.
    """
    matches = []
    for unit, prediction in zip(data, predictions, strict=True):
        truth = MultiPersonTruth(_true_joints(unit, MPII16)[:, MPII_COLUMNS], unit.head_sizes)
        poses = prediction.poses
        xy, scores = (np.asarray(part[:, MPII_COLUMNS], np.float64) for part in (poses.xy, poses.joint_scores))
        found = multi_person_matches(truth, MultiPersonPrediction(xy, scores))
        matches.append(_excused(unit, xy, found))
    return matches


def _excused(unit: Unit, xy: FloatArray, matches: UnitMatches) -> UnitMatches:
    """Nobody is predicted who is matched to nobody and lies mostly where the labels say that they are not complete."""
    unmatched = (matches.truth_of < 0) & matches.present.any(axis=1)
    ignore = unit.read_ignore() if unit.read_ignore is not None and unmatched.any() else None
    if ignore is None:
        return matches
    height, width = ignore.shape
    pixels = np.rint(np.where(matches.present[:, :, None], xy, -1.0))
    inside = np.asarray(((pixels >= 0) & (pixels < (width, height))).all(axis=2))
    columns, rows = np.moveaxis(np.where(inside[:, :, None], pixels, 0).astype(np.int64), 2, 0)
    there = np.asarray(inside & ignore[rows, columns])
    excused = unmatched & (2 * there.sum(axis=1) > matches.present.sum(axis=1))
    return replace(matches, present=matches.present & ~excused[:, None])


def _true_joints(unit: Unit, wanted: Skeleton) -> FloatArray:
    """[G, K, 2] pixels of the true people in another skeleton, NaN where a joint is missing."""
    return np.asarray(unit.to_poses().to_skeleton(wanted).xy)


def oks_pairs(data: EvaluationSet, predictions: Sequence[UnitPredictions]) -> list[tuple[OksTruth, OksPrediction]]:
    """Truth and prediction of each picture, for COCO's metric."""
    pairs = []
    for unit, prediction in zip(data, predictions, strict=True):
        coco = unit.coco
        assert coco is not None, "units of COCO's metric have what it needs"
        truth = OksTruth(unit.joints[:, :, :2], coco.areas, coco.boxes, coco.crowds, coco.ignored)
        poses = prediction.poses
        found = OksPrediction(np.asarray(poses.xy), np.asarray(poses.scores), prediction.areas)
        pairs.append((truth, found))
    return pairs


@dataclass(frozen=True, eq=False)
class SinglePeople:
    """The labelled people of units that have one each, and who was found for them.

    Attributes:
        joints: [K] names.
        found: [N, K, 2] pixels, NaN where a joint was not found.
        truth: [N, K, 2] pixels, NaN where a joint is not labelled, and for PCK all joints of people whose torso is
            unknown, since distances cannot be measured in it.
        sizes: [N] pixels that distances are measured in: torsos or heads; NaN where unknown.
    """

    joints: tuple[str, ...]
    found: FloatArray
    truth: FloatArray
    sizes: FloatArray


def single_people(data: EvaluationSet, predictions: Sequence[UnitPredictions]) -> SinglePeople:
    """For each unit the person who is sure and near the place where the labelled one is expected.

    That place is the centre that the data set tells, and near is by the person's scale; or the picture's middle where
    it tells none, and near is by the picture's size. See :func:`~ltsh_deploy.evaluation.choosing.choose_person`.

    Raises:
        ImageError: when the picture must be looked at for its size, and cannot be read.
    """
    wanted = _WANTED[data.metric]
    chosen = MPII_COLUMNS if wanted is MPII16 else list(range(wanted.num_joints))
    found = np.full((len(data), len(chosen), 2), np.nan)
    truth = np.concatenate([_true_joints(unit, wanted)[:, chosen] for unit in data])
    for row, (unit, prediction) in enumerate(zip(data, predictions, strict=True)):
        poses = prediction.poses.select(np.asarray(prediction.poses.present.any(axis=1)))
        if len(poses):
            person = poses.xy[0] if len(poses) == 1 else choose_person(poses, *_expected(unit))
            found[row] = np.asarray(person)[chosen]
    joints = tuple(wanted.joints[j] for j in chosen)
    if data.metric == "pck":
        sizes = torso_lengths(truth, joints)
        truth[~np.isfinite(sizes)] = np.nan
    else:
        sizes = np.concatenate([unit.head_sizes for unit in data])
    return SinglePeople(joints, found, truth, sizes)


def _expected(unit: Unit) -> tuple[FloatArray, tuple[float, float]]:
    """Where the labelled person of a unit is expected, and the extent by which others are near to there."""
    centre = unit.centres[0]
    if np.isfinite(centre).all() and unit.mean_scale is not None:
        extent = _PIXELS_PER_SCALE * unit.mean_scale
        return centre, (extent, extent)
    size = unit.size
    if size is None:
        height, width = unit.read_image().shape[:2]
        size = (width, height)
    middle = (np.array(size, np.float64) - 1) / 2
    return (centre if np.isfinite(centre).all() else middle), (float(size[0]), float(size[1]))
