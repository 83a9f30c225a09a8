"""Whether synthetic people keep out of each other, and whether the joints said to be seen can be: by tracing rays with
embree through the very surfaces that are drawn. Nothing here uses the placement's or the renderer's own tests."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import trimesh
from trimesh.ray.ray_pyembree import RayMeshIntersector

from benchmarks.report import table
from benchmarks.synthetic_speed import recipe_of
from ltsh_deploy.skeletons import MPII16
from ltsh_deploy.train.synth_cast import Cast, find_place
from ltsh_deploy.train.synth_types import Camera, Figure
from ltsh_deploy.train.synth_visibility import State, joint_depths

__all__ = ["collisions", "drawn_surface", "penetration", "visibility"]

Doubles = npt.NDArray[np.float64]

_PAIRS, _SCENES = 500, 100
# Metres between vertices of two people who are close.
_CLOSE = 0.1
_DEEP = 0.005
_SHALLOW = 0.001
# Points of a surface that are looked at lie no further apart than this, so that nothing thin slips between them.
_APART = 0.02
_DIRECTIONS = 31


def drawn_surface(figure: Figure) -> trimesh.Trimesh:
    """The surface of a figure that is drawn: what hems cut away is cut off, through triangles where need be."""
    vertices, cut = figure.vertices.astype(np.float64), figure.cut.astype(np.float64)
    above = cut[figure.faces] > 0
    pieces = [vertices[figure.faces[~above.any(axis=1)]]]
    for gone in (1, 2):
        faces, away = figure.faces[above.sum(axis=1) == gone], above[above.sum(axis=1) == gone]
        # Turned so that the one corner that differs from the other two comes first.
        first = (away if gone == 1 else ~away).argmax(axis=1)
        turned = np.take_along_axis(faces, (first[:, None] + np.arange(3)) % 3, axis=1)
        a, b, c = (vertices[turned[:, k]] for k in range(3))
        at_a, at_b, at_c = (cut[turned[:, k]][:, None] for k in range(3))
        on_ab, on_ac = a + (b - a) * at_a / (at_a - at_b), a + (c - a) * at_a / (at_a - at_c)
        if gone == 2:
            pieces.append(np.stack([a, on_ab, on_ac], axis=1))
        else:
            pieces += [np.stack([on_ab, b, c], axis=1), np.stack([on_ab, c, on_ac], axis=1)]
    corners = np.concatenate(pieces)
    return trimesh.Trimesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3), process=False)


def penetration(first: trimesh.Trimesh, second: trimesh.Trimesh) -> float:
    """Metres by which one surface reaches into the other, at most; 0 when it does not.

    Clothes are open at their hems, so that no surface has an inside to speak of. A point is within someone when most of
    31 rays from it, spread evenly, first meet the back of a surface. Its depth is its exact distance to the surface.
    """
    return max(_depth_within(first, second), _depth_within(second, first))


def _depth_within(first: trimesh.Trimesh, second: trimesh.Trimesh) -> float:
    low, high = second.bounds
    # Nearer to its box than this, a point can only be just within the surface.
    points = _points_between(first, low + _SHALLOW, high - _SHALLOW)
    if not len(points):
        return 0.0
    normals = np.asarray(second.face_normals)
    behind = np.zeros(len(points))
    for ray in _directions(_DIRECTIONS):
        met = second.ray.intersects_first(points, np.repeat(ray[None], len(points), axis=0))
        behind += (met >= 0) & (normals[met] @ ray > 0)
    inside = points[behind > _DIRECTIONS / 2]
    # No point is deeper than its distance to the nearest corner: the deepest is found after a few.
    at_most = second.kdtree.query(inside)[0]
    deepest = 0.0
    for p in np.argsort(-at_most):
        if at_most[p] <= deepest:
            break
        deepest = max(deepest, _distance(inside[p], np.asarray(second.triangles), at_most[p]))
    return deepest


def _points_between(surface: trimesh.Trimesh, low: Doubles, high: Doubles) -> Doubles:
    """[N, 3] points of a surface in a box: its corners, and more where corners are far from each other."""
    triangles = np.asarray(surface.triangles)
    triangles = triangles[((triangles.min(axis=1) < high) & (triangles.max(axis=1) > low)).all(axis=1)]
    if not len(triangles):
        return np.empty((0, 3))
    corners, faces = triangles.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3)
    points = trimesh.remesh.subdivide_to_size(corners, faces, _APART, max_iter=20)[0]
    inside = ((points > low) & (points < high)).all(axis=1)
    return np.unique(points[inside], axis=0)


def _distance(point: Doubles, triangles: Doubles, at_most: float) -> float:
    """The exact distance of a point [3] to the nearest of triangles [F, 3, 3], which is ``at_most`` so far."""
    boxed = (triangles.min(axis=1) <= point + at_most) & (triangles.max(axis=1) >= point - at_most)
    near = triangles[boxed.all(axis=1)]
    nearest = trimesh.triangles.closest_point(near, np.repeat(point[None], len(near), axis=0))
    return float(np.linalg.norm(nearest - point, axis=1).min())


def _directions(count: int) -> Doubles:
    """[count, 3] unit vectors spread evenly over the sphere, by the golden angle."""
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), height], axis=1)


def _close(first: trimesh.Trimesh, second: trimesh.Trimesh) -> bool:
    if np.any(first.bounds[0] > second.bounds[1] + _CLOSE) or np.any(second.bounds[0] > first.bounds[1] + _CLOSE):
        return False
    return bool(np.isfinite(first.kdtree.query(second.vertices, distance_upper_bound=_CLOSE)[0]).any())


def collisions() -> list[str]:
    """The paragraphs of the section: people placed in a crowd, and how far the close ones are in each other."""
    rng, cast = np.random.default_rng(0), Cast(None)
    depths: list[float] = []
    anywhere: list[float] = []
    crowds, rejected = 0, Counter[str]()

    def draw_offset(_: Figure | None = None) -> Doubles:
        return np.array([*rng.uniform(-1, 1, 2), 0.0])

    while len(depths) < _PAIRS:
        crowds += 1
        figures: list[Figure] = []
        surfaces: list[trimesh.Trimesh] = []
        for _ in range(8):
            figure = cast.draw(rng, rejected)
            placed = find_place(figure, figures, draw_offset, rejected)
            if placed is None:
                continue
            surface = drawn_surface(placed)
            depths += [penetration(surface, other) for other in surfaces if _close(surface, other)]
            if surfaces and len(anywhere) < _PAIRS:
                careless = drawn_surface(figure.moved(draw_offset()))
                anywhere += [penetration(careless, other) for other in surfaces[:1] if _close(careless, other)]
            figures.append(placed)
            surfaces.append(surface)
    depths = depths[:_PAIRS]
    found = np.array(depths)
    deep = 100 * float((found > _DEEP).mean())
    rows = [
        [f"deeper than {1000 * limit:.0f} mm", f"{100 * float((found > limit).mean()):.1f} %",
         f"{100 * float((np.array(anywhere) > limit).mean()):.1f} %"]
        for limit in (0.0, 0.002, _DEEP, 0.01, 0.02, 0.05)
    ]  # fmt: skip
    return [
        f"{_PAIRS} pairs of people whose surfaces come within {100 * _CLOSE:.0f} cm of each other, from {crowds} "
        "crowds of eight who are all to find a place within a square of 2 m, as people do in pictures. How far they "
        f"are in each other, clothes, hair and things in hand included; and so for {len(anywhere)} close pairs of whom "
        "one was put anywhere. " + " ".join((penetration.__doc__ or "").split("\n\n")[1].split()),
        table(
            ["goal", "at most", "measured", "kept"],
            [["placed pairs deeper than 5 mm in each other, %", 1, deep, "yes" if deep <= 1 else "no"]],
        ),
        table(["in each other", "placed", "put anywhere"], rows),
        f"The deepest of the placed: {1000 * found.max():.1f} mm.",
    ]


def _cast_states(figures: list[Figure], camera: Camera) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """[P, J] the state of each joint, and the owner of the first surface that a ray through it meets; -1 for none."""
    surfaces = [drawn_surface(figure) for figure in figures]
    owners = np.repeat(np.arange(len(figures)), [len(surface.faces) for surface in surfaces])
    caster = RayMeshIntersector(trimesh.util.concatenate(surfaces))
    found = np.full((len(figures), MPII16.num_joints), int(State.VISIBLE))
    first = np.full(found.shape, -1)
    for p, figure in enumerate(figures):
        joints = figure.joints.astype(np.float64)
        xy, depth = camera.project(joints)
        with np.errstate(invalid="ignore"):
            inside = ((xy >= -0.5) & (xy < np.array(camera.size) - 0.5)).all(axis=1) & (depth > 0)
        rays = joints - camera.centre
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        origins = np.repeat(camera.centre[None], len(rays), axis=0)
        places, ray, triangle = caster.intersects_location(origins, rays, multiple_hits=False)
        first[p, ray] = owners[triangle]
        tolerance = joint_depths(float(figure.attributes["height"]))
        for place, joint, owner in zip(camera.to_camera(places), ray, owners[triangle], strict=True):
            if place[2] < depth[joint] - (tolerance[joint] if owner == p else 0):
                found[p, joint] = State.SELF_OCCLUDED if owner == p else State.OTHER_OCCLUDED
        found[p, ~inside] = State.OUTSIDE
    return found, first


def visibility() -> list[str]:
    """The paragraphs of the section: joints' states in whole pictures of D_S, against rays."""
    maker: Any = recipe_of(None, seed=77).open()
    counts = np.zeros((4, 4), np.int64)
    people, same_mask, masked = 0, 0, 0
    for index in range(_SCENES):
        scene = maker.scene(index)
        people += len(scene.figures)
        traced, first = _cast_states(list(scene.figures), scene.camera)
        for truth, states, owners in zip(scene.truths, traced, first, strict=True):
            np.add.at(counts, (states, truth.state), 1)
            inside = states != State.OUTSIDE
            columns, rows = np.rint(truth.joints2d[inside]).astype(int).T
            same_mask += int((scene.instances[rows, columns] == owners[inside] + 1).sum())
            masked += int(inside.sum())
    within = counts[:3, :3]
    agreed = 100 * float(np.trace(within) / counts[:3].sum())
    seen = 100 * float((within[0, 0] + within[1:, 1:].sum()) / counts[:3].sum())
    mask = 100 * same_mask / masked
    names = [state.name.lower().replace("_", " ") for state in State]
    return [
        f"{_SCENES} pictures of D_S at 640 x 640 with {people} clothed people. Rays are traced with embree from the "
        "camera through each joint. The rule is the labels': a joint is hidden by the first surface before it, unless "
        "that is the person's own and no further before it than flesh and cloth may be. What finds that surface is not "
        "the labels' code; nor is it the renderer's, whose map of instances is held against it too.",
        table(
            ["goal", "at least", "measured", "kept"],
            [
                ["joints in the picture of the same state, %", 98, agreed, "yes" if agreed >= 98 else "no"],
                ["joints in the picture both seen or both hidden, %", 98, seen, "yes" if seen >= 98 else "no"],
                ["joints whose pixel shows whom the ray meets first, %", "", mask, ""],
            ],
        ),
        table(
            ["by rays", *(f"labelled {name}" for name in names)],
            [[name, *row] for name, row in zip(names, counts.tolist(), strict=True)],
        ),
    ]
