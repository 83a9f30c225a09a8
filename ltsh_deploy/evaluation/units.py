"""What is evaluated, one unit at a time: a picture, or one group of people on it, with what is known of the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.stored import Stored, read_bytes, source_name
from ltsh_deploy.errors import ImageError, InputError
from ltsh_deploy.images import Image, read_image
from ltsh_deploy.metrics import head_sizes
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton

__all__ = ["METRICS", "CocoTruth", "EvaluationSet", "Unit", "measured_heads"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: What a set of units may be measured by: MPII's multi-person AP, PCKh and PCK@0.2 of single people, COCO's OKS AP.
METRICS = ("ap", "pckh", "pck", "oks")


@dataclass(frozen=True, eq=False)
class CocoTruth:
    """What COCO's metric needs of the G people of a picture beside their joints.

    Attributes:
        image_id: COCO's number of the picture.
        areas: [G] float64 pixels, of the segmentation.
        boxes: [G, 4] float64 (x, y, width, height) as COCO has them.
        crowds: [G] bool, COCO's ``iscrowd``: any number of people may be found in its place.
        ignored: [G] bool, people who are not asked for: crowds and those without labelled joints.
    """

    image_id: int
    areas: FloatArray
    boxes: FloatArray
    crowds: BoolArray
    ignored: BoolArray


@dataclass(frozen=True, eq=False)
class Unit:
    """One entry of an evaluation and its G true people. Arrays are read-only views of what was given.

    Attributes:
        id: unique within its set; a picture with several groups of people is several units.
        skeleton: of the true people, with J joints.
        joints: [G, J, 3] float64 x, y in pixels and a label: 0 missing (x and y are NaN), 1 labelled but not visible,
            2 labelled and visible. Joints may lie outside the picture.
        head_sizes: [G] float64 pixels: 0.6 of the head box's diagonal; without a box 25 * scale; NaN when neither is
            known.
        scales: [G] float64, person height / 200 pixels; NaN where unknown.
        centres: [G, 2] float64 pixels; NaN where unknown.
        image: where the picture's bytes lie, or None where nobody can look: stored predictions alone are scored.
        image_name: of the picture, as its data set calls it.
        size: (width, height) of the picture, or None where the labels do not say.
        group_box: (x1, y1, x2, y2) around the group's ``objpos``, without margin; known at test time. None where there
            is no group.
        mean_scale: of the people, where it may be known at test time, else None.
        coco: what COCO's metric needs, else None.
        characteristics: name to [G] float64, NaN where unknown, as in :class:`~ltsh_deploy.datasets.samples.Sample`.
        is_real: False where the people are rendered.
        read_ignore: reads [H, W] true where the labels are not complete, so that nobody can be wrong there, or None;
            it raises ImageError where that cannot be read. None where nothing of the kind is known.

    Raises:
        InputError: when the parts contradict each other; it names the unit.
    """

    id: str
    skeleton: Skeleton
    joints: FloatArray
    head_sizes: FloatArray
    scales: FloatArray
    centres: FloatArray
    image: Stored | None = None
    image_name: str = ""
    size: tuple[int, int] | None = None
    group_box: tuple[float, float, float, float] | None = None
    mean_scale: float | None = None
    coco: CocoTruth | None = None
    characteristics: Mapping[str, FloatArray] = field(default_factory=dict)
    is_real: bool = True
    read_ignore: Callable[[], BoolArray | None] | None = None

    def __post_init__(self) -> None:
        people = len(self.joints)
        self._set("joints", (people, self.skeleton.num_joints, 3))
        self._set("head_sizes", (people,))
        self._set("scales", (people,))
        self._set("centres", (people, 2))
        values = {name: self._view(name, value, (people,)) for name, value in self.characteristics.items()}
        object.__setattr__(self, "characteristics", MappingProxyType(values))
        if not self.id:
            self._refuse("its id is empty")
        if (np.isfinite(self.joints[:, :, :2]).all(axis=2) != (self.joints[:, :, 2] > 0)).any():
            self._refuse("x and y of a joint must be NaN where its label is 0, and finite where it is not")

    def _set(self, name: str, shape: tuple[int, ...]) -> None:
        object.__setattr__(self, name, self._view(name, getattr(self, name), shape))

    def _view(self, name: str, value: Any, shape: tuple[int, ...]) -> FloatArray:
        array: FloatArray = np.asarray(value, dtype=np.float64).view()
        if array.shape != shape:
            self._refuse(f"{name} must have the shape {list(shape)}, got {list(array.shape)}")
        array.flags.writeable = False
        return array

    def _refuse(self, reason: str) -> NoReturn:
        raise InputError(f"unit {self.id!r}: {reason}")

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def labelled(self) -> BoolArray:
        """[G, J] which joints are labelled, visible or not."""
        return np.asarray(self.joints[:, :, 2] > 0)

    def read_image(self) -> Image:
        """The picture, [H, W, 3] uint8 RGB.

        Raises:
            ImageError: when it cannot be read whole, or the unit has none.
        """
        if self.image is None:
            raise ImageError(f"unit {self.id!r}: has no picture", "Name the folder of the pictures with --images.")
        name = source_name(self.image, f"picture of unit {self.id!r}")
        return read_image(read_bytes(self.image, name), name)

    def to_poses(self) -> Poses:
        """The true people as poses: joint scores are 1 where visible, 0.5 where labelled but hidden, scores are 1."""
        return Poses(self.skeleton, self.joints[:, :, :2], self.joints[:, :, 2] / 2, np.ones(len(self)))


def measured_heads(boxes: FloatArray, scales: FloatArray, where: str) -> FloatArray:
    """[G] head sizes as :func:`~ltsh_deploy.metrics.head_sizes` has them, each of them something to measure in.

    Args:
        boxes: [G, 4] x1, y1, x2, y2; NaN where there is none.
        scales: [G] person height / 200 pixels; NaN where unknown.
        where: the people's place in their file, for messages.

    Raises:
        InputError: when one is infinite; it names the person.
    """
    sizes = head_sizes(boxes, scales)
    for person in np.flatnonzero(np.isinf(sizes)).tolist():
        raise InputError(f"{where}: person {person}: the head box or the scale is too large to measure a head by")
    return sizes


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """The units of one data set, and what they are measured by.

    Attributes:
        kind: ``mpii``, ``coco`` and so on, as ``ltsh evaluate --dataset`` names it.
        source: the annotation file or folder, for messages.
        metric: one of :data:`METRICS`.
        units: with ids that differ.
        skeleton: of all units.
        labels: [J] what results call the skeleton's joints.
        notes: what was left out or is odd, to the number of times.
        categories: the numbers by which COCO's files know people.
        measured: the joints that are measured, where that is not all of the metric's: others have no label.

    Raises:
        InputError: when there is no unit, or two have one id, or one has another skeleton.
    """

    kind: str
    source: str
    metric: str
    units: tuple[Unit, ...]
    skeleton: Skeleton
    labels: tuple[str, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)
    categories: tuple[int, ...] = (1,)
    measured: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.labels:
            object.__setattr__(self, "labels", self.skeleton.joints)
        if not self.units:
            raise InputError(f"{self.source}: holds nothing to evaluate on")
        seen: set[str] = set()
        for unit in self.units:
            if unit.id in seen:
                raise InputError(f"{self.source}: two entries have the id {unit.id!r}", "Ids must differ.")
            if unit.skeleton != self.skeleton:
                raise InputError(f"{self.source}: {unit.id!r} has skeleton {unit.skeleton.name}, not the others'")
            seen.add(unit.id)

    def __len__(self) -> int:
        return len(self.units)

    def __iter__(self) -> Iterator[Unit]:
        return iter(self.units)
