"""Who is who from frame to frame, and steadier joints.

People are matched to tracks greedily by object keypoint similarity (OKS); joints are steadied, where asked for, by
one-euro filters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.fields import FloatArray
from ltsh_deploy.poses import Poses

__all__ = ["OneEuroFilter", "Tracker", "TrackerConfig", "oks", "pose_areas"]


@dataclass(frozen=True)
class TrackerConfig:
    """What a tracker does; the cutoffs matter only when it smooths.

    Attributes:
        min_oks: a person continues a track only when at least this similar to its last pose, 0 to 1.
        max_age: seconds that a track outlives its last sight.
        smooth: filter each track's joints.
        min_cutoff: Hz; the lower, the steadier a joint at rest.
        beta: Hz for each body size a second; the higher, the less a fast joint lags behind. A body size is the square
            root of the pose's area, so that near and far people are filtered alike.
        d_cutoff: Hz, of the filter of the speeds.
    """

    min_oks: float = 0.2
    max_age: float = 1.0
    smooth: bool = False
    min_cutoff: float = 1.0
    beta: float = 5.0
    d_cutoff: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.min_oks <= 1:
            raise ValueError(f"min_oks must lie in (0, 1], got {self.min_oks}")
        if not self.max_age >= 0 or not self.beta >= 0:
            raise ValueError(f"max_age and beta must not be negative, got {self.max_age} and {self.beta}")
        if not (self.min_cutoff > 0 and self.d_cutoff > 0):
            raise ValueError(f"cutoffs must be positive, got {self.min_cutoff} and {self.d_cutoff}")


def oks(xy_a: FloatArray, xy_b: FloatArray, area: FloatArray | float, sigmas: FloatArray) -> FloatArray:
    """Object keypoint similarity of every pair of people, as COCO defines it.

    The mean of exp(-d^2 / (2 s^2 k^2)) over the joints present in both, with d the joint's distance, s^2 the area and
    k = 2 sigma; 0 where no joint is present in both.

    Args:
        xy_a: [P, J, 2], NaN where absent.
        xy_b: [Q, J, 2], likewise, in the same unit.
        area: s^2 of each pair, positive: anything that broadcasts to [P, Q]; [P, 1] for one a person of ``xy_a``.
        sigmas: [J].

    Returns:
        [P, Q] in [0, 1].
    """
    both = _present(xy_a)[:, None] & _present(xy_b)[None]
    # Scaling before squaring keeps even absurd coordinates from overflowing into NaN.
    size = np.sqrt(np.broadcast_to(area, both.shape[:2]))[:, :, None, None] * (2 * np.asarray(sigmas))[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        offsets = np.where(both[..., None], xy_a[:, None] - xy_b[None], 0.0) / size
        likeness = np.where(both, np.exp(-0.5 * (offsets**2).sum(axis=3)), 0.0)
    mean: FloatArray = likeness.sum(axis=2) / np.maximum(both.sum(axis=2), 1)
    return mean


def pose_areas(xy: FloatArray) -> FloatArray:
    """[P] square pixels that people cover, judged by the box around their joints.

    A box's shorter side counts as at least a third of its longer one, since nobody is as thin as a line; a single joint
    counts as a pixel.

    Args:
        xy: [P, J, 2], NaN where absent.
    """
    present = _present(xy)[:, :, None]
    low = np.where(present, xy, np.inf).min(axis=1, initial=np.inf)
    high = np.where(present, xy, -np.inf).max(axis=1, initial=-np.inf)
    sides = np.where(high > low, np.clip(high, -1e9, 1e9) - np.clip(low, -1e9, 1e9), 0.0)
    longer = sides.max(axis=1)
    areas: FloatArray = np.maximum(longer * np.maximum(sides.min(axis=1), longer / 3), 1.0)
    return areas


class OneEuroFilter:
    """Steadies a set of joints: strongly at rest, hardly in motion. Each joint by itself, frames at any times.

    Casiez, Roussel, Vogel: 1 euro filter (CHI 2012). With T the time since the last frame, x the new position and
    x^ the last result, and alpha(f) = 1 / (1 + 1 / (2 pi f T)):

        dx^ = alpha(d_cutoff) * (x - x^) / T + (1 - alpha(d_cutoff)) * dx^
        x^  = alpha(f) * x + (1 - alpha(f)) * x^   with   f = min_cutoff + beta * |dx^|

    The speed |dx^| is that of the joint in the plane, so the result does not depend on how the axes lie.

    Args:
        min_cutoff: Hz.
        beta: Hz for each unit of speed.
        d_cutoff: Hz.
    """

    def __init__(self, min_cutoff: float = 1.0, beta: float = 5.0, d_cutoff: float = 1.0) -> None:
        self._min_cutoff, self._beta, self._d_cutoff = min_cutoff, beta, d_cutoff
        self._time = math.nan
        self._xy: FloatArray | None = None
        self._speed: FloatArray = np.zeros(0)

    def __call__(self, xy: FloatArray, time_s: float, unit: float = 1.0) -> FloatArray:
        """The steadied joints.

        Args:
            xy: [J, 2]; NaN where a joint is absent. A joint that comes back starts anew where it is.
            time_s: seconds, not before the last call's. At the same time as the last call, joints stay where they were.
            unit: speeds are measured in this many units of ``xy`` a second.

        Returns:
            [J, 2], NaN where absent.
        """
        if self._xy is None:
            self._xy, self._speed = np.full(xy.shape, np.nan), np.zeros(xy.shape)
        interval = 0.0 if math.isnan(self._time) else max(0.0, time_s - self._time)
        present = _present(xy)[:, None]
        known = present & _present(self._xy)[:, None]
        step = np.subtract(xy, self._xy, out=np.zeros(xy.shape), where=known)
        if interval > 0:
            a = _alpha(self._d_cutoff, interval)
            self._speed = np.where(known, a * step / (unit * interval) + (1 - a) * self._speed, 0.0)
        cutoff = self._min_cutoff + self._beta * np.linalg.norm(self._speed, axis=1, keepdims=True)
        moved = np.where(known, self._xy, xy) + _alpha(cutoff, interval) * step
        self._xy = np.where(present, moved, np.nan)
        self._time = time_s
        return self._xy.copy()


def _alpha(cutoff: Any, interval: float) -> Any:
    """How much a new value counts, from the cutoff in Hz and the seconds since the last one."""
    turns = 2 * math.pi * cutoff * interval
    return turns / (1 + turns)


@dataclass
class _Track:
    number: int
    xy: FloatArray
    seen: float
    smoother: OneEuroFilter


class Tracker:
    """Gives people ids that last from frame to frame. One for each video; not for several threads at once.

    Args:
        config: see :class:`TrackerConfig`.
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self._config = config or TrackerConfig()
        self._tracks: list[_Track] = []
        self._time = -math.inf
        self._next = 1

    def update(self, poses: Poses, time_s: float) -> Poses:
        """The same people with ids, from 1; a new person gets the next number, and none is given twice.

        Who has which id depends on the poses, not on the order they come in.

        Args:
            poses: one frame's people.
            time_s: the frame's time in seconds. A time before the last frame's counts as that one's; one that is more
                than ``max_age`` before it (a video that starts again) ends all tracks.

        Raises:
            ValueError: when ``time_s`` is NaN or infinite.
        """
        if not math.isfinite(time_s):
            raise ValueError(f"a frame's time must be a number, got {time_s}")
        config = self._config
        if time_s < self._time - config.max_age:
            self._tracks = []
        else:
            time_s = max(time_s, self._time)
        self._time = time_s
        self._tracks = [track for track in self._tracks if time_s - track.seen <= config.max_age]
        order = _canonical_order(poses)
        matched = self._match(poses, order)
        ids, xy = np.zeros(len(poses), np.int64), np.array(poses.xy, dtype=np.float64)
        for p in order:
            track = matched.get(p)
            if track is None:
                smoother = OneEuroFilter(config.min_cutoff, config.beta, config.d_cutoff)
                track = _Track(self._next, poses.xy[p], time_s, smoother)
                self._next += 1
                self._tracks.append(track)
            track.xy, track.seen, ids[p] = poses.xy[p], time_s, track.number
            if config.smooth:
                xy[p] = track.smoother(xy[p], time_s, unit=math.sqrt(pose_areas(xy[p : p + 1])[0]))
        return replace(poses, xy=xy, ids=ids)

    def _match(self, poses: Poses, order: list[int]) -> dict[int, _Track]:
        """The track that each person continues: the most similar pair first, then the most similar that is left."""
        if not self._tracks or not order:
            return {}
        old, new = np.stack([track.xy for track in self._tracks]), poses.xy[order]
        # Parts of a person come and go, and the box with them: the two frames' mean is the steadier measure.
        area = (pose_areas(old)[:, None] + pose_areas(new)[None]) / 2
        likeness = oks(old, new, area, np.array(poses.skeleton.sigmas))
        matched: dict[int, _Track] = {}
        taken: set[int] = set()
        for pair in np.argsort(-likeness, axis=None, kind="stable").tolist():
            t, p = divmod(pair, len(order))
            if likeness[t, p] < self._config.min_oks:
                break
            if t not in taken and order[p] not in matched:
                matched[order[p]] = self._tracks[t]
                taken.add(t)
        return matched


def _canonical_order(poses: Poses) -> list[int]:
    """People's indices in an order that follows from their scores and joints alone, the best first."""
    keys = np.column_stack([-poses.scores, poses.xy[:, :, 0], poses.xy[:, :, 1], poses.joint_scores])
    return [int(p) for p in np.lexsort(keys.T[::-1])]


def _present(xy: FloatArray) -> npt.NDArray[np.bool_]:
    """[..., J] which of [..., J, 2] are there."""
    return np.isfinite(xy[..., 0]) & np.isfinite(xy[..., 1])
