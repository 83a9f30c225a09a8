"""The one form every data set is read into: a picture, and the people labelled on it.

Coordinates are image pixels; a pixel's centre has whole-number coordinates. Nothing but labels is kept in memory:
pictures and masks are read when asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.masks import read_mask
from ltsh_deploy.datasets.regions import Region, paint_boxes
from ltsh_deploy.datasets.skips import Skips
from ltsh_deploy.datasets.stored import Stored, read_bytes, source_name
from ltsh_deploy.errors import InputError
from ltsh_deploy.images import Image, read_image
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton, conversion_matrix

__all__ = ["IGNORE_ABOVE", "SPLITS", "Dataset", "Sample", "SampleList"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SPLITS = ("train", "val")
#: Pixels of an ignore mask brighter than this are ignored.
IGNORE_ABOVE = 30


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture and its P labelled people. Arrays are read-only views of what was given.

    Attributes:
        id: unique within its data set.
        image: where the picture's bytes lie.
        skeleton: whose J joints the people have.
        joints: [P, J, 3] float64 x, y in pixels and a label: 0 missing (x and y are NaN), 1 labelled but not visible,
            2 labelled and visible. Joints may lie outside the picture.
        centres: [P, 2] float64 pixels.
        scales: [P] float64, person height / 200 pixels, as MPII has it; positive.
        is_synthetic: [P] bool, rendered people.
        trainable: [P] bool, whether this person may be the centre of a crop.
        characteristics: name to [P] float64, NaN where unknown: ``camera_pitch`` (degrees), ``min_distance`` (pixels
            to the nearest other person), ``visibility`` (in [0, 1]) and whatever else a data set has.
        ignore: where a mask of the picture's size lies whose pixels > 30 are ignored, or None.
        split: ``"train"`` or ``"val"``.
        regions: further parts of the picture to ignore: crowds, people without labelled joints.
        keep_boxes: [K, 4] float64 (x1, y1, x2, y2) outside of which everything is ignored, or None for no such limit.
        instances: where a mask of the picture's size lies whose pixels are p + 1 on person p and 0 elsewhere, or None.

    Raises:
        InputError: when the parts contradict each other; it names the sample.
    """

    id: str
    image: Stored
    skeleton: Skeleton
    joints: FloatArray
    centres: FloatArray
    scales: FloatArray
    is_synthetic: BoolArray
    trainable: BoolArray
    characteristics: Mapping[str, FloatArray] = field(default_factory=dict)
    ignore: Stored | None = None
    split: str = "train"
    regions: tuple[Region, ...] = ()
    keep_boxes: FloatArray | None = None
    instances: Stored | None = None

    def __post_init__(self) -> None:
        joints = self._set("joints", np.float64, (-1, self.skeleton.num_joints, 3))
        people = len(joints)
        centres = self._set("centres", np.float64, (people, 2))
        scales = self._set("scales", np.float64, (people,))
        self._set("is_synthetic", np.bool_, (people,))
        self._set("trainable", np.bool_, (people,))
        if self.keep_boxes is not None:
            self._set("keep_boxes", np.float64, (-1, 4))
        values = {name: self._array(name, v, np.float64, (people,)) for name, v in self.characteristics.items()}
        object.__setattr__(self, "characteristics", MappingProxyType(values))
        labels, finite = joints[:, :, 2], np.isfinite(joints[:, :, :2]).all(axis=2)
        if not ((labels == 0) | (labels == 1) | (labels == 2)).all():
            self._refuse("labels of joints must be 0 (missing), 1 (not visible) or 2 (visible)")
        if (finite != (labels > 0)).any():
            self._refuse("x and y of a joint must be NaN where its label is 0, and finite where it is not")
        if not (np.isfinite(centres).all() and np.isfinite(scales).all() and (scales > 0).all()):
            self._refuse("centres must be finite, and scales positive")
        if not self.id or self.split not in SPLITS:
            self._refuse(f"id must not be empty and split must be one of {SPLITS}, got {self.split!r}")

    def _set(self, name: str, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        array = self._array(name, getattr(self, name), dtype, shape)
        object.__setattr__(self, name, array)
        return array

    def _array(self, name: str, value: object, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """A read-only view, or copy, of the value, which must have this shape; a first -1 stands for any length."""
        try:
            array: npt.NDArray[Any] = np.asarray(value, dtype=dtype).view()
        except (TypeError, ValueError):
            self._refuse(f"{name} must be numbers, all rows of one length")
        if array.shape == (0,) and shape[0] <= 0:
            array = np.zeros((0, *shape[1:]), dtype)
        if array.ndim != len(shape) or array.shape[1:] != shape[1:] or shape[0] not in (-1, len(array)):
            wanted = ["any" if n < 0 else n for n in shape]
            self._refuse(f"{name} must have the shape {wanted}, got {list(array.shape)}")
        array.flags.writeable = False
        return array

    def _refuse(self, reason: str) -> NoReturn:
        raise InputError(f"sample {self.id!r}: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        # A MappingProxyType cannot be pickled.
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return _rebuild, (values | {"characteristics": dict(self.characteristics)},)

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def labelled(self) -> BoolArray:
        """[P, J] which joints are labelled, visible or not."""
        return np.asarray(self.joints[:, :, 2] > 0)

    def read_image(self) -> Image:
        """The picture, [H, W, 3] uint8 RGB.

        Raises:
            ImageError: when it cannot be read whole.
        """
        name = source_name(self.image, f"picture of sample {self.id!r}")
        return read_image(read_bytes(self.image, name), name)

    def read_ignore(self, size: tuple[int, int]) -> BoolArray | None:
        """[H, W] true where nothing is to be learned, or None when everything is.

        Args:
            size: (width, height) of the picture.

        Raises:
            ImageError: when there is a mask that cannot be read or has another size.
        """
        if self.ignore is None and not self.regions and self.keep_boxes is None:
            return None
        mask = np.zeros((size[1], size[0]), np.bool_)
        if self.ignore is not None:
            mask = read_mask(self.ignore, f"ignore mask of sample {self.id!r}", size) > IGNORE_ABOVE
        if self.keep_boxes is not None:
            mask |= ~paint_boxes(self.keep_boxes, size)
        if self.regions:
            painted = np.zeros(mask.shape, np.uint8)
            for region in self.regions:
                region.paint(painted)
            mask |= painted > 0
        return mask

    def read_instances(self, size: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
        """[H, W] p + 1 on the pixels of person p and 0 elsewhere, or None when the sample has no such mask.

        Args:
            size: (width, height) of the picture.

        Raises:
            ImageError: when the mask cannot be read, is not one channel of 8 bits, or has another size.
        """
        if self.instances is None:
            return None
        return read_mask(self.instances, f"instance mask of sample {self.id!r}", size, exact=True)

    def to_poses(self) -> Poses:
        """The people as poses: joint scores are 1 where visible, 0.5 where labelled but hidden, scores are 1."""
        return Poses(self.skeleton, self.joints[:, :, :2], self.joints[:, :, 2] / 2, np.ones(len(self)))

    def to_skeleton(self, target: Skeleton) -> Sample:
        """The same sample with another skeleton's joints, matched by name.

        A joint computed from several (see :func:`~ltsh_deploy.skeletons.conversion_matrix`) is labelled when all of
        them are, and visible when all of them are.

        Raises:
            SkeletonError: when the two skeletons share no joint.
        """
        if target == self.skeleton:
            return self
        matrix = conversion_matrix(self.skeleton, target)
        xy = np.where(self.labelled[:, :, None], self.joints[:, :, :2], 0.0)
        joints = np.empty((len(self), target.num_joints, 3))
        joints[:, :, :2] = np.einsum("ts,psc->ptc", matrix, xy)
        lowest = np.where(matrix > 0, self.joints[:, None, :, 2], np.inf).min(axis=2)
        joints[:, :, 2] = np.where(np.isfinite(lowest), lowest, 0.0)
        joints[joints[:, :, 2] == 0, :2] = np.nan
        return replace(self, skeleton=target, joints=joints)


def _rebuild(values: dict[str, Any]) -> Sample:
    return Sample(**values)


class Dataset(ABC):
    """A sequence of samples, all of one skeleton. It may be pickled, and read from many threads at once.

    Attributes:
        name: how messages, mixes and model cards call it.
        licence: what its publisher asks of users; empty when nobody said.
        skeleton: of every sample.
        skipped: reason to the number of entries that were left out when it was opened.
    """

    name: str
    licence: str
    skeleton: Skeleton
    skipped: Mapping[str, int]

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """The sample, its picture unread.

        Raises:
            IndexError: when there is no such sample.
        """

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


class SampleList(Dataset):
    """Samples that are all known.

    Args:
        samples: with ids that differ.
        name: see :class:`Dataset`, as for the next two.
        skeleton: of every sample.
        licence: what the publisher asks of users.
        skips: what was left out.

    Raises:
        InputError: when a sample has another skeleton, or two have one id.
    """

    def __init__(
        self,
        samples: Iterable[Sample],
        name: str,
        skeleton: Skeleton,
        licence: str = "",
        skips: Skips | None = None,
    ) -> None:
        self.name, self.licence, self.skeleton = name, licence, skeleton
        self.skips = skips or Skips(name)
        self.skipped = dict(self.skips.counts)
        self._samples = tuple(samples)
        seen: set[str] = set()
        for sample in self._samples:
            if sample.skeleton != skeleton:
                raise InputError(
                    f"{name}: sample {sample.id!r} has skeleton {sample.skeleton.name}, not {skeleton.name}"
                )
            if sample.id in seen:
                raise InputError(f"{name}: two samples have the id {sample.id!r}", "Ids must be unique in a data set.")
            seen.add(sample.id)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]
