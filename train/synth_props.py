"""Things people carry: in a hand, on the back, over a shoulder."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_garments import any_cloth
from ltsh_deploy.train.synth_materials import plain_like, prop_material
from ltsh_deploy.train.synth_meshes import Solid, ball, box, ring, tube
from ltsh_deploy.train.synth_outfit import Outfit

__all__ = ["HAND_PROPS", "add_backpack", "add_shoulder_bag", "hold"]

Doubles = npt.NDArray[np.float64]

# Metres between rings of vertices along rods.
_SPACING = 0.04
#: What a hand may hold.
HAND_PROPS = ("phone", "bottle", "ball", "racket", "bat", "book", "cup", "bag", "stick", "umbrella")


def _bone(outfit: Outfit, name: str) -> Doubles:
    return np.asarray(outfit.shape.bone_heads[outfit.wardrobe.body.bone(name)], np.float64)


def _mover(outfit: Outfit, bone: str) -> int:
    """The body vertex that moves most with a bone."""
    body = outfit.wardrobe.body
    return int((body.skin_weights * (body.skin_bones == body.bone(bone))).sum(axis=1).argmax())


def _palm(outfit: Outfit, side: str) -> tuple[Doubles, Doubles]:
    """The middle of a fist [3] and its axes at rest [3, 3]: columns are the thumb's side, the palm's, the fingers'."""
    wrist, knuckle = _bone(outfit, f"wrist.{side}"), _bone(outfit, f"finger3-1.{side}")
    along = knuckle - wrist
    along /= np.linalg.norm(along)
    thumb = _bone(outfit, f"finger2-1.{side}") - _bone(outfit, f"finger5-1.{side}")
    thumb -= (thumb @ along) * along
    thumb /= np.linalg.norm(thumb)
    palm = np.cross(along, thumb) if side == "R" else np.cross(thumb, along)
    # The fingers curl towards the palm, so what is held lies off the line of the bones.
    return knuckle - 0.005 * along + 0.03 * palm, np.stack([thumb, palm, along], axis=-1)


def _rod(start: npt.ArrayLike, end: npt.ArrayLike, radii: tuple[float, float], sides: int) -> Solid:
    """A straight tube with vertices all along it: who it is in is told by vertices that lie close."""
    first, last = np.asarray(start, np.float64), np.asarray(end, np.float64)
    places = np.linspace(0, 1, math.ceil(float(np.linalg.norm(last - first)) / _SPACING) + 1)
    across = (0, 0, 1) if first[2] == last[2] else (1, 0, 0)
    return tube(first + places[:, None] * (last - first), np.interp(places, (0, 1), radii), sides, across)


def _solid(rng: np.random.Generator, kind: str) -> list[tuple[Any, Any]]:
    """Parts of a prop in the fist's axes: x towards the thumb, y out of the palm, z along the fingers."""
    if kind == "phone":
        return [box((0.15, 0.01, 0.075), 0.15)]
    if kind == "bottle":
        length, width = rng.uniform(0.18, 0.3), rng.uniform(0.028, 0.04)
        path = np.outer([-0.5, -0.48, 0.2, 0.35, 0.5], [length, 0.0, 0.0])
        return [tube(path, [0.9 * width, width, width, 0.35 * width, 0.35 * width], 12, (0, 0, 1))]
    if kind == "ball":
        radius = rng.choice([0.034, 0.037, 0.11, 0.12])
        vertices, faces = ball((radius, radius, radius), 11, 16)
        return [(vertices + np.array([0.0, radius - 0.02, 0.0]), faces)]
    if kind == "racket":
        handle = _rod((-0.08, 0, 0), (0.28, 0, 0), (0.016, 0.012), 8)
        vertices, faces = ring(0.13, 0.008, 20)
        return [handle, (vertices[:, [0, 1, 2]] * [1.25, 1, 1] + [0.44, 0, 0], faces)]
    if kind == "bat":
        return [
            tube(np.outer([-0.08, -0.06, 0.2, 0.6, 0.75], [1, 0, 0]), [0.02, 0.014, 0.016, 0.033, 0.025], 10, (0, 0, 1))
        ]
    if kind == "book":
        vertices, faces = box((0.22, rng.uniform(0.012, 0.035), 0.3), 0.1)
        return [(vertices + np.array([0.0, 0.0, -0.03]), faces)]
    if kind == "cup":
        return [tube(np.outer([-0.05, 0.05], [1, 0, 0]), [0.032, 0.042], 12, (0, 0, 1))]
    if kind == "stick":
        length = rng.uniform(0.9, 1.6)
        return [_rod((-0.6 * length, 0, 0), (0.4 * length, 0, 0), (0.012, 0.014), 8)]
    raise ValueError(f"no prop is called {kind!r}")


