"""COCO keypoint annotations: people with 17 joints; crowds and people without joints become places to ignore."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltsh_deploy.datasets.coco_annotations import read_annotation
from ltsh_deploy.datasets.files import find_folder, read_json
from ltsh_deploy.datasets.people import Person, Picture
from ltsh_deploy.datasets.regions import Region
from ltsh_deploy.datasets.skips import Skips
from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.json_checks import as_list, as_mapping, as_whole, short
from ltsh_deploy.skeletons import COCO17, Skeleton

__all__ = ["picture_folders", "read_coco"]

# COCO's usual split parts val2014 in two: minival is measured on, and valminusminival is trained on.
_VALIDATION = re.compile(r"(?<![a-z])(mini)?val(?!minus)")


def read_coco(
    path: Path,
    skips: Skips,
    *,
    split: str | None = None,
    images: str | Path | None = None,
    min_joints: int = 5,
) -> tuple[list[Picture], Skeleton]:
    """The pictures of a keypoint annotation file, or of COCO's folder with one for each split.

    A file is for validation where a word of its name begins with ``val`` or ``minival``, but for COCO's
    ``valminusminival``; every other is for training. Where the category names other joints than COCO's, these are the
    skeleton.

    Args:
        path: a JSON file, or a folder with ``person_keypoints*.json`` in it or in its ``annotations``.
        skips: takes what cannot be used.
        split: read only the files of this split.
        images: folder of the pictures; when left out, found beside the annotation file by COCO's usual names.
        min_joints: people with fewer labelled joints, or smaller than 32 x 32 pixels, are no centre of a crop.

    Raises:
        UsageError: when ``min_joints`` is no whole number from 1 on.
        InputError: when a file is missing or contradicts the format; it names the file.
    """
    if min_joints < 1:
        raise UsageError(f"min_joints must be a whole number from 1 on, got {min_joints!r}")
    files = [file for file in _annotation_files(path) if split in (None, _split_of(file))]
    if not files:
        raise InputError(
            f"{path}: holds no annotations for split {split!r}",
            "Files for validation are named as person_keypoints_val2017.json is, or with minival; all others are for "
            "training.",
        )
    pictures: list[Picture] = []
    skeletons: set[Skeleton] = set()
    for file in files:
        annotations = _Annotations.read(file, images, min_joints, skips)
        skeletons.add(annotations.skeleton)
        if len(skeletons) > 1:
            raise InputError(f"{file}: has other joints than the files before", "Open the files one by one.")
        pictures += annotations.pictures()
    return pictures, skeletons.pop()


def _annotation_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    for folder in (path, path / "annotations"):
        found = sorted(folder.glob("person_keypoints*.json"))
        if found:
            return found
    raise InputError(f"{path}: holds no person_keypoints*.json", "Name the annotation file itself.")


def _split_of(file: Path) -> str:
    return "val" if _VALIDATION.search(file.stem.lower()) else "train"


def _root_of(file: Path) -> Path:
    return file.parent.parent if file.parent.name == "annotations" else file.parent


def picture_folders(file: Path) -> tuple[Path, ...]:
    """Where the pictures of an annotation file usually lie, the likeliest first."""
    root, name = _root_of(file), file.stem.removeprefix("person_keypoints").lstrip("_")
    return root / name, root / "images" / name, root / "images", root


@dataclass(frozen=True)
class _Annotations:
    """One annotation file.

    Attributes:
        file: its path.
        folder: where its pictures lie.
        data: what it holds.
        skeleton: of its people.
        by_image: image id to annotations, each with where it stands.
        min_joints: see :func:`read_coco`.
        skips: takes what cannot be used.
    """

    file: Path
    folder: Path
    data: Mapping[str, Any]
    skeleton: Skeleton
    by_image: dict[int, list[tuple[str, Mapping[str, Any]]]]
    min_joints: int
    skips: Skips

    @classmethod
    def read(cls, file: Path, images: str | Path | None, min_joints: int, skips: Skips) -> _Annotations:
        data = as_mapping(read_json(file), str(file))
        categories = _skeletons(data, file)
        return cls(
            file,
            find_folder(images, picture_folders(file), "pictures"),
            data,
            next(iter(categories.values())),
            _by_image(data, file, categories, skips),
            min_joints,
            skips,
        )

    def pictures(self) -> list[Picture]:
        """The pictures that are listed, with their annotations."""
        found = []
        listed: set[int] = set()
        for number, entry in enumerate(as_list(self.data.get("images"), f"{self.file}: 'images'")):
            where = f"{self.file}: images[{number}]"
            try:
                image = as_mapping(entry, where)
                identity = as_whole(image.get("id"), f"{where}: 'id'")
                found.append(self._picture(image, identity, where))
            except InputError as error:
                self.skips.add("pictures that contradict the format", error.message)
                continue
            listed.add(identity)
        for identity, own in self.by_image.items():
            for where, _ in own if identity not in listed else ():
                self.skips.add("annotations of pictures that are not listed", where)
        return found

    def _picture(self, image: Mapping[str, Any], identity: int, where: str) -> Picture:
        name = image.get("file_name")
        if not isinstance(name, str) or not name:
            raise InputError(f"{where}: 'file_name' must be a name, found {short(name)}")
        width, height = (as_whole(image.get(key), f"{where}: {key!r}") for key in ("width", "height"))
        people: list[Person] = []
        regions: list[Region] = []
        for place, annotation in self.by_image.get(identity, ()):
            try:
                person, ignored = read_annotation(annotation, self.skeleton, self.min_joints, place)
            except InputError as error:
                self.skips.add("annotations that contradict the format", error.message)
                continue
            regions.extend(ignored)
            if person is not None:
                people.append(person)
        path, root = self.folder / name, _root_of(self.file)
        return Picture(
            path.relative_to(root).as_posix() if path.is_relative_to(root) else name,
            path,
            people,
            _split_of(self.file),
            regions=regions,
            size=(width, height),
        )


def _skeletons(data: Mapping[str, Any], file: Path) -> dict[int, Skeleton]:
    """Category id to skeleton, of the categories that have keypoints."""
    found = {}
    for number, entry in enumerate(as_list(data.get("categories"), f"{file}: 'categories'")):
        where = f"{file}: categories[{number}]"
        category = as_mapping(entry, where)
        names = category.get("keypoints")
        if not names:
            continue
        identity = as_whole(category.get("id"), f"{where}: 'id'")
        if isinstance(names, list) and tuple(names) == COCO17.joints:
            found[identity] = COCO17
            continue
        limbs = as_list(category.get("skeleton") or [], f"{where}: 'skeleton'")
        pairs = [[as_whole(j, f"{where}: 'skeleton'") - 1 for j in as_list(limb, where)] for limb in limbs]
        form = {"name": str(category.get("name", "coco")), "joints": names, "limbs": pairs}
        found[identity] = Skeleton.from_dict(form, where)
    if not found:
        raise InputError(f"{file}: no category has keypoints", "Name the file of keypoints, not the one of boxes.")
    if len(set(found.values())) > 1:
        raise InputError(f"{file}: its categories have different joints", "Make a file of each.")
    return found


def _by_image(
    data: Mapping[str, Any], file: Path, categories: Mapping[int, Skeleton], skips: Skips
) -> dict[int, list[tuple[str, Mapping[str, Any]]]]:
    """Image id to its annotations, each with where it stands."""
    found: dict[int, list[tuple[str, Mapping[str, Any]]]] = {}
    seen: set[object] = set()
    for number, entry in enumerate(as_list(data.get("annotations"), f"{file}: 'annotations'")):
        where = f"{file}: annotations[{number}]"
        try:
            annotation = as_mapping(entry, where)
            image = as_whole(annotation.get("image_id"), f"{where}: 'image_id'")
            category = as_whole(annotation.get("category_id"), f"{where}: 'category_id'")
        except InputError as error:
            skips.add("annotations that contradict the format", error.message)
            continue
        identity = annotation.get("id")
        if identity is not None and str(identity) in seen:
            skips.add("annotations with an id that came before", f"{where}: {short(identity)}")
            continue
        seen.add(str(identity))
        if category in categories:
            found.setdefault(image, []).append((where, annotation))
    return found
