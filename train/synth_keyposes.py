"""The authored key poses, read from ``assets/synthetic/key_poses.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import ltsh_deploy
from ltsh_deploy.train.synth_rotations import Doubles, bend
from ltsh_deploy.train.synth_types import Pose

__all__ = ["KINDS", "KeyPose", "load_key_poses"]

#: The kinds of key poses, as the file has them.
KINDS = ("everyday", "sport", "acrobatic")
# The stances in which feet below upright shins are flat on the ground.
_FLAT = ("standing", "seated", "balancing")
_FILE = Path(ltsh_deploy.__file__).parent / "assets" / "synthetic" / "key_poses.yaml"
_KEYS = {"arms", "legs", "chest", "head", "tilt", "weight", "lift", "stance", "ankles"} | {
    f"{side}_{limb}" for side in ("left", "right") for limb in ("arm", "leg")
}


@dataclass(frozen=True, eq=False)
class KeyPose:
    """One authored pose; see :class:`~ltsh_deploy.train.synth_types.Pose` for directions and angles.

    Attributes:
        name: unique.
        kind: one of :data:`KINDS`.
        weight: how often it is drawn, against others of its kind.
        arms: [2, 2, 3].
        legs: [2, 2, 3].
        chest: [3] degrees.
        head: [3] degrees.
        tilt: [2] degrees by which the whole body is tilted forward and to the left.
        lift: metres above the ground, at most.
        stance: as a pose has it; airborne where there is a lift.
        ankles: [2] degrees, left and right.
    """

    name: str
    kind: str
    weight: float
    arms: Doubles
    legs: Doubles
    chest: Doubles
    head: Doubles
    tilt: Doubles
    lift: float
    stance: str
    ankles: Doubles

    @property
    def upright(self) -> bool:
        """Stands on its feet, so that its limbs may be mixed with those of other upright poses."""
        return self.stance == "standing" and bool(np.abs(self.tilt).max() < 20)

    def mirrored(self) -> KeyPose:
        """The same pose with left and right changed."""
        aside = np.array([1.0, -1.0, -1.0])
        return KeyPose(
            self.name, self.kind, self.weight, self.arms[::-1], self.legs[::-1],
            self.chest * aside, self.head * aside, self.tilt * aside[:2], self.lift, self.stance, self.ankles[::-1],
        )  # fmt: skip

    def posed(self, tilt: Doubles, yaw: float) -> Pose:
        """A body's pose, tilted [2] forward and to the left, then turned to the left, in degrees."""
        return Pose(
            name=self.name,
            arms=self.arms,
            legs=self.legs,
            root=bend(tilt[0], tilt[1], yaw),
            chest=self.chest,
            head=self.head,
            wrists=np.zeros((2, 2)),
            forearm_twists=np.zeros(2),
            finger_curls=np.full(2, 20.0),
            ankles=self.ankles,
            foot_turns=np.full(2, 6.0),
            flat_feet=np.full(2, self.stance in _FLAT),
            stance=self.stance,
            lift=self.lift,
        )


@lru_cache(maxsize=1)
def load_key_poses() -> tuple[KeyPose, ...]:
    """All key poses, in the file's order; read once in a process."""
    import yaml

    # PyYAML's own loader takes ten times as long as that of libyaml, which some builds lack.
    kinds = yaml.load(_FILE.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return tuple(_key_pose(kind, name, data) for kind in KINDS for name, data in kinds[kind].items())


def _key_pose(kind: str, name: str, data: Mapping[str, Any]) -> KeyPose:
    assert not set(data) - _KEYS, f"{_FILE}: {name}: unknown keys {set(data) - _KEYS}"

    def limbs(limb: str) -> Doubles:
        both = data.get(limb + "s")
        directions = np.array([data.get(f"{side}_{limb}", both) for side in ("left", "right")], np.float64)
        assert directions.shape == (2, 2, 3), f"{_FILE}: {name}: {limb}s"
        unit: Doubles = directions / np.linalg.norm(directions, axis=2, keepdims=True)
        return unit

    def angles(key: str, count: int) -> Doubles:
        return np.array(data.get(key, [0] * count), np.float64)

    stance = data.get("stance", "airborne" if "lift" in data else "standing")
    return KeyPose(
        name, kind, float(data.get("weight", 1)), limbs("arm"), limbs("leg"),
        angles("chest", 3), angles("head", 3), angles("tilt", 2),
        float(data.get("lift", 0)), stance, np.array(data.get("ankles", [10, 10]), np.float64),
    )  # fmt: skip
