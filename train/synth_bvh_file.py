"""BVH motion files: a tree of joints, and the angles of all of them frame by frame."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.json_checks import short

__all__ = ["Motion", "read_bvh"]

Doubles = npt.NDArray[np.float64]

# Frames further apart than this differ enough to be poses of their own.
_SECONDS_APART = 0.1
_COUNT = re.compile(r"[0-9]{1,9}")
_BRACES = re.compile(r"[{}]")
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
        odd: how the number of frames differs from what the file says it is; "" where it does not. Of more frames
            those beyond the number are left out, and of fewer the last where it was cut off.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    positions: Doubles
    rotations: Doubles
    frames: npt.NDArray[np.int64]
    travels: bool
    broken: int
    odd: str = ""


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
        raise InputError(f"{path}: no BVH file, or one that is cut off: it has no line MOTION", _REMEDY)
    words = _Words(lines[:start])
    try:
        joints = _read_joints(words)
    except ValueError as error:
        raise InputError(f"{path}, line {words.line}: cannot read the HIERARCHY: {error}", _REMEDY) from None
    rows = [i for i in range(start + 1, len(lines)) if lines[i].strip() and ":" not in lines[i]]
    head = range(start + 1, min(start + 6, len(lines)))
    said = _frame_count(lines, head, path)
    odd = "" if said in (None, len(rows)) else f"it says {said} frames and has {len(rows)}"
    if said is not None and len(rows) < said and not text.endswith(("\n", "\r")):
        # Where the file was cut off within a number, what is left of it is a number too.
        rows = rows[:-1]
    step = max(1, round(_SECONDS_APART / _frame_time([lines[i] for i in head])))
    channels = sum(len(joint.channels) for joint in joints)
    values, frames, broken = _read_frames(lines, rows[:said], step, channels)
    if not frames:
        raise InputError(f"{path}: holds no whole frame ({broken} broken{odd and '; ' + odd})", _REMEDY)
    positions, rotations = _pose(joints, values)
    travels = bool(np.ptp(positions[:, 0], axis=0).max() > 0)
    names, parents = tuple(joint.name for joint in joints), tuple(joint.parent for joint in joints)
    return Motion(names, parents, positions, rotations, np.array(frames), travels, broken, odd)


class _Words:
    """The words of some lines, one after the other; ``line`` is the number, from 1, of the one read last."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.line = 1
        self._left = (
            (number, word) for number, line in enumerate(lines, 1) for word in _BRACES.sub(r" \g<0> ", line).split()
        )

    def next(self) -> str | None:
        """The next word; None at the end."""
        number, word = next(self._left, (self.line, None))
        self.line = number
        return word

    def must(self, what: str) -> str:
        """The next word.

        Raises:
            ValueError: when there is none; it says what is missing.
        """
        word = self.next()
        if word is None:
            raise ValueError(f"it ends where {what} should be")
        return word


def _read_joints(words: _Words) -> list[_Joint]:
    """The joints, parents before children; ends of limbs are joints without a name.

    Raises:
        ValueError: when the words are no hierarchy.
    """
    if words.must("HIERARCHY").lstrip("\ufeff").upper() != "HIERARCHY":
        raise ValueError("it does not begin with that word")
    joints: list[_Joint] = []
    # The joint whose braces are open last is the last; what opens next is its child.
    inside: list[int] = []
    while (token := words.next()) is not None:
        word = token.upper()
        if word in ("ROOT", "JOINT", "END"):
            name = " ".join(iter(lambda: words.must("a joint's name and brace"), "{"))
            joints.append(_Joint("" if word == "END" else name, inside[-1] if inside else -1))
            inside.append(len(joints) - 1)
        elif word == "OFFSET" and inside:
            joints[inside[-1]].offset = _read_offset(words)
        elif word == "CHANNELS" and inside:
            joints[inside[-1]].channels = _read_channels(words)
        elif word == "}" and inside:
            inside.pop()
        else:
            raise ValueError(f"{short(token)} is out of place")
    if inside or not joints:
        raise ValueError("a brace is not closed" if inside else "it has no joints")
    return joints


def _read_offset(words: _Words) -> tuple[float, ...]:
    numbers = []
    for _ in range(3):
        word = words.must("a joint's offset")
        try:
            numbers.append(float(word))
        except ValueError:
            raise ValueError(f"{short(word)} is no number of an offset") from None
        if not math.isfinite(numbers[-1]):
            raise ValueError(f"{word} is no offset")
    return tuple(numbers)


def _read_channels(words: _Words) -> tuple[str, ...]:
    count = words.must("a number of channels")
    if not _COUNT.fullmatch(count):
        raise ValueError(f"{short(count)} is no number of channels")
    channels = []
    for _ in range(int(count)):
        channel = words.must("a channel")
        kind = channel.lower()
        if kind[0] not in _AXES or kind[1:] not in ("position", "rotation"):
            raise ValueError(f"unknown channel {short(channel)}")
        channels.append(kind)
    return tuple(channels)


def _frame_count(lines: Sequence[str], head: range, path: Path) -> int | None:
    """How many frames the file says that it has; None where it does not say so.

    Raises:
        InputError: when what it says is no number.
    """
    for i in head:
        key, _, value = lines[i].partition(":")
        if key.strip().lower() == "frames":
            if not _COUNT.fullmatch(value.strip()):
                raise InputError(f"{path}, line {i + 1}: {short(value.strip())} is no number of frames", _REMEDY)
            return int(value)
    return None


def _frame_time(head: Sequence[str]) -> float:
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


def _read_frames(lines: Sequence[str], rows: Sequence[int], step: int, channels: int) -> tuple[Doubles, list[int], int]:
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
