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

# From this score on, and with so many joints of ltsh15, somebody who was found counts as labelled; others are ignored.
_SURE, _JOINTS = 0.2, 5
# Crops may be centred on those who are surer, of whom more was found, and who are so tall, in pixels.
_SURE_CENTRE, _JOINTS_CENTRE, _HEIGHT_CENTRE = 0.3, 9, 60
# A joint this close to a labelled limb, as a part of the labelled person's height, may well be that person's.
_NEAR = 0.12
# Somebody so many of whose joints are the labelled person's may be the labelled person.
_SAME = 0.5
# Two who were found are not the same body where their joints lie farther apart than this part of a height, as a median.
_APART = 0.15
# Somebody whose box has at least this part of the labelled one's size may be the same person, found otherwise.
_SIZE_ALIKE = 0.4
# A person may reach beyond the joints by so much of the larger side of their box, and by so many pixels.
_MARGIN, _LEAST_MARGIN = 0.5, 8.0


@dataclass(frozen=True, eq=False)
class Others:
    """Who was found in a picture beside those who are labelled.

    Attributes:
        joints: [P, 15, 3] of ltsh15: x, y in pixels, and 2; NaN, NaN, 0 where a joint was not found.
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
        sample: with everybody's scale.
        found: in its picture, of any skeleton that shares joints with ltsh15.
    """
    found_too, taken = np.zeros(len(sample)), np.zeros(len(found), np.bool_)
    for person in range(len(sample)):
        found_too[person] = _take(sample, person, found, taken)
    people, present = found.to_skeleton(LTSH15), found.present
    joints, trainable, doubtful = [], [], []
    for row in np.flatnonzero(~taken & present.any(axis=1)).tolist():
        # All joints that were found, of which ltsh15 may lack some.
        own, there = found.xy[row, present[row]], people.present[row]
        sides = np.ptp(own, axis=0)
        if found.scores[row] < _SURE or there.sum() < _JOINTS:
            margin = _MARGIN * sides.max() + _LEAST_MARGIN
            doubtful.append([*(own.min(axis=0) - margin), *(own.max(axis=0) + margin)])
            continue
        joints.append(np.column_stack([people.xy[row], np.where(there, 2.0, 0.0)]))
        whole = there.sum() >= _JOINTS_CENTRE and sides.max() >= _HEIGHT_CENTRE
        trainable.append(bool(whole and found.scores[row] >= _SURE_CENTRE))
    return Others(
        np.array(joints, np.float64).reshape(-1, LTSH15.num_joints, 3),
        np.array(trainable, np.bool_),
        np.array(doubtful, np.float64).reshape(-1, 4),
        found_too,
    )


def _take(sample: Sample, person: int, found: Poses, taken: npt.NDArray[np.bool_]) -> float:
    """Mark who of those who were found is a labelled person, or a piece of them; the score of the best one, or 0."""
    labelled = sample.labelled[person]
    if not labelled.any():
        return 0.0
    own, height = sample.joints[person, :, :2], float(sample.scales[person]) * PIXELS_PER_SCALE
    limbs = [own[[a, b]] for a, b in sample.skeleton.limbs if labelled[a] and labelled[b]]
    limbs += [own[[j, j]] for j in np.flatnonzero(labelled)]
    present = found.present
    on_limbs, in_box = np.zeros(len(found)), np.zeros(len(found), np.bool_)
    low, high = own[labelled].min(axis=0), own[labelled].max(axis=0)
    for row in np.flatnonzero(~taken & present.any(axis=1)).tolist():
        xy = found.xy[row, present[row]]
        near = np.min([_distance(xy, *limb) for limb in limbs], axis=0) <= _NEAR * height
        on_limbs[row] = near.sum() if near.mean() >= _SAME else 0
        inside = ((xy >= low - _NEAR * height) & (xy <= high + _NEAR * height)).all(axis=1)
        alike = np.linalg.norm(np.ptp(xy, axis=0)) >= _SIZE_ALIKE * np.linalg.norm(high - low)
        in_box[row] = inside.mean() >= _SAME and alike
    if on_limbs.any():
        best = int(np.argmax(on_limbs * found.scores))
        for row in np.flatnonzero(on_limbs).tolist():
            shared = present[row] & present[best]
            apart = np.linalg.norm(found.xy[row, shared] - found.xy[best, shared], axis=1)
            # Somebody close behind has joints of their own; what has not is a piece of the labelled person.
            taken[row] |= row == best or not shared.any() or bool(np.median(apart) <= _APART * height)
    elif in_box.any():
        # The labels, or what was found, are wrong about which limb is where. That goes for one person.
        best = int(np.argmax(in_box * found.scores))
        taken[best] = True
    else:
        return 0.0
    return float(found.scores[best])


def _distance(points: FloatArray, begin: FloatArray, end: FloatArray) -> FloatArray:
    """[K] from points [K, 2] to the line between two others."""
    along = end - begin
    length = float(along @ along)
    part = np.clip((points - begin) @ along / length, 0, 1) if length > 0 else np.zeros(len(points))
    return np.asarray(np.linalg.norm(points - begin - part[:, None] * along, axis=1))
