"""Where in a photograph there is room for synthetic people: judged on the pixels that they will cover."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Sample
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.synth_outlines import paint_person
from ltsh_deploy.train.synth_raster import NEAR, place_samples, rasterise, sample_bounds
from ltsh_deploy.train.synth_types import Camera, Figure

__all__ = ["ADULT_HEIGHT", "StandingRoom", "cover_joints"]

Bools = npt.NDArray[np.bool_]

#: Metres of the annotated person that the camera is guessed by: nobody knows, and this is an adult's.
ADULT_HEIGHT = 1.7
_TALLEST = 1.3  # times the annotated person's height in pixels
_MOST_COVERED = 0.4  # of the picture
_MOST_JOINTS_HIDDEN = 0.5  # of each annotated person's
_BEHIND = 0.3  # metres behind the annotated person from which synthetic people must not be drawn over them
_MOST_OVERLAP = 0.05
_LEAST_DEPTH = 0.5  # metres between the camera and the nearest joint


class StandingRoom:
    """Where there is room in a photograph.

    Synthetic people are at most 1.3 times as tall as the annotated person, cover at most 40 % of the picture and half
    of each annotated person's joints, and do not stand behind people whom they would be drawn over.

    Args:
        sample: the annotated picture.
        camera: that may have taken it, as :func:`~ltsh_deploy.train.synth_mixed.guess_camera` has it.
        reference: height in pixels of the person that it was guessed by.
    """

    def __init__(self, sample: Sample, camera: Camera, reference: float) -> None:
        width, height = camera.size
        self._sample, self._camera, self._reference = sample, camera, reference
        self._annotated = sample.to_skeleton(LTSH15)
        people = np.zeros((height, width), np.uint8)
        for joints, scale in zip(self._annotated.joints, sample.scales.tolist(), strict=True):
            paint_person(people, np.nan_to_num(joints), scale)
        self._people = people > 0
        # At the renderer's 2 x 2 samples a pixel: what several people cover together is then what it will find.
        self._taken: Bools = np.zeros((2 * height, 2 * width), np.bool_)
        self._drawn = self._taken.copy()
        self._faces, self._nearness = (np.zeros((2 * height, 2 * width), kind) for kind in (np.int32, np.float32))

    @property
    def covered(self) -> Bools:
        """[H, W] the pixels that the people taken so far cover: those that will have an instance when rendered."""
        return _pixels(self._taken)

    def draw_offset(self, rng: np.random.Generator, figure: Figure) -> npt.NDArray[np.float64] | None:
        """[3] a point of the ground for the figure, or None when the draw gave none that will do."""
        camera = self._camera
        distance = float(np.linalg.norm(camera.centre - [0, 0, ADULT_HEIGHT / 2]))
        nearest = camera.focal * float(figure.attributes["height"]) / (_TALLEST * self._reference)
        # Half of them before the annotated person, half beside and behind.
        depth = rng.uniform(nearest, max(nearest, distance)) if rng.random() < 0.5 else rng.uniform(0.95, 2) * distance
        across = rng.uniform(-0.05, 1.05) * camera.size[0] - camera.principal[0]
        level = math.hypot(camera.rotation[2, 0], camera.rotation[2, 1])
        offset = np.array([across / camera.focal * depth, (depth - distance) / level, 0.0])
        moved = figure.moved(offset)
        depths = camera.to_camera(moved.joints)[:, 2]
        # A person's scale in the labels is that at the median of the joints' depths.
        if depths.min() < max(_LEAST_DEPTH, 0.8 * nearest) or np.median(depths) < nearest:
            return None
        self._drawn = self._samples(moved)
        return offset if self._suits(self._drawn, depth - distance) else None

    def take(self) -> None:
        """The figure is where the last offset puts it."""
        self._taken |= self._drawn

    def _samples(self, figure: Figure) -> Bools:
        """[2H, 2W] the samples that a figure covers."""
        placed = place_samples(figure.vertices, self._camera)
        low, high = sample_bounds(placed)
        if placed[:, 2].min() < NEAR:
            # What reaches past the camera may be seen anywhere.
            low, high = np.full(2, -np.inf), np.full(2, np.inf)
        last = np.array(self._taken.shape[::-1]) - 1
        left, top = np.floor(np.clip(low, 0, last)).astype(int).tolist()
        right, bottom = np.ceil(np.clip(high, 0, last)).astype(int).tolist()
        around = np.s_[top : bottom + 1, left : right + 1]
        self._faces[around], self._nearness[around] = -1, 0
        rasterise(placed, figure.faces, figure.cut, self._faces, self._nearness)
        samples: Bools = np.zeros(self._taken.shape, np.bool_)
        samples[around] = self._faces[around] >= 0
        return samples

    def _suits(self, own: Bools, behind: float) -> bool:
        """Whether a figure may cover these samples, ``behind`` metres further away than the annotated person."""
        alone = _pixels(own)
        pixels = int(np.count_nonzero(alone))
        if not pixels:
            return False
        if behind > _BEHIND and np.count_nonzero(alone & self._people) > _MOST_OVERLAP * pixels:
            return False
        together = _pixels(self._taken | own)
        return bool(together.mean() <= _MOST_COVERED) and self._leaves_joints(together)

    def _leaves_joints(self, covered: Bools) -> bool:
        """Whether half of each annotated person's joints are left: of the data set's own, and of those written."""
        left = cover_joints(self._sample, covered).to_skeleton(LTSH15).joints[..., 2]
        written = _lie_on(self._annotated.joints, covered) | (left < self._annotated.joints[..., 2])
        return all(
            bool((hidden.sum(axis=1) <= _MOST_JOINTS_HIDDEN * labelled.sum(axis=1)).all())
            for hidden, labelled in (
                (_lie_on(self._sample.joints, covered), self._sample.labelled),
                (written, self._annotated.labelled),
            )
        )


def cover_joints(sample: Sample, covered: Bools) -> Sample:
    """The sample with the joints that lie on pixels [H, W] which are covered now marked as hidden."""
    joints = sample.joints.copy()
    hidden = _lie_on(joints, covered) & (joints[..., 2] == 2)
    joints[..., 2] = np.where(hidden, 1, joints[..., 2])
    return replace(sample, joints=joints)


def _pixels(samples: Bools) -> Bools:
    """[H, W] the pixels of which at least half of 2 x 2 samples [2H, 2W] are set, as the renderer has it."""
    rows = samples[0::2].astype(np.uint8) + samples[1::2]
    return np.asarray(rows[:, 0::2] + rows[:, 1::2] >= 2)


def _lie_on(joints: npt.NDArray[np.float64], covered: Bools) -> Bools:
    """[P, J] which labelled joints [P, J, 3] lie on covered pixels [H, W]."""
    labelled = joints[..., 2] > 0
    xy = np.rint(np.clip(np.where(labelled[..., None], joints[..., :2], -1), -1, 1e6)).astype(np.int64)
    columns, rows = xy[..., 0], xy[..., 1]
    inside = labelled & (columns >= 0) & (columns < covered.shape[1]) & (rows >= 0) & (rows < covered.shape[0])
    return np.asarray(inside & covered[np.where(inside, rows, 0), np.where(inside, columns, 0)])
