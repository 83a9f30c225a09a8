"""Hair, beards and what is worn on the head."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_garments import any_cloth
from ltsh_deploy.train.synth_materials import Materials, plain_like, prop_material
from ltsh_deploy.train.synth_meshes import ball, ring, tube
from ltsh_deploy.train.synth_outfit import Outfit

__all__ = ["add_glasses", "add_hair", "add_hat", "beard_shadow"]

Array = npt.NDArray[Any]


def _head_vertex(outfit: Outfit) -> int:
    """A body vertex that moves with the head alone."""
    return int(outfit.wardrobe.body.regions.head_weight.argmax())


def _crown(outfit: Outfit) -> Array:
    """[3] the middle of this person's head at rest, between the ears."""
    eyes = _eyes(outfit)
    return np.asarray((eyes[0] + eyes[1]) / 2 + [0.0, 0.085, 0.02])


def _eyes(outfit: Outfit) -> tuple[Array, Array]:
    """[3] each, the middles of this person's left and right eye at rest."""
    body, vertices = outfit.wardrobe.body, outfit.shape.vertices
    left, right = (vertices[body.vertices_of(group)].mean(axis=0) for group in ("left_eye", "right_eye"))
    return left.astype(np.float64), right.astype(np.float64)


def _head_scale(outfit: Outfit) -> float:
    """This person's head as a share of the average one's size, by the distance of the eyes."""
    left, right = _eyes(outfit)
    body = outfit.wardrobe.body
    mean = body.mean[body.vertices_of("left_eye")].mean(axis=0) - body.mean[body.vertices_of("right_eye")].mean(axis=0)
    return float(np.linalg.norm(left - right) / np.linalg.norm(mean))


def add_hair(outfit: Outfit, hair: Materials, *, male: float, bald: bool, under_hat: bool) -> None:
    """Grow hair.

    Args:
        outfit: changed.
        hair: its material [1].
        male: 0 to 1.
        bald: whether little is left.
        under_hat: whether a hat leaves only what hangs out of it.
    """
    rng, wardrobe = outfit.rng, outfit.wardrobe
    styles = ("shaved", "short", "full", "curly", "bob", "long", "ponytail", "bun")
    as_man, as_woman = (0.16, 0.46, 0.22, 0.08, 0.03, 0.03, 0.01, 0.01), (0.01, 0.08, 0.1, 0.09, 0.18, 0.26, 0.17, 0.11)
    shares = np.array(as_man) * male + np.array(as_woman) * (1 - male)
    style = "shaved" if bald else str(rng.choice(styles, p=shares / shares.sum()))
    outfit.names["hair"] = style
    material = outfit.material(hair)
    _add_cap(outfit, material, style, under_hat=under_hat)
    if style in ("bob", "long"):
        length = rng.uniform(0.12, 0.2) if style == "bob" else rng.uniform(0.2, 0.42)
        # Ends are not cut along a line.
        ragged = 0.025 * outfit.waves(wardrobe.long_hair, rng.normal(0, 110, (2, 3)))
        offset = wardrobe.body.regions.head_offset
        # It leaves the face free, wholly or on one side.
        free, lean = rng.uniform(0.045, 0.085), rng.choice([0.0, rng.normal(0, 0.02)])
        aside = free - np.abs(offset[:, 0] - lean)
        before_face = np.minimum(aside, np.minimum(-0.01 - offset[:, 1], 0.07 - offset[:, 2]))
        cut = np.maximum(-length - offset[:, 2] + ragged, before_face + 0.3 * ragged)
        outfit.wear(wardrobe.long_hair, rng.uniform(-0.012, 0.006), cut, material, hides=False)
    elif style == "ponytail":
        _add_tail(outfit, material)
    elif style == "bun" and not under_hat:
        radius = rng.uniform(0.028, 0.045)
        vertices, faces = ball((radius, radius, 0.85 * radius))
        high = rng.uniform(-0.2, 1.3)
        place = _crown(outfit) + _head_scale(outfit) * np.array([0.0, 0.1 * np.cos(high), 0.02 + 0.1 * np.sin(high)])
        outfit.attach(vertices + place, faces, _head_vertex(outfit), material)


