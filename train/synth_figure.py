"""Dressing a posed body: skin, face, clothes, hair and props become one mesh with materials."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_dressing import choose_clothes, choose_head, choose_props
from ltsh_deploy.train.synth_materials import eye_material, hair_material, prop_material, skin_material
from ltsh_deploy.train.synth_meshes import left_of, vertex_normals, without_unused
from ltsh_deploy.train.synth_outfit import Layer, Outfit
from ltsh_deploy.train.synth_palettes import hair_colour, skin_colour
from ltsh_deploy.train.synth_seats import build_seat, find_seat
from ltsh_deploy.train.synth_types import Body, Figure, PosedBody
from ltsh_deploy.train.synth_wardrobe import wardrobe_of

__all__ = ["dress", "hung"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Part = tuple[Floats, Floats, Floats, Floats, Floats, Ints, Ints]

# Skin further than this under a garment is left out, in metres from its hem.
_HIDDEN = -0.05
# The thickness of soles and of clothes that a body rests on, at most, in metres.
_THICKEST = 0.045


def dress(body: Body, posed: PosedBody, rng: np.random.Generator) -> Figure:
    """Clothe a posed body at random. Its soles are as far above the ground as the pose has the feet.

    Args:
        body: the body.
        posed: one person.
        rng: where the numbers come from; the same state gives the same figure.

    Returns:
        The figure. Its attributes hold the shape's, "pose" (its name), "upright", and "clothes" by kind.
    """
    outfit = Outfit(wardrobe_of(body), posed.shape, rng)
    about = posed.shape.attributes
    male, age = float(about.get("gender", 0.5)), float(about.get("age_years", 30.0))
    skin = skin_colour(rng)
    colour = hair_colour(rng, skin, float(np.clip((age - 35) / 35, 0, 1)))
    skin_index = outfit.material(skin_material(rng, skin, colour))
    eye_index = outfit.material(eye_material(rng))
    choose_clothes(outfit, male=male)
    tint = choose_head(outfit, hair_material(rng, colour), male=male, age=age)
    choose_props(outfit)
    seat = _seat_below(posed, outfit)
    # The skin comes last, when all that hides it is known; its triangles of eyes follow those of the body.
    sheet = outfit.wardrobe.skin
    on_eye = np.arange(len(sheet.faces)) >= len(body.triangles["body"])
    hidden = np.where(outfit.covered < _HIDDEN, np.float32(1), np.float32(-1))
    outfit.wear(sheet, 0.0, hidden, np.where(on_eye, eye_index, skin_index), tint=tint, hides=False)
    attributes = {**about, "pose": posed.pose.name, "upright": posed.pose.upright, "clothes": dict(outfit.names)}
    return _assemble(posed, outfit, seat, attributes)


def _assemble(posed: PosedBody, outfit: Outfit, seat: Part | None, attributes: dict[str, Any]) -> Figure:
    """Pose all layers at once and join them with what is sat on; what is wholly cut away is left out."""
    layers = outfit.layers
    # The skin is the last, and posed already.
    rest = np.concatenate([layer.rest for layer in layers[:-1]])
    vertices = posed.skin(rest, np.concatenate([layer.body_vertices for layer in layers[:-1]]))
    worn = np.split(vertices, np.cumsum([len(layer.rest) for layer in layers[:-2]]))
    positions = [hung(posed, layer, points) for layer, points in zip(layers, worn, strict=False)]
    positions.append(posed.vertices[layers[-1].body_vertices])
    parts = [_part(layer, points) for layer, points in zip(layers, positions, strict=True)]
    # Soles lie below the feet, and clothes around the body: they lift it off the ground, by no more than their
    # thickness. What hangs or sticks out, such as skirts and bats, does not.
    resting = [part[0][:, 2] for part, layer in zip(parts, layers, strict=True) if not layer.sticks_out]
    lowest = float(np.concatenate(resting).min())
    step = np.array([0, 0, np.clip(posed.pose.lift - lowest, 0, _THICKEST)], np.float32)
    if seat is not None:
        # It stands on the ground however thick the soles are.
        parts.append((seat[0] - step, *seat[1:]))
    counts = np.cumsum([0, *(len(part[0]) for part in parts)])
    joined = [np.concatenate(arrays) for arrays in zip(*(part[:5] for part in parts), strict=True)]
    faces = np.concatenate([part[5] + offset for part, offset in zip(parts, counts, strict=False)])
    return Figure(
        vertices=joined[0] + step,
        normals=joined[1],
        rest=joined[2],
        faces=faces.astype(np.int32),
        cut=joined[3],
        face_materials=np.concatenate([part[6] for part in parts]).astype(np.int32),
        materials=outfit.materials,
        tint=joined[4],
        joints=posed.joints + step,
        capsules_start=posed.capsules_start + step,
        capsules_end=posed.capsules_end + step,
        attributes=attributes,
    )


def hung(posed: PosedBody, layer: Layer, vertices: Floats) -> Floats:
    """The posed vertices [m, 3] of a layer, upright below the point that it hangs from if it hangs."""
    if layer.hangs_from is None:
        return vertices
    hook = posed.skin(layer.hangs_from[None], layer.body_vertices[:1])
    offset = layer.rest - layer.hangs_from
    # It faces where the body faces.
    cosine, sine = posed.rotations[0, 0, 0], posed.rotations[0, 1, 0]
    length = max(float(np.hypot(cosine, sine)), 1e-6)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, length]], np.float32) / np.float32(length)
    return np.asarray(hook + offset @ turn.T, np.float32)


def _seat_below(posed: PosedBody, outfit: Outfit) -> Part | None:
    """What somebody who sits sits on, as :func:`_part` has it, with its material among the outfit's."""
    seat = find_seat(posed)
    if seat is None:
        return None
    vertices, faces = build_seat(outfit.rng, seat)
    points, index = vertices.astype(np.float32), outfit.material(prop_material(outfit.rng))
    outfit.names["seat"] = "stool"
    flat = np.zeros(len(points), np.float32)
    return points, vertex_normals(points, faces), points, flat - 1, flat, faces, np.full(len(faces), index, np.int32)


def _part(layer: Layer, vertices: Floats) -> Part:
    """Of one posed layer: vertices, normals, texture, cut and tint, each of its n vertices; faces and materials."""
    sheet = layer.sheet
    kept = left_of(sheet.joined_faces, layer.cut)
    normals = vertex_normals(vertices, sheet.joined_faces[kept])
    used, faces = without_unused(sheet.faces[kept], len(sheet.origins))
    origins = sheet.origins[used]
    return (
        vertices[origins],
        normals[origins],
        sheet.texture[used],
        layer.cut[origins],
        layer.tint[origins],
        faces,
        layer.materials[kept],
    )
