"""Skeletons: which joints a person has, which limbs join them, and how one skeleton's joints become another's.

A limb's place in ``limbs`` is its place among the PAF channels: limb ``l`` owns channels ``2l`` (x) and ``2l + 1`` (y).
Nothing else in the project defines an order of joints or limbs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import SkeletonError
from ltsh_deploy.yaml_text import read_yaml

__all__ = [
    "COCO17",
    "COCO18",
    "LSP14",
    "LTSH15",
    "MPII16",
    "SKELETONS",
    "Skeleton",
    "conversion_matrix",
    "load_skeleton",
]


@dataclass(frozen=True)
class Skeleton:
    """Joints and limbs of a person.

    Attributes:
        name: a short name, as printed and stored in model files.
        joints: names in channel order. Left and right are the person's own.
        limbs: pairs of joint indices (from, to), in PAF channel order.
        flip_pairs: pairs of joint indices that swap in a mirrored picture; every other joint stays itself.
        sigmas: [J] per-joint constants of object keypoint similarity, as COCO publishes them.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    flip_pairs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.joints or len(set(self.joints)) != len(self.joints):
            raise SkeletonError(f"skeleton {self.name!r}: joint names must be present and unique, got {self.joints}")
        for a, b in (*self.limbs, *self.flip_pairs):
            if not (0 <= a < self.num_joints and 0 <= b < self.num_joints and a != b):
                raise SkeletonError(f"skeleton {self.name!r}: ({a}, {b}) are not two of its joints")
        swapped = [j for pair in self.flip_pairs for j in pair]
        if len(set(swapped)) != len(swapped):
            raise SkeletonError(f"skeleton {self.name!r}: a joint is in two flip pairs")
        if len({frozenset(limb) for limb in self.limbs}) != len(self.limbs):
            raise SkeletonError(f"skeleton {self.name!r}: a limb is listed twice")
        if len(self.sigmas) != self.num_joints or not all(0 < s < float("inf") for s in self.sigmas):
            raise SkeletonError(f"skeleton {self.name!r}: one positive OKS sigma a joint is needed")
        for limb in self.limbs:
            if self._mirror_limb(limb) is None:
                names = tuple(self.joints[j] for j in limb)
                raise SkeletonError(f"skeleton {self.name!r}: limb {names} has no mirror image among the limbs")

    @property
    def num_joints(self) -> int:
        """J."""
        return len(self.joints)

    @property
    def num_limbs(self) -> int:
        """L."""
        return len(self.limbs)

    @cached_property
    def limb_ends(self) -> npt.NDArray[np.intp]:
        """[L, 2] the limbs as an array."""
        return np.array(self.limbs, np.intp).reshape(-1, 2)

    @cached_property
    def flip_joints(self) -> tuple[int, ...]:
        """[J] the joint that each joint becomes in a mirrored picture."""
        partner = {j: k for a, b in self.flip_pairs for j, k in ((a, b), (b, a))}
        return tuple(partner.get(j, j) for j in range(self.num_joints))

    @cached_property
    def flip_limbs(self) -> tuple[tuple[int, bool], ...]:
        """[L] for each limb, the limb it becomes in a mirrored picture and whether its direction turns round too."""
        mirrored = (self._mirror_limb(limb) for limb in self.limbs)
        return tuple(m for m in mirrored if m is not None)

    def _mirror_limb(self, limb: tuple[int, int]) -> tuple[int, bool] | None:
        a, b = self.flip_joints[limb[0]], self.flip_joints[limb[1]]
        if (a, b) in self.limbs:
            return self.limbs.index((a, b)), False
        if (b, a) in self.limbs:
            return self.limbs.index((b, a)), True
        return None

    def to_dict(self) -> dict[str, Any]:
        """The form stored in model files and YAML; :meth:`from_dict` reads it."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "limbs": [[self.joints[a], self.joints[b]] for a, b in self.limbs],
            "flip_pairs": [[self.joints[a], self.joints[b]] for a, b in self.flip_pairs],
            "sigmas": list(self.sigmas),
        }

    @classmethod
    def from_dict(cls, data: object, where: str = "skeleton") -> Skeleton:
        """Read :meth:`to_dict`'s form. Limbs and flip pairs may name joints or number them.

        Where ``flip_pairs`` is left out, left_* and right_* joints of the same name swap; where ``sigmas`` is, COCO's
        constants are taken for the joints COCO knows and 0.1 for others.

        Raises:
            SkeletonError: naming ``where`` and the key that is wrong.
        """
        if not isinstance(data, Mapping):
            raise SkeletonError(f"{where}: a skeleton is a mapping with 'name', 'joints' and 'limbs'", _TEMPLATE)
        unknown = set(data) - {"name", "joints", "limbs", "flip_pairs", "sigmas"}
        if unknown:
            raise SkeletonError(f"{where}: unknown skeleton keys {sorted(map(str, unknown))}", _TEMPLATE)
        joints = data.get("joints")
        if not isinstance(joints, list | tuple) or not all(isinstance(j, str) for j in joints):
            raise SkeletonError(f"{where}: 'joints' must be a list of names", _TEMPLATE)
        names = tuple(joints)
        limbs = _pairs(data.get("limbs"), names, f"{where}: 'limbs'")
        flip_pairs = _pairs(data.get("flip_pairs", _sided_pairs(names)), names, f"{where}: 'flip_pairs'")
        sigmas = data.get("sigmas", [_SIGMAS.get(_plain_name(n), _DEFAULT_SIGMA) for n in names])
        try:
            sigmas = tuple(float(s) for s in sigmas)
        except (TypeError, ValueError, OverflowError):
            raise SkeletonError(f"{where}: 'sigmas' must be a list of numbers", _TEMPLATE) from None
        try:
            skeleton = cls(str(data.get("name", "unnamed")), names, limbs, flip_pairs, sigmas)
        except SkeletonError as error:
            raise SkeletonError(f"{where}: {error.message}", _TEMPLATE) from None
        if SKELETONS.get(skeleton.name, skeleton) != skeleton:
            raise SkeletonError(f"{where}: {skeleton.name!r} is a built-in skeleton with other joints", "Rename yours.")
        return skeleton


def _pairs(data: object, names: tuple[str, ...], where: str) -> tuple[tuple[int, int], ...]:
    """Pairs of joint indices from pairs of joint names or indices."""

    def index(joint: object) -> int:
        if isinstance(joint, int) and not isinstance(joint, bool) and 0 <= joint < len(names):
            return joint
        if isinstance(joint, str) and joint in names:
            return names.index(joint)
        raise SkeletonError(f"{where} names the unknown joint {joint!r}", _TEMPLATE)

    if not isinstance(data, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in data):
        raise SkeletonError(f"{where} must be a list of pairs of joints", _TEMPLATE)
    return tuple((index(a), index(b)) for a, b in data)


def _sided_pairs(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """(right_*, left_*) index pairs of joints that differ in nothing but the side."""
    sided = ((n, "left_" + n.removeprefix("right_")) for n in names if n.startswith("right_"))
    return tuple((names.index(right), names.index(left)) for right, left in sided if left in names)


def _plain_name(name: str) -> str:
    return name.removeprefix("left_").removeprefix("right_")


# COCO's published constants; head top and neck as the CrowdPose benchmark sets them. COCO has no trunk centre: it is
# given the hips' constant, the loosest, since it is never labelled but computed from others.
_SIGMAS: Mapping[str, float] = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062, "hip": 0.107,
    "knee": 0.087, "ankle": 0.089, "head_top": 0.079, "neck": 0.079, "thorax": 0.079, "pelvis": 0.107,
    "torso_centre": 0.107,
}  # fmt: skip
_DEFAULT_SIGMA = 0.1

_TEMPLATE = """A skeleton file is YAML like this:
  name: my_skeleton
  joints: [head_top, neck, left_shoulder, right_shoulder]
  limbs: [[head_top, neck], [neck, left_shoulder], [neck, right_shoulder]]
  flip_pairs: [[left_shoulder, right_shoulder]]   # optional: left_* and right_* pair up by name
  sigmas: [0.079, 0.079, 0.079, 0.079]            # optional: OKS constants"""


