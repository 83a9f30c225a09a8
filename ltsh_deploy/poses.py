"""Poses: the people of one image.

Their written forms (JSON lines, OpenPose, COCO results, CSV) are in :mod:`ltsh_deploy.pose_formats`; the adapters here
are for programs that have the poses in hand.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.fields import FloatArray
from ltsh_deploy.parts import import_part
from ltsh_deploy.skeletons import Skeleton, conversion_matrix

__all__ = ["Poses"]


@dataclass(frozen=True, eq=False)
class Poses:
    """The people found in, or labelled on, one image; the best score first where a decoder made them.

    Two are equal when all but ``dropped_peaks`` is, number by number, in the same order of people.

    Attributes:
        skeleton: whose joints these are.
        xy: [P, J, 2] float64 pixels of the source image; NaN where a joint is absent.
        joint_scores: [P, J] float64 in [0, 1] as the network gave them; 0 where a joint is absent.
        scores: [P] float64, one a person.
        ids: [P] int64 track ids, unique within an image, or None when nothing was tracked.
        dropped_peaks: how many heat-map peaks a decoder left out because a joint had more than its limit.
    """

    skeleton: Skeleton
    xy: FloatArray
    joint_scores: FloatArray
    scores: FloatArray
    ids: npt.NDArray[np.int64] | None = None
    dropped_peaks: int = 0

    def __post_init__(self) -> None:
        people, joints = len(self.scores), self.skeleton.num_joints
        if self.xy.shape != (people, joints, 2) or self.joint_scores.shape != (people, joints):
            raise ValueError(
                f"{people} people of {joints} joints need xy [{people}, {joints}, 2] and joint_scores "
                f"[{people}, {joints}], got {self.xy.shape} and {self.joint_scores.shape}"
            )
        if self.ids is not None and self.ids.shape != (people,):
            raise ValueError(f"{people} people need as many ids, got {self.ids.shape}")

    def __len__(self) -> int:
        return len(self.scores)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Poses):
            return NotImplemented
        arrays = ((self.xy, other.xy), (self.joint_scores, other.joint_scores), (self.scores, other.scores))
        if self.ids is None or other.ids is None:
            same_ids = self.ids is other.ids
        else:
            same_ids = np.array_equal(self.ids, other.ids)
        same_arrays = all(np.array_equal(own, its, equal_nan=True) for own, its in arrays)
        return self.skeleton == other.skeleton and same_ids and same_arrays

    @classmethod
    def empty(cls, skeleton: Skeleton) -> Poses:
        """Nobody."""
        joints = skeleton.num_joints
        return cls(skeleton, np.zeros((0, joints, 2)), np.zeros((0, joints)), np.zeros(0))

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """[P, J] which joints were found."""
        return np.asarray(np.isfinite(self.xy).all(axis=2))

    def select(self, people: npt.NDArray[Any] | slice) -> Poses:
        """The people at these indices, or where this mask is true, in that order."""
        ids = None if self.ids is None else self.ids[people]
        return replace(
            self, xy=self.xy[people], joint_scores=self.joint_scores[people], scores=self.scores[people], ids=ids
        )

    def to_skeleton(self, target: Skeleton) -> Poses:
        """The same people with another skeleton's joints, matched by name.

        A joint computed from several (neck, torso centre: see :func:`~ltsh_deploy.skeletons.conversion_matrix`) is
        present when all of them are, with the lowest of their scores.

        Raises:
            SkeletonError: when the two skeletons share no joint.
        """
        if target == self.skeleton:
            return self
        matrix = conversion_matrix(self.skeleton, target)
        used = matrix > 0
        present = self.present
        lacking = np.asarray((used[None] & ~present[:, None, :]).any(axis=2))
        complete = used.any(axis=1) & ~lacking
        xy = np.einsum("tj,pjc->ptc", matrix, np.where(present[:, :, None], self.xy, 0.0))
        lowest = np.where(used[None], self.joint_scores[:, None, :], np.inf).min(axis=2, initial=np.inf)
        return replace(
            self,
            skeleton=target,
            xy=np.where(complete[:, :, None], xy, np.nan),
            joint_scores=np.where(complete, lowest, 0.0),
        )

    def to_openpose(self) -> dict[str, Any]:
        """OpenPose's output for one image: see :func:`ltsh_deploy.pose_formats.to_openpose`.

        Raises:
            InputError: when a score is NaN or infinite.
        """
        from ltsh_deploy.pose_formats import FramePoses, to_openpose

        return to_openpose(FramePoses(self, "", 0, 0))

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """COCO keypoint results of this image: see :func:`ltsh_deploy.pose_formats.to_coco`.

        Args:
            image_id: the image's own in its COCO annotations.

        Raises:
            SkeletonError: when the skeleton has none of COCO's joints.
            InputError: when a score is NaN or infinite.
        """
        from ltsh_deploy.pose_formats import FramePoses, to_coco

        return [{**result, "image_id": image_id} for result in to_coco(FramePoses(self, "", 0, 0))]

    def to_supervision(self) -> Any:
        """The same people as ``supervision.KeyPoints``, for its annotators and whatever else takes them.

        ``xy`` is [P, J, 2] float32 pixels, the joints in this skeleton's order, and (0, 0), which supervision takes for
        absent, where a joint is. ``keypoint_confidence`` and ``detection_confidence`` are the joints' and the people's
        scores, ``visible`` says which joints are there, and ``class_id`` is 0 throughout. ``data["tracker_id"]`` holds
        the ids of people who were tracked. Releases before 0.29 know the joints' scores as ``confidence``, and have
        no place for the people's, nor for ``visible``.

        Raises:
            MissingPartError: when supervision is not installed.
        """
        key_points = import_part("supervision", "Poses.to_supervision()").KeyPoints
        present = self.present
        scores = self.joint_scores.astype(np.float32)
        fields = {
            "keypoint_confidence": scores,
            "detection_confidence": self.scores.astype(np.float32),
            "visible": present,
        }
        known = inspect.signature(key_points).parameters
        if "keypoint_confidence" not in known:
            fields["confidence"] = scores
        return key_points(
            xy=np.where(present[:, :, None], self.xy, 0.0).astype(np.float32),
            class_id=np.zeros(len(self), np.int64),
            data={} if self.ids is None else {"tracker_id": self.ids.copy()},
            **{name: value for name, value in fields.items() if name in known},
        )
