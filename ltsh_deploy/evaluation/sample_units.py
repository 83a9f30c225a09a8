"""Units of the data sets that are read for training as well: LSP, synthetic people, shards."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Sample, open_dataset
from ltsh_deploy.evaluation.groups import mean_of
from ltsh_deploy.evaluation.units import EvaluationSet, Unit, measured_heads
from ltsh_deploy.skeletons import LSP14

__all__ = ["KINDS", "sample_units", "single_unit"]

BoolArray = npt.NDArray[np.bool_]

#: What ``ltsh evaluate --dataset`` calls them, and what :func:`~ltsh_deploy.datasets.open_dataset` does.
KINDS = {"lsp": "lsp", "ltsh": "ltsh", "synthetic": "ltsh", "shards": "shards"}


def sample_units(kind: str, path: Path, images: Path | None = None, split: str | None = None) -> EvaluationSet:
    """The pictures of a data set. Those without labelled people are left out.

    Data sets with the 14 joints of Leeds Sports Pose are measured by PCK@0.2, where each labelled person is a unit; all
    others by MPII's multi-person metric, where a unit is a whole picture and the head size 25 * scale.

    Args:
        kind: one of :data:`KINDS`.
        path: file or folder, as the kind expects.
        images: folder of the pictures, for kinds that have an option for it.
        split: ``"train"`` or ``"val"`` for these alone; None for all.

    Raises:
        InputError: when the data cannot be read or hold no usable picture.
        MissingPartError: when the format needs a package that is not installed.
    """
    options: dict[str, Any] = {} if images is None else {"images": images}
    dataset = open_dataset(KINDS[kind], path, split=split, **options)
    single = dataset.skeleton == LSP14
    units = tuple(unit for sample in dataset for unit in (_single_units(sample) if single else [_unit(sample)]))
    return EvaluationSet(kind, str(path), "pck" if single else "ap", units, dataset.skeleton, notes=dataset.skipped)


def _unit(sample: Sample) -> Unit:
    return Unit(
        id=sample.id,
        skeleton=sample.skeleton,
        joints=sample.joints,
        head_sizes=measured_heads(np.full((len(sample), 4), np.nan), sample.scales, f"sample {sample.id!r}"),
        scales=sample.scales,
        centres=sample.centres,
        image=sample.image,
        image_name=sample.id,
        mean_scale=mean_of(sample.scales),
        characteristics=sample.characteristics,
        is_real=not sample.is_synthetic.all(),
        read_ignore=partial(_read_ignore, sample),
    )


def _read_ignore(sample: Sample) -> BoolArray | None:
    """[H, W] where people may be whom nobody labelled, or None; the picture is read only where that is needed."""
    if sample.ignore is None and not sample.regions and sample.keep_boxes is None:
        return None
    height, width = sample.read_image().shape[:2]
    return sample.read_ignore((width, height))


def _single_units(sample: Sample) -> list[Unit]:
    return [single_unit(sample, person) for person in np.flatnonzero(sample.labelled.any(axis=1)).tolist()]


def single_unit(sample: Sample, person: int) -> Unit:
    """A labelled person of a sample; where nobody else is labelled, it has the picture's name and no centre is told."""
    people = np.flatnonzero(sample.labelled.any(axis=1)).tolist()
    one, alone = slice(person, person + 1), len(people) == 1
    return Unit(
        id=sample.id if alone else f"{sample.id}:{people.index(person) + 1}",
        skeleton=sample.skeleton,
        joints=sample.joints[one],
        head_sizes=measured_heads(np.full((1, 4), np.nan), sample.scales[one], f"sample {sample.id!r}"),
        scales=sample.scales[one],
        centres=np.full((1, 2), np.nan) if alone else sample.centres[one],
        image=sample.image,
        image_name=sample.id,
        characteristics={name: values[one] for name, values in sample.characteristics.items()},
        is_real=not sample.is_synthetic[person],
    )
