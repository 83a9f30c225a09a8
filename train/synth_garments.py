"""Garments: parts of the body's tights and skirt, cut by fields over the body and laid around it.

A cut is a field that is positive where cloth is cut away, in about metres: so hems are lines that need no vertices.
Along arms and legs the unit is the length of a limb; ``_ARM`` and ``_LEG`` turn that into metres.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_charts import LEFT_ARM, RIGHT_ARM, Sheet
from ltsh_deploy.train.synth_materials import (
    Materials,
    cloth_material,
    denim_material,
    plain_like,
    prop_material,
    shoe_material,
)
from ltsh_deploy.train.synth_outfit import Outfit
from ltsh_deploy.train.synth_palettes import cloth_colour
from ltsh_deploy.train.synth_textures import cloth_textures

__all__ = ["add_belt", "add_scarf", "add_tie", "any_cloth", "wear_shirt", "wear_shoes", "wear_skirt", "wear_trousers"]

Array = npt.NDArray[Any]

# Metres a unit of the regions along arms and legs.
_ARM, _LEG = 0.28, 0.38
# Kinds of tops: sleeve length, hem and looseness as ranges, and depth of folds. Sleeves end in units of the arm (0 the
# shoulder, 1 the elbow, 2 the wrist), hems in units of the leg (-0.4 the waist, 0 the hip, 1 the knee).
_TOPS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float], float]] = {
    "t-shirt": ((0.4, 0.8), (-0.15, 0.18), (0.004, 0.022), 1.0),
    "tank top": ((-0.35, -0.15), (-0.2, 0.15), (0.003, 0.014), 0.8),
    "long-sleeved shirt": ((1.8, 2.03), (-0.15, 0.12), (0.003, 0.012), 0.9),
    "button shirt": ((0.6, 2.0), (-0.15, 0.2), (0.006, 0.018), 1.0),
    "jumper": ((1.85, 2.05), (-0.2, 0.08), (0.012, 0.026), 1.2),
    "jacket": ((1.85, 2.05), (-0.1, 0.3), (0.02, 0.032), 1.4),
    "coat": ((1.85, 2.05), (0.3, 0.55), (0.022, 0.036), 1.5),
    "crop top": ((-0.3, 0.6), (-0.95, -0.55), (0.002, 0.006), 0.4),
    "leotard": ((-0.35, 2.0), (0.26, 0.34), (0.001, 0.002), 0.15),
}
# Kinds of trousers: how far down they reach, looseness, flare towards the hem and depth of folds.
_TROUSERS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float], float]] = {
    "jeans": ((1.85, 2.02), (0.003, 0.012), (0.0, 0.012), 1.0),
    "trousers": ((1.85, 2.04), (0.006, 0.018), (0.0, 0.02), 1.1),
    "sweatpants": ((1.85, 2.02), (0.01, 0.024), (-0.005, 0.01), 1.3),
    "leggings": ((1.3, 2.02), (0.001, 0.003), (0.0, 0.0), 0.25),
    "shorts": ((0.35, 0.95), (0.006, 0.02), (0.002, 0.02), 0.9),
    "briefs": ((0.26, 0.36), (0.001, 0.004), (0.0, 0.0), 0.3),
}


def any_cloth(outfit: Outfit, *, upper: bool) -> Materials:
    """A random cloth [1]."""
    textures = cloth_textures()
    return cloth_material(outfit.rng, textures.tiled, textures.prints, upper=upper)


def _ripples(outfit: Outfit, sheet: Sheet, wavelength: float) -> Array:
    """[V] waves from -1 to 1 over a sheet, mostly running down it: folds that are large enough to change outlines."""
    return outfit.waves(sheet, outfit.rng.normal(0, 2 * np.pi / wavelength, (3, 3)) * [1.0, 1.0, 0.5])


def _neckline(outfit: Outfit, depth: float, v_depth: float) -> Array:
    """[V] a cut around the neck; lower in front, ``v_depth`` metres more in a V."""
    regions, mean = outfit.wardrobe.body.regions, outfit.wardrobe.body.mean
    around = regions.neck + depth
    front = around + (0.035 + v_depth) - np.abs(mean[:, 0]) * (0.7 + 10 * v_depth)
    return np.asarray(np.maximum(around, np.where(mean[:, 1] < 0, front, -1.0)))


def _leg_slant(outfit: Outfit) -> Array:
    """[V] by how much what is cut high on the outside of the legs ends above its hem, in units of the leg."""
    outwards = np.maximum(0, np.abs(outfit.wardrobe.body.mean[:, 0]) - 0.04)
    return np.asarray(outfit.rng.uniform(1.5, 3.0) * outwards)


def wear_shirt(outfit: Outfit, kind: str, cloth: Materials | None = None, *, open_front: bool = False) -> Materials:
    """Put on something for the upper body.

    Args:
        outfit: changed.
        kind: a key of the table of tops.
        cloth: what it is made of, or None for something random.
        open_front: whether it hangs open in front and shows what is beneath.

    Returns:
        Its cloth [1].
    """
    rng, wardrobe = outfit.rng, outfit.wardrobe
    regions = wardrobe.body.regions
    sleeves, hems, loosenesses, folds = _TOPS[kind]
    sleeve, hem, looseness = rng.uniform(*sleeves), rng.uniform(*hems), rng.uniform(*loosenesses)
    neckline = _neckline(outfit, rng.uniform(-0.01, 0.03), 0.09 * rng.random() if rng.random() < 0.3 else 0.0)
    if kind in ("jumper", "coat") and rng.random() < 0.35:
        neckline = regions.neck - rng.uniform(0.02, 0.05)
    elif kind in ("tank top", "leotard", "crop top"):
        neckline = _neckline(outfit, rng.uniform(0.02, 0.06), rng.uniform(0, 0.04))
    slant = _leg_slant(outfit) if kind == "leotard" else 0.0
    cut = np.maximum(np.maximum((regions.arm - sleeve) * _ARM, (regions.leg - hem + slant) * _LEG), neckline)
    if open_front:
        gap = rng.uniform(0.03, 0.09) + 0.1 * rng.random() * np.clip(0.3 - wardrobe.body.mean[:, 2], 0, 1)
        in_front = np.where(wardrobe.body.mean[:, 1] < 0.02, gap - np.abs(wardrobe.body.mean[:, 0]), -1.0)
        cut = np.maximum(cut, np.where(regions.arm_weight > 0.5, -1.0, in_front))
    cloth = any_cloth(outfit, upper=True) if cloth is None else cloth.copy()
    cloth["relief"] *= folds
    material: Any = outfit.material(cloth)
    if kind in ("t-shirt", "jumper", "long-sleeved shirt") and rng.random() < 0.15:
        sleeve_cloth = outfit.material(plain_like(rng, cloth, cloth_colour(rng)))
        material = np.where(np.isin(wardrobe.shirt.charts, (LEFT_ARM, RIGHT_ARM)), sleeve_cloth, material)
    # Loose cloth stands off most where it ends.
    near_hem = np.clip(1 - np.maximum((hem - regions.leg) * _LEG / 0.25, 0), 0, 1)
    near_cuff = np.clip(1 - np.maximum((sleeve - regions.arm) * _ARM / 0.15, 0), 0, 1)
    ends = np.where(regions.arm > 0.1, near_cuff if sleeve < 1.6 else 0, near_hem)
    ripple = _ripples(outfit, wardrobe.shirt, 0.16)
    offset = 0.005 + looseness * (0.6 + 0.9 * ends + 0.5 * ripple)
    # Over what is worn already, which it would else show through it.
    offset = np.maximum(offset, outfit.reach + 0.005)
    outfit.trim(cut, 0.03)
    outfit.wear(wardrobe.shirt, offset, cut, material)
    if kind in ("button shirt", "jacket") and not open_front:
        _add_button_line(outfit, cloth, cut, offset)
    outfit.names["top" if "top" not in outfit.names else "over"] = kind
    return cloth


def _add_button_line(outfit: Outfit, cloth: Materials, cut: Array, offset: Array) -> None:
    """A strip down the front, for buttons or a zip."""
    wardrobe, rng = outfit.wardrobe, outfit.rng
    side = np.abs(wardrobe.body.mean[:, 0]) - rng.uniform(0.008, 0.018)
    strip = np.maximum(cut, np.where(wardrobe.body.mean[:, 1] < 0, side, 1.0))
    colour = cloth["colour"][0] * rng.choice([0.5, 0.8, 1.3]) if rng.random() < 0.7 else cloth_colour(rng)
    row = plain_like(rng, cloth, np.minimum(colour, 0.9))
    outfit.wear(wardrobe.shirt, offset + 0.003, strip, outfit.material(row), hides=False)


def wear_trousers(outfit: Outfit, kind: str, cloth: Materials | None = None) -> Materials:
    """Put on something with two legs; ``kind`` is a key of the table of trousers. Returns its cloth [1]."""
    rng, wardrobe = outfit.rng, outfit.wardrobe
    regions = wardrobe.body.regions
    lengths, loosenesses, flares, folds = _TROUSERS[kind]
    length, looseness, flare = rng.uniform(*lengths), rng.uniform(*loosenesses), rng.uniform(*flares)
    waist = rng.uniform(-0.42, -0.22)
    slant = _leg_slant(outfit) if kind == "briefs" else 0.0
    cut = np.maximum((waist - regions.leg) * _LEG, (regions.leg - length + slant) * _LEG)
    cut = np.where(regions.arm_weight > 0.4, 1.0, cut)
    if cloth is None:
        cloth = denim_material(rng) if kind == "jeans" else any_cloth(outfit, upper=False)
    else:
        cloth = cloth.copy()
    cloth["relief"] *= folds
    down = np.clip(regions.leg / max(length, 0.5), 0, 1)
    offset = 0.003 + looseness * (0.5 + 0.5 * down) + flare * down**2
    offset = offset + 0.4 * looseness * _ripples(outfit, wardrobe.trousers, 0.18)
    outfit.wear(wardrobe.trousers, offset, cut, outfit.material(cloth))
    if kind in ("sweatpants", "leggings", "shorts") and rng.random() < 0.3:
        stripe = np.maximum(cut, np.abs(wardrobe.outer_leg) - rng.uniform(0.01, 0.03))
        row = plain_like(rng, cloth, cloth_colour(rng))
        outfit.wear(wardrobe.trousers, offset + 0.002, stripe, outfit.material(row), hides=False)
    outfit.names["bottom"] = kind
    return cloth


def wear_skirt(outfit: Outfit, cloth: Materials | None = None) -> None:
    """Put on a skirt, of the dress's cloth where one is given."""
    rng, wardrobe = outfit.rng, outfit.wardrobe
    regions, mean = wardrobe.body.regions, wardrobe.body.mean
    length, waist = rng.uniform(0.3, 1.8), rng.uniform(-0.42, -0.3)
    cut = np.maximum((regions.leg - length) * _LEG, (waist - regions.leg) * _LEG)
    cut = np.where(regions.arm_weight > 0.5, 1.0, cut)
    material = outfit.material(any_cloth(outfit, upper=False) if cloth is None else cloth)
    # It widens downwards, with pleats that deepen.
    down = np.clip(regions.leg + 0.3, 0, 2)
    flare, pleats = rng.uniform(-0.05, 0.22), rng.uniform(0, 0.018)
    angle = np.arctan2(mean[:, 0], -mean[:, 1])
    width = down * (flare * 0.2 + pleats * np.sin(angle * int(rng.integers(7, 16)) + rng.uniform(0, 6.3)))
    push = np.stack([np.sin(angle), -np.cos(angle), 0 * angle], axis=-1) * width[:, None]
    outfit.wear(wardrobe.skirt, 0.006, cut, material, push=push, hides=False)
    # The thighs are left, for they show from below and in wide steps.
    hips = np.where(regions.leg < 0.05, cut, 1.0)
    outfit.covered = np.minimum(outfit.covered, np.where(regions.arm_weight > 0.4, 1.0, hips)).astype(np.float32)
    outfit.names["bottom"] = "skirt" if cloth is None else "dress"


