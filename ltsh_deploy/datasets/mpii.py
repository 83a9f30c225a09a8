"""MPII Human Pose as samples: pictures of its annotation file, people in its 16 joints."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from ltsh_deploy.datasets.bodies import PIXELS_PER_SCALE
from ltsh_deploy.datasets.files import find_folder, mask_of, read_names, visible_files
from ltsh_deploy.datasets.mpii_mat import MpiiImage, MpiiPerson, read_mpii_annotations
from ltsh_deploy.datasets.people import Person, Picture
from ltsh_deploy.datasets.regions import Region, box_polygon
from ltsh_deploy.datasets.skips import Skips
from ltsh_deploy.errors import InputError
from ltsh_deploy.skeletons import MPII16, Skeleton

__all__ = ["check_names", "read_mpii"]

#: MPII's own name of its annotation file.
_ANNOTATIONS = "mpii_human_pose_v1_u12_1.mat"
# MPII's law: 200 * scale = 4.8 * diagonal of the head box.
_HEIGHT_PER_HEAD = 4.8


def read_mpii(
    path: Path,
    skips: Skips,
    *,
    images: str | Path | None = None,
    masks: str | Path | None = None,
    val: str | Path | None = None,
) -> tuple[list[Picture], Skeleton]:
    """The training pictures of MPII; those of its test set have no joints and are left out.

    Args:
        path: the annotation file, or a folder that holds it.
        skips: takes what cannot be used.
        images: folder of the pictures; ``images`` beside the annotation file or one folder up when left out.
        masks: folder of ignore masks, one PNG a picture; none when left out.
        val: text file with the names of the pictures that are for validation, one a line, as the annotations have
            them; none when left out, since MPII publishes no such list.

    Raises:
        MissingPartError: without scipy.
        InputError: when a file or folder is missing or contradicts the format, or ``val`` names other pictures.
    """
    path = _annotation_file(path) if path.is_dir() else path
    folder = find_folder(images, (path.parent / "images", path.parent.parent / "images", path.parent), "pictures")
    mask_folder = None if masks is None else find_folder(masks, (), "masks")
    validation = frozenset() if val is None else read_names(Path(val))
    annotated = read_mpii_annotations(path)
    check_names(validation, annotated, path)
    pictures = []
    for image in annotated:
        if not image.is_train:
            skips.add("pictures of MPII's test set, which has no joints", image.file_name, broken=False)
            continue
        people, regions = _people(image, skips)
        pictures.append(
            Picture(
                id=image.file_name,
                image=folder / image.file_name,
                people=people,
                split="val" if image.file_name in validation else "train",
                ignore=mask_of(mask_folder, image.file_name),
                regions=regions,
            )
        )
    return pictures, MPII16


def check_names(names: Collection[str], images: Sequence[MpiiImage], annotations: Path) -> None:
    """Make sure that the annotations have all pictures of a user's list.

    Raises:
        InputError: when they lack one; it names the first.
    """
    absent = sorted(set(names) - {image.file_name for image in images})
    if absent:
        raise InputError(
            f"{annotations}: has no picture {absent[0]!r} ({len(absent)} of those asked for are not there)",
            "Name pictures as the annotations do: without a folder, and with the suffix.",
        )


def _annotation_file(folder: Path) -> Path:
    for candidate in (folder / _ANNOTATIONS, folder / "annotations" / _ANNOTATIONS, folder / "annot" / _ANNOTATIONS):
        if candidate.is_file():
            return candidate
    found = visible_files(folder, "*.mat")
    if len(found) != 1:
        raise InputError(f"{folder}: holds no {_ANNOTATIONS}", "Name the annotation file itself.")
    return found[0]


def _people(image: MpiiImage, skips: Skips) -> tuple[list[Person], list[Region]]:
    people: list[Person] = []
    regions: list[Region] = []
    for number, person in enumerate(image.people):
        if person.ignored_points:
            skips.add("people with points that say nothing", f"{image.file_name}: person {number}", broken=False)
        height = _head_height(person)
        scale = person.scale if person.scale is not None and person.scale > 0 else None
        if scale is None and height is not None:
            scale = height / PIXELS_PER_SCALE
        labelled = np.isfinite(person.joints[:, 0])
        if not labelled.any() and person.objpos is None and person.head_box is not None and height is not None:
            # Nothing but a head: the body is most likely below, as wide as arms may reach.
            x1, y1, x2, y2 = person.head_box
            x, top = (x1 + x2) / 2, min(y1, y2)
            regions.append(box_polygon((x - height / 2, top - 0.15 * height, x + height / 2, top + height)))
            continue
        joints = person.joints.copy()
        # Where nothing is said of visibility (always of neck and head top), the joint counts as visible.
        joints[:, 2] = np.where(labelled, np.where(joints[:, 2] == 0, 1.0, 2.0), 0.0)
        people.append(Person(joints, person.objpos, scale))
    return people, regions


def _head_height(person: MpiiPerson) -> float | None:
    """The person's height by the size of the head box; None without one."""
    if person.head_box is None:
        return None
    x1, y1, x2, y2 = person.head_box
    return _HEIGHT_PER_HEAD * math.hypot(x2 - x1, y2 - y1) or None
