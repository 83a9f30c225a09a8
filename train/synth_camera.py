"""Cameras: how they are aimed, and drawn at random."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_types import Camera, Doubles

__all__ = [
    "aim_camera",
    "camera_rotation",
    "focal_length",
    "sample_camera",
]

# Metres above the ground.
_LOWEST_CAMERA = 0.3


def camera_rotation(pitch: float, yaw: float = 0.0, roll: float = 0.0) -> Doubles:
    """[3, 3] from world to camera coordinates.

    Args:
        pitch: degrees down from level, -90 to 90.
        yaw: degrees to the left of +Y.
        roll: degrees by which the camera leans to its right: the horizon then rises towards the picture's right.
    """
    down, left, lean = math.radians(pitch), math.radians(yaw), math.radians(roll)
    forward = np.array([-math.sin(left) * math.cos(down), math.cos(left) * math.cos(down), -math.sin(down)])
    right = np.array([math.cos(left), math.sin(left), 0.0])
    below = np.cross(forward, right)
    return np.stack(
        [
            math.cos(lean) * right + math.sin(lean) * below,
            math.cos(lean) * below - math.sin(lean) * right,
            forward,
        ]
    )


def focal_length(field_of_view: float, width: int) -> float:
    """Focal length in pixels of a camera that sees so many degrees across its width."""
    return width / 2 / math.tan(math.radians(field_of_view) / 2)


def aim_camera(
    target: npt.ArrayLike,
    distance: float,
    pitch: float,
    focal: float,
    size: tuple[int, int],
    *,
    principal: tuple[float, float] | None = None,
    yaw: float = 0.0,
    roll: float = 0.0,
) -> Camera:
    """A camera that sees a point [3] at its principal point, from a distance in metres.

    Args:
        target: in the world.
        distance: metres, above 0.
        pitch: degrees, as yaw and roll those of :func:`camera_rotation`.
        focal: in pixels.
        size: (width, height) in pixels.
        principal: (x, y); the middle of the picture by default.
        yaw: degrees.
        roll: degrees.
    """
    rotation = camera_rotation(pitch, yaw, roll)
    middle = ((size[0] - 1) / 2, (size[1] - 1) / 2) if principal is None else principal
    return Camera(rotation, np.asarray(target, np.float64) - distance * rotation[2], focal, middle, size)


def sample_camera(
    rng: np.random.Generator,
    size: tuple[int, int],
    pitch: tuple[float, float],
    person_height: tuple[float, float] = (0.19, 0.52),
) -> Camera:
    """An everyday camera, aimed at the chest of someone who stands at the origin.

    Args:
        rng: where the numbers come from.
        size: (width, height) in pixels.
        pitch: degrees, uniform from the first to the second.
        person_height: how tall someone of 1.7 m at the origin appears at least and at most, in parts of the picture's
            shorter side, seen from level; logarithmically uniform.
    """
    shorter = min(size)
    focal = focal_length(rng.uniform(30, 65), shorter)
    height = shorter * math.exp(rng.uniform(math.log(person_height[0]), math.log(person_height[1])))
    aimed = aim_camera((0.0, 0.0, 0.85), 1.7 * focal / height, rng.uniform(*pitch), focal, size, roll=rng.normal(0, 2))
    # One that looks up would be below the ground.
    x, y, z = aimed.centre.tolist()
    return replace(aimed, centre=np.array([x, y, max(z, _LOWEST_CAMERA)]))
