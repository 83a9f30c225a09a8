"""From fields to poses: peaks, limb scores, assembly.

The steps here are NumPy and OpenCV only, the reference for every other decoder; :func:`decode_fields` takes the
compiled ones (:mod:`ltsh_deploy.compiled`) where they are there.

The three steps are those of OpenPose (Cao et al., "Realtime Multi-Person 2D Pose Estimation using Part Affinity
Fields", CVPR 2017). Where this decoder departs from the published ones:

* Peaks are found and refined at the network's own resolution (:mod:`ltsh_deploy.peaks`); the maps are never upsampled.
* A limb between faint peaks counts for less than one between sure peaks, when pairs are ordered and people are scored
  (:mod:`ltsh_deploy.limbs`).
* Two partial people that meet through a limb are merged unless both have a joint of one kind.

Equal scores are ordered by limb, then by the peaks' places in the map, so that on one machine a result depends on the
maps alone; from machine to machine the last bits of a joint's place differ, as those of linear algebra do.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy import compiled
from ltsh_deploy.decode_config import DecodeConfig
from ltsh_deploy.errors import FieldsError, MissingPartError, UsageError
from ltsh_deploy.fields import Fields, cells_to_pixels
from ltsh_deploy.limbs import Connections, score_limbs
from ltsh_deploy.parts import build_line
from ltsh_deploy.peaks import Peaks, find_peaks
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton

__all__ = [
    "Connections",
    "DecodeConfig",
    "Peaks",
    "assemble_poses",
    "check_channels",
    "check_fields",
    "decode_fields",
    "decoder_in_use",
    "find_peaks",
    "not_finite",
    "score_limbs",
]


def assemble_poses(
    peaks: Peaks, connections: Connections, skeleton: Skeleton, config: DecodeConfig = DecodeConfig()
) -> Poses:
    """Join connected peaks into people, the best connection first, and keep those that satisfy ``config``.

    Returns:
        Poses whose coordinates are cells, the best person first.
    """
    # At first each peak is a person of its own, known by the peak's index.
    person = list(range(len(peaks)))
    members = [[peak] for peak in person]
    joints = [1 << j for j in peaks.joints.tolist()]
    limb_scores = [0.0] * len(peaks)
    order = np.argsort(-connections.scores, kind="stable")
    for first, second, score in zip(
        connections.first[order].tolist(),
        connections.second[order].tolist(),
        connections.scores[order].tolist(),
        strict=True,
    ):
        kept, merged = person[first], person[second]
        # One person's two ends share all their joints, so a limb that closes a ring is left out here too.
        if joints[kept] & joints[merged]:
            continue
        if len(members[kept]) < len(members[merged]):
            kept, merged = merged, kept
        for peak in members[merged]:
            person[peak] = kept
        members[kept] += members[merged]
        joints[kept] |= joints[merged]
        limb_scores[kept] += limb_scores[merged] + score

    sizes = np.bincount(person, minlength=len(peaks))
    people = np.flatnonzero(sizes)
    totals = np.bincount(person, weights=peaks.scores, minlength=len(peaks)) + limb_scores
    sizes, scores = sizes[people], totals[people] / (2 * sizes[people])
    row = np.searchsorted(people, person)

    xy = np.full((len(people), skeleton.num_joints, 2), np.nan)
    joint_scores = np.zeros((len(people), skeleton.num_joints))
    xy[row, peaks.joints] = peaks.xy
    joint_scores[row, peaks.joints] = peaks.scores
    chosen = np.flatnonzero((sizes >= config.min_joints) & (scores >= config.min_score))
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    return Poses(skeleton, xy[chosen], joint_scores[chosen], scores[chosen], dropped_peaks=int(peaks.dropped.sum()))


def decode_fields(fields: Fields, skeleton: Skeleton, config: DecodeConfig = DecodeConfig()) -> Poses:
    """All three steps on one image's fields, by the compiled decoder where it is there, else by NumPy.

    Returns:
        Poses in pixels of the network's input.

    Raises:
        UsageError: when the environment variable LTSH_DECODER names neither "compiled" nor "numpy".
        MissingPartError: when it asks for the compiled decoder, and that is not there.
        FieldsError: when the maps hold NaN or infinity, or their channels do not fit the skeleton.
    """
    check_fields(fields, skeleton)
    heatmaps = fields.heatmaps[: skeleton.num_joints]
    if decoder_in_use() == "compiled":
        poses = compiled.decode_maps(heatmaps, fields.pafs, skeleton, config)
    else:
        peaks = find_peaks(heatmaps, config.peak_threshold, config.max_peaks)
        connections = score_limbs(fields.pafs, peaks, skeleton, config)
        poses = assemble_poses(peaks, connections, skeleton, config)
    poses.xy[...] = cells_to_pixels(poses.xy, fields.stride)
    return poses


def decoder_in_use() -> str:
    """Which decoder :func:`decode_fields` takes: "compiled" or "numpy".

    The compiled one where it is there, unless the environment variable LTSH_DECODER names one.
    """
    wanted = os.environ.get("LTSH_DECODER", "")
    if wanted not in ("", "compiled", "numpy"):
        raise UsageError(f"LTSH_DECODER is {wanted!r}", 'Set it to "compiled" or "numpy", or not at all.')
    problem = "" if wanted == "numpy" else compiled.why_missing()
    if problem and wanted:
        raise MissingPartError(f"LTSH_DECODER asks for the compiled decoder, which is missing: {problem}", build_line())
    return "numpy" if problem or wanted == "numpy" else "compiled"


def check_fields(fields: Fields, skeleton: Skeleton) -> None:
    """Raise FieldsError for maps that no pose may be read from."""
    check_channels(fields.heatmaps.shape[0], fields.pafs.shape[0], skeleton)
    for name, maps in (("heat maps", fields.heatmaps), ("PAFs", fields.pafs)):
        if not _all_finite(maps):
            raise not_finite(name)


def check_channels(heatmaps: int, pafs: int, skeleton: Skeleton) -> None:
    """Raise FieldsError for numbers of maps that are not those of a skeleton, with or without a background."""
    if heatmaps not in (skeleton.num_joints, skeleton.num_joints + 1) or pafs != 2 * skeleton.num_limbs:
        raise FieldsError(
            f"{heatmaps} heat maps and {pafs} PAF channels do not fit skeleton {skeleton.name!r}, "
            f"which has {skeleton.num_joints} joints (and a background) and {skeleton.num_limbs} limbs",
            "Check the skeleton and the channels in the model's description.",
        )


def not_finite(name: str) -> FieldsError:
    """The error of maps, such as "PAFs", that hold NaN or infinity."""
    return FieldsError(
        f"the network's {name} hold NaN or infinity",
        "No pose can be read from them. A half-precision model may have overflowed: try it in float32.",
    )


def _all_finite(maps: npt.NDArray[Any]) -> bool:
    flat = maps.ravel()
    # NaN and infinity survive a sum of squares, which is far cheaper than a test of every value. It may also overflow,
    # and then every value is tested.
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.isfinite(flat @ flat)) or bool(np.isfinite(flat).all())
