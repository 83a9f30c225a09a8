"""Where the people come from: bodies, poses and clothes drawn at random, and places among each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_body import load_body, sample_shape
from ltsh_deploy.train.synth_bvh import MotionLibrary, motion_files, read_mocap
from ltsh_deploy.train.synth_collision import CAPSULE_RADII, figures_collide
from ltsh_deploy.train.synth_digests import digest_of_files
from ltsh_deploy.train.synth_figure import dress
from ltsh_deploy.train.synth_poses import DEFAULT_PRIOR, sample_posed_body
from ltsh_deploy.train.synth_textures import cloth_textures
from ltsh_deploy.train.synth_types import Figure

__all__ = ["Cast", "describe_motions", "draw_number", "find_place"]

#: People in a picture, at most: instances are numbered with 8 bits, and annotated people may come to them.
MOST_PEOPLE = 200

_PLACES_TRIED = 30
# Metres beyond the capsules within which clothes are looked at.
_MARGIN = 0.05
# How many of the poses come from the user's motions, where there are any.
_FROM_MOTIONS = 0.5


class Cast:
    """Draws clothed, posed people.

    Args:
        mocap: folder of BVH files to take poses from too, or None.

    Raises:
        InputError: when the folder holds no motion that can be used.
    """

    def __init__(self, mocap: Path | None) -> None:
        self._body = load_body()
        self._motions = None if mocap is None else _motions_in(mocap)
        self.textures = cloth_textures().bank

    def draw(self, rng: np.random.Generator, rejected: Counter[str]) -> Figure:
        """One person, whose lowest point is on the ground, or above it in a jump, and whose pelvis is above the origin.

        Args:
            rng: where the numbers come from.
            rejected: takes the poses in which the body runs into itself.
        """
        shape = sample_shape(self._body, rng)
        own = self._motions is None or rng.random() >= _FROM_MOTIONS
        source = DEFAULT_PRIOR if own or self._motions is None else self._motions
        posed, collided = sample_posed_body(self._body, shape, source, rng)
        rejected["self_collision"] += collided
        figure = dress(self._body, posed, rng)
        return replace(figure, attributes={**figure.attributes, "pose_parameters": posed.pose})


def draw_number(rng: np.random.Generator, mean: float) -> int:
    """How many people a picture shall have: Poisson, but at least one, since a picture of nobody teaches nothing."""
    return int(np.clip(rng.poisson(mean), 1, MOST_PEOPLE))


def find_place(
    figure: Figure,
    others: Sequence[Figure],
    draw_offset: Callable[[Figure], npt.NDArray[np.float64] | None],
    rejected: Counter[str],
) -> Figure | None:
    """The figure where nobody else is, or None when no such place was found.

    Args:
        figure: at the origin.
        others: who are placed already.
        draw_offset: gives [3] where to try the figure, or None for a place that will not do for another reason.
        rejected: takes the places that were tried in vain.
    """
    reach = _reach(figure)
    reaches = [_reach(other) for other in others]
    for _ in range(_PLACES_TRIED):
        offset = draw_offset(figure)
        if offset is None:
            rejected["out_of_view"] += 1
            continue
        moved = figure.moved(offset)
        middle = reach.middle + offset
        near = [
            other
            for other, its in zip(others, reaches, strict=True)
            if np.linalg.norm(middle - its.middle) < reach.radius + its.radius
        ]
        if not any(figures_collide(moved, other) for other in near):
            return moved
        rejected["collision"] += 1
    rejected["no_place"] += 1
    return None


class _Reach(NamedTuple):
    """A ball that holds a figure's capsules, and so much more that two figures whose balls are apart are so too."""

    middle: npt.NDArray[np.float64]
    radius: float


def _reach(figure: Figure) -> _Reach:
    ends = np.concatenate([figure.capsules_start, figure.capsules_end]).astype(np.float64)
    middle = (ends.min(axis=0) + ends.max(axis=0)) / 2
    return _Reach(middle, float(np.linalg.norm(ends - middle, axis=1).max() + CAPSULE_RADII.max()) + _MARGIN)


@lru_cache(maxsize=1)
def _motions_in(folder: Path) -> MotionLibrary:
    return read_mocap(folder)


def describe_motions(folder: Path | None) -> dict[str, Any] | None:
    """What a folder of motion files holds, as JSON values, with a digest of its files' names and contents.

    Raises:
        InputError: when it holds no motion that can be used.
    """
    if folder is None:
        return None
    motions = _motions_in(folder)
    return {
        "poses": len(motions),
        "files": len(motions.clips),
        "skipped_files": len(motions.skipped),
        "broken_frames": motions.broken_frames,
        "digest": digest_of_files(folder, motion_files(folder)),
    }