def _hanging(rng: np.random.Generator, kind: str) -> list[tuple[Any, Any]]:
    """Parts of a prop that keeps upright, around the hand, +Z up."""
    if kind == "bag":
        width, height = rng.uniform(0.25, 0.42), rng.uniform(0.22, 0.4)
        vertices, faces = box((rng.uniform(0.06, 0.15), width, height), 0.25)
        handle, handle_faces = ring(0.09, 0.008, 16)
        middle = np.array([0, 0, -0.1 - height / 2])
        return [(vertices + middle, faces), (handle[:, [1, 0, 2]] + np.array([0, 0, -0.08]), handle_faces[:, ::-1])]
    heights = 0.75 - np.linspace(0, 1, 6) ** 2 * 0.24
    radii = rng.uniform(0.4, 0.55) * np.linspace(0.02, 1, 6)
    canopy = tube(np.stack([0 * heights, 0 * heights, heights], axis=-1)[::-1], radii[::-1], 8)
    return [_rod((0, 0, -0.08), (0, 0, 0.75), (0.012, 0.006), 6), canopy]


def hold(outfit: Outfit, kind: str, side: str) -> None:
    """Put one of HAND_PROPS into the hand on a side, "L" or "R".

    Raises:
        ValueError: for another kind.
    """
    centre, axes = _palm(outfit, side)
    upright = kind in ("bag", "umbrella")
    row = plain_like(outfit.rng, any_cloth(outfit, upper=True)) if upright else prop_material(outfit.rng)
    material, mover = outfit.material(row), _mover(outfit, f"wrist.{side}")
    for vertices, faces in _hanging(outfit.rng, kind) if upright else _solid(outfit.rng, kind):
        if upright:
            outfit.attach(vertices + centre, faces, mover, material, vertices[:, [1, 2, 0]] * 0.5, centre)
        else:
            # On the one side the axes are left-handed, which turns triangles inside out.
            facing = faces if np.linalg.det(axes) > 0 else faces[:, ::-1]
            outfit.attach(vertices @ axes.T + centre, facing, mover, material, vertices)
    outfit.names["held"] = kind


def add_backpack(outfit: Outfit) -> None:
    """A backpack with its straps."""
    rng = outfit.rng
    material = outfit.material(plain_like(rng, any_cloth(outfit, upper=True)))
    size = np.array([rng.uniform(0.24, 0.34), rng.uniform(0.12, 0.24), rng.uniform(0.36, 0.52)])
    shoulder = _bone(outfit, "shoulder01.L")
    back = outfit.shape.vertices[np.abs(outfit.wardrobe.body.mean[:, 2] - 0.3) < 0.06][:, 1].max()
    vertices, faces = box(size, 0.4)
    place = np.array([0.0, float(back) + 0.02 + size[1] / 2, shoulder[2] - 0.45 * size[2]])
    outfit.attach(vertices + place, faces, _mover(outfit, "spine02"), material)
    wardrobe = outfit.wardrobe
    mean, regions = wardrobe.body.mean, wardrobe.body.regions
    strap = np.abs(np.abs(mean[:, 0]) - 0.085) - 0.022
    cut = np.maximum(strap, np.maximum(regions.neck - 0.01, (regions.leg + 0.75) * 0.38))
    cut = np.where(regions.arm_weight > 0.5, 1.0, cut)
    outfit.wear(wardrobe.shirt, outfit.reach + 0.006, cut, material, hides=False)
    outfit.names["back"] = "backpack"


def add_shoulder_bag(outfit: Outfit) -> None:
    """A bag at the hip with a strap across the chest."""
    rng, wardrobe = outfit.rng, outfit.wardrobe
    mean, regions = wardrobe.body.mean, wardrobe.body.regions
    side = rng.choice([-1.0, 1.0])
    material = outfit.material(prop_material(rng))
    # The strap lies in a plane from one shoulder to the other hip.
    height = mean[:, 2] - 0.22
    strap = np.abs(mean[:, 0] + side * 0.62 * height) - rng.uniform(0.012, 0.025)
    cut = np.where(
        (regions.arm_weight > 0.5) | (regions.neck > 0.03), 1.0, np.maximum(strap, (regions.leg - 0.05) * 0.38)
    )
    outfit.wear(wardrobe.shirt, outfit.reach + 0.006, cut, material, hides=False)
    hip = _bone(outfit, "upperleg01.L")
    vertices, faces = box((0.09, rng.uniform(0.22, 0.34), rng.uniform(0.18, 0.3)), 0.25)
    place = np.array([side * (abs(hip[0]) + 0.12), hip[1], hip[2] + 0.02])
    outfit.attach(vertices + place, faces, _mover(outfit, "pelvis.L" if side > 0 else "pelvis.R"), material)
    outfit.names["back"] = "shoulder bag"
