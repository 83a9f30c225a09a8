"""Matlab files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ltsh_deploy.errors import InputError
from ltsh_deploy.parts import import_part

__all__ = ["load_mat"]


def load_mat(path: Path) -> dict[str, Any]:
    """The variables of a Matlab file.

    Raises:
        MissingPartError: without scipy.
        InputError: when the file cannot be read.
    """
    io = import_part("scipy.io", "Reading Matlab files", "eval", "train")
    try:
        variables: dict[str, Any] = io.loadmat(str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file", "check the path") from None
    except NotImplementedError:
        raise InputError(
            f"{path}: is a Matlab file of version 7.3, which cannot be read", "In Matlab, save it with -v7."
        ) from None
    # scipy's reader lets out whatever a damaged file leads it to.
    except Exception as error:
        raise InputError(f"{path}: is not a Matlab file, or damaged ({error})", "copy or download it again") from error
    return variables
