"""What is trained on: a crop centred on one person, with everybody else who is in view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Sample
from ltsh_deploy.datasets.people import PIXELS_PER_SCALE
from ltsh_deploy.images import Image, apply, place
from ltsh_deploy.train.augment import Warp, ignored_cells, warp_image

__all__ = ["Crop", "make_crop", "picture_crop"]

FloatArray = npt.NDArray[np.float64]

# A joint that is not labelled is within this part of the person's height of the joints that are.
_REACH = 0.5


@dataclass(frozen=True, eq=False)
class Crop:
    """One crop and the P people in view, the one it is centred on first.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        joints: [P, J, 3] float64 x, y in pixels of the crop and a label, 0 (and NaN) where it is not labelled.
        clips: [P, 4] float64 x1, y1, x2, y2, the part of the crop where the person can be seen.
        boxes: [P, 4] float64 the part that holds the person.
        is_synthetic: [P] rendered people.
        among_real: [P] rendered people in a picture with real ones.
        ignored: [h, w] bool, cells that do not count.
        name: of the data set and the sample, for messages.
        skipped: reason to the number of people who could not be used in its place.
    """

    image: Image
    joints: FloatArray
    clips: FloatArray
    boxes: FloatArray
    is_synthetic: npt.NDArray[np.bool_]
    among_real: npt.NDArray[np.bool_]
    ignored: npt.NDArray[np.bool_]
    name: str
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_useful(self) -> bool:
        """Whether there is anything to learn: a cell that counts, and a joint in view of the person in the middle."""
        (x1, y1, x2, y2), xy = self.clips[0], self.joints[0, :, :2]
        # NaN, a joint without label, compares as false.
        in_view = (xy[:, 0] >= x1) & (xy[:, 1] >= y1) & (xy[:, 0] < x2) & (xy[:, 1] < y2)
        return bool(in_view.any() and not self.ignored.all())


def make_crop(sample: Sample, person: int, warp: Warp, stride: int, name: str = "", image: Image | None = None) -> Crop:
    """Warp the sample's picture and its people.

    Args:
        sample: any.
        person: whom the warp was made for; comes first in the crop.
        warp: from the picture to the crop.
        stride: pixels a cell.
        name: of the crop; the sample's id by default.
        image: the sample's picture; read by default.

    Raises:
        ImageError: when the picture or its mask cannot be read.
    """
    image = sample.read_image() if image is None else image
    return _crop(sample, person, warp, stride, name, image, warp_image(image, warp))


def picture_crop(
    sample: Sample, person: int, box: tuple[int, int], stride: int, name: str = "", image: Image | None = None
) -> tuple[Crop, Warp]:
    """The whole picture as the network gets it in deployment, scaled to fit into a box, and the warp to there.

    Args:
        sample: any.
        person: who comes first in the crop; it shows the same whoever it is.
        box: (width, height) in pixels.
        stride: pixels a cell; the crop's sides are multiples of it.
        name: of the crop; the sample's id by default.
        image: the sample's picture; read by default.

    Raises:
        ImageError: when the picture or its mask cannot be read.
    """
    image = sample.read_image() if image is None else image
    placement = place((image.shape[1], image.shape[0]), box, stride)
    zero = np.zeros(2)
    scales = placement.to_input(np.ones(2)) - placement.to_input(zero)
    warp = Warp(np.column_stack([np.diag(scales), placement.to_input(zero)]), False, placement.input_size)
    return _crop(sample, person, warp, stride, name, image, apply(image, placement)), warp


def _crop(sample: Sample, person: int, warp: Warp, stride: int, name: str, image: Image, cropped: Image) -> Crop:
    """The crop whose pixels are ``cropped``, with everybody in the picture ``image`` who is in view."""
    picture = (image.shape[1], image.shape[0])
    joints = warp.joints(sample.joints, sample.skeleton)
    boxes = _boxes(joints, warp.points(sample.centres), sample.scales * PIXELS_PER_SCALE * warp.zoom)
    width, height = warp.size
    whole = np.array([-0.5, -0.5, width - 0.5, height - 0.5])
    seen = (boxes[:, 0] < whole[2]) & (boxes[:, 1] < whole[3]) & (boxes[:, 2] > whole[0]) & (boxes[:, 3] > whole[1])
    seen[person] = False
    order = [person, *np.flatnonzero(seen).tolist()]
    return Crop(
        cropped,
        joints[order],
        np.tile(whole, (len(order), 1)),
        boxes[order],
        sample.is_synthetic[order],
        (sample.is_synthetic & ~sample.is_synthetic.all())[order],
        ignored_cells(warp, picture, sample.read_ignore(picture), stride),
        name or sample.id,
    )


def _boxes(joints: FloatArray, centres: FloatArray, heights: FloatArray) -> FloatArray:
    """[P, 4] the boxes of labelled joints and centres, enlarged by as much as the other joints may be away."""
    labelled = joints[:, :, 2:] > 0
    low = np.minimum(np.where(labelled, joints[:, :, :2], np.inf).min(axis=1), centres)
    high = np.maximum(np.where(labelled, joints[:, :, :2], -np.inf).max(axis=1), centres)
    reach = _REACH * heights[:, None]
    return np.concatenate([low - reach, high + reach], axis=1)
