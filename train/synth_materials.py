"""What the surfaces of synthetic people are made of: one record a material, and materials drawn at random.

Colours are linear RGB albedo in [0, 1]. Lengths are metres of cloth or skin.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_palettes import cloth_colour, eye_colour, hard_colour, leather_colour

__all__ = [
    "CLOTH",
    "DENIM",
    "EYE",
    "HAIR",
    "MATERIAL",
    "NO_MATERIAL",
    "PROP",
    "SHOE",
    "SKIN",
    "Materials",
    "cloth_material",
    "denim_material",
    "eye_material",
    "hair_material",
    "plain_like",
    "prop_material",
    "shoe_material",
    "skin_material",
]

#: A structured array of dtype :data:`MATERIAL`; colours and lists of them.
Materials = npt.NDArray[Any]
Colour = npt.NDArray[np.float64]

#: The kinds, as they stand in the map of kinds of a rendered picture; NO_MATERIAL is where no person is.
NO_MATERIAL, SKIN, CLOTH, HAIR, EYE, SHOE, PROP = -1, 0, 1, 2, 3, 4, 5

#: The patterns of cloth. TILED repeats a texture, PRINT shows one once, on the chest.
PLAIN, STRIPES, CHECKS, TILED, PRINT, DENIM = 0, 1, 2, 3, 4, 5

#: One material.
#: kind: one of the kinds above. colour, second, third: what the pattern mixes; of skin: itself, lips, brows and beard;
#: of eyes: the white, the iris, the pupil. pattern, texture: which, and which of the textures. period: metres a
#: repeat. cosine, sine: of the pattern's angle to the horizontal. duty: the second colour's share of stripes.
#: mottle: strength of faint large-scale variation. relief: depth of folds or strands in metres, 0 for none.
#: relief_period: their size in metres. hem: width of the seam along a cut, metres. specular: reflectance of
#: highlights, sharpness: their Phong exponent. softness: how far light wraps around the terminator, 0 to 1.
#: seed: offset into the noise.
MATERIAL = np.dtype(
    [
        ("kind", np.int32),
        ("pattern", np.int32),
        ("texture", np.int32),
        ("colour", np.float32, (3,)),
        ("second", np.float32, (3,)),
        ("third", np.float32, (3,)),
        ("period", np.float32),
        ("cosine", np.float32),
        ("sine", np.float32),
        ("duty", np.float32),
        ("mottle", np.float32),
        ("relief", np.float32),
        ("relief_period", np.float32),
        ("hem", np.float32),
        ("specular", np.float32),
        ("sharpness", np.float32),
        ("softness", np.float32),
        ("seed", np.float32),
    ]
)


def _material(rng: np.random.Generator, kind: int, colour: Colour, **values: object) -> Materials:
    row = np.zeros(1, MATERIAL)
    row["kind"], row["colour"], row["seed"] = kind, colour, rng.uniform(0, 500)
    row["second"], row["third"], row["period"], row["relief_period"] = colour, colour, 1.0, 1.0
    row["cosine"], row["sharpness"] = 1.0, 20.0
    for name, value in values.items():
        row[name] = value
    return row


def skin_material(rng: np.random.Generator, colour: Colour, brows: Colour) -> Materials:
    """Skin [1] of a colour; brows and beard have the hair's."""
    # Lips hold more blood and less melanin than the cheek beside them.
    lips = colour * [0.85, 0.55, 0.6]
    return _material(
        rng,
        SKIN,
        colour,
        second=lips,
        third=0.8 * brows + 0.05 * colour,
        mottle=rng.uniform(0.12, 0.3),
        relief=0.0004,
        relief_period=0.02,
        specular=rng.uniform(0.005, 0.05),
        sharpness=rng.uniform(8, 25),
        softness=0.25,
    )


def eye_material(rng: np.random.Generator) -> Materials:
    """Eyeballs [1]."""
    white = np.full(3, rng.uniform(0.3, 0.48)) * [1, 0.95, 0.91]
    pupil = np.full(3, 0.005)
    return _material(rng, EYE, white, second=eye_colour(rng), third=pupil, specular=0.35, sharpness=60)


def hair_material(rng: np.random.Generator, colour: Colour) -> Materials:
    """Hair [1] with strands and a sheen."""
    return _material(
        rng,
        HAIR,
        colour,
        second=colour * rng.uniform(1.1, 1.8),
        mottle=rng.uniform(0.4, 0.8),
        relief=rng.uniform(0.002, 0.006),
        relief_period=rng.uniform(0.008, 0.025),
        specular=rng.uniform(0.01, 0.09),
        sharpness=rng.uniform(6, 18),
        softness=0.15,
    )


