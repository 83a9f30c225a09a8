"""Of those who were found in a picture, the one who is meant: data sets of single people label nobody else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ltsh_deploy.poses import Poses

__all__ = ["choose_person"]

FloatArray = npt.NDArray[np.float64]

# How fast a person's claim to be the one who is meant falls with the distance, as a part of the picture's short side.
_NEAR = 0.25


def choose_person(poses: Poses, place: FloatArray, size: tuple[float, float]) -> FloatArray | None:
    """[J, 2] the joints of the person who is sure and near a place in a picture (width, height); None for nobody.

    That is the one with the largest sum of joint scores, each person's weighted by a Gaussian of the distance between
    the middle of the person's box and the place. It looks at no label, and at nobody without a joint.

    Args:
        poses: who was found.
        place: [2] pixels, the picture's middle where nothing else is known.
        size: of the picture.
    """
    poses = poses.select(np.asarray(poses.present.any(axis=1)))
    if not len(poses):
        return None
    low, high = np.nanmin(poses.xy, axis=1), np.nanmax(poses.xy, axis=1)
    offset = low / 2 + high / 2 - place
    sure = poses.joint_scores.sum(axis=1)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        distance = np.hypot(offset[:, 0], offset[:, 1]) / (_NEAR * min(size))
        near = np.exp(-np.square(distance) / 2)
        # Scores of others may be negative; whoever is far is then worse, too.
        claims = np.where(sure < 0, sure / near, sure * near)
    return np.asarray(poses.xy[int(claims.argmax())], np.float64)
