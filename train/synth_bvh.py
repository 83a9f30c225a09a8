"""Poses from a user's motion files, as an alternative to the authored ones.

Only directions of limbs are taken, so that it does not matter how long a file's bones are, in what unit, or how its
skeleton stands at rest.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltsh_deploy.datasets.files import visible_files
from ltsh_deploy.errors import InputError
from ltsh_deploy.train.synth_bvh_file import Motion, read_bvh
from ltsh_deploy.train.synth_bvh_poses import PARTS, Clip, clip_of
from ltsh_deploy.train.synth_types import Pose

__all__ = ["MotionLibrary", "find_limbs", "motion_files", "read_mocap"]

_log = logging.getLogger(__name__)

# What the parts of a limb are called, the surer names first: where a file has both LeftShoulder and LeftArm, the first
# is a collar bone.
_ALIASES = {
    "upper_arm": ("upperarm", "uparm", "arm", "shldr", "shoulder"),
    "forearm": ("forearm", "lowerarm", "lowarm", "elbow"),
    "hand": ("wrist", "hand"),
    "thigh": ("upperleg", "upleg", "thigh", "hip"),
    "shin": ("lowerleg", "lowleg", "shin", "calf", "knee", "leg"),
    "foot": ("ankle", "foot"),
}
_NAMES = {name for names in _ALIASES.values() for name in names}
# What programs put before the names of joints.
_PREFIX = re.compile(r"^(mixamorig\d*|bip\d+|character\d*|skeleton|skel|def|b)[ _.-]+")
_SHOWN = 3
_LONGEST_LIST = 400
_REMEDY = (
    "Its arms and legs must be named as in LeftArm, LeftForeArm, LeftHand, LeftUpLeg, LeftLeg, LeftFoot and the same "
    "with Right; names of Mixamo, Unreal, Biped, Poser and Kinect skeletons are known too."
)

_NO_LENGTH = "Export the motion again with the lengths of its bones, or take the file out of the folder."


@dataclass(frozen=True, eq=False)
class MotionLibrary:
    """All poses of a folder of motion files.

    Attributes:
        clips: one a file, in the order of their names.
        skipped: file and reason of those that could not be used.
        broken_frames: how many frames of the used files were left out.
    """

    clips: tuple[Clip, ...]
    skipped: tuple[tuple[Path, str], ...]
    broken_frames: int

    def __len__(self) -> int:
        return sum(len(clip) for clip in self.clips)

    def sample_pose(self, rng: np.random.Generator) -> Pose:
        """A pose, each frame as likely as the others; mirrored or not, turned any way about the vertical."""
        number = int(rng.integers(len(self)))
        for clip in self.clips:
            if number < len(clip):
                break
            number -= len(clip)
        return clip.pose(number, rng)


def read_mocap(folder: Path) -> MotionLibrary:
    """Read all BVH files in a folder and the folders in it.

    What cannot be used, files or frames, is left out and counted in one warning.

    Raises:
        InputError: when the folder cannot be read, or not one file can be used.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no folder of motion files", "Give a folder with BVH files in it.")
    files = motion_files(folder)
    if not files:
        raise InputError(f"{folder}: holds no BVH files", "Give a folder with files that end in .bvh.")
    clips, skipped, odd, broken, remedy = [], [], list[str](), 0, ""
    for path in files:
        try:
            motion = read_bvh(path)
            clip = clip_of(motion, find_limbs(motion, path), path.stem)
            if not len(clip):
                raise InputError(f"{path}: in no frame do all limbs have a length", _NO_LENGTH)
        except InputError as error:
            skipped.append((path, error.message))
            remedy = remedy or error.remedy
            continue
        clips.append(clip)
        odd += [f"{path}: {motion.odd}"] if motion.odd else []
        broken += motion.broken + len(motion.frames) - len(clip)
    reasons = "; ".join(reason for _, reason in skipped[:_SHOWN])
    more = f" and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
    if not clips:
        raise InputError(f"{folder}: not one of {len(files)} motion files can be used: {reasons}{more}", remedy)
    if skipped:
        _log.warning("%s: left out %d of %d motion files: %s%s", folder, len(skipped), len(files), reasons, more)
    if odd:
        _log.warning("%s: in %d motion files, frames are missing or too many (first: %s)", folder, len(odd), odd[0])
    if broken:
        _log.warning("%s: left out %d broken frames", folder, broken)
    return MotionLibrary(tuple(clips), tuple(skipped), broken)


def motion_files(folder: Path) -> list[Path]:
    """The BVH files in a folder and the folders in it, by name."""
    return [path for path in visible_files(folder, "**/*") if path.suffix.lower() == ".bvh" and path.is_file()]


def find_limbs(motion: Motion, where: object) -> dict[str, Sequence[int]]:
    """The joints in which limbs begin and end, by their names.

    Returns:
        For each part of :data:`PARTS`, the joint indices on the left and on the right side.

    Raises:
        InputError: when a joint is missing or is no descendant of the one before it in its limb.
    """
    known: dict[tuple[str, str], int] = {}
    for joint, name in enumerate(motion.names):
        known.setdefault(_side_and_part(name), joint)
    limbs: dict[str, Sequence[int]] = {}
    for part in PARTS:
        for name in _ALIASES[part]:
            # Both sides by the same name, lest a collar bone be taken for the upper arm that is called something else.
            found = [known.get((side, name), -1) for side in ("l", "r")]
            if -1 not in found and (name != "shoulder" or _carry_elbows(motion, found, known)):
                limbs[part] = found
                break
    missing = [part.replace("_", " ") for part in PARTS if part not in limbs]
    if missing:
        names = ", ".join(name for name in motion.names if name)
        shown = names if len(names) < _LONGEST_LIST else names[:_LONGEST_LIST] + " ..."
        raise InputError(f"{where}: unknown joints: no {', no '.join(missing)} of either side among {shown}", _REMEDY)
    for upper, lower in (("upper_arm", "forearm"), ("forearm", "hand"), ("thigh", "shin"), ("shin", "foot")):
        for first, second in zip(limbs[upper], limbs[lower], strict=True):
            if first not in _ancestors(motion, second):
                chain = f"{motion.names[second]} does not hang on {motion.names[first]}"
                raise InputError(f"{where}: unknown joints: {chain}", _REMEDY)
    return limbs


def _carry_elbows(motion: Motion, shoulders: Sequence[int], known: Mapping[tuple[str, str], int]) -> bool:
    """Whether what is called a shoulder is the upper arm, on which the elbow hangs, and no collar bone."""
    elbows = [known[key] for key in known if key[1] in _ALIASES["forearm"]]
    return set(shoulders) <= {motion.parents[elbow] for elbow in elbows}


def _ancestors(motion: Motion, joint: int) -> list[int]:
    above = []
    while (joint := motion.parents[joint]) >= 0:
        above.append(joint)
    return above


def _side_and_part(name: str) -> tuple[str, str]:
    """ "l" or "r" and what is left of a joint's name; "" where it has no side."""
    plain = _PREFIX.sub("", name.rpartition(":")[2].lower())
    for pattern in (
        r"(?P<side>left|right)(?P<part>.+)",
        r"(?P<part>.+)(?P<side>left|right)",
        r"(?P<side>[lr])[ _.-](?P<part>.+)",
        r"(?P<part>.+)[ _.-](?P<side>[lr])",
        r"(?P<side>[lr])(?P<part>.+)",
    ):
        match = re.fullmatch(pattern, plain)
        if match:
            part = re.sub(r"[ _.-]|0?1$", "", match["part"])
            if part in _NAMES:
                return match["side"][0], part
    return "", plain
