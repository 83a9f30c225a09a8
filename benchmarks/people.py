"""Random people, as joints: the input that tests and benchmarks of the decoder share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ltsh_deploy.skeletons import Skeleton

__all__ = ["random_people"]

# A standing person of height 1 around the origin, y down.
_STANDING = {
    "head_top": (0.0, -0.50), "nose": (0.0, -0.42), "neck": (0.0, -0.32), "thorax": (0.0, -0.30),
    "pelvis": (0.0, 0.02), "torso_centre": (0.0, -0.15), "eye": (0.025, -0.44), "ear": (0.045, -0.43),
    "shoulder": (0.11, -0.31), "elbow": (0.16, -0.13), "wrist": (0.18, 0.04), "hip": (0.07, 0.02),
    "knee": (0.08, 0.26), "ankle": (0.08, 0.50),
}  # fmt: skip


def random_people(
    rng: np.random.Generator,
    count: int,
    skeleton: Skeleton,
    size: tuple[int, int],
    *,
    height: tuple[float, float] = (0.25, 0.9),
    apart: float = 16.0,
    inside: bool = True,
) -> npt.NDArray[np.float64]:
    """[count, J, 2] joints, in pixels, of people with random places, sizes, turns and limbs.

    Args:
        rng: source of everything random.
        count: how many people.
        skeleton: whose joints to give; its names must be those of the built-in skeletons.
        size: (W, H) of the picture.
        height: range of the people's heights, as parts of H; halved again and again while people find no room.
        apart: pixels that any two people's joints of one kind keep from each other, so that each has a peak of its own.
        inside: whether all joints lie on the picture; otherwise only the people's centres do.
    """
    sided = [n.removeprefix("left_").removeprefix("right_") for n in skeleton.joints]
    sign = [-1 if n.startswith("right_") else 1 for n in skeleton.joints]
    standing = np.array([(_STANDING[n][0] * s, _STANDING[n][1]) for n, s in zip(sided, sign, strict=True)])
    people: list[npt.NDArray[np.float64]] = []
    failures = 0
    while len(people) < count:
        tall = rng.uniform(*height) * size[1] * 0.5 ** (failures // 200)
        turn = rng.normal(0, 0.3)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        body = standing * [rng.uniform(0.3, 1.0) * rng.choice([-1, 1]), 1] + rng.normal(0, 0.03, standing.shape)
        person = body @ rotation.T * tall + rng.uniform((0, 0), size)
        fits = not inside or ((person >= 0) & (person <= np.array(size) - 1)).all()
        if fits and all((np.hypot(*(person - other).T) >= apart).all() for other in people):
            people.append(person)
        else:
            failures += 1
    return np.array(people).reshape(count, skeleton.num_joints, 2)
