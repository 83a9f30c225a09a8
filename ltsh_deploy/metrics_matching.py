"""Who is found by whom in one unit, as the MPII multi-person benchmark matches people."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ltsh_deploy.errors import InputError
from ltsh_deploy.metrics_distances import BoolArray, FloatArray, IntArray, relative_distances

__all__ = ["HIT_THRESHOLD", "MultiPersonPrediction", "MultiPersonTruth", "UnitMatches", "multi_person_matches"]

#: A joint is found within this part of the head size, this distance included.
HIT_THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class MultiPersonTruth:
    """The labelled people of one unit.

    Attributes:
        joints: [G, K, 2] pixels; NaN where a joint is not annotated.
        head_sizes: [G] pixels; see :func:`head_sizes`. 0 or NaN makes every joint of that person a miss, still counted.

    Raises:
        ValueError: when the shapes do not fit.
        InputError: when a head size is negative or infinite.
    """

    joints: FloatArray
    head_sizes: FloatArray

    def __post_init__(self) -> None:
        joints, sizes = np.asarray(self.joints, np.float64), np.asarray(self.head_sizes, np.float64)
        if joints.ndim != 3 or joints.shape[2] != 2 or sizes.shape != joints.shape[:1]:
            raise ValueError(f"truth needs joints [G, K, 2] and head_sizes [G], got {joints.shape} and {sizes.shape}")
        if (sizes < 0).any() or np.isinf(sizes).any():
            raise InputError(f"head sizes must be 0 or more and finite, or NaN where unknown; got {sizes.tolist()}")
        object.__setattr__(self, "joints", joints)
        object.__setattr__(self, "head_sizes", sizes)

    @property
    def annotated(self) -> BoolArray:
        """[G, K] which joints are annotated."""
        return np.asarray(np.isfinite(self.joints).all(axis=2))


@dataclass(frozen=True, eq=False)
class MultiPersonPrediction:
    """The people predicted in one unit.

    Attributes:
        joints: [P, K, 2] pixels; NaN where a joint is not predicted.
        scores: [P, K] of the joints, by which they are ranked; any range. Not looked at where a joint is absent.

    Raises:
        ValueError: when the shapes do not fit.
        InputError: when a joint that is predicted has a score that is NaN.
    """

    joints: FloatArray
    scores: FloatArray

    def __post_init__(self) -> None:
        joints, scores = np.asarray(self.joints, np.float64), np.asarray(self.scores, np.float64)
        if joints.ndim != 3 or joints.shape[2] != 2 or scores.shape != joints.shape[:2]:
            raise ValueError(f"prediction needs joints [P, K, 2] and scores [P, K]; got {joints.shape}, {scores.shape}")
        object.__setattr__(self, "joints", joints)
        object.__setattr__(self, "scores", scores)
        if (np.isnan(scores) & self.present).any():
            raise InputError("a predicted joint has the score NaN, so it cannot be ranked", "Give it a number.")

    @property
    def present(self) -> BoolArray:
        """[P, K] which joints are predicted."""
        return np.asarray(np.isfinite(self.joints).all(axis=2))


@dataclass(frozen=True, eq=False)
class UnitMatches:
    """Who was found by whom in one unit, and what each predicted joint counts as.

    Attributes:
        truth_of: [P] int64 the labelled person whom each predicted person is matched to; -1 for nobody.
        hits: [P, K] joints that are true positives: of a matched person, and near enough.
        present: [P, K] joints that are predicted; those that are no hits are false positives.
        scores: [P, K] by which the joints are ranked.
        annotated: [G, K] joints that are there to be found.
    """

    truth_of: IntArray
    hits: BoolArray
    present: BoolArray
    scores: FloatArray
    annotated: BoolArray

    def of_people(self, kept: BoolArray) -> UnitMatches:
        """The same as if nobody but these were labelled, and who is matched to the others were not predicted.

        Args:
            kept: [G] whose joints are counted.
        """
        # The entry added at the end is that of index -1: a person matched to nobody stays, all joints false positives.
        counted = np.append(kept, True)[self.truth_of][:, None]
        return replace(
            self,
            hits=self.hits & counted,
            present=self.present & counted,
            annotated=self.annotated & np.asarray(kept)[:, None],
        )


def multi_person_matches(
    truth: MultiPersonTruth, prediction: MultiPersonPrediction, threshold: float = HIT_THRESHOLD
) -> UnitMatches:
    """Match the predicted people of one unit to the labelled ones.

    PCKh of a pair is the part of the labelled person's annotated joints that the prediction hits. Each predicted person
    keeps only the labelled one with whom it has the highest, the first of equals; each labelled person takes the best
    of those who kept it, the first of equals, if its PCKh is above 0. Nobody has a second choice; scores do not matter.

    Args:
        truth: with the same K joints as the prediction.
        prediction: of the same unit.
        threshold: the largest distance of a hit, in head sizes.

    Raises:
        ValueError: when the two have different joints.
    """
    if truth.joints.shape[1] != prediction.joints.shape[1]:
        raise ValueError(f"truth has {truth.joints.shape[1]} joints, the prediction {prediction.joints.shape[1]}")
    annotated, present = truth.annotated, prediction.present
    people, labelled = len(present), len(annotated)
    truth_of = np.full(people, -1, np.int64)
    if not people or not labelled:
        return UnitMatches(truth_of, np.zeros_like(present), present, prediction.scores, annotated)
    within = relative_distances(prediction.joints[:, None], truth.joints[None], truth.head_sizes) <= threshold
    pckh = within.sum(axis=2) / np.maximum(annotated.sum(axis=1), 1)
    kept = np.where(np.arange(labelled) == pckh.argmax(axis=1)[:, None], pckh, 0)
    found = np.flatnonzero(kept.max(axis=0) > 0)
    truth_of[kept.argmax(axis=0)[found]] = found
    hits = within[np.arange(people), truth_of] & (truth_of >= 0)[:, None]
    return UnitMatches(truth_of, hits, present, prediction.scores, annotated)
