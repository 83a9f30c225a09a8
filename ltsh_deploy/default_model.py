"""The model that comes with the package, for those who name none."""

from __future__ import annotations

from pathlib import Path

from ltsh_deploy.errors import ModelFileError

__all__ = ["default_model"]


def default_model() -> Path:
    """The ONNX file that the project trained: LTSH15's joints, for a CPU in real time. ``default.md`` lies beside it.

    Raises:
        ModelFileError: when the installation lacks it.
    """
    path = Path(__file__).parent / "assets" / "default.onnx"
    if not path.is_file():
        raise ModelFileError(f"{path}: this installation lacks the package's own model", "Install it again.")
    return path
