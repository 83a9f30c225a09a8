"""Who is found by whom in one picture, by COCO's object keypoint similarity (OKS), as pycocotools matches people.

====== =====================================================================
G      people who are labelled in a picture
P      people who are predicted in a picture
K      joints
A      ranges of the person's area: all, medium, large
T      thresholds of OKS, .50:.05:.95
====== =====================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ltsh_deploy.errors import InputError
from ltsh_deploy.metrics_distances import BoolArray, FloatArray

__all__ = [
    "AREA_RANGES",
    "MAX_DETECTIONS",
    "OKS_THRESHOLDS",
    "TINY",
    "OksMatches",
    "OksPrediction",
    "OksTruth",
    "oks_matches",
    "oks_matrix",
]

#: As many people of a picture are looked at, those of the highest scores.
MAX_DETECTIONS = 20
OKS_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
#: Name to the smallest and the largest area in square pixels, both included.
AREA_RANGES = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}

#: The smallest number that pycocotools adds to what it divides by.
TINY = np.spacing(1.0)


@dataclass(frozen=True, eq=False)
class OksTruth:
    """The labelled people of one picture.

    Attributes:
        joints: [G, K, 2] pixels, NaN where a joint is not labelled.
        areas: [G] square pixels, of the person's outline.
        boxes: [G, 4] x, y, width, height in pixels.
        crowds: [G] people whom any number of predictions may match without being wrong: COCO's ``iscrowd``.
        ignored: [G] others who need not be found: those whose ``num_keypoints`` is 0.

    Raises:
        ValueError: when the shapes do not fit.
        InputError: when an area or a box is not finite, or an area negative.
    """

    joints: FloatArray
    areas: FloatArray
    boxes: FloatArray
    crowds: BoolArray
    ignored: BoolArray

    def __post_init__(self) -> None:
        for name in ("joints", "areas", "boxes"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        for name in ("crowds", "ignored"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.bool_))
        people = len(self.areas)
        shapes = self.joints.shape, self.boxes.shape, self.crowds.shape, self.ignored.shape
        if shapes != ((people, *self.joints.shape[1:2], 2), (people, 4), (people,), (people,)):
            raise ValueError(f"{people} people need joints [G, K, 2], boxes [G, 4], crowds [G], ignored [G]: {shapes}")
        if not (np.isfinite(self.areas).all() and np.isfinite(self.boxes).all() and (self.areas >= 0).all()):
            raise InputError("areas and boxes of labelled people must be finite numbers, and areas not negative")


@dataclass(frozen=True, eq=False)
class OksPrediction:
    """The people predicted in one picture.

    Attributes:
        joints: [P, K, 2] pixels. A joint that is not predicted (NaN) is taken for one at (0, 0), as it is written in
            COCO's results files.
        scores: [P] of the people, by which they are ranked.
        areas: [P] square pixels of each person, as a results file with boxes tells them; None for those of the boxes
            about the joints.

    Raises:
        ValueError: when the shapes do not fit.
        InputError: when a score is NaN.
    """

    joints: FloatArray
    scores: FloatArray
    areas: FloatArray | None = None

    def __post_init__(self) -> None:
        for name in ("joints", "scores"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        if self.areas is not None:
            object.__setattr__(self, "areas", np.asarray(self.areas, np.float64))
            if self.areas.shape != self.scores.shape:
                raise ValueError(f"a prediction needs areas [P], got {self.areas.shape}")
        if self.joints.ndim != 3 or self.joints.shape[2] != 2 or self.scores.shape != self.joints.shape[:1]:
            shapes = self.joints.shape, self.scores.shape
            raise ValueError(f"a prediction needs joints [P, K, 2] and scores [P], got {shapes}")
        if np.isnan(self.scores).any():
            raise InputError("a predicted person has the score NaN, so they cannot be ranked", "Give it a number.")

    @property
    def written(self) -> FloatArray:
        """[P, K, 2] the joints as a results file has them."""
        return np.where(np.isfinite(self.joints).all(axis=2, keepdims=True), self.joints, 0.0)


@dataclass(frozen=True, eq=False)
class OksMatches:
    """What each prediction of one picture counts as; the best score first, at most :data:`MAX_DETECTIONS`.

    Attributes:
        scores: [P] of the people.
        hits: [A, T, P] who is a true positive.
        counted: [A, T, P] who is a true or a false positive; others are neither.
        n_gt: [A] how many people are to be found.
    """

    scores: FloatArray
    hits: BoolArray
    counted: BoolArray
    n_gt: FloatArray


def oks_matrix(truth: OksTruth, prediction: OksPrediction, sigmas: Sequence[float]) -> FloatArray:
    """[P, G] object keypoint similarity: the mean over the labelled joints of exp(-d^2 / (2 area (2 sigma)^2)).

    Where a person has no labelled joint, d is the distance to a box about theirs, three times as wide and as high.

    Args:
        truth: people of K joints.
        prediction: people of the same joints.
        sigmas: [K] the joints' constants; see :attr:`~ltsh_deploy.skeletons.Skeleton.sigmas`.

    Raises:
        ValueError: when the numbers of joints differ.
    """
    if not truth.joints.shape[1] == prediction.joints.shape[1] == len(sigmas):
        shapes = truth.joints.shape, prediction.joints.shape
        raise ValueError(f"truth, prediction and sigmas have different joints: {shapes}, {len(sigmas)}")
    found = prediction.written
    variances = np.square(2 * np.asarray(sigmas, np.float64))
    oks = np.empty((len(found), len(truth.areas)))
    for g, (joints, area, (x, y, width, height)) in enumerate(zip(truth.joints, truth.areas, truth.boxes, strict=True)):
        labelled = np.isfinite(joints).all(axis=1)
        if labelled.any():
            offsets = found.compress(labelled, axis=1) - joints[labelled]
            scales = variances[labelled]
        else:
            low, high = np.array([x - width, y - height]), np.array([x + 2 * width, y + 2 * height])
            offsets = np.maximum(0, low - found) + np.maximum(0, found - high)
            scales = variances
        # In pycocotools' order of operations, so that not even the last digit differs.
        with np.errstate(over="ignore"):
            error = (np.square(offsets[..., 0]) + np.square(offsets[..., 1])) / scales / (area + TINY) / 2
        oks[:, g] = np.exp(-error).sum(axis=1) / error.shape[1]
    return oks


def oks_matches(truth: OksTruth, prediction: OksPrediction, sigmas: Sequence[float]) -> OksMatches:
    """Match the predicted people of a picture to the labelled ones, at every threshold, for every range of areas.

    In the order of their scores, each prediction takes the most similar person (the last of equals) of those whom none
    took before; who need not be found is taken only where nobody else is left. Predictions that match nobody do not
    count where their own area is out of range.

    Raises:
        ValueError: see :func:`oks_matrix`.
    """
    order = np.argsort(-prediction.scores, kind="stable")[:MAX_DETECTIONS]
    areas = None if prediction.areas is None else prediction.areas[order]
    chosen = OksPrediction(prediction.joints[order], prediction.scores[order], areas)
    oks = oks_matrix(truth, chosen, sigmas)
    ranges, thresholds = np.array(list(AREA_RANGES.values())), np.array(OKS_THRESHOLDS)
    ignored = truth.ignored | truth.crowds | ~_within(truth.areas, ranges)
    people, labelled = oks.shape
    matched_ignored = np.zeros((len(ranges), len(thresholds), people), np.bool_)
    hits = np.zeros_like(matched_ignored)
    taken = np.zeros((len(ranges), len(thresholds), labelled), np.bool_)
    # No prediction without a person above the lowest threshold matches anybody.
    for p in np.flatnonzero((oks >= thresholds[0]).any(axis=1)):
        free = (oks[p] >= thresholds[:, None]) & (~taken | truth.crowds)
        wanted = free & ~ignored[:, None]
        any_wanted = wanted.any(axis=2, keepdims=True)
        similarity = np.where(np.where(any_wanted, wanted, free), oks[p], -1.0)
        best = labelled - 1 - similarity[..., ::-1].argmax(axis=2)
        matches = free.any(axis=2)
        taken |= matches[..., None] & (np.arange(labelled) == best[..., None])
        hits[..., p] = any_wanted[..., 0]
        matched_ignored[..., p] = matches & ~any_wanted[..., 0]
    out_of_range = ~_within(_areas(chosen), ranges)[:, None]
    counted = hits | ~(matched_ignored | out_of_range)
    return OksMatches(chosen.scores, hits, counted, (~ignored).sum(axis=1).astype(np.float64))


def _within(areas: FloatArray, ranges: FloatArray) -> BoolArray:
    """[A, n] which of n areas lie in each range."""
    return np.asarray((areas >= ranges[:, :1]) & (areas <= ranges[:, 1:]))


def _areas(prediction: OksPrediction) -> FloatArray:
    """[P] square pixels as they were told; else of the box about all joints, as pycocotools gives results without."""
    if prediction.areas is not None:
        return prediction.areas
    with np.errstate(over="ignore"):
        return np.asarray(np.ptp(prediction.written, axis=1).prod(axis=1))
