"""The words of the report's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["BIN_TEXTS", "BREAKDOWNS", "FOUND_TEXTS", "KIND_NAMES", "KIND_TEXTS", "METRIC_TEXTS", "top_down"]

METRIC_TEXTS: Mapping[str, str] = {
    "ap": "Multi-person average precision as MPII's benchmark counts it, in percent: a joint is found within half a "
    "head size. mAP is the mean over the joints; those that are never annotated are left out of it.",
    "pckh": "PCKh of single people, in percent: the part of the annotated joints found within half a head size.",
    "pck": "PCK of single people, in percent: the part of the annotated joints found within 0.2 of the torso's length, "
    "as the mean of the joints' rates.",
    "oks": "COCO's average precision and recall by object keypoint similarity, in percent.",
}

_OTHERS = (
    "Predictions matched to people of other bins are neither right nor wrong; those matched to nobody are wrong in "
    "every bin that has somebody in that unit."
)
BIN_TEXTS: Mapping[str, str] = {"ap": _OTHERS, "oks": _OTHERS}

FOUND_TEXTS: Mapping[str, str] = {
    "ap": "Found is within half a head size.",
    "pckh": "Found is within half a head size.",
    "pck": "Found is within 0.2 of the torso's length.",
    "oks": "Found is within a keypoint similarity of 0.85.",
}

KIND_NAMES: Mapping[str, str] = {
    "found": "Found",
    "jitter": "Jitter",
    "swap": "Left for right",
    "other_person": "Other person",
    "background": "Background",
    "missed": "Missed",
    "unlabelled": "Not labelled",
    "duplicate": "Duplicate",
    "nobody": "Nobody there",
}

KIND_TEXTS: Mapping[str, str] = {
    "found": "near enough; the distance that is near enough is the joint's reach.",
    "jitter": "beyond its reach, but within twice of it.",
    "swap": "beyond its reach, and within reach of the same person's mirrored joint.",
    "other_person": "within reach of the same joint, or its mirror image, of somebody else.",
    "background": "predicted, but near none of these.",
    "missed": "nobody was matched to the person, or the one who was lacks this joint.",
    "unlabelled": "a predicted joint of a matched person whose labels lack it; it may well be right.",
    "duplicate": "a joint of somebody matched to nobody, on the same joint, or its mirror image, of a labelled person.",
    "nobody": "a joint of somebody matched to nobody, away from every such joint.",
}

BREAKDOWNS: Mapping[str, tuple[str, str]] = {
    "visible_joints": (
        "Ratio of visible joints",
        "Joints labelled visible, of all that are evaluated: one outside the picture counts as hidden.",
    ),
    "people": ("People in the unit", "Labelled people in the same group or picture, the person included."),
    "camera_pitch": ("Camera pitch", "In degrees, as the data set gives it."),
    "min_distance": (
        "Distance to the nearest person",
        "In pixels, as the data set gives it; bins of about as many people.",
    ),
}

_PARTS = ("head_top", "nose", "eye", "ear", "neck", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def top_down(names: Sequence[str]) -> list[int]:
    """Indices of joints in the order of a person's parts from the head down, the right one before the left.

    Others keep their order, before all joints: they are figures of all of them.
    """

    def place(index: int) -> tuple[int, bool, int]:
        side, _, part = names[index].partition("_")
        part = part if side in ("left", "right") else names[index]
        return (_PARTS.index(part) if part in _PARTS else -1, side == "left", index)

    return sorted(range(len(names)), key=place)
