"""WebDataset shards: tar archives of pictures, each with a JSON file of labels under the same name.

docs/data.md describes the labels. Archives are indexed once; pictures and masks are read from their places in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ltsh_deploy.datasets.archives import read_archive
from ltsh_deploy.datasets.files import visible_files
from ltsh_deploy.datasets.people import Picture
from ltsh_deploy.datasets.shard_labels import Labels, read_labels, skeleton_of
from ltsh_deploy.datasets.skips import Skips
from ltsh_deploy.datasets.stored import FilePart
from ltsh_deploy.errors import InputError
from ltsh_deploy.skeletons import Skeleton

__all__ = ["read_shards"]

_PICTURES = ("jpg", "jpeg", "png", "webp")
_IGNORE = "ignore.png"
_INSTANCES = "instances.png"
_REMEDY = "Shards are tar files, train-*.tar and val-*.tar, of pictures and JSON labels: see docs/data.md."


def read_shards(path: Path, skips: Skips, split: str | None = None) -> tuple[list[Picture], Skeleton]:
    """The pictures of a folder of shards, or of one shard.

    Args:
        path: a tar file, or a folder with tar files and perhaps an ``index.json`` that names the joints.
        skips: takes what cannot be used.
        split: read only the shards of this split, which their names begin with; None reads all.

    Raises:
        InputError: when there are no shards, an archive is damaged, or nobody says which joints the labels are of.
    """
    shards = visible_files(path, "*.tar") if path.is_dir() else [path]
    if not shards:
        raise InputError(f"{path}: holds no tar files", _REMEDY)
    skeleton = _read_index(shards[0].parent / "index.json")
    pictures: list[Picture] = []
    if split is not None and split not in map(_split_of, shards):
        raise InputError(f"{path}: holds no shards for split {split!r}", _REMEDY)
    for shard in shards:
        own = _split_of(shard)
        if own is None:
            skips.add("shards that are neither for training nor validation", shard.name, broken=False)
            continue
        if split not in (None, own):
            continue
        for key, members in _groups(shard, skips):
            picture, skeleton = _picture(shard, key, members, own, skeleton, skips)
            if picture is not None:
                pictures.append(picture)
    if skeleton is None:
        raise skips.nothing_left(_REMEDY)
    return pictures, skeleton


def _split_of(shard: Path) -> str | None:
    name = shard.name.lower()
    return "val" if name.startswith("val") else None if name.startswith("test") else "train"


def _read_index(path: Path) -> Skeleton | None:
    """The skeleton that index.json names, or None when there is no such file or it names none."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error})") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: must hold an object", _REMEDY)
    return skeleton_of(data.get("skeleton", data.get("joints")), str(path))


Member = tuple[FilePart, bytes | None]


def _groups(shard: Path, skips: Skips) -> Iterator[tuple[str, dict[str, Member]]]:
    """(key, extension to member) of the files that share a name up to its first dot, in the archive's order.

    The contents of JSON members come with them.
    """
    groups: dict[str, dict[str, Member]] = {}
    remedy = f"Copy or make {shard.name} again. {_REMEDY}"
    for member, data in read_archive(shard, lambda name: name.lower().endswith(".json"), remedy):
        folder, _, name = member.name.rpartition("/")
        stem, _, extension = name.partition(".")
        key = f"{folder}/{stem}".removeprefix("./").removeprefix("/")
        part = FilePart(shard, member.offset_data, member.size, member.name)
        group = groups.setdefault(key, {})
        if group.setdefault(extension.lower(), (part, data))[0] is not part:
            skips.add("members that are there twice", part)
    yield from groups.items()


def _picture(
    shard: Path, key: str, members: dict[str, Member], split: str, skeleton: Skeleton | None, skips: Skips
) -> tuple[Picture | None, Skeleton | None]:
    where = f"{shard.name}: {key}"
    image = next((members[e][0] for e in _PICTURES if e in members), None)
    _, text = members.get("json", (None, None))
    if text is None or image is None:
        skips.add("pictures without labels" if text is None else "labels without a picture", where)
        return None, skeleton
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        skips.add("labels that are not JSON", f"{where}.json: {error}")
        return None, skeleton
    try:
        labels: Labels = read_labels(data, skeleton, f"{where}.json")
    except InputError as error:
        skips.add("labels that contradict the format", error.message)
        return None, skeleton
    ignore, instances = (members[name][0] if name in members else None for name in (_IGNORE, _INSTANCES))
    picture = Picture(
        f"{shard.stem}/{key}", image, labels.people, split, ignore, instances, labels.regions, labels.size
    )
    return picture, labels.skeleton
