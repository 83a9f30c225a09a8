"""Small sets to evaluate on: people in the neutral form, MPII's files, and pictures of arms that a network finds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from ltsh_deploy.descriptions import ModelDescription
from ltsh_deploy.outputs import write_image
from ltsh_deploy.skeletons import MPII16, Skeleton
from tests.colour_model import paint, write_colour_model
from tests.dataset_files import person

RIGHT_ARM = Skeleton("right_arm", ("right_shoulder", "right_elbow", "right_wrist"), ((0, 1), (1, 2)), (), (0.1,) * 3)
ARM_JOINTS = [MPII16.joints.index(name) for name in RIGHT_ARM.joints]


def write_arm_model(path: Path) -> Path:
    """The network of :mod:`tests.colour_model`, whose arms are right arms."""
    model = onnx.load(write_colour_model(path))
    description: dict[str, Any] = {
        "skeleton": RIGHT_ARM,
        "stride": 8,
        "size": (160, 120),
        "input": {"name": "image"},
        "heatmaps": {"name": "heatmaps"},
        "pafs": {"name": "pafs"},
    }
    del model.metadata_props[:]
    helper.set_model_props(model, ModelDescription(**description).to_metadata())
    path.write_bytes(model.SerializeToString())
    return path


def arm_joints(x: int, y: int) -> list[Any]:
    """MPII's joints of somebody of whom nothing but the arm that is painted at (x, y) is labelled."""
    joints: list[Any] = [None] * 16
    for number, j in enumerate(ARM_JOINTS):
        joints[j] = [x + 32 * number + 3.5, y + 3.5, 1]
    return joints


def arm_set(folder: Path, *pictures: Sequence[tuple[int, int]]) -> Path:
    """The neutral labels of pictures of arms, ``a0.png`` and so on in a folder ``images``; the file's path.

    Everybody's scale is such that the network's stride does not change under the paper's protocol.
    """
    (folder / "images").mkdir(parents=True)
    entries = []
    for number, arms in enumerate(pictures):
        name = f"a{number}.png"
        write_image(folder / "images" / name, paint(list(arms)))
        people = [
            {"joints": arm_joints(x, y), "head_box": None, "scale": 41 / 35, "objpos": [x + 35, y + 4]} for x, y in arms
        ]
        entries.append({"id": name, "file_name": name, "width": 160, "height": 120, "people": people})
    path = folder / "gt.json"
    path.write_text(json.dumps({"joint_names": list(MPII16.joints), "images": entries}))
    return path


def neutral(*images: Sequence[npt.NDArray[np.float64]], **changes: Any) -> dict[str, Any]:
    """Labels of pictures ``p0`` and so on, of people [16, 3] each."""
    entries = []
    for number, people in enumerate(images):
        described = [
            {
                "joints": [None if not j[2] else [j[0], j[1], 1] for j in joints.tolist()],
                "head_box": [0, 0, 30, 40],
                "scale": 1.0,
                "objpos": [100, 100],
            }
            for joints in people
        ]
        entries.append({"id": f"p{number}", "people": described})
    return {"joint_names": list(MPII16.joints), "images": entries} | changes


def predicted(*images: Sequence[npt.NDArray[np.float64]], score: float = 0.5) -> dict[str, Any]:
    """Predictions of pictures ``p0`` and so on that put people [16, 3] there."""
    entries = []
    for number, people in enumerate(images):
        found = [{"joints": [[x, y, score] for x, y, _ in joints.tolist()], "score": score} for joints in people]
        entries.append({"id": f"p{number}", "people": found})
    return {"images": entries}


def standing(x: float = 100, y: float = 20) -> npt.NDArray[np.float64]:
    """[16, 3] somebody in MPII's joints."""
    return person(MPII16, x, y)


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def structs(records: Sequence[dict[str, Any]]) -> npt.NDArray[Any]:
    """A Matlab structure array of records with the same fields."""
    fields = list(records[0]) if records else ["none"]
    array = np.empty((1, len(records)), dtype=[(name, object) for name in fields])
    for cell, record in zip(array.ravel(), records, strict=True):
        for name in fields:
            cell[name] = record[name]
    return array


def cells(values: Sequence[Any]) -> npt.NDArray[Any]:
    """A Matlab cell array."""
    array = np.empty((1, len(values)), dtype=object)
    for number, value in enumerate(values):
        array[0, number] = value
    return array


def mpii_files(
    folder: Path,
    pictures: Sequence[Sequence[npt.NDArray[np.float64]]],
    groups: Sequence[Sequence[Sequence[int]]],
    scales: Sequence[float] = (),
) -> tuple[Path, Path]:
    """MPII's annotation file of training pictures ``0.png`` and so on, and its file of groups (1-based).

    Of a picture's people, the first have these scales, and all others 1.
    """
    from scipy.io import savemat

    images = []
    for number, people in enumerate(pictures):
        rects = [
            {
                "x1": 0.0, "y1": 0.0, "x2": 30.0, "y2": 40.0, "scale": scale,
                "objpos": structs([{"x": joints[6, 0], "y": joints[6, 1]}]),
                "annopoints": structs([{"point": structs([
                    {"x": x, "y": y, "id": float(j), "is_visible": 1} for j, (x, y, _) in enumerate(joints.tolist())
                ])}]),
            }
            for joints, scale in zip(people, [*scales, *[1.0] * len(people)], strict=False)
        ]  # fmt: skip
        images.append(
            {
                "image": structs([{"name": f"{number}.png"}]),
                "annorect": structs(rects),
                "frame_sec": 0.0,
                "vididx": 1.0,
            }
        )
    release = {
        "annolist": structs(images),
        "img_train": np.ones((1, len(images))),
        "single_person": cells([np.zeros((0, 0))] * len(images)).T,
    }
    annotations, group_file = folder / "release.mat", folder / "groups.mat"
    savemat(annotations, {"RELEASE": structs([release])})
    savemat(group_file, {"groups": cells([cells([np.array([group]) for group in own]) for own in groups])})
    return annotations, group_file
