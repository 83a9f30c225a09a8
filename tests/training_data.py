"""Small data sets and configurations for the tests of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Sample, SampleList
from ltsh_deploy.skeletons import LTSH15, Skeleton
from ltsh_deploy.train.config import RunConfig
from ltsh_deploy.train.config_file import parse_config

#: A network that trains in milliseconds.
TINY_NETWORK: dict[str, Any] = {
    "stem_channels": 4,
    "channels": [4, 6, 8],
    "blocks": [1, 1, 1],
    "expansions": [1, 1, 1],
    "feature_channels": 8,
    "refinement_blocks": 1,
}

# A standing person, 200 pixels tall, around (0, 0): LTSH15's joints.
_STANDING = np.array(
    [
        [0, -100], [0, -66], [-21, -60], [-30, -25], [-34, 5], [21, -60], [30, -25], [34, 5],
        [-14, 5], [-16, 52], [-17, 96], [14, 5], [16, 52], [17, 96], [0, -30],
    ],
    np.float64,
)  # fmt: skip


def person(rng: np.random.Generator, centre: tuple[float, float], height: float = 100.0) -> npt.NDArray[np.float64]:
    """[15, 3] a person of about this height, every joint labelled."""
    joints = _STANDING * (height / 200) + centre + rng.normal(0, height / 100, _STANDING.shape)
    return np.concatenate([joints, np.full((15, 1), 2.0)], axis=1)


def picture(
    rng: np.random.Generator, people: npt.NDArray[np.float64], size: tuple[int, int], skeleton: Skeleton = LTSH15
) -> bytes:
    """A PNG with the people's limbs drawn, each limb in its own colour."""
    image = np.full((size[1], size[0], 3), rng.integers(60, 120), np.uint8)
    for joints in people:
        for limb, (a, b) in enumerate(skeleton.limbs):
            if joints[[a, b], 2].all():
                ends = [tuple(int(v) for v in np.rint(joints[j, :2])) for j in (a, b)]
                cv2.line(image, *ends, (17 * limb, 255 - 17 * limb, 40 * (limb % 6)), 5)
    data: bytes = cv2.imencode(".png", image)[1].tobytes()
    return data


def make_samples(
    count: int,
    *,
    synthetic: bool = False,
    val: int = 0,
    seed: int = 0,
    pitch: Callable[[int], float] = lambda i: i % 4,
) -> SampleList:
    """One person a picture; the last ``val`` of them are for validation. The i-th synthetic one has that pitch."""
    rng = np.random.default_rng([seed, synthetic])
    samples = []
    for i in range(count):
        centre = (80 + rng.uniform(-8, 8), 70 + rng.uniform(-8, 8))
        joints = person(rng, centre)[None]
        samples.append(
            Sample(
                id=f"p{i}",
                image=picture(rng, joints, (160, 140)),
                skeleton=LTSH15,
                joints=joints,
                centres=np.array([centre]),
                scales=np.array([0.5]),
                is_synthetic=np.array([synthetic]),
                trainable=np.array([True]),
                characteristics={"camera_pitch": np.array([float(pitch(i))])} if synthetic else {},
                split="val" if i >= count - val else "train",
            )
        )
    return SampleList(samples, "synthetic" if synthetic else "real", LTSH15)


def real(path: object, **options: Any) -> SampleList:
    """A data set of kind ``tests.training_data:real``."""
    return make_samples(24, val=4)


def synthetic(path: object, **options: Any) -> SampleList:
    """A data set of kind ``tests.training_data:synthetic``, in four groups by camera pitch."""
    return make_samples(32, synthetic=True)


def tiny_config(**changes: Any) -> RunConfig:
    """A run of a few steps."""
    data: dict[str, Any] = {
        "network": {"name": "ltsh_light", "config": TINY_NETWORK},
        "data": {
            "sets": {
                "real": {"kind": "tests.training_data:real", "path": "."},
                "synthetic": {"kind": "tests.training_data:synthetic", "path": "."},
            },
            "mix": {"real": 1.0},
            "validation": "real",
        },
        "size": [64, 64],
        "batch": 4,
        "steps": 6,
        "optimiser": {"lr": 0.002},
        "average": 0.9,
        "validation": {"every": 4},
        "checkpoint_every": 2,
        "log_every": 1,
        "device": "cpu",
    }
    return parse_config(data | changes, "test")
