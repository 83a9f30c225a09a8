"""The people of a data set whom nobody labelled, as another network finds them: pseudo-labels.

In LSPET one person a picture is labelled, and the others in view are not. A network that was trained on photographs of
everyday life finds many of them. It looks at each picture at three sizes and mirrored, which is far better than the one
look it would have in use, so that its student can come to see more in one look than it does. That is data distillation
(Radosavovic et al. 2018, "Data Distillation: Towards Omni-Supervised Learning").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Sample
from ltsh_deploy.datasets.people import PIXELS_PER_SCALE
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import LTSH15

__all__ = ["Others", "choose_others"]

FloatArray = npt.NDArray[np.float64]

# From this score on, and with so many joints, somebody who was found counts as labelled; others are ignored.
_SURE, _JOINTS = 0.2, 5
# Crops may be centred on those who are surer, of whom more was found, and who are so tall, in pixels.
_SURE_CENTRE, _JOINTS_CENTRE, _TALL = 0.3, 9, 60
# A joint this close to a labelled limb, as a part of the labelled person's height, may well be that person's.
_NEAR = 0.12
# Somebody so many of whose joints are the labelled person's is the labelled person.
_SAME = 0.5
# A found person this large beside the labelled one, in the same place, is the same one, seen otherwise.
_ALIKE = 0.4
# A person reaches beyond the joints by so much of the size of the box that holds them.
_MARGIN = 0.25


@dataclass(frozen=True, eq=False)
class Others:
    """Who was found in a picture beside those who are labelled.

    Attributes:
        joints: [P, 15, 3] of ltsh15: x, y in pixels, and 2; zeros where a joint was not found.
        trainable: [P] whether a crop may be centred on the person.
        doubtful: [B, 4] boxes x1, y1, x2, y2 in which somebody may be.
        found: [labelled people] the score with which each of them was found too; 0 where they were not.
    """

    joints: FloatArray
    trainable: npt.NDArray[np.bool_]
    doubtful: FloatArray
    found: FloatArray


def choose_others(sample: Sample, found: Poses) -> Others:
    """The people that a network found, without those whom the sample labels, and without those of whom it is not sure.

    Args:
        sample: with everybody's scale, in the skeleton ltsh15.
        found: in its picture, of any skeleton that shares joints with ltsh15.
    """
    people = found.to_skeleton(LTSH15)
    joints, trainable, doubtful, found_too = [], [], [], np.zeros(len(sample))
    for xy, score in zip(people.xy, people.scores, strict=True):
        there = np.isfinite(xy).all(axis=1)
        if not there.any():
            continue
        same = [_is_same(xy[there], sample, person) for person in range(len(sample))]
        if any(same):
            found_too[same] = np.maximum(found_too[same], score)
            continue
        low, high = xy[there].min(axis=0), xy[there].max(axis=0)
        if score < _SURE or there.sum() < _JOINTS:
            margin = _MARGIN * float((high - low).max()) + 1
            doubtful.append([*(low - margin), *(high + margin)])
            continue
        joints.append(np.where(there[:, None], np.column_stack([xy, np.full(len(xy), 2.0)]), 0.0))
        whole = there.sum() >= _JOINTS_CENTRE and float((high - low).max()) >= _TALL
        trainable.append(bool(score >= _SURE_CENTRE and whole))
    return Others(
        np.array(joints, np.float64).reshape(-1, LTSH15.num_joints, 3),
        np.array(trainable, np.bool_),
        np.array(doubtful, np.float64).reshape(-1, 4),
        found_too,
    )


def _is_same(xy: FloatArray, sample: Sample, person: int) -> bool:
    """Whether joints [K, 2] that were found are those of a labelled person."""
    labelled = sample.labelled[person]
    if not labelled.any():
        return False
    own, height = sample.joints[person, :, :2], float(sample.scales[person]) * PIXELS_PER_SCALE
    limbs = [own[[a, b]] for a, b in sample.skeleton.limbs if labelled[a] and labelled[b]]
    limbs += [own[[j, j]] for j in np.flatnonzero(labelled)]
    distances = np.min([_distance(xy, *limb) for limb in limbs], axis=0)
    if (distances <= _NEAR * height).mean() >= _SAME:
        return True
    # The labels, or what was found, may be wrong about which limb is where.
    low, high = own[labelled].min(axis=0), own[labelled].max(axis=0)
    inside = ((xy >= low - _NEAR * height) & (xy <= high + _NEAR * height)).all(axis=1)
    sizes = np.linalg.norm(xy.max(axis=0) - xy.min(axis=0)), np.linalg.norm(high - low)
    return bool(inside.mean() >= _SAME and sizes[0] >= _ALIKE * sizes[1])


def _distance(points: FloatArray, begin: FloatArray, end: FloatArray) -> FloatArray:
    """[K] from points [K, 2] to the line between two others."""
    along = end - begin
    length = float(along @ along)
    part = np.clip((points - begin) @ along / length, 0, 1) if length > 0 else np.zeros(len(points))
    return np.asarray(np.linalg.norm(points - begin - part[:, None] * along, axis=1))
