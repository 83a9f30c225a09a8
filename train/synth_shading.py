"""From the triangles that samples see to the colours of pixels, compiled.

Albedo times light: an ambient light that varies with the surface's direction, a key light with a shadow map, highlights
of the key light (Blinn-Phong, normalised), and ambient occlusion. Colours are linear.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ltsh_deploy.train.synth_raster import triangle_weights
from ltsh_deploy.train.synth_shadows import ShadowMap, lit_share
from ltsh_deploy.train.synth_surface import bend_normal, surface_colour

__all__ = ["Buffers", "Mesh", "View", "shade_pixels"]

Array = npt.NDArray[Any]
Triple = tuple[float, float, float]

# Linear light that contrast leaves as it is.
_MIDDLE_GREY = 0.18


class Mesh(NamedTuple):
    """All figures as one mesh; the arrays of :class:`~ltsh_deploy.train.synth_types.Figure`, one after the other.

    ``owners`` [M] uint8 says whose each material is: p + 1 for figure p.
    """

    vertices: Array
    normals: Array
    rest: Array
    faces: Array
    cut: Array
    tint: Array
    face_materials: Array
    materials: Array
    owners: Array


class View(NamedTuple):
    """The camera and the lights.

    Attributes:
        centre: [3] the camera's.
        focal: in pixels.
        ambient: [4, 3], as in :class:`~ltsh_deploy.train.synth_types.Light`.
        key_direction: [3].
        key_colour: [3].
        contrast: as in :class:`~ltsh_deploy.train.synth_types.Light`.
    """

    centre: Array
    focal: float
    ambient: Array
    key_direction: Array
    key_colour: Array
    contrast: float


class Buffers(NamedTuple):
    """What is written for each pixel.

    Attributes:
        colour: [H, W, 3] float32 linear, times alpha.
        alpha: [H, W] float32 in quarters: how much of the pixel is people.
        instances: [H, W] uint8 as ``Mesh.owners``. This and the next two where at least half of the pixel is people.
        depth: [H, W] float32 metres.
        kinds: [H, W] int8 kind of material.
    """

    colour: Array
    alpha: Array
    instances: Array
    depth: Array
    kinds: Array


class _Scratch(NamedTuple):
    """Room for one point's vectors, made once: [2, 3], [2, 3], [3] and [3]."""

    texture_edges: Array
    edges: Array
    normal: Array
    colour: Array


@njit(cache=True)
def shade_pixels(
    face_ids: Array,
    inverse_depth: Array,
    placed: Array,
    mesh: Mesh,
    view: View,
    shadows: ShadowMap,
    occlusion: Array,
    textures: Array,
    buffers: Buffers,
) -> None:
    """Shade what is seen, once for each surface within a pixel rather than for each of its 2 x 2 samples.

    Args:
        face_ids: [2H, 2W] int32 the triangle that each sample sees, or -1.
        inverse_depth: [2H, 2W] float32.
        placed: [N, 3] clip coordinates.
        mesh: the figures.
        view: the camera and the lights.
        shadows: of the key light.
        occlusion: [H, W] float32 from 0 to 1, the share of ambient light.
        textures: the bank of ``synth_textures``.
        buffers: written; the caller fills kinds with -1 and the others with 0.
    """
    scratch = _Scratch(np.empty((2, 3)), np.empty((2, 3)), np.empty(3), np.empty(3))
    # Of each surface within a pixel: the triangle and place of its first sample, inverse depth, number of samples.
    faces, columns, rows = np.empty(4, np.int64), np.empty(4, np.int64), np.empty(4, np.int64)
    nearness, counts = np.empty(4, np.float32), np.empty(4, np.int64)
    for row in range(buffers.alpha.shape[0]):
        for column in range(buffers.alpha.shape[1]):
            surfaces, covered = 0, 0
            for v in range(2 * row, 2 * row + 2):
                for u in range(2 * column, 2 * column + 2):
                    face, near = face_ids[v, u], inverse_depth[v, u]
                    if face < 0:
                        continue
                    covered += 1
                    s = 0
                    while s < surfaces and not (
                        mesh.face_materials[face] == mesh.face_materials[faces[s]]
                        and abs(near - nearness[s]) < 0.04 * near * near
                    ):
                        s += 1
                    if s == surfaces:
                        faces[s], columns[s], rows[s], nearness[s], counts[s] = face, u, v, near, 0
                        surfaces += 1
                    counts[s] += 1
            if covered == 0:
                continue
            largest = 0
            for s in range(surfaces):
                if counts[s] > counts[largest]:
                    largest = s
                f = faces[s]
                corners = mesh.faces[f, 0], mesh.faces[f, 1], mesh.faces[f, 2]
                weights = triangle_weights(placed, corners[0], corners[1], corners[2], columns[s], rows[s])
                _shade(mesh, f, weights, view, shadows, occlusion[row, column], textures, scratch)
                for channel in range(3):
                    buffers.colour[row, column, channel] += 0.25 * counts[s] * scratch.colour[channel]
            buffers.alpha[row, column] = 0.25 * covered
            if covered >= 2:
                material = mesh.face_materials[faces[largest]]
                buffers.instances[row, column] = mesh.owners[material]
                buffers.depth[row, column] = 1 / nearness[largest]
                buffers.kinds[row, column] = mesh.materials[material].kind


