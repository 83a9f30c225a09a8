"""What kind of mistake each joint is, in the terms of Ronchi and Perona (ICCV 2017), and what each kind costs.

Every annotated joint is of one of :data:`KINDS`, tried in this order. ``q`` is where the model put the joint of the
person who was matched to this one; a joint's reach is the distance within which the metric counts it as found (on
MPII half a head size), each labelled person having a reach of their own:

- found: the metric counts it.
- missed: nobody was matched to the person, or the one who was lacks this joint.
- swap: q is within reach of the mirrored joint of the same person (left for right). Their "inversion".
- other_person: q is within reach of the same joint, or its mirror image, of somebody else. Their "swap".
- jitter: q is within twice the reach of the joint itself (on MPII between 0.5 and 1 head size).
- background: q is near none of these. Their "miss".

A swap comes before jitter, unlike with Ronchi and Perona: hips are about a head size apart, and a joint that lies on
its mirror image is better explained so. The reach takes the place of their similarity of keypoints, so that the joints
found are those of the metric.

Every other predicted joint answers to no annotated one and is of one of :data:`EXTRA_KINDS`:

- unlabelled: of a matched person whose labels lack this joint; it may well be right.
- duplicate: of a person matched to nobody, within reach of the same joint, or its mirror image, of somebody.
- nobody: of a person matched to nobody, and near no such joint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ltsh_deploy.fields import FloatArray
from ltsh_deploy.metrics import UnitMatches, multi_person_ap

__all__ = ["EXTRA_KINDS", "KINDS", "NONE", "UnitErrors", "ap_without", "count_kinds", "unit_errors"]

BoolArray = npt.NDArray[np.bool_]
KindArray = npt.NDArray[np.int8]

KINDS = ("found", "jitter", "swap", "other_person", "background", "missed")
EXTRA_KINDS = ("unlabelled", "duplicate", "nobody")
#: Stands for a joint that is not annotated, or a predicted one that answers to an annotated one.
NONE = -1

_FOUND, _JITTER, _SWAP, _OTHER, _BACKGROUND, _MISSED = range(len(KINDS))
_UNLABELLED, _DUPLICATE, _NOBODY = range(len(EXTRA_KINDS))
#: A joint that is not found is jitter up to this multiple of its reach.
_JITTER_REACH = 2.0


@dataclass(frozen=True, eq=False)
class UnitErrors:
    """The kinds of one unit's joints.

    Attributes:
        kinds: [G, K] int8 index into :data:`KINDS` of each annotated joint; :data:`NONE` where there is none.
        predicted: [P, K] int8 the same, seen from the predicted joints of matched people; :data:`NONE` elsewhere.
        extra: [P, K] int8 index into :data:`EXTRA_KINDS` of each predicted joint that answers to no annotated one.
    """

    kinds: KindArray
    predicted: KindArray
    extra: KindArray


def unit_errors(
    matches: UnitMatches, truth: FloatArray, found: FloatArray, reach: FloatArray, mirror: Sequence[int]
) -> UnitErrors:
    """Name the kind of each joint of one unit.

    Args:
        matches: of the unit; its hits decide what is found.
        truth: [G, K, 2] pixels, NaN where not annotated.
        found: [P, K, 2] pixels, NaN where not predicted.
        reach: [G, K] pixels within which each joint counts as found; 0 or NaN where the person's size is unknown.
        mirror: [K] the joint that each joint becomes in a mirrored picture.
    """
    people, joints = matches.present.shape
    # Nothing is within NaN, where a length of 0 would reach a joint in the very same place.
    reach = np.where(reach > 0, reach, np.nan)
    kinds = np.where(matches.annotated, _MISSED, NONE).astype(np.int8)
    predicted = np.full((people, joints), NONE, np.int8)
    matched = np.flatnonzero(matches.truth_of >= 0)
    own = matches.truth_of[matched]
    on_same, on_mirror = _within_reach(truth, found, reach, mirror)

    # [M, K] of the M matched people, the first reason that holds; np.select takes them in this order.
    place = found[matched]
    alone = np.asarray(on_mirror[matched, own])
    somebody = on_same[matched] | on_mirror[matched]
    # Rounding may put what is no hit within reach of the joint itself.
    somebody[np.arange(len(matched)), own] = False
    near = _distances(place, truth[own]) <= _JITTER_REACH * reach[own]
    reasons = [matches.hits[matched], alone, somebody.any(axis=1), near]
    answers = matches.present[matched] & matches.annotated[own]
    reason = np.select(reasons, [_FOUND, _SWAP, _OTHER, _JITTER], _BACKGROUND)
    predicted[matched] = np.where(answers, reason, NONE)
    kinds[own] = np.where(answers, reason, kinds[own])

    duplicate = (on_same | on_mirror).any(axis=1)
    unmatched = np.where(duplicate, _DUPLICATE, _NOBODY)
    extra = np.where((matches.truth_of >= 0)[:, None], _UNLABELLED, unmatched)
    extra = np.where(matches.present & (predicted == NONE), extra, NONE).astype(np.int8)
    return UnitErrors(kinds, predicted, extra)


def _distances(a: FloatArray, b: FloatArray) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(np.square(a - b).sum(axis=-1)))


def _within_reach(
    truth: FloatArray, found: FloatArray, reach: FloatArray, mirror: Sequence[int]
) -> tuple[BoolArray, BoolArray]:
    """[P, G, K] whether each predicted joint lies on the same joint, and on another that is its mirror image."""
    swapped = list(mirror)
    # NaN compares as false.
    on_same = _distances(found[:, None], truth[None]) <= reach
    on_mirror = _distances(found[:, None], truth[None][:, :, swapped]) <= reach[:, swapped]
    # A joint without a left and a right is its own mirror image.
    on_mirror &= np.array(swapped) != np.arange(len(swapped))
    return np.asarray(on_same), np.asarray(on_mirror)


def count_kinds(errors: Sequence[UnitErrors], joints: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many joints of each kind there are: [6, K] of :data:`KINDS` and [3, K] of :data:`EXTRA_KINDS`.

    The first six add up to the annotated joints; all but ``missed`` and the last three to the predicted ones.
    """
    kinds = np.zeros((len(KINDS), joints), np.int64)
    extra = np.zeros((len(EXTRA_KINDS), joints), np.int64)
    for unit in errors:
        kinds += np.array([(unit.kinds == kind).sum(axis=0) for kind in range(len(KINDS))])
        extra += np.array([(unit.extra == kind).sum(axis=0) for kind in range(len(EXTRA_KINDS))])
    return kinds, extra


def ap_without(matches: Sequence[UnitMatches], errors: Sequence[UnitErrors]) -> dict[str, float]:
    """Multi-person mAP in 0..100 as if one kind of mistake were mended, each by itself.

    As TIDE has it (Bolya et al., ECCV 2020): a joint in the wrong place becomes right and keeps its score, one that is
    missed is taken out of the annotated ones, and one that answers to nothing out of the predicted ones. The gains do
    not add up.
    """
    mended: dict[str, list[UnitMatches]] = {name: [] for name in (*KINDS[1:], *EXTRA_KINDS)}
    for unit, own in zip(matches, errors, strict=True):
        for kind in (_JITTER, _SWAP, _OTHER, _BACKGROUND):
            mended[KINDS[kind]].append(replace(unit, hits=unit.hits | (own.predicted == kind)))
        mended[KINDS[_MISSED]].append(replace(unit, annotated=unit.annotated & (own.kinds != _MISSED)))
        for kind, name in enumerate(EXTRA_KINDS):
            mended[name].append(replace(unit, present=unit.present & (own.extra != kind)))
    return {name: multi_person_ap(units).mean_ap for name, units in mended.items()}