def _skeleton(name: str, joints: str, limbs: str) -> Skeleton:
    """Shorthand of this module: names and limbs in one string each, r_ and l_ for right_ and left_."""
    long = tuple(re.sub("^l_", "left_", re.sub("^r_", "right_", j)) for j in joints.split())
    pairs = tuple((int(a), int(b)) for a, b in (limb.split("-") for limb in limbs.split()))
    return Skeleton(name, long, pairs, _sided_pairs(long), tuple(_SIGMAS[_plain_name(j)] for j in long))


#: The project's own 15 joints: MPII's without pelvis and thorax, plus the centre of the torso.
LTSH15 = _skeleton(
    "ltsh15",
    "head_top neck r_shoulder r_elbow r_wrist l_shoulder l_elbow l_wrist "
    "r_hip r_knee r_ankle l_hip l_knee l_ankle torso_centre",
    "0-1 1-2 2-3 3-4 1-5 5-6 6-7 1-14 14-8 8-9 9-10 14-11 11-12 12-13",
)
#: MPII Human Pose, in the order of its joint ids; its "upper neck" is called neck.
MPII16 = _skeleton(
    "mpii16",
    "r_ankle r_knee r_hip l_hip l_knee l_ankle pelvis thorax neck head_top "
    "r_wrist r_elbow r_shoulder l_shoulder l_elbow l_wrist",
    "9-8 8-7 7-12 12-11 11-10 7-13 13-14 14-15 7-6 6-2 2-1 1-0 6-3 3-4 4-5",
)
#: Leeds Sports Pose and its extension.
LSP14 = _skeleton(
    "lsp14",
    "r_ankle r_knee r_hip l_hip l_knee l_ankle r_wrist r_elbow r_shoulder l_shoulder l_elbow l_wrist neck head_top",
    "13-12 12-8 8-7 7-6 12-9 9-10 10-11 8-2 2-1 1-0 9-3 3-4 4-5 2-3",
)
#: COCO keypoints, with the limbs COCO's own tools draw.
COCO17 = _skeleton(
    "coco17",
    "nose l_eye r_eye l_ear r_ear l_shoulder r_shoulder l_elbow r_elbow l_wrist r_wrist "
    "l_hip r_hip l_knee r_knee l_ankle r_ankle",
    "15-13 13-11 16-14 14-12 11-12 5-11 6-12 5-6 5-7 6-8 7-9 8-10 1-2 0-1 0-2 1-3 2-4 3-5 4-6",
)
#: OpenPose's 18 joints of its COCO model, limbs in its order.
COCO18 = _skeleton(
    "coco18",
    "nose neck r_shoulder r_elbow r_wrist l_shoulder l_elbow l_wrist r_hip r_knee r_ankle l_hip l_knee l_ankle "
    "r_eye l_eye r_ear l_ear",
    "1-2 1-5 2-3 3-4 5-6 6-7 1-8 8-9 9-10 1-11 11-12 12-13 1-0 0-14 14-16 0-15 15-17 2-16 5-17",
)