def _add_cap(outfit: Outfit, material: int, style: str, *, under_hat: bool) -> None:
    """The hair close to the head: the scalp, lifted."""
    rng, wardrobe = outfit.rng, outfit.wardrobe
    mean, line = wardrobe.body.mean, wardrobe.hair_line
    front = rng.uniform(-0.03, 0.012)
    if style == "shaved":
        front = rng.uniform(0.0, 0.06)
    thickness = {
        "shaved": 0.002,
        "short": rng.uniform(0.006, 0.016),
        "full": rng.uniform(0.015, 0.032),
        "curly": rng.uniform(0.03, 0.075),
        "bob": rng.uniform(0.012, 0.022),
        "long": rng.uniform(0.01, 0.018),
    }.get(style, 0.008)
    if under_hat:
        thickness = min(thickness, 0.006)
    # Locks: waves over the scalp, finer and deeper in curly hair; they fray the hairline as well.
    frequency = 110.0 if style == "curly" else 60.0
    waves = outfit.waves(wardrobe.scalp, rng.normal(0, frequency, (3, 3)))
    fray = 0.008 * outfit.waves(wardrobe.scalp, rng.normal(0, 180, (2, 3)))
    behind = np.clip((line - front) / 0.05, 0, 1) ** 0.6
    offset = 0.002 + thickness * behind * (1 + (0.5 if style == "curly" else 0.35) * waves)
    # A parting or a quiff makes the two sides differ.
    lean = rng.normal(0, 0.35) * np.sin(12 * mean[:, 0])
    outfit.wear(wardrobe.scalp, offset * (1 + lean * behind), front - line + fray, material, hides=False)


def _add_tail(outfit: Outfit, material: int) -> None:
    rng, scale = outfit.rng, _head_scale(outfit)
    length, width, low = rng.uniform(0.12, 0.35), rng.uniform(0.018, 0.035), rng.uniform(-0.03, 0.06)
    start = _crown(outfit) + scale * np.array([0.0, 0.095, low])
    along = np.linspace(0, 1, 7)[:, None]
    path = start + along * [0.0, 0.05, -length] + np.sin(np.pi * along) * [0.0, 0.045, 0.02]
    widths = width * np.array([0.5, 1.0, 1.1, 1.05, 0.9, 0.65, 0.15])
    vertices, faces = tube(path, widths, 10)
    texture = np.stack([vertices[:, 0], vertices[:, 1] - start[1], start[2] - vertices[:, 2]], axis=-1)
    outfit.attach(vertices, faces, _head_vertex(outfit), material, texture)


def add_hat(outfit: Outfit) -> None:
    """A baseball cap, a beanie, a sun hat or a helmet."""
    rng, wardrobe = outfit.rng, outfit.wardrobe
    kind = str(rng.choice(["cap", "beanie", "sun hat", "helmet"], p=[0.5, 0.22, 0.14, 0.14]))
    outfit.names["hat"] = kind
    row = prop_material(rng) if kind == "helmet" else any_cloth(outfit, upper=True)
    if kind == "cap":
        row = plain_like(rng, row)
    material = outfit.material(row)
    line = wardrobe.body.regions.head_offset[:, 2] * 0.9 + wardrobe.body.regions.head_offset[:, 1] * 0.25
    front = rng.uniform(0.02, 0.04) if kind != "beanie" else rng.uniform(0.01, 0.035)
    lift = {"cap": 0.016, "beanie": 0.014, "sun hat": 0.02, "helmet": 0.03}[kind]
    # A hat is no cast of the skull: it stands off at the top.
    rise = np.clip((line - front) / 0.09, 0, 1)
    offset = lift * (0.7 + rng.uniform(0, 0.6) * rise)
    outfit.wear(wardrobe.scalp, offset, front - line, material, hides=False)
    if kind in ("cap", "sun hat"):
        _add_brim(outfit, material, front, whole=kind == "sun hat")


