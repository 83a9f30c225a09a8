"""BVH motion files: a tree of joints, and the angles of all of them frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError

__all__ = ["Motion", "read_bvh"]

Doubles = npt.NDArray[np.float64]

# Frames further apart than this differ enough to be poses of their own.
_SECONDS_APART = 0.1
_AXES = {"x": 0, "y": 1, "z": 2}
_REMEDY = "Export the motion again as a BVH file, or take the file out of the folder."


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the joints of one file are, in the file's own axes and unit; about ten frames a second of it.

    Attributes:
        names: [J] as the file has them; "" for the ends of limbs.
        parents: [J] -1 for a root.
        positions: [N, J, 3].
        rotations: [N, J, 3, 3] from the file's pose at rest.
        frames: [N] their numbers in the file, from 0.
        travels: whether the root moves, so that heights mean something.
        broken: frames that were left out since they are not a number for each channel.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    positions: Doubles
    rotations: Doubles
    frames: npt.NDArray[np.int64]
    travels: bool
    broken: int


@dataclass
class _Joint:
    name: str
    parent: int
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    channels: tuple[str, ...] = ()


def read_bvh(path: Path) -> Motion:
    """Read one file.

    Raises:
        InputError: when it cannot be read, is no BVH file, or has no whole frame. Single broken frames are counted.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", _REMEDY) from None
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip().upper() == "MOTION"), None)
    if start is None:
        raise InputError(f"{path}: no BVH file: it has no line MOTION", _REMEDY)
    try:
        joints = _read_joints(" ".join(lines[:start]))
    except (ValueError, StopIteration) as error:
        why = f": {error}" if str(error) else ", which ends too soon"
        raise InputError(f"{path}: cannot read the HIERARCHY{why}", _REMEDY) from None
    rows = [i for i in range(start + 1, len(lines)) if lines[i].strip() and ":" not in lines[i]]
    step = max(1, round(_SECONDS_APART / _frame_time(lines[start + 1 : start + 6])))
    values, frames, broken = _read_frames(lines, rows, step, sum(len(joint.channels) for joint in joints))
    if not frames:
        raise InputError(f"{path}: holds no whole frame ({broken} broken)", _REMEDY)
    positions, rotations = _pose(joints, values)
    travels = bool(np.ptp(positions[:, 0], axis=0).max() > 0)
    names, parents = tuple(joint.name for joint in joints), tuple(joint.parent for joint in joints)
    return Motion(names, parents, positions, rotations, np.array(frames), travels, broken)


def _read_joints(text: str) -> list[_Joint]:
    """The joints, parents before children; ends of limbs are joints without a name."""
    tokens = iter(text.replace("{", " { ").replace("}", " } ").split())
    if next(tokens).lstrip("\ufeff").upper() != "HIERARCHY":
        raise ValueError("it does not begin with that word")
    joints: list[_Joint] = []
    # The joint whose braces are open last is the last; what opens next is its child.
    inside: list[int] = []
    for token in tokens:
        word = token.upper()
        if word in ("ROOT", "JOINT", "END"):
            name = " ".join(iter(lambda: next(tokens), "{"))
            joints.append(_Joint("" if word == "END" else name, inside[-1] if inside else -1))
            inside.append(len(joints) - 1)
        elif word == "OFFSET" and inside:
            joints[inside[-1]].offset = tuple(_number(tokens) for _ in range(3))
        elif word == "CHANNELS" and inside:
            channels = tuple(next(tokens).lower() for _ in range(int(next(tokens))))
            for channel in channels:
                if channel[0] not in _AXES or channel[1:] not in ("position", "rotation"):
                    raise ValueError(f"unknown channel {channel!r}")
            joints[inside[-1]].channels = channels
        elif word == "}" and inside:
            inside.pop()
        else:
            raise ValueError(f"{token!r} is out of place")
    if inside or not joints:
        raise ValueError("a brace is not closed" if inside else "it has no joints")
    return joints


def _number(tokens: Iterator[str]) -> float:
    value = float(next(tokens))
    if not math.isfinite(value):
        raise ValueError(f"{value} is no offset")
    return value


def _frame_time(head: list[str]) -> float:
    """Seconds a frame; where the file does not say so, a thirtieth."""
    for line in head:
        key, _, value = line.partition(":")
        if key.strip().lower() == "frame time":
            try:
                seconds = float(value)
            except ValueError:
                break
            # A time of nought is written by programs that do not know it.
            return seconds if 1e-4 < seconds < math.inf else 1 / 30
    return 1 / 30


def _read_frames(lines: list[str], rows: list[int], step: int, channels: int) -> tuple[Doubles, list[int], int]:
    """Channels [N, C] of every ``step``-th frame, the frames' numbers, and how many were broken."""
    values, frames, broken = [], [], 0
    for number in range(0, len(rows), step):
        try:
            row = np.array(lines[rows[number]].split(), np.float64)
        except ValueError:
            row = np.zeros(0)
        if len(row) == channels and np.isfinite(row).all():
            values.append(row)
            frames.append(number)
        else:
            broken += 1
    return np.array(values).reshape(len(values), channels), frames, broken


def _pose(joints: list[_Joint], values: Doubles) -> tuple[Doubles, Doubles]:
    """Positions [N, J, 3] and rotations [N, J, 3, 3] of all joints; each channel applies within those before it."""
    count = len(values)
    positions, rotations = np.empty((count, len(joints), 3)), np.empty((count, len(joints), 3, 3))
    column = 0
    for number, joint in enumerate(joints):
        offset, turned = np.tile(np.array(joint.offset), (count, 1)), np.tile(np.eye(3), (count, 1, 1))
        for channel in joint.channels:
            axis, value = _AXES[channel[0]], values[:, column]
            column += 1
            if channel.endswith("position"):
                offset[:, axis] = value
            else:
                turned = turned @ _about_axis(axis, np.radians(value))
        if joint.parent < 0:
            positions[:, number], rotations[:, number] = offset, turned
        else:
            parent = rotations[:, joint.parent]
            positions[:, number] = positions[:, joint.parent] + np.einsum("nij,nj->ni", parent, offset)
            rotations[:, number] = parent @ turned
    return positions, rotations


def _about_axis(axis: int, angles: Doubles) -> Doubles:
    """Rotations [N, 3, 3] about a coordinate axis."""
    second, third = (axis + 1) % 3, (axis + 2) % 3
    turned = np.zeros((len(angles), 3, 3))
    turned[:, axis, axis] = 1
    turned[:, second, second] = turned[:, third, third] = np.cos(angles)
    turned[:, third, second] = np.sin(angles)
    turned[:, second, third] = -turned[:, third, second]
    return turned
