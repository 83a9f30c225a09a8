"""Simple figures for tests of the renderer: cards, balls, and jointed dummies of capsules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ltsh_deploy.skeletons import MPII16
from ltsh_deploy.train.synth_materials import MATERIAL, PROP
from ltsh_deploy.train.synth_types import Figure, Floats, Ints, Light

#: A bank with one texture of nothing.
NO_TEXTURES = np.zeros((1, 1, 4, 4, 2), np.uint8)


def material(colour: Sequence[float] = (0.5, 0.5, 0.5), kind: int = PROP) -> npt.NDArray[np.void]:
    row = np.zeros(1, MATERIAL)
    row["kind"], row["colour"], row["period"], row["relief_period"] = kind, colour, 1, 1
    return row


def figure(vertices: npt.ArrayLike, faces: npt.ArrayLike, **changes: object) -> Figure:
    """A mesh as a figure, with smooth normals and all joints in its middle."""
    points, triangles = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    corners = points[triangles]
    normals = np.zeros_like(points)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    values: dict[str, object] = {
        "vertices": points,
        "normals": normals,
        "rest": points,
        "faces": triangles,
        "cut": np.full(len(points), -1, np.float32),
        "face_materials": np.zeros(len(triangles), np.int32),
        "materials": material(),
        "tint": np.zeros(len(points), np.float32),
        "joints": np.repeat(points.mean(axis=0)[None], MPII16.num_joints, axis=0),
        "capsules_start": np.zeros((0, 3), np.float32),
        "capsules_end": np.zeros((0, 3), np.float32),
        "attributes": {"height": 1.7},
    }
    return Figure(**(values | changes))  # type: ignore[arg-type]


def card(x: tuple[float, float], y: float, z: tuple[float, float], **changes: object) -> Figure:
    """An upright rectangle that faces a camera which looks along +Y."""
    corners = [(x[0], y, z[0]), (x[1], y, z[0]), (x[1], y, z[1]), (x[0], y, z[1])]
    return figure(corners, [(0, 1, 2), (0, 2, 3)], **changes)


def capsule(start: npt.ArrayLike, end: npt.ArrayLike, radius: float, rings: int = 6) -> tuple[Floats, Ints]:
    """A closed mesh around a segment; a ball where start and end are the same."""
    begin, finish = np.asarray(start, float), np.asarray(end, float)
    axis = finish - begin if np.linalg.norm(finish - begin) > 1e-6 else np.array([0, 0, 1e-6])
    axis = axis / np.linalg.norm(axis)
    side = np.cross(axis, [1, 0, 0] if abs(axis[0]) < 0.7 else [0, 1, 0])
    side /= np.linalg.norm(side)
    up = np.cross(axis, side)
    angles = np.linspace(-np.pi / 2, np.pi / 2, 2 * rings)
    middles = np.where((angles < 0)[:, None], begin, finish) + radius * np.sin(angles)[:, None] * axis
    turns = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    around = np.cos(turns)[:, None] * side + np.sin(turns)[:, None] * up
    points = middles[:, None] + radius * np.cos(angles)[:, None, None] * around[None]
    count = len(turns)
    i, j = np.meshgrid(np.arange(len(angles) - 1), np.arange(count), indexing="ij")
    a, b = i * count + j, i * count + (j + 1) % count
    triangles = np.concatenate([np.stack([a, b, b + count], -1), np.stack([a, b + count, a + count], -1)])
    return points.reshape(-1, 3).astype(np.float32), triangles.reshape(-1, 3).astype(np.int32)


def ball(centre: npt.ArrayLike, radius: float, rings: int = 6) -> Figure:
    return figure(*capsule(centre, centre, radius, rings))


def merged(meshes: Sequence[tuple[Floats, Ints]]) -> tuple[Floats, Ints]:
    offsets = np.cumsum([0, *(len(points) for points, _ in meshes)])
    faces = [triangles + offset for (_, triangles), offset in zip(meshes, offsets, strict=False)]
    return np.concatenate([points for points, _ in meshes]), np.concatenate(faces).astype(np.int32)


def dummy(rng: np.random.Generator) -> Figure:
    """Someone of about 1.7 m with limbs in random directions, standing about over the origin."""

    def step(point: npt.NDArray[np.float64], length: float, down: float) -> npt.NDArray[np.float64]:
        way = rng.normal((0, 0, -down), 0.6)
        return np.asarray(point + length * way / np.linalg.norm(way))

    turn = rng.uniform(0, 2 * np.pi)
    across = np.array([np.cos(turn), np.sin(turn), 0])
    pelvis = np.array([0, 0, 0.95])
    thorax = step(pelvis, -0.45, 2.5)
    neck, head = step(thorax, -0.1, 3), step(thorax, -0.36, 3)
    joints = {"pelvis": pelvis, "thorax": thorax, "neck": neck, "head_top": head}
    meshes = [capsule(pelvis, thorax, 0.14), capsule(thorax, neck, 0.06), capsule((neck + head) / 2, head, 0.09)]
    for side, sign in (("right_", -1), ("left_", 1)):
        for names, root, width, lengths, radii, down in (
            (("shoulder", "elbow", "wrist"), thorax, 0.17, (0.28, 0.25), (0.05, 0.04), 0.6),
            (("hip", "knee", "ankle"), pelvis, 0.1, (0.42, 0.42), (0.08, 0.055), 1.5),
        ):
            chain = [root + sign * width * across]
            chain += [step(chain[0], lengths[0], down)]
            chain += [step(chain[1], lengths[1], down)]
            joints |= {side + name: point for name, point in zip(names, chain, strict=True)}
            meshes += [capsule(chain[k], chain[k + 1], radii[k]) for k in range(2)]
    points, triangles = merged(meshes)
    truth = np.array([joints[name] for name in MPII16.joints], np.float32)
    return figure(points, triangles, joints=truth, materials=material(rng.uniform(0, 1, 3).tolist()))


def light(around: float = 0.5, key: float = 0.0, direction: Sequence[float] = (0.0, 0.0, 1.0)) -> Light:
    """Grey light, the same from everywhere, and a key light."""
    ambient = np.zeros((4, 3), np.float32)
    ambient[0] = around
    towards = np.asarray(direction, np.float32)
    return Light(ambient, towards / np.linalg.norm(towards), np.full(3, key, np.float32))
