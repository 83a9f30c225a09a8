"""Small data sets, written as others would."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.skeletons import LSP14, MPII16, Skeleton

#: A person of 180 pixels, standing upright and facing the viewer, hands at the hips; the head's top at (0, 0).
STANDING = {
    "head_top": (0, 0), "neck": (0, 30), "right_shoulder": (-19, 34), "left_shoulder": (19, 34),
    "right_elbow": (-22, 66), "left_elbow": (22, 66), "right_wrist": (-24, 93), "left_wrist": (24, 93),
    "right_hip": (-11, 92), "left_hip": (11, 92), "right_knee": (-11, 136), "left_knee": (11, 136),
    "right_ankle": (-11, 180), "left_ankle": (11, 180), "pelvis": (0, 92), "thorax": (0, 38), "torso_centre": (0, 62),
}  # fmt: skip


def person(skeleton: Skeleton, x: float = 100, y: float = 20, size: float = 1.0) -> npt.NDArray[np.float64]:
    """[J, 3] a standing person, everything visible, with the head's top at (x, y) and 180 * size pixels tall."""
    xy = np.array([STANDING[name] for name in skeleton.joints], dtype=np.float64) * size + [x, y]
    return np.column_stack([xy, np.full(len(xy), 2.0)])


def picture(width: int = 200, height: int = 220, shade: int = 90, kind: str = ".png") -> bytes:
    """An encoded picture of one colour, so unlike another shade's."""
    ok, data = cv2.imencode(kind, np.full((height, width, 3), shade, np.uint8))
    assert ok
    return data.tobytes()


def mask(values: npt.NDArray[np.uint8]) -> bytes:
    ok, data = cv2.imencode(".png", values)
    assert ok
    return data.tobytes()


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def labels(**changes: Any) -> bytes:
    """The JSON of a picture in a shard with one standing person of LSP's joints."""
    form: dict[str, Any] = {
        "skeleton": "lsp14",
        "width": 200,
        "height": 220,
        "people": [{"joints": person(LSP14).tolist(), "centre": [100, 110], "scale": 0.9}],
    }
    form |= changes
    return json.dumps({key: value for key, value in form.items() if value is not None}).encode()


def shard(path: Path, **members: bytes) -> Path:
    """A shard; member names have ``__`` for the dots."""
    return write_tar(path, {name.replace("__", "."): data for name, data in members.items()})


def ltsh_entry(image: str = "a.png", **changes: Any) -> dict[str, Any]:
    """An LTSH entry of a standing person in MPII's joints."""
    joints = person(MPII16)
    joints[:, 2] = 1
    entry: dict[str, Any] = {
        "img_paths": image,
        "img_width": 200,
        "img_height": 220,
        "isValidation": 0,
        "people_index": 1,
        "objpos": [100, 110],
        "joint_self": joints.tolist(),
        "scale_provided": 0.9,
        "joint_others": {},
        "objpos_other": {},
        "scale_provided_other": {},
    }
    return entry | changes


def ltsh_set(folder: Path, *entries: Any, pictures: tuple[str, ...] = ("a.png",)) -> Path:
    """A JSON file of entries with its pictures beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(pictures):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(shade=60 + number))
    path = folder / "people.json"
    path.write_text(json.dumps({"root": list(entries)}), encoding="utf-8")
    return path
