"""Model descriptions as they are written by hand: YAML in which every key stands once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ltsh_deploy.errors import ModelFileError, SkeletonError
from ltsh_deploy.skeletons import SKELETONS, Skeleton, load_skeleton
from ltsh_deploy.yaml_text import read_yaml

__all__ = ["read_description", "read_skeleton"]


def read_description(path: Path) -> tuple[dict[str, Any], list[str] | None]:
    """The keys of a description, and the SHA-256 of the files it is of, where it says so.

    Raises:
        ModelFileError: naming the file.
    """
    try:
        data = read_yaml(path)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from None
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ModelFileError(f"{path}: a model description is a mapping with 'skeleton', 'input', 'heatmaps', 'pafs'")
    digests = data.pop("sha256", None)
    if digests is not None and not isinstance(digests, list):
        raise ModelFileError(f"{path}: sha256: must be a list")
    return data, digests


def read_skeleton(value: object, path: Path) -> Skeleton:
    """What stands under ``skeleton``: a built-in name, the path of a file relative to this one, or a mapping.

    Raises:
        SkeletonError: naming the file.
    """
    if not isinstance(value, str):
        return Skeleton.from_dict(value, where=f"{path}: skeleton")
    try:
        return load_skeleton(value if value.lower() in SKELETONS else path.parent / value)
    except SkeletonError as error:
        raise SkeletonError(f"{path}: skeleton: {error.message}", error.remedy) from None