def wear_shoes(outfit: Outfit) -> None:
    """Put on socks or not, and shoes or boots; or go barefoot."""
    rng, wardrobe = outfit.rng, outfit.wardrobe
    body = wardrobe.body
    kind = str(rng.choice(["none", "low", "trainers", "boots"], p=[0.1, 0.3, 0.45, 0.15]))
    outfit.names["shoes"] = kind
    ankle = float(body.mean_bone_heads[body.bone("foot.L")][2])
    height = body.mean[:, 2] - ankle
    if kind in ("low", "trainers") and rng.random() < 0.7:
        top = rng.uniform(0.02, 0.2)
        socks = plain_like(rng, any_cloth(outfit, upper=False))
        socks["relief"] *= 0.3
        outfit.wear(wardrobe.shoes, 0.003, height - top, outfit.material(socks))
    if kind == "none":
        return
    top = {"low": rng.uniform(-0.02, 0.0), "trainers": rng.uniform(0.0, 0.05), "boots": rng.uniform(0.08, 0.3)}[kind]
    sole = rng.uniform(0.006, 0.03)
    under = np.clip((-0.795 - body.mean[:, 2]) / 0.02, 0, 1)
    push = np.stack([0 * under, 0 * under, -sole * under], axis=-1)
    offset = 0.007 + 0.006 * under
    outfit.wear(wardrobe.shoes, offset, height - top, outfit.material(shoe_material(rng)), push=push)


