"""The bodies of the demo picture's people: balls along their bones, with clothes, hair and skin.

Lengths are parts of a person's height; x points to the right, y down from 0 at the ground, z towards the viewer.
Colours are linear light.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["FINE", "HAIR", "POSTURES", "SHIRT", "SKIN", "TROUSER", "TRUNK", "Figure", "at", "linear", "make_figure"]

Point = npt.NDArray[np.float64]

SKIN, SHIRT, TROUSER, _SHOE, HAIR = range(5)
# Groups of balls. Right limbs have 0 to 6, left ones 20 to 26, what lies between 40 to 53.
TRUNK = 40  # the shirt but for its sleeves
_HAND, _SEAT, _HEAD, _NECK, _LOCKS, _SCALP = 6, 41, 50, 51, 52, 53
FINE = (_HAND, 20 + _HAND, _HEAD, _NECK, _LOCKS, _SCALP)  # those with small shapes, which must not be smoothed away

# Degrees from hanging straight down, outwards positive: upper arm, forearm, thigh and shin of the person's right, then
# left. Then how far towards the viewer right and left forearm, right and left shin come.
POSTURES = (
    ((9, 3, 4, 2), (10, 4, 5, 1), (14, 18, 0, 0)),
    ((70, 165, 5, 3), (11, 5, 4, 1), (8, 15, 0, 0)),
    ((10, 4, 7, 2), (44, -36, 3, 2), (15, 14, 0, 0)),
    ((15, 8, 3, 4), (13, 2, 6, -2), (40, 5, 0, -28)),
    ((128, 166, 8, 4), (132, 170, 9, 3), (8, 8, 0, 0)),
    ((36, -52, 4, 2), (12, 4, 8, 5), (30, 12, 0, 0)),
)

_SKINS = ("f1c9a5", "e0ac86", "c68a5f", "9a6440", "6e442c")
_HAIRS = ("1d1613", "2b1c14", "4a2f1b", "8a6236", "3a3532")
_SHIRTS = ("b3232b", "1f4e8c", "e9e6df", "2f6b45", "d8a02c", "5b3a78", "23262d", "7fb0c9")
_TROUSERS = ("27385c", "1c1f26", "6b6150", "3e4a3a", "47566e")
_SHOES = ("e6e4e0", "1a1a1c", "6a3b22", "9a1f24")


@dataclass(frozen=True)
class Figure:
    """One person.

    Attributes:
        joints: where the joints and features of the face are, by name.
        balls: [B, 6] x, y, z, radius, part (an index into ``colours``) and group: balls of one group make one surface.
        colours: [parts, 3].
        stripes: of the shirt, from top to bottom; 0 for none.
    """

    joints: dict[str, Point]
    balls: npt.NDArray[np.float64]
    colours: npt.NDArray[np.float64]
    stripes: float


def linear(colour: str) -> npt.NDArray[np.float64]:
    """[3] linear light of a colour written as in HTML."""
    return (np.frombuffer(bytes.fromhex(colour), np.uint8) / 255.0) ** 2.2


def make_figure(posture: int, rng: np.random.Generator) -> Figure:
    """A person in one of :data:`POSTURES`, with clothes, hair and skin of its own."""
    turn = math.radians(rng.uniform(-16, 16))
    joints = _joints(posture, rng)
    sleeve, shorts, long_hair = rng.choice([0.5, 1.0]), rng.random() < 0.25, rng.random() < 0.45
    balls = np.array(list(_balls(joints, float(sleeve), shorts, long_hair)))
    palette = (_SKINS, _SHIRTS, _TROUSERS, _SHOES, _HAIRS)
    colours = np.array([linear(str(rng.choice(names))) for names in palette])
    spin = np.array([[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]])
    balls[:, :3] = balls[:, :3] @ spin.T
    joints = {name: spin @ xyz for name, xyz in joints.items()}
    return Figure(joints, balls, colours, float(rng.choice([0.0, 0.0, 30.0, 130.0])))


def _joints(posture: int, rng: np.random.Generator) -> dict[str, Point]:
    right, left, forward = POSTURES[posture % len(POSTURES)]
    joints = {
        "head_top": (0, -1.0, 0), "neck": (0, -0.862, 0), "pelvis": (0, -0.53, 0), "thorax": (0, -0.81, 0),
        "torso_centre": (0, -0.67, 0), "right_eye": (-0.0185, -0.937, 0.043), "left_eye": (0.0185, -0.937, 0.043),
        "nose": (0, -0.915, 0.054), "mouth": (0, -0.892, 0.042),
    }  # fmt: skip
    placed = {name: np.array(xyz, dtype=float) for name, xyz in joints.items()}
    for side, name, angles, arm_z, leg_z in (
        (-1, "right", right, forward[0], forward[2]),
        (1, "left", left, forward[1], forward[3]),
    ):
        bent = [angle + rng.uniform(-4, 4) for angle in angles]
        raised = max(0.0, math.sin(math.radians(max(0.0, bent[0] - 60))))
        start = np.array([side * (0.110 - 0.018 * raised), -0.805 - 0.024 * raised, 0])
        for joint, length, angle, towards in (
            ("shoulder", 0.0, 0.0, 0.0), ("elbow", 0.178, bent[0], 0.0), ("wrist", 0.15, bent[1], arm_z),
            ("hand", 0.075, bent[1], arm_z),
        ):  # fmt: skip
            start = start + length * _direction(side * angle, towards)
            placed[f"{name}_{joint}"] = start
        start = np.array([side * 0.056, -0.515, 0])
        for joint, length, angle, towards in (
            ("hip", 0.0, 0.0, 0.0), ("knee", 0.235, bent[2], -0.6 * leg_z), ("ankle", 0.23, bent[3], leg_z)
        ):  # fmt: skip
            start = start + length * _direction(side * angle, towards)
            placed[f"{name}_{joint}"] = start
        ankle = placed[f"{name}_ankle"]
        placed[f"{name}_toe"] = ankle + at(side * 0.034, 0.040, 0.10)
    lowest = max(placed["right_ankle"][1], placed["left_ankle"][1])
    return {name: xyz - [0, lowest + 0.048, 0] for name, xyz in placed.items()}


def _direction(angle: float, towards: float) -> Point:
    a, t = math.radians(angle), math.radians(towards)
    return np.array([math.sin(a) * math.cos(t), math.cos(a) * math.cos(t), math.sin(t)])


def at(x: float, y: float, z: float) -> Point:
    """[3] a place, or a way to go."""
    return np.array([x, y, z])


def _chain(part: int, group: int, *keys: tuple[Point, float]) -> Iterable[list[float]]:
    """Balls from key to key (centre, radius), close enough to look like one body."""
    for (a, ra), (b, rb) in pairwise(keys):
        steps = max(2, math.ceil(float(np.linalg.norm(b - a)) / (0.16 * max(ra, rb))))
        for t in np.linspace(0, 1, steps):
            yield [*(a + t * (b - a)), ra + t * (rb - ra), part, group]


def _balls(j: dict[str, Point], sleeve: float, shorts: bool, long_hair: bool) -> Iterable[list[float]]:
    top, seat, hem = j["head_top"], j["pelvis"], j["pelvis"] + at(0, 0.02, 0)
    for side, name in ((-1, "right"), (1, "left")):
        group = 10 + 10 * side  # 0 and 20
        hip, knee, ankle, toe = (j[f"{name}_{n}"] for n in ("hip", "knee", "ankle", "toe"))
        shoulder, elbow, wrist, hand = (j[f"{name}_{n}"] for n in ("shoulder", "elbow", "wrist", "hand"))
        lower = hip + 0.9 * (knee - hip) if shorts else ankle + 0.06 * (knee - ankle)
        calf = knee + 0.3 * (ankle - knee) + at(0, 0, -0.008)
        yield from _chain(SKIN, group + 1, (knee, 0.031), (calf, 0.034), (ankle, 0.021))
        if shorts:
            yield from _chain(TROUSER, group + 2, (hip, 0.062), (lower, 0.048))
        else:
            yield from _chain(TROUSER, group + 2, (hip, 0.061), (knee, 0.041), (calf, 0.041), (lower, 0.034))
        heel = ankle + at(0, 0.022, -0.024)
        yield from _chain(_SHOE, group + 3, (heel, 0.026), (ankle + 0.5 * (toe - ankle), 0.027), (toe, 0.021))
        cuff = elbow + 0.85 * (wrist - elbow) if sleeve == 1 else shoulder + 0.62 * (elbow - shoulder)
        yield from _chain(SKIN, group + 4, (shoulder, 0.028), (elbow, 0.0245), (wrist, 0.0175))
        keys = [(shoulder, 0.036), (elbow, 0.030), (cuff, 0.024)] if sleeve == 1 else [(shoulder, 0.036), (cuff, 0.035)]
        yield from _chain(SHIRT, group + 5, *keys)
        yield from _hand(wrist, hand, side, group + _HAND)
        chest, waist = j["thorax"] + at(0.062 * side, 0.05, 0), j["torso_centre"] + at(0.047 * side, 0.045, 0)
        trunk = [(shoulder + at(-0.03 * side, 0.006, 0), 0.037), (chest, 0.058), (waist, 0.054)]
        yield from _chain(SHIRT, TRUNK, *trunk, (hem + at(0.056 * side, 0, 0.004), 0.066))
        yield from _chain(SHIRT, TRUNK, (shoulder, 0.034), (j["neck"] + at(0.028 * side, 0.018, -0.012), 0.020))
        yield from _chain(SHIRT, TRUNK, (hem + at(0.056 * side, 0, 0.004), 0.066), (hem, 0.072))
        yield from _chain(TROUSER, _SEAT, (seat + at(0.045 * side, 0.02, 0), 0.056), (hip + 0.35 * (knee - hip), 0.054))
        yield from _chain(
            SKIN, 50, (top + at(0.046 * side, 0.066, -0.004), 0.011), (top + at(0.045 * side, 0.08, 0), 0.008)
        )
        if long_hair:
            lock = [(top + at(0.038 * side, 0.04, -0.016), 0.026), (top + at(0.050 * side, 0.11, -0.020), 0.023)]
            yield from _chain(HAIR, _LOCKS, *lock, (top + at(0.048 * side, 0.178, -0.006), 0.016))
        yield from _chain(
            HAIR, 53, (top + at(0.012 * side, 0.040, -0.008), 0.0500), (top + at(0, 0.070, -0.024), 0.047)
        )
    yield from _chain(
        SHIRT, TRUNK, (j["thorax"] + at(0, 0.045, 0.004), 0.060), (j["torso_centre"], 0.062), (hem, 0.072)
    )
    yield from _chain(SKIN, _NECK, (j["neck"] + at(0, 0.030, 0.031), 0.028), (top + at(0, 0.125, -0.004), 0.029))
    skull = [(top + at(0, 0.048, 0), 0.047), (top + at(0, 0.088, 0.002), 0.041), (top + at(0, 0.108, 0.010), 0.026)]
    yield from _chain(SKIN, _HEAD, *skull)
    yield from _chain(SKIN, _HEAD, (top + at(0, 0.07, 0.041), 0.006), (j["nose"], 0.0085))


def _hand(wrist: Point, hand: Point, side: int, group: int) -> Iterable[list[float]]:
    along = hand - wrist
    across = np.cross(along, [0, 0, 1])
    yield from _chain(SKIN, group, (wrist, 0.0165), (wrist + 0.65 * along, 0.022))
    for finger, reach in ((-0.20, 1.15), (-0.06, 1.3), (0.08, 1.3), (0.21, 1.15)):
        tip = wrist + reach * along + 1.2 * finger * across
        yield from _chain(SKIN, group, (wrist + 0.75 * along + finger * across, 0.0075), (tip, 0.0062))
    thumb = wrist + 0.3 * along - side * 0.2 * across
    yield from _chain(SKIN, group, (thumb, 0.010), (thumb + 0.42 * along - side * 0.16 * across, 0.007))
