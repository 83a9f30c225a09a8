"""The digests by which files are recognised."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ltsh_deploy.errors import ModelFileError

__all__ = ["sha256_of"]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a model file, in hexadecimal digits.

    Raises:
        ModelFileError: when it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
    return digest.hexdigest()
