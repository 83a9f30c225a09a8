"""Procedural places as pictures, seen by a camera and lit for the people in them."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.images import Image
from ltsh_deploy.train.synth_palettes import srgb_from_linear
from ltsh_deploy.train.synth_place_plan import Plan
from ltsh_deploy.train.synth_place_rays import PlaceView
from ltsh_deploy.train.synth_places import draw_place
from ltsh_deploy.train.synth_rooms import plan_room
from ltsh_deploy.train.synth_streets import plan_outdoors
from ltsh_deploy.train.synth_types import Camera, Floats, Light

__all__ = ["draw_place_for"]

# The place is drawn with one ray for so many pixels along each side, and enlarged: backgrounds are rarely in focus.
_PIXELS_A_RAY = 2.0
# Metres around the point that the camera aims at which are left free, at least and at most.
_LEAST_FREE, _MOST_FREE = 1.5, 9.0
# sRGB values from 0 to 255, of linear light in steps of 1 / 4096.
_ENCODED = (255 * srgb_from_linear(np.arange(4097) / 4096)).astype(np.float32)


def draw_place_for(rng: np.random.Generator, camera: Camera) -> tuple[Image, Light, Floats, str]:
    """A random place around the point of the ground that a camera looks at.

    Args:
        rng: where the numbers come from.
        camera: what sees it.

    Returns:
        [H, W, 3] uint8 RGB; the light in the place, in the world's axes; [H, W] float32, 1 where ground is seen; and
        what kind of place it is.
    """
    reach = float(np.hypot(*camera.centre[:2]))
    free = float(np.clip(0.8 * reach, _LEAST_FREE, _MOST_FREE))
    indoors = rng.random() < (0.45 if camera.centre[2] < 5 else 0.25)
    plan = plan_room(rng, free, float(camera.centre[2])) if indoors else plan_outdoors(rng, free)
    turn = rng.uniform(0, 2 * math.pi)
    axes = np.array([[math.cos(turn), math.sin(turn), 0.0], [-math.sin(turn), math.cos(turn), 0.0], [0.0, 0.0, 1.0]])
    image, ground = _draw(plan, camera, axes, rng)
    ambient = np.concatenate([plan.ambient[:1], axes.T @ plan.ambient[1:]])
    light = Light(
        ambient.astype(np.float32),
        (axes.T @ plan.key_direction).astype(np.float32),
        plan.key_colour.astype(np.float32),
    )
    return image, light, ground, plan.kind


def _draw(plan: Plan, camera: Camera, axes: npt.NDArray[np.float64], rng: np.random.Generator) -> tuple[Image, Floats]:
    """The picture and the ground's share of it; ``axes`` [3, 3] holds the place's axes as rows."""
    size = tuple(max(1, math.ceil(side / _PIXELS_A_RAY)) for side in camera.size)
    scale = np.array(size) / camera.size
    view = PlaceView(
        centre=axes @ camera.centre,
        rotation=camera.rotation @ axes.T,
        focal=camera.focal * float(scale[0]),
        # Centres of pixels are whole numbers on either scale.
        principal=(np.array(camera.principal) + 0.5) * scale - 0.5,
        room=plan.room,
        solids=plan.solids(axes @ camera.centre, float(np.hypot(*camera.centre[:2]))),
        surfaces=plan.surfaces,
        ambient=plan.ambient,
        key_direction=plan.key_direction,
        key_colour=plan.key_colour,
        sky=plan.sky,
        seed=float(rng.integers(1000)),
    )
    light, ground = np.empty((size[1], size[0], 3), np.float32), np.empty((size[1], size[0]), np.float32)
    draw_place(view, light, ground)
    encoded = _ENCODED[np.asarray(np.clip(light, 0, 1) * 4096, np.int32)]
    # A little out of focus, which also hides the steps of edges.
    focused = cv2.GaussianBlur(encoded, (0, 0), rng.uniform(0.45, 0.9))
    picture = cv2.resize(focused, camera.size, interpolation=cv2.INTER_CUBIC)
    on_ground = cv2.resize(ground, camera.size, interpolation=cv2.INTER_LINEAR)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), np.asarray(on_ground, np.float32)
