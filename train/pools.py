"""Pools: the people of one data set that a crop may be centred on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Dataset, Sample
from ltsh_deploy.errors import InputError, SkeletonError
from ltsh_deploy.skeletons import Skeleton, conversion_matrix

__all__ = ["Pool", "find_people"]


@dataclass(frozen=True, eq=False)
class Pool:
    """K people, each by the sample and the place in it.

    Attributes:
        name: of the data set in the configuration.
        dataset: where they are.
        skeleton: that the network learns.
        samples: [K] indices into the data set.
        people: [K] indices into the sample.
        is_synthetic: [K] rendered people.
        characteristics: name to [K] float64, NaN where unknown.
    """

    name: str
    dataset: Dataset
    skeleton: Skeleton
    samples: npt.NDArray[np.int64]
    people: npt.NDArray[np.int64]
    is_synthetic: npt.NDArray[np.bool_]
    characteristics: Mapping[str, npt.NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.samples)

    def sample(self, row: int) -> Sample:
        """The sample of the person at this row, with the joints that the network learns."""
        return self.dataset[int(self.samples[row])].to_skeleton(self.skeleton)

    @cached_property
    def all_synthetic(self) -> bool:
        """Whether nobody in it is real."""
        return bool(self.is_synthetic.all())

    def permuted(self, seed: int, turn: int) -> int:
        """The row whose turn it is, when everybody comes once an epoch in an order of that epoch's own.

        Args:
            seed: of the orders.
            turn: from 0, over all epochs.
        """
        epoch, place = divmod(turn, len(self))
        return int(_permutation(seed, self.name, epoch, len(self))[place])


@lru_cache(maxsize=16)
def _permutation(seed: int, name: str, epoch: int, count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([_ORDER, seed, epoch, *name.encode()]).permutation(count)


# Keeps these draws apart from all others that start from the same seed.
_ORDER = 0x0DE2


def find_people(name: str, dataset: Dataset, skeleton: Skeleton, split: str | None) -> Pool:
    """Everybody of one split, or of all, who may be in the middle of a crop.

    In a picture with real people, only they may; synthetic ones are then part of their surroundings.

    Raises:
        InputError: when there is nobody.
        SkeletonError: when the data set's skeleton has none of the network's joints.
    """
    try:
        used = conversion_matrix(dataset.skeleton, skeleton).any(axis=0)
    except SkeletonError as error:
        raise SkeletonError(f"data set {name!r}: {error.message}", error.remedy) from None
    rows: list[tuple[int, int, bool]] = []
    values: dict[str, list[tuple[int, float]]] = {}
    for index, sample in enumerate(dataset):
        if split not in (None, sample.split):
            continue
        eligible = sample.trainable & (sample.labelled & used).any(axis=1)
        if not sample.is_synthetic.all():
            eligible = eligible & ~sample.is_synthetic
        for person in np.flatnonzero(eligible).tolist():
            for key, all_values in sample.characteristics.items():
                values.setdefault(key, []).append((len(rows), float(all_values[person])))
            rows.append((index, person, bool(sample.is_synthetic[person])))
    if not rows:
        purpose = "validate with" if split == "val" else "train on"
        sample_of = "" if split is None else f" of split {split!r}"
        raise InputError(
            f"data set {name!r} has nobody to {purpose}: "
            f"no sample{sample_of} holds a person with a labelled joint of skeleton {skeleton.name!r}"
        )
    characteristics = {key: np.full(len(rows), np.nan) for key in values}
    for key, found in values.items():
        for row, value in found:
            characteristics[key][row] = value
    samples, people, synthetic = (np.array(column) for column in zip(*rows, strict=True))
    return Pool(name, dataset, skeleton, samples, people, synthetic.astype(np.bool_), characteristics)
