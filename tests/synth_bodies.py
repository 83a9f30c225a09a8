"""Poses for tests, as they were authored or at random."""

from __future__ import annotations

import numpy as np

from ltsh_deploy.train.synth_keyposes import load_key_poses
from ltsh_deploy.train.synth_poses import DEFAULT_PRIOR
from ltsh_deploy.train.synth_types import Pose


def key_pose(name: str, yaw: float = 0.0) -> Pose:
    """A key pose as it was authored, turned to the left by ``yaw`` degrees."""
    found = next(key for key in load_key_poses() if key.name == name)
    return found.posed(found.tilt, yaw)


def sample_pose(rng: np.random.Generator) -> Pose:
    return DEFAULT_PRIOR.sample_pose(rng)
