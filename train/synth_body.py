"""The body that synthetic people are made of, and people's shapes.

Vertices, skin weights and statistics come from MakeHuman (CC0 1.0); ``tools/bake_body.py`` made the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import ltsh_deploy
from ltsh_deploy.errors import UsageError
from ltsh_deploy.skeletons import MPII16
from ltsh_deploy.train.synth_types import Body, Regions, Shape

__all__ = ["JOINT_STYLES", "load_body", "sample_shape"]

_FILE = Path(ltsh_deploy.__file__).parent / "assets" / "synthetic" / "body.npz"
_GROUPS = ("body", "tights", "skirt", "hair", "left_eye", "right_eye")
# Metres from where the head's bone begins to the middle of the head.
_HEAD_MIDDLE = 0.06
# The vertex at the crown of the head.
_HEAD_TOP = 881
# Each joint as a weighted mean of bone heads; those of a left side stand for the right as well. The hip of MakeHuman's
# skeleton lies 2 cm above the middle of the femur's head and to the side of it.
_JOINTS = {
    "left_shoulder": {"upperarm01.L": 1.0},
    "left_elbow": {"lowerarm01.L": 1.0},
    "left_wrist": {"wrist.L": 1.0},
    "left_hip": {"upperleg01.L": 0.86, "upperleg01.R": 0.09, "lowerleg01.L": 0.05},
    "left_knee": {"lowerleg01.L": 1.0},
    "left_ankle": {"foot.L": 1.0},
    "thorax": {"clavicle.L": 0.5, "clavicle.R": 0.5},
    "neck": {"neck02": 0.5, "neck03": 0.5},
}
# How people who label photographs differ from anatomy: how a joint is moved, by a share of the way from one joint to
# another. Measured against the labels of LSP extended: our hips come out 0.065
# of the trunk too high and 0.07 too far in, the neck 0.08 too high, the ankles 0.05 too low.
_LABELLED = {
    "left_hip": (("thorax", "pelvis", 0.065), ("right_hip", "left_hip", 0.19)),
    "right_hip": (("thorax", "pelvis", 0.065), ("left_hip", "right_hip", 0.19)),
    "neck": (("neck", "thorax", 0.32),),
    "left_ankle": (("left_ankle", "left_knee", 0.06),),
    "right_ankle": (("right_ankle", "right_knee", 0.06),),
}
#: Where joints are taken to be: where bones meet, or where labels of photographs are.
JOINT_STYLES: Mapping[str, Mapping[str, tuple[tuple[str, str, float], ...]]] = {
    "anatomical": {},
    "lsp": _LABELLED,
}
# MakeHuman's ages, of a baby, a child, a young and an old adult, in years.
_AGES = (0.0, 1 / 3, 2 / 3, 1.0), (1.0, 10.0, 25.0, 90.0)


@lru_cache(maxsize=len(JOINT_STYLES))
def load_body(joints: str = "anatomical") -> Body:
    """The body; read once in a process.

    Args:
        joints: one of :data:`JOINT_STYLES`.

    Raises:
        UsageError: when there is no such style.
    """
    if joints not in JOINT_STYLES:
        raise UsageError(f"no joints are known as {joints!r}", f"Known are {', '.join(JOINT_STYLES)}.")
    with np.load(_FILE) as file:
        data = {key: file[key] for key in file.files}
    names = tuple(str(name) for name in data["bone_names"])
    mean, heads = data["mean"], data["mean_bone_heads"]
    bones, weights = data["skin_bones"].astype(np.int32), data["skin_weights"].astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    attributes = {str(name): data["sample_attributes"][:, i] for i, name in enumerate(data["attribute_names"])}
    return Body(
        mean=mean,
        basis=data["basis"].astype(np.float32),
        bone_names=names,
        bone_parents=data["bone_parents"].astype(np.int32),
        mean_bone_heads=heads,
        bone_basis=data["bone_basis"].astype(np.float32),
        skin_bones=bones,
        skin_weights=weights,
        triangles={name: data[f"triangles_{name}"].astype(np.int32) for name in _GROUPS},
        joint_bone_weights=_joint_weights(names, joints),
        head_top=_HEAD_TOP,
        sample_coefficients=data["sample_coefficients"],
        sample_attributes=attributes,
        regions=_regions(mean, heads, names, bones, weights),
    )


def sample_shape(body: Body, rng: np.random.Generator) -> Shape:
    """A new person: somewhere between two of the bodies that the statistics were made from, nearer to the first."""
    first, second = rng.integers(len(body.sample_coefficients), size=2)
    share = np.float32(0.5 * rng.beta(0.6, 0.6))

    def mixed(values: npt.NDArray[np.float32]) -> Any:
        return (1 - share) * values[first] + share * values[second]

    coefficients = mixed(body.sample_coefficients)
    # Not by matrix products: BLAS rounds differently with each number of threads, and pictures are to be made again.
    vertices = body.mean + np.einsum("k,kvi->vi", coefficients, body.basis)
    heads = body.mean_bone_heads + np.einsum("k,kbi->bi", coefficients, body.bone_basis)
    attributes = {name: float(np.clip(mixed(values), 0, 1)) for name, values in body.sample_attributes.items()}
    attributes["height_parameter"] = attributes.pop("height")
    attributes["age_years"] = float(np.interp(attributes["age"], *_AGES))
    stature = vertices[body.head_top, 2] - vertices[:, 2].min()
    return Shape(vertices, heads, {**attributes, "height": float(stature)})


def _joint_weights(names: tuple[str, ...], style: str) -> npt.NDArray[np.float32]:
    """[J, B], see :class:`Body`."""
    rows = np.zeros((MPII16.num_joints, len(names)), np.float32)
    other = {"L": "R", "R": "L"}
    for joint, parts in _JOINTS.items():
        for bone, weight in parts.items():
            rows[MPII16.joints.index(joint), names.index(bone)] = weight
            if joint.startswith("left_"):
                mirrored = names.index(bone[:-1] + other[bone[-1]])
                rows[MPII16.joints.index("right_" + joint.removeprefix("left_")), mirrored] = weight
    hips = [MPII16.joints.index(side + "_hip") for side in ("left", "right")]
    rows[MPII16.joints.index("pelvis")] = rows[hips].mean(axis=0)
    styled = rows.copy()
    for joint, steps in JOINT_STYLES[style].items():
        for start, end, share in steps:
            step = rows[MPII16.joints.index(end)] - rows[MPII16.joints.index(start)]
            styled[MPII16.joints.index(joint)] += np.float32(share) * step
    styled[MPII16.joints.index("pelvis")] = styled[hips].mean(axis=0)
    return styled


def _regions(
    mean: npt.NDArray[np.float32],
    heads: npt.NDArray[np.float32],
    names: tuple[str, ...],
    bones: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float32],
) -> Regions:
    """Measured along the bones of the average body; the left side's serve both, since that body is symmetric."""

    def weight_of(*prefixes: str) -> npt.NDArray[np.float32]:
        chosen = np.array([name.startswith(prefixes) for name in names])
        summed: npt.NDArray[np.float32] = np.sum(weights * chosen[bones], axis=1, dtype=np.float32)
        return summed

    def head(name: str) -> Any:
        return heads[names.index(name)]

    def along(start: str, end: str) -> Any:
        axis = head(end) - head(start)
        return (folded - head(start)) @ axis / (axis @ axis)

    folded = mean.copy()
    folded[:, 0] = np.abs(folded[:, 0])
    arm_weight = weight_of("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
    forearm = along("lowerarm01.L", "wrist.L")
    arm = np.where(forearm > 0, 1 + forearm, np.minimum(along("upperarm01.L", "lowerarm01.L"), 1))
    hip, knee, ankle = (head(name)[2] for name in ("upperleg01.L", "lowerleg01.L", "foot.L"))
    height = mean[:, 2]
    leg = np.where(height > knee, (hip - height) / (hip - knee), 1 + (knee - height) / (knee - ankle))
    return Regions(
        arm=(arm_weight * arm - 0.6 * (1 - arm_weight)).astype(np.float32),
        leg=np.where(arm_weight > 0.5, -9, leg).astype(np.float32),
        neck=(height - head("neck01")[2]).astype(np.float32),
        arm_weight=arm_weight,
        head_weight=weight_of("head", "neck03", "eye."),
        head_offset=mean - head("head") - np.array([0, 0, _HEAD_MIDDLE], np.float32),
    )