def _add_brim(outfit: Outfit, material: int, front: float, *, whole: bool) -> None:
    rng, scale = outfit.rng, _head_scale(outfit)
    centre = _crown(outfit) + scale * np.array([0.0, 0.0, front + 0.012])
    turn = np.pi if not whole and rng.random() < 0.12 else 0.0
    angles = np.linspace(-np.pi, np.pi, 33) if whole else np.linspace(-1.15, 1.15, 17) + turn
    reach = rng.uniform(0.05, 0.11) if whole else rng.uniform(0.06, 0.08)
    rims = []
    for share in (0.0, 1.0):
        out = reach * share * (np.ones_like(angles) if whole else np.maximum(0, np.cos((angles - turn) * 1.3)) ** 0.5)
        drop = -0.25 * out if whole else -0.2 * out - 0.05 * np.abs(np.sin(angles - turn)) * out / reach
        width, depth = 0.082 + out, 0.102 + out
        rims.append(np.stack([width * np.sin(angles), -depth * np.cos(angles), drop], axis=-1))
    upper = np.concatenate(rims) * scale + centre
    vertices = np.concatenate([upper, upper - [0.0, 0.0, 0.004]])
    n = len(angles)
    side = np.arange(n - 1)
    top = np.concatenate([np.stack([side, side + n, side + 1], -1), np.stack([side + 1, side + n, side + n + 1], -1)])
    edge = np.concatenate(
        [
            np.stack([side + n, side + 3 * n, side + n + 1], -1),
            np.stack([side + n + 1, side + 3 * n, side + 3 * n + 1], -1),
        ]
    )
    faces = np.concatenate([top, top[:, ::-1] + 2 * n, edge])
    outfit.attach(vertices, faces.astype(np.int32), _head_vertex(outfit), material)


def add_glasses(outfit: Outfit) -> None:
    """Glasses or sunglasses."""
    rng, dark = outfit.rng, outfit.rng.random() < 0.4
    outfit.names["glasses"] = "sunglasses" if dark else "glasses"
    left, right = _eyes(outfit)
    scale, material = _head_scale(outfit), outfit.material(prop_material(rng))
    for eye in (left, right):
        place = eye + scale * np.array([0.0, -0.03, -0.002])
        if dark:
            vertices, faces = ball((0.026 * scale, 0.004, 0.02 * scale), 7, 12)
        else:
            vertices, faces = ring(0.022 * scale, 0.0018)
        outfit.attach(vertices + place, faces, _head_vertex(outfit), material)
        outward = np.sign(eye[0] - (left[0] + right[0]) / 2)
        hinge = place + scale * np.array([0.024 * outward, 0.0, 0.005])
        temple = np.array([hinge, hinge + scale * np.array([0.022 * outward, 0.03, 0.0])])
        temple = np.concatenate([temple, temple[-1:] + scale * np.array([0.006 * outward, 0.075, 0.0])])
        outfit.attach(*tube(temple, [0.002] * 3, 5, (0, 0, 1)), _head_vertex(outfit), material)


def beard_shadow(outfit: Outfit, hair: Materials) -> Array:
    """[V] the tint of stubble, from -1 to 0; a full beard is put on as well, at times."""
    rng, wardrobe = outfit.rng, outfit.wardrobe
    strength = rng.uniform(0.15, 0.9)
    if rng.random() < 0.4:
        outfit.names["beard"] = "full"
        waves = outfit.waves(wardrobe.face, rng.normal(0, 120, (1, 3)))
        offset = 0.001 + rng.uniform(0.006, 0.025) * wardrobe.beard * (1 + 0.3 * waves)
        outfit.wear(wardrobe.face, offset, 0.012 * (0.4 - wardrobe.beard), outfit.material(hair), hides=False)
        strength = 0.9
    else:
        outfit.names["beard"] = "stubble"
    return np.asarray(-strength * wardrobe.beard)
