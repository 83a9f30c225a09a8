"""A procedural place while it is put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_place_rays import SOLID, surface_table

__all__ = ["Plan"]

Doubles = npt.NDArray[np.float64]

# Solids further from the middle, in metres, shade nothing that matters.
_SHADING_REACH = 45.0


class Plan:
    """What stands where and how it is lit.

    Attributes:
        rng: where numbers come from.
        kind: what kind of place it is, for people to read.
        room: [2, 3] lowest and highest corner; NaN outdoors.
        ambient: [4, 3] and
        key_direction: [3] and
        key_colour: [3] the light, as in :class:`~ltsh_deploy.train.synth_types.Light`, in the place's axes.
        sky: [2, 3] colours at the horizon and overhead.
    """

    def __init__(self, rng: np.random.Generator, kind: str) -> None:
        self.rng, self.kind = rng, kind
        self.room: Doubles = np.full((2, 3), np.nan)
        self.ambient: Doubles = np.zeros((4, 3))
        self.key_direction: Doubles = np.array([0.0, 0.0, 1.0])
        self.key_colour: Doubles = np.zeros(3)
        self.sky: Doubles = np.zeros((2, 3))
        self._surfaces: list[tuple[int, Any, Any, float, float]] = []
        self._solids: list[tuple[Any, Any, int, int]] = []

    def surface(self, kind: int, colour: Any, second: Any, period: float = 1.0) -> int:
        """Keep a surface; its index. The first three are the ground's, the walls' and the ceiling's."""
        self._surfaces.append((kind, colour, second, period, float(self.rng.integers(1000))))
        return len(self._surfaces) - 1

    def box(self, middle: Sequence[float], half: Sequence[float], surface: int, *, blob: bool = False) -> None:
        """Put a box, or a ragged ellipsoid, around a point [3], half as large as ``half`` [3] twice."""
        self._solids.append((tuple(middle), tuple(half), int(blob), surface))

    def on_wall(
        self,
        side: int,
        along: float,
        height: float,
        width: float,
        tall: float,
        deep: float,
        surface: int,
        *,
        blob: bool = False,
    ) -> None:
        """Put a box against a wall of the room.

        Args:
            side: 0 to 3: the walls at low x, low y, high x and high y.
            along: metres along the wall from its middle.
            height: metres of the box's middle above the floor.
            width: metres along the wall; no wider than that.
            tall: metres.
            deep: metres from the wall.
            surface: an index.
            blob: whether it is a ragged ellipsoid.
        """
        axis, low = side % 2, side < 2
        length = float(self.room[1, 1 - axis])
        start, end = max(-length, along - width / 2), min(length, along + width / 2)
        middle, half = np.zeros(3), np.zeros(3)
        wall = float(self.room[0 if low else 1, axis])
        middle[axis], half[axis] = wall + (deep / 2 if low else -deep / 2), deep / 2
        middle[1 - axis], half[1 - axis] = (start + end) / 2, (end - start) / 2
        middle[2], half[2] = height, tall / 2
        if end > start:
            self.box(middle.tolist(), half.tolist(), surface, blob=blob)

    def solids(self, camera_centre: Doubles, view_point_distance: float) -> npt.NDArray[Any]:
        """[S] of SOLID: all but what stands between the camera and the people.

        Args:
            camera_centre: [3] in the place's axes.
            view_point_distance: metres along the ground from the camera to the origin, around which people stand.
        """
        table = np.zeros(len(self._solids), SOLID)
        for row, (middle, half, blob, surface) in zip(table, self._solids, strict=True):
            row["middle"], row["half"], row["blob"], row["surface"] = middle, half, blob, surface
        tall = table["half"][:, 2] > 0.05
        near = np.abs(table["middle"]).max(axis=1) - table["half"].max(axis=1) < _SHADING_REACH
        table["shades"] = tall & near
        # Along the ground, from the camera to the nearest point of each solid.
        gap = np.maximum(0, np.abs(table["middle"] - camera_centre)[:, :2] - table["half"][:, :2])
        blocking = tall & (np.hypot(gap[:, 0], gap[:, 1]) < 0.9 * view_point_distance)
        return np.asarray(table[~blocking])

    @property
    def surfaces(self) -> npt.NDArray[Any]:
        """[K] of SURFACE."""
        return surface_table(self._surfaces)

    def light_indoors(self) -> None:
        """Lamps and daylight: mostly from all around, some from one side above."""
        rng = self.rng
        strength, warm = rng.uniform(0.5, 1.1), np.exp(rng.normal(0.05, 0.12) * np.array([1.0, 0.0, -1.0]))
        self.ambient[0] = strength * warm
        self.ambient[1:] = rng.normal(0, 0.12, (3, 1)) * strength * warm
        self.ambient[3] += 0.15 * strength * warm
        self._aim_key(rng.uniform(35, 80))
        self.key_colour = rng.uniform(0.1, 0.6) * strength * np.exp(rng.normal(0, 0.08) * np.array([1.0, 0.0, -1.0]))

    def light_outdoors(self) -> None:
        """The sun and the sky, or a cloudy sky alone."""
        rng = self.rng
        sunny = rng.random() < 0.65
        strength, height = rng.uniform(0.5, 0.9), rng.uniform(15, 70)
        self._aim_key(height)
        warm = np.array([1.0, 0.93, 0.82]) if height > 30 else np.array([1.0, 0.8, 0.55])
        blue = np.array([0.8, 0.93, 1.15]) if sunny else np.ones(3) * rng.uniform(0.9, 1.05, 3)
        self.ambient[0] = strength * (0.5 if sunny else 0.9) * blue
        self.ambient[3] = 0.3 * self.ambient[0]
        self.key_colour = strength * (rng.uniform(0.9, 1.6) if sunny else rng.uniform(0.0, 0.15)) * warm
        haze = rng.uniform(0.55, 0.9)
        self.sky[0] = haze * np.array([0.9, 0.95, 1.0])
        self.sky[1] = haze * (np.array([0.22, 0.42, 0.85]) if sunny else np.array([0.75, 0.8, 0.85]))

    def _aim_key(self, height: float) -> None:
        turn, rise = self.rng.uniform(0, 2 * np.pi), np.deg2rad(height)
        self.key_direction = np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)])