def cloth_material(rng: np.random.Generator, textures: int, prints: int, *, upper: bool) -> Materials:
    """Cloth [1] of a random pattern.

    Args:
        rng: where the numbers come from.
        textures: how many tiled textures there are; they come first in the bank.
        prints: how many prints follow them.
        upper: for the upper body, where patterns and prints are more common than below.
    """
    shares = (0.40, 0.14, 0.10, 0.2, 0.16) if upper else (0.82, 0.05, 0.05, 0.08, 0.0)
    pattern = int(rng.choice([PLAIN, STRIPES, CHECKS, TILED, PRINT], p=shares))
    period = {
        STRIPES: np.exp(rng.uniform(np.log(0.012), np.log(0.14))),
        CHECKS: np.exp(rng.uniform(np.log(0.02), np.log(0.15))),
        TILED: np.exp(rng.uniform(np.log(0.1), np.log(0.45))),
        PRINT: rng.uniform(0.14, 0.3),
    }.get(pattern, 1.0)
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)], p=[0.62, 0.28, 0.1]) if pattern == STRIPES else 0.0
    texture = textures + rng.integers(prints) if pattern == PRINT else rng.integers(textures)
    colour, second, third = (cloth_colour(rng, upper=upper) for _ in range(3))
    if pattern in (STRIPES, CHECKS) and rng.random() < 0.5:
        # Much real cloth has bands of black or white.
        second = np.full(3, rng.choice([0.015, 0.75]))
    return _material(
        rng,
        CLOTH,
        colour,
        second=second,
        third=third,
        pattern=pattern,
        texture=texture,
        period=period,
        cosine=np.cos(angle),
        sine=np.sin(angle),
        duty=rng.uniform(0.15, 0.7),
        mottle=rng.uniform(0.05, 0.3),
        relief=rng.uniform(0.003, 0.012),
        relief_period=rng.uniform(0.05, 0.13),
        hem=rng.uniform(0.005, 0.03),
        specular=rng.choice([0.0, rng.uniform(0.0, 0.12)], p=[0.75, 0.25]),
        sharpness=rng.uniform(6, 25),
        softness=0.1,
    )


def denim_material(rng: np.random.Generator) -> Materials:
    """Jeans [1]: worn pale on the thighs, dark beside the seams."""
    dark = rng.beta(1.2, 1.6)
    colour = np.array([0.012, 0.02, 0.05]) * (1 - dark) + np.array([0.18, 0.26, 0.40]) * dark
    if rng.random() < 0.2:
        colour = np.full(3, rng.uniform(0.008, 0.2)) * [1, 1, 1.04]
    worn = np.minimum(colour * rng.uniform(1.3, 3.0) + 0.03, 0.7)
    return _material(
        rng,
        CLOTH,
        colour,
        second=worn,
        third=np.minimum(colour * 1.2 + [0.1, 0.06, 0.01], 0.6),
        pattern=DENIM,
        mottle=rng.uniform(0.05, 0.2),
        relief=rng.uniform(0.004, 0.011),
        relief_period=rng.uniform(0.05, 0.1),
        hem=rng.uniform(0.01, 0.025),
        softness=0.05,
    )


def plain_like(rng: np.random.Generator, material: Materials, colour: Colour | None = None) -> Materials:
    """The same cloth [1] without its pattern, of one colour: sleeves, bands, collars."""
    plain = material.copy()
    plain["pattern"], plain["seed"] = PLAIN, rng.uniform(0, 500)
    if colour is not None:
        plain["colour"] = colour
    return plain


def shoe_material(rng: np.random.Generator) -> Materials:
    """Shoes [1]: leather or trainers; the second colour is the sole's."""
    leather = rng.random() < 0.45
    sole = np.full(3, rng.choice([0.02, 0.6, 0.8], p=[0.5, 0.2, 0.3]))
    return _material(
        rng,
        SHOE,
        leather_colour(rng) if leather else cloth_colour(rng),
        second=sole,
        third=cloth_colour(rng),
        pattern=PLAIN if leather or rng.random() < 0.4 else STRIPES,
        mottle=0.12,
        relief=0.0015,
        relief_period=0.03,
        specular=rng.uniform(0.03, 0.3) if leather else rng.uniform(0, 0.05),
        sharpness=rng.uniform(15, 50),
    )


def prop_material(rng: np.random.Generator) -> Materials:
    """Something hard [1]: plastic, metal, leather, rubber."""
    return _material(
        rng,
        PROP,
        hard_colour(rng),
        second=hard_colour(rng),
        mottle=0.15,
        specular=rng.choice([0.02, 0.15, 0.4]),
        sharpness=rng.uniform(10, 60),
    )
