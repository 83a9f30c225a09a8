"""LTSH and CPM annotation files: JSON, one entry a person, in MPII's 16 joints; real, synthetic and mixed pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ltsh_deploy.datasets.files import Presence, find_folder, read_json, visible_files
from ltsh_deploy.datasets.ltsh_entries import Entry, read_entry, validation_of
from ltsh_deploy.datasets.people import Person, Picture
from ltsh_deploy.datasets.skips import Skips
from ltsh_deploy.errors import InputError
from ltsh_deploy.skeletons import MPII16, Skeleton

__all__ = ["read_ltsh"]


def read_ltsh(
    path: Path,
    skips: Skips,
    *,
    images: str | Path | None = None,
    masks: str | Path | None = None,
    synthetic: bool | None = None,
) -> tuple[list[Picture], Skeleton]:
    """The pictures of one annotation file, or of all of them in a folder and the folders below.

    Everyone who has an entry of their own may be the centre of a crop; people who are known only as somebody's "others"
    may not. A picture is for validation when any of its entries is.

    Args:
        path: a JSON file or a folder; of a folder that ``ltsh synthesize`` wrote, the files in its ``ltsh`` count.
        skips: takes what cannot be used.
        images: folder that the files' ``img_paths`` start from; when left out, the one among the annotation file's
            folder, its ``images`` and the folder above where the file's first picture lies.
        masks: folder of ignore masks, with a PNG for each picture under its path, as seen from the folder of pictures,
            or its name; when left out, ``masks`` beside the annotation file where there is such a folder.
        synthetic: whether the people are rendered; None goes by what the files say.

    Raises:
        InputError: when a file is missing or is not JSON of this kind, or a picture would be its own mask.
    """
    if (path / "index.json").is_file() and (path / "ltsh").is_dir():
        path = path / "ltsh"
    files = visible_files(path, "**/*.json") if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: holds no .json files", "Name the annotation file or the folder of such files.")
    presence = Presence()
    by_picture: dict[Path, list[Entry]] = {}
    roots: dict[Path, tuple[Path, Path | None]] = {}
    for file in files:
        entries = _read_file(file, skips, synthetic)
        if not entries:
            continue
        root = _image_root(images, file, entries[0].image, presence)
        mask_root = _mask_root(masks, file)
        for entry in entries:
            image = root / entry.image
            by_picture.setdefault(image, []).append(entry)
            roots[image] = root, mask_root
    base = path if path.is_dir() else path.parent
    pictures = [
        _picture(image, entries, base, _mask(image, *roots[image], presence), skips)
        for image, entries in by_picture.items()
    ]
    return pictures, MPII16


def _read_file(file: Path, skips: Skips, synthetic: bool | None) -> list[Entry]:
    data = read_json(file)
    entries = data.get("root") if isinstance(data, Mapping) else data
    # The writer makes a bare object of a list of one.
    if isinstance(entries, Mapping):
        entries = [entries]
    if not isinstance(entries, list):
        raise InputError(
            f'{file}: is not an LTSH or CPM file: {{"root": [one object a person]}}',
            "Name the annotation file. Folders of shards are of the kind shards.",
        )
    found = []
    for number, data in enumerate(entries):
        where = f"{file}: entry {number}"
        if not isinstance(data, Mapping):
            skips.add("entries that are no objects", where)
            continue
        if validation_of(data) is None:
            skips.add("entries whose isValidation is not a number", where, broken=False)
            continue
        try:
            entry = read_entry(data, where, synthetic)
        except InputError as error:
            skips.add("entries that contradict the format", error.message)
            continue
        for odd in entry.odd:
            skips.add("characteristics that are not numbers", f"{where}: {odd}", broken=False)
        found.append(entry)
    return found


def _image_root(given: str | Path | None, file: Path, first: str, presence: Presence) -> Path:
    if given is not None:
        return find_folder(given, (), "pictures")
    usual = (file.parent, file.parent / "images", file.parent.parent, file.parent.parent / "images")
    return next((root for root in usual if presence.has(root / first)), usual[0])


def _mask_root(given: str | Path | None, file: Path) -> Path | None:
    usual = file.parent / "masks"
    if given is None:
        return usual if usual.is_dir() else None
    return find_folder(given, (), "masks")


def _mask(image: Path, root: Path, mask_root: Path | None, presence: Presence) -> Path | None:
    """The picture's mask: under the picture's path below its root, or else its bare name. It may not exist."""
    if mask_root is None:
        return None
    under_name = mask_root / f"{image.stem}.png"
    # Paths that are absolute, or lead elsewhere, would lead out of the folder of masks as well.
    below = Path(os.path.relpath(image, root)).parent
    under_path = under_name if os.pardir in below.parts else mask_root / below / under_name.name
    mask = under_path if presence.has(under_path) or not presence.has(under_name) else under_name
    if os.path.relpath(mask, image) == os.curdir:
        raise InputError(f"{image}: is a picture, and would be its own mask", "Name another folder of masks.")
    return mask


def _picture(image: Path, entries: Sequence[Entry], base: Path, mask: Path | None, skips: Skips) -> Picture:
    """One picture of all entries about it. People are told apart by where they are and how they stand."""
    people: dict[bytes, Person] = {}
    for entry in entries:
        if people.setdefault(_identity(entry.person), entry.person) is not entry.person:
            skips.add("entries about a person who has one already", f"{image}: person {entry.index}")
    for other in (other for entry in entries for other in entry.others):
        people.setdefault(_identity(other), other)
    validation = [entry.is_val for entry in entries]
    if any(validation) and not all(validation):
        skips.add("pictures with people of both splits, now for validation", image, broken=False)
    return Picture(
        id=os.path.relpath(image, base),
        image=image,
        people=list(people.values()),
        split="val" if any(validation) else "train",
        ignore=mask,
        size=entries[0].size,
    )


def _identity(person: Person) -> bytes:
    """The same for one person however often the file tells of them."""
    numbers = np.concatenate([np.nan_to_num(person.joints.ravel(), nan=-1e6), person.centre or (0.0, 0.0)])
    key: bytes = np.rint(np.clip(numbers, -1e9, 1e9) * 100).astype(np.int64).tobytes()
    return key