SKELETONS: Mapping[str, Skeleton] = {s.name: s for s in (LTSH15, MPII16, LSP14, COCO17, COCO18)}

# Joints that a skeleton lacks but that its other joints define: (joint, ((source joint, weight), ...)), tried in order.
_DERIVED: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = (
    ("torso_centre", (("pelvis", 0.5), ("thorax", 0.5))),
    ("torso_centre", (("neck", 0.5), ("left_hip", 0.25), ("right_hip", 0.25))),
    ("neck", (("left_shoulder", 0.5), ("right_shoulder", 0.5))),
)


@lru_cache(maxsize=64)
def conversion_matrix(source: Skeleton, target: Skeleton) -> npt.NDArray[np.float64]:
    """[J_target, J_source] weights that turn the joints of ``source`` into those of ``target``, by name.

    A row of one 1 is a joint of the same name; a row of several weights is the neck (mean of the shoulders) or the
    torso centre (mean of pelvis and thorax, else of neck and mid-hip) where ``source`` lacks it; a row of zeros is a
    joint that ``source`` cannot give.

    Raises:
        SkeletonError: when not one joint of the target can be had.
    """

    identity: npt.NDArray[np.float64] = np.eye(source.num_joints)

    def row(name: str) -> npt.NDArray[np.float64] | None:
        if name in source.joints:
            own: npt.NDArray[np.float64] = identity[source.joints.index(name)]
            return own
        for derived, parts in _DERIVED:
            rows = [row(part) for part, _ in parts] if derived == name else [None]
            if all(r is not None for r in rows):
                weighted = [w * r for (_, w), r in zip(parts, rows, strict=True) if r is not None]
                total: npt.NDArray[np.float64] = np.sum(weighted, axis=0)
                return total
        return None

    matrix = np.zeros((target.num_joints, source.num_joints))
    for j, name in enumerate(target.joints):
        weights = row(name)
        if weights is not None:
            matrix[j] = weights
    if not matrix.any():
        raise SkeletonError(f"skeletons {source.name!r} and {target.name!r} share no joint")
    matrix.flags.writeable = False
    return matrix


def load_skeleton(name_or_path: str | Path) -> Skeleton:
    """A built-in skeleton by name, or a user's own from a YAML file.

    Raises:
        SkeletonError: when there is neither, or the file does not hold a sound skeleton.
    """
    if str(name_or_path).lower() in SKELETONS:
        return SKELETONS[str(name_or_path).lower()]
    path = Path(name_or_path)
    try:
        data = read_yaml(path)
    except OSError as error:
        message = f"{path}: neither a built-in skeleton ({', '.join(SKELETONS)}) nor a readable file"
        raise SkeletonError(f"{message} ({error.strerror})", _TEMPLATE) from None
    except ValueError as error:
        raise SkeletonError(f"{path}: {error}", _TEMPLATE) from None
    return Skeleton.from_dict(data, where=str(path))
