"""What dressing needs to know of the body and that is the same for everyone: sheets, normals, the painted face."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_charts import Sheet, plain_sheet, shirt_sheet, skirt_sheet, trouser_sheet
from ltsh_deploy.train.synth_meshes import vertex_normals
from ltsh_deploy.train.synth_types import Body

__all__ = ["Wardrobe", "wardrobe_of"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Wardrobe:
    """Sheets and fields over all V vertices of a body, at rest and of average shape.

    Attributes:
        body: the body.
        normals: [V, 3] unit normals; of garments' vertices those of the garment.
        skin: body and eyes.
        shirt: see ``synth_charts``.
        trousers: likewise.
        skirt: likewise.
        shoes: the feet and shins of the tights.
        scalp: the part of the head that hair grows on, with some of the forehead and neck.
        long_hair: a curtain around head and shoulders.
        face: the part of the head in front, for beards.
        hair_line: [V] metres by which a vertex lies behind the front of the hair, roughly.
        tint: [V] lips and cheeks above 0, brows below 0; irises and pupils.
        beard: [V] 0 to 1 where beards grow.
        trunk_angle: [V] radians around the trunk from the front.
        outer_leg: [V] metres around the leg from the line down its outside, at a typical radius.
    """

    body: Body
    normals: Floats
    skin: Sheet
    shirt: Sheet
    trousers: Sheet
    skirt: Sheet
    shoes: Sheet
    scalp: Sheet
    long_hair: Sheet
    face: Sheet
    hair_line: Floats
    tint: Floats
    beard: Floats
    trunk_angle: Floats
    outer_leg: Floats


@lru_cache(maxsize=2)
def wardrobe_of(body: Body) -> Wardrobe:
    """The wardrobe of a body, made once."""
    mean, regions = body.mean, body.regions
    everything = np.concatenate([body.triangles[group] for group in ("body", "left_eye", "right_eye")])
    normals = np.zeros_like(mean)
    for group in ("body", "left_eye", "right_eye", "tights", "skirt", "hair"):
        own = body.vertices_of(group)
        normals[own] = vertex_normals(mean, body.triangles[group])[own]
    offset = regions.head_offset
    hair_line = 0.6 * offset[:, 1] + 0.8 * offset[:, 2]
    faces = body.triangles["body"]
    on_head = regions.head_weight > 0.4
    scalp = faces[(on_head & (hair_line > -0.08))[faces].all(axis=1)]
    beard = _beard(body)
    tights = body.triangles["tights"]
    return Wardrobe(
        body=body,
        normals=normals,
        skin=plain_sheet(everything, mean),
        shirt=shirt_sheet(body),
        trousers=trouser_sheet(body),
        skirt=skirt_sheet(body),
        shoes=plain_sheet(tights[(regions.leg[tights] > 1.3).all(axis=1)], mean),
        scalp=plain_sheet(scalp, _strands(body)),
        long_hair=plain_sheet(body.triangles["hair"], _strands(body)),
        face=plain_sheet(faces[(beard > 0)[faces].any(axis=1)], _strands(body)),
        hair_line=hair_line.astype(np.float32),
        tint=_tint(body),
        beard=beard,
        trunk_angle=np.arctan2(mean[:, 0], 0.01 - mean[:, 1]).astype(np.float32),
        outer_leg=_outer_leg(body),
    )


def _outer_leg(body: Body) -> Floats:
    """[V] metres around the leg from the line down its outside, at a typical radius."""
    hip, ankle = (body.mean_bone_heads[body.bone(name)] for name in ("upperleg01.L", "foot.L"))
    share = np.clip((hip[2] - body.mean[:, 2]) / (hip[2] - ankle[2]), 0, 1)
    outward = np.abs(body.mean[:, 0]) - (hip[0] + share * (ankle[0] - hip[0]))
    forward = hip[1] + share * (ankle[1] - hip[1]) - body.mean[:, 1]
    return np.asarray(0.085 * np.arctan2(forward, outward), np.float32)


def _strands(body: Body) -> Floats:
    """[V, 3] coordinates of hair: across the strands, which leave the crown in all directions, and along them."""
    offset = body.regions.head_offset - np.array([0.0, 0.03, 0.0], np.float32)
    flat = np.linalg.norm(offset[:, :2], axis=1, keepdims=True)
    around = 0.1 * offset[:, :2] / np.maximum(flat, 1e-4)
    # Near the crown directions change fast from vertex to vertex.
    blend = np.clip(flat / 0.02, 0, 1)
    return np.concatenate([around * blend, flat - offset[:, 2:]], axis=1).astype(np.float32)


def _blob(points: Floats, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Floats:
    """[V] 1 in the middle, falling to 0 within about so many metres along x, y and z."""
    scaled = (points - np.array(centre, np.float32)) / np.array(radii, np.float32)
    return np.asarray(np.exp(-1.2 * (scaled**2).sum(axis=1)), np.float32)


def _tint(body: Body) -> Floats:
    points, on_head = body.mean, body.regions.head_weight > 0.3
    eyes = {side: body.mean[body.vertices_of(f"{side}_eye")].mean(axis=0) for side in ("left", "right")}
    middle = (eyes["left"] + eyes["right"]) / 2
    lips = _blob(points, (0.0, middle[1] - 0.03, middle[2] - 0.072), (0.026, 0.03, 0.009))
    tint = lips.copy()
    for eye in eyes.values():
        cheek = (float(eye[0]) * 1.4, float(eye[1]) + 0.01, float(eye[2]) - 0.045)
        tint += 0.3 * _blob(points, cheek, (0.03, 0.04, 0.025))
        brow = (float(eye[0]) * 1.03, float(eye[1]) - 0.016, float(eye[2]) + 0.024)
        tint -= 1.4 * _blob(points, brow, (0.022, 0.03, 0.006))
    tint = np.where(on_head, np.clip(tint, -1, 1), 0)
    for side, centre in eyes.items():
        own = body.vertices_of(f"{side}_eye")
        direction = points[own] - centre
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        # Angles from the optical axis of about 26 degrees at the iris's rim and 14 at the pupil's.
        tint[own] = np.clip((-direction[:, 1] - 0.82) / 0.18, 0, 1)
    return tint.astype(np.float32)


def _beard(body: Body) -> Floats:
    points, on_head = body.mean, body.regions.head_weight > 0.3
    eyes = body.mean[np.concatenate([body.vertices_of("left_eye"), body.vertices_of("right_eye")])].mean(axis=0)
    below, above = eyes[2] - points[:, 2], points[:, 2] - (eyes[2] - 0.135)
    share = np.clip((below - 0.052) / 0.012, 0, 1) * np.clip(above / 0.02, 0, 1)
    return np.where(on_head & (points[:, 1] < eyes[1] + 0.075), share, 0).astype(np.float32)