@njit(cache=True, inline="always")
def _shade(
    mesh: Mesh,
    face: int,
    weights: Triple,
    view: View,
    shadows: ShadowMap,
    openness: float,
    textures: Array,
    scratch: _Scratch,
) -> None:
    """Write the light [3] that a point of a triangle sends to the camera into ``scratch.colour``."""
    i, j, k = mesh.faces[face, 0], mesh.faces[face, 1], mesh.faces[face, 2]
    material = mesh.materials[mesh.face_materials[face]]
    point = _mix(mesh.vertices, i, j, k, weights)
    rest = _mix(mesh.rest, i, j, k, weights)
    normal = _unit(_mix(mesh.normals, i, j, k, weights))
    tint = weights[0] * mesh.tint[i] + weights[1] * mesh.tint[j] + weights[2] * mesh.tint[k]
    cut = weights[0] * mesh.cut[i] + weights[1] * mesh.cut[j] + weights[2] * mesh.cut[k]
    for axis in range(3):
        scratch.edges[0, axis] = mesh.vertices[j, axis] - mesh.vertices[i, axis]
        scratch.edges[1, axis] = mesh.vertices[k, axis] - mesh.vertices[i, axis]
        scratch.texture_edges[0, axis] = mesh.rest[j, axis] - mesh.rest[i, axis]
        scratch.texture_edges[1, axis] = mesh.rest[k, axis] - mesh.rest[i, axis]
    away = (view.centre[0] - point[0], view.centre[1] - point[1], view.centre[2] - point[2])
    footprint = math.sqrt(_dot(away, away)) / view.focal
    away = _unit(away)
    # Cloth is seen from the inside too. The triangle tells, for at an outline the smooth normal may point either way.
    if _dot(_cross(_row(scratch.edges, 0), _row(scratch.edges, 1)), away) < 0:
        normal = (-normal[0], -normal[1], -normal[2])
    scratch.normal[0], scratch.normal[1], scratch.normal[2] = normal
    bend_normal(material, rest[0], rest[1], rest[2], scratch.texture_edges, scratch.edges, footprint, scratch.normal)
    bent = (scratch.normal[0], scratch.normal[1], scratch.normal[2])
    surface_colour(material, textures, rest[0], rest[1], rest[2], tint, cut, footprint, scratch.colour)

    to_key = (view.key_direction[0], view.key_direction[1], view.key_direction[2])
    facing = _dot(bent, to_key)
    diffuse = max(0.0, (facing + material.softness) / (1 + material.softness))
    reaches, highlight = 0.0, 0.0
    if diffuse > 0:
        # A step off the surface keeps it from shadowing itself where light grazes it.
        step = 0.015
        x, y, z = point[0] + step * normal[0], point[1] + step * normal[1], point[2] + step * normal[2]
        reaches = lit_share(shadows, x, y, z, 0.02)
    if reaches > 0 and facing > 0 and material.specular > 0:
        between = _unit((to_key[0] + away[0], to_key[1] + away[1], to_key[2] + away[2]))
        peak = max(0.0, _dot(bent, between)) ** material.sharpness
        highlight = material.specular * (material.sharpness + 8) / 8 * peak * facing
    for channel in range(3):
        ambient = view.ambient[0, channel]
        for axis in range(3):
            ambient += view.ambient[axis + 1, channel] * bent[axis]
        key = view.key_colour[channel] * reaches
        light = scratch.colour[channel] * (max(ambient, 0.0) * openness + key * diffuse) + key * highlight
        if view.contrast != 1:
            light *= (light / _MIDDLE_GREY) ** (view.contrast - 1)
        # Film and sensors bend bright light towards white; it does not stop at a corner.
        scratch.colour[channel] = light if light < 0.7 else 1 - 0.3 * math.exp((0.7 - light) / 0.3)


@njit(cache=True)
def _mix(values: Array, i: int, j: int, k: int, weights: Triple) -> Triple:
    a, b, c = weights
    return (
        a * values[i, 0] + b * values[j, 0] + c * values[k, 0],
        a * values[i, 1] + b * values[j, 1] + c * values[k, 1],
        a * values[i, 2] + b * values[j, 2] + c * values[k, 2],
    )


@njit(cache=True)
def _row(values: Array, row: int) -> Triple:
    return values[row, 0], values[row, 1], values[row, 2]


@njit(cache=True)
def _dot(p: Triple, q: Triple) -> float:
    return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]


@njit(cache=True)
def _cross(p: Triple, q: Triple) -> Triple:
    return p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]


@njit(cache=True)
def _unit(p: Triple) -> Triple:
    scale = 1 / math.sqrt(_dot(p, p) + 1e-20)
    return p[0] * scale, p[1] * scale, p[2] * scale
