"""Multi-person 2D pose estimation, trained with a teacher and deployed for real.

The names below load on first use, so that ``import ltsh_deploy`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

# In a checkout the rooms (train/, export/, cuda_kernels/, cli/) are this folder's siblings; once installed, they lie
# inside it. This makes ltsh_deploy.train and the rest importable either way.
if not (Path(__file__).parent / "train").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

if TYPE_CHECKING:
    from ltsh_deploy.decode import DecodeConfig, decode_fields
    from ltsh_deploy.errors import LtshError
    from ltsh_deploy.estimator import PoseEstimator
    from ltsh_deploy.fields import Fields
    from ltsh_deploy.poses import Poses
    from ltsh_deploy.skeletons import Skeleton, load_skeleton
    from ltsh_deploy.tracking import Tracker

__version__ = "0.1.0"

_HOMES = {
    "DecodeConfig": "decode",
    "decode_fields": "decode",
    "LtshError": "errors",
    "PoseEstimator": "estimator",
    "Fields": "fields",
    "Poses": "poses",
    "Skeleton": "skeletons",
    "load_skeleton": "skeletons",
    "Tracker": "tracking",
}

__all__ = [
    "DecodeConfig",
    "Fields",
    "LtshError",
    "PoseEstimator",
    "Poses",
    "Skeleton",
    "Tracker",
    "decode_fields",
    "load_skeleton",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"ltsh_deploy.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ltsh_deploy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