def add_belt(outfit: Outfit) -> None:
    """A belt where trousers end."""
    rng, wardrobe = outfit.rng, outfit.wardrobe
    regions = wardrobe.body.regions
    middle, half = rng.uniform(-0.32, -0.2), rng.uniform(0.012, 0.025)
    cut = np.where(regions.arm_weight > 0.4, 1.0, np.abs(regions.leg - middle) * _LEG - half)
    outfit.wear(wardrobe.trousers, outfit.reach + 0.004, cut, outfit.material(prop_material(rng)), hides=False)


def add_tie(outfit: Outfit) -> None:
    """A tie down the front."""
    wardrobe = outfit.wardrobe
    regions, mean = wardrobe.body.regions, wardrobe.body.mean
    width = 0.02 + 0.025 * np.clip((0.45 - mean[:, 2]) / 0.3, 0, 1)
    cut = np.maximum(np.abs(mean[:, 0]) - width, np.maximum(regions.neck + 0.01, (regions.leg + 0.25) * _LEG))
    cut = np.where(mean[:, 1] < 0, cut, 1.0)
    tie = outfit.material(any_cloth(outfit, upper=False))
    outfit.wear(wardrobe.shirt, outfit.reach + 0.004, cut, tie)


def add_scarf(outfit: Outfit) -> None:
    """A scarf around the neck."""
    rng, wardrobe = outfit.rng, outfit.wardrobe
    neck = wardrobe.body.regions.neck
    cut = np.abs(neck - rng.uniform(0.0, 0.02)) - rng.uniform(0.02, 0.04)
    cut = np.where(np.abs(wardrobe.body.mean[:, 0]) < 0.11, cut, 1.0)
    offset = outfit.reach + rng.uniform(0.015, 0.03) * (1 + 0.4 * _ripples(outfit, wardrobe.shirt, 0.1))
    outfit.wear(wardrobe.shirt, offset, cut, outfit.material(any_cloth(outfit, upper=True)), hides=False)
