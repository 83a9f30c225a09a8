"""People into a picture: rasterised, shaded, laid over a background, with their shadows on its ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from ltsh_deploy.images import Image
from ltsh_deploy.train.synth_light import LINEAR, open_ground, to_srgb
from ltsh_deploy.train.synth_raster import place_samples, rasterise
from ltsh_deploy.train.synth_shading import Buffers, Mesh, View, shade_pixels
from ltsh_deploy.train.synth_shadows import ambient_occlusion, ground_light, shadow_map
from ltsh_deploy.train.synth_types import Camera, Figure, Floats, Light, Rendered

__all__ = ["MOST_FIGURES", "join_figures", "render"]

#: A map of instances has eight bits a pixel, and 0 is nobody.
MOST_FIGURES = 255

Array = npt.NDArray[Any]

_ENCODED = np.round(to_srgb(np.arange(16385) / 16384)).astype(np.uint8)
_OCCLUSION_RADIUS = 0.16


def render(
    figures: Sequence[Figure],
    camera: Camera,
    background: Image,
    light: Light,
    textures: npt.NDArray[np.uint8],
    ground: Floats | None = None,
) -> Rendered:
    """Put people into a picture.

    The same arguments give the same bits. Where there is neither a person nor a shadow the picture is the background,
    byte for byte.

    Args:
        figures: the people, at most MOST_FIGURES; none is allowed.
        camera: of the background's size.
        background: [H, W, 3] uint8 RGB.
        light: what falls on the people.
        textures: the bank of ``synth_textures`` that the figures' materials refer to.
        ground: [H, W] float32 from 0 to 1, how far each pixel takes shadows of people if it lies below the horizon;
            by default what :func:`~ltsh_deploy.train.synth_light.open_ground` makes of the background.

    Raises:
        ValueError: for a background of another size than the camera's, or too many figures.
    """
    width, height = camera.size
    if background.shape != (height, width, 3) or background.dtype != np.uint8:
        raise ValueError(
            f"a background of uint8 {(height, width, 3)} is needed, got {background.dtype} {background.shape}"
        )
    if len(figures) > MOST_FIGURES:
        raise ValueError(f"{len(figures)} figures are more than {MOST_FIGURES}")
    buffers = Buffers(
        np.zeros((height, width, 3), np.float32),
        np.zeros((height, width), np.float32),
        np.zeros((height, width), np.uint8),
        np.zeros((height, width), np.float32),
        np.full((height, width), -1, np.int8),
    )
    image = background.copy()
    if figures:
        mesh = join_figures(figures)
        if not np.isfinite(mesh.vertices).all():
            raise ValueError("a figure has vertices that are not numbers")
        placed = place_samples(mesh.vertices, camera)
        face_ids = np.full((2 * height, 2 * width), -1, np.int32)
        inverse_depth = np.zeros((2 * height, 2 * width), np.float32)
        rasterise(placed, mesh.faces, mesh.cut, face_ids, inverse_depth)
        shadows = shadow_map(mesh.vertices, mesh.faces, mesh.cut, light.key_direction.astype(np.float64))
        occlusion = ambient_occlusion(_nearest(inverse_depth), camera.focal, _OCCLUSION_RADIUS)
        view = View(
            camera.centre,
            camera.focal,
            light.ambient.astype(np.float64),
            light.key_direction.astype(np.float64),
            light.key_colour.astype(np.float64),
            float(light.contrast),
        )
        shade_pixels(face_ids, inverse_depth, placed, mesh, view, shadows, occlusion, textures, buffers)
        taken = open_ground(background) if ground is None else ground
        shares = ground_light(camera, mesh.vertices, mesh.cut, shadows)
        from_key, from_around = _light_on_ground(light)
        _composite(buffers.colour, buffers.alpha, shares, taken, from_key, from_around, LINEAR, _ENCODED, image)
    return Rendered(image, buffers.alpha, buffers.instances, buffers.depth, buffers.kinds)


def join_figures(figures: Sequence[Figure]) -> Mesh:
    """One mesh of all figures, in their order."""
    first_vertex = np.cumsum([0, *(len(f.vertices) for f in figures)]).astype(np.int32)
    first_material = np.cumsum([0, *(len(f.materials) for f in figures)]).astype(np.int32)
    return Mesh(
        np.concatenate([f.vertices for f in figures]),
        np.concatenate([f.normals for f in figures]),
        np.concatenate([f.rest for f in figures]),
        np.concatenate([f.faces + offset for f, offset in zip(figures, first_vertex, strict=False)]),
        np.concatenate([f.cut for f in figures]),
        np.concatenate([f.tint for f in figures]),
        np.concatenate([f.face_materials + offset for f, offset in zip(figures, first_material, strict=False)]),
        np.concatenate([f.materials for f in figures]),
        np.concatenate([np.full(len(f.materials), p + 1, np.uint8) for p, f in enumerate(figures)]),
    )


def _light_on_ground(light: Light) -> tuple[Floats, Floats]:
    """[3] shares of the light on level ground that come from the key light and from all around; they sum to 1."""
    around = np.maximum(light.ambient[0] + light.ambient[3], 1e-6)
    key = light.key_colour * max(float(light.key_direction[2]), 0.0)
    return np.asarray(key / (key + around), np.float32), np.asarray(around / (key + around), np.float32)


@njit(cache=True)
def _nearest(inverse_depth: Array) -> Array:
    """[H, W] depth of the nearest of each pixel's 2 x 2 samples [2H, 2W]; 0 where all are empty."""
    height, width = inverse_depth.shape[0] // 2, inverse_depth.shape[1] // 2
    depth = np.zeros((height, width), np.float32)
    for row in range(height):
        for column in range(width):
            upper = max(inverse_depth[2 * row, 2 * column], inverse_depth[2 * row, 2 * column + 1])
            lower = max(inverse_depth[2 * row + 1, 2 * column], inverse_depth[2 * row + 1, 2 * column + 1])
            if max(upper, lower) > 0:
                depth[row, column] = 1 / max(upper, lower)
    return depth


@njit(cache=True)
def _composite(
    colour: Array,
    alpha: Array,
    shares: Array,
    taken: Array,
    from_key: Array,
    from_around: Array,
    linear: Array,
    encoded: Array,
    image: Array,
) -> None:
    """Lay people [H, W, 3], linear and times alpha, over a picture [H, W, 3] uint8 in their shadow, in place."""
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            key, around = shares[row, column, 0], shares[row, column, 1]
            behind = 1 - alpha[row, column]
            if behind == 1 and ((key == 1 and around == 1) or taken[row, column] == 0):
                continue
            for channel in range(3):
                left = from_key[channel] * key + from_around[channel] * around
                left = 1 - taken[row, column] * (1 - left)
                light = linear[image[row, column, channel]] * left * behind + colour[row, column, channel]
                image[row, column, channel] = encoded[int(min(max(light, 0.0), 1.0) * 16384 + 0.5)]
