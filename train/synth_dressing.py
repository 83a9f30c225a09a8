"""What a person wears: outfits that go together, and heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_garments import (
    add_belt,
    add_scarf,
    add_tie,
    any_cloth,
    wear_shirt,
    wear_shoes,
    wear_skirt,
    wear_trousers,
)
from ltsh_deploy.train.synth_hair import add_glasses, add_hair, add_hat, beard_shadow
from ltsh_deploy.train.synth_materials import Materials, plain_like
from ltsh_deploy.train.synth_outfit import Outfit
from ltsh_deploy.train.synth_palettes import cloth_colour
from ltsh_deploy.train.synth_props import HAND_PROPS, add_backpack, add_shoulder_bag, hold

__all__ = ["choose_clothes", "choose_head", "choose_props"]

Floats = npt.NDArray[np.float32]

# Kinds of outfits, and shares of men's and women's.
_STYLES = ("casual", "sport", "business", "warm", "dress", "swim", "gymnast")
_MENS = (0.48, 0.24, 0.1, 0.1, 0.0, 0.05, 0.03)
_WOMENS = (0.42, 0.2, 0.07, 0.09, 0.13, 0.03, 0.06)


def choose_clothes(outfit: Outfit, *, male: float) -> None:
    """Put on an outfit; ``male`` from 0 to 1 shifts the shares of its kinds."""
    rng = outfit.rng
    shares = np.array(_MENS) * male + np.array(_WOMENS) * (1 - male)
    style = str(rng.choice(_STYLES, p=shares / shares.sum()))
    outfit.names["style"] = style
    if style not in ("swim", "gymnast"):
        wear_shoes(outfit)
    wear: Mapping[str, Callable[[Outfit], None]] = {
        "casual": partial(_casual, male=male),
        "sport": partial(_sport, male=male),
        "business": partial(_business, male=male),
        "warm": _warm,
        "dress": _dress,
        "swim": partial(_swim, male=male),
        "gymnast": partial(_gymnast, male=male),
    }
    wear[style](outfit)


def _casual(outfit: Outfit, *, male: float) -> None:
    rng = outfit.rng
    if rng.random() < 0.16 * (1 - male):
        wear_skirt(outfit)
    else:
        wear_trousers(outfit, str(rng.choice(["jeans", "trousers", "shorts", "leggings"], p=[0.45, 0.27, 0.2, 0.08])))
    if rng.random() < 0.2:
        add_belt(outfit)
    kinds = ["t-shirt", "button shirt", "long-sleeved shirt", "jumper", "tank top"]
    wear_shirt(outfit, str(rng.choice(kinds, p=[0.45, 0.2, 0.13, 0.14, 0.08])))
    if rng.random() < 0.14:
        wear_shirt(outfit, "jacket", open_front=rng.random() < 0.7)


def _sport(outfit: Outfit, *, male: float) -> None:
    rng = outfit.rng
    wear_trousers(outfit, str(rng.choice(["shorts", "sweatpants", "leggings"], p=[0.5, 0.28, 0.22])))
    if male > 0.5 and rng.random() < 0.12:
        outfit.names["top"] = "none"
        return
    crop = 0.22 * (1 - male)
    kinds = ["t-shirt", "tank top", "long-sleeved shirt", "jacket", "crop top"]
    shares = np.array([0.45, 0.27, 0.14, 0.14, crop])
    wear_shirt(outfit, str(rng.choice(kinds, p=shares / shares.sum())))


def _business(outfit: Outfit, *, male: float) -> None:
    rng = outfit.rng
    suit = plain_like(rng, any_cloth(outfit, upper=False), 0.25 * cloth_colour(rng))
    if rng.random() < 0.35 * (1 - male):
        wear_skirt(outfit, suit)
    else:
        wear_trousers(outfit, "trousers", suit)
    pale = plain_like(rng, any_cloth(outfit, upper=True), 0.55 + 0.3 * cloth_colour(rng))
    wear_shirt(outfit, "button shirt", pale if rng.random() < 0.7 else None)
    if rng.random() < 0.5 * male:
        add_tie(outfit)
    if rng.random() < 0.65:
        wear_shirt(outfit, "jacket", suit, open_front=True)


def _warm(outfit: Outfit) -> None:
    rng = outfit.rng
    wear_trousers(outfit, str(rng.choice(["jeans", "trousers", "leggings"], p=[0.5, 0.35, 0.15])))
    wear_shirt(outfit, "jumper")
    wear_shirt(outfit, str(rng.choice(["jacket", "coat"])), open_front=rng.random() < 0.35)
    if rng.random() < 0.35:
        add_scarf(outfit)


def _dress(outfit: Outfit) -> None:
    cloth = any_cloth(outfit, upper=True)
    wear_shirt(outfit, str(outfit.rng.choice(["tank top", "t-shirt", "long-sleeved shirt"])), cloth)
    wear_skirt(outfit, cloth)


def _swim(outfit: Outfit, *, male: float) -> None:
    if male > 0.5:
        wear_trousers(outfit, str(outfit.rng.choice(["shorts", "briefs"])))
        outfit.names["top"] = "none"
    elif outfit.rng.random() < 0.5:
        wear_shirt(outfit, "leotard")
    else:
        cloth = wear_trousers(outfit, "briefs")
        wear_shirt(outfit, "crop top", cloth)


def _gymnast(outfit: Outfit, *, male: float) -> None:
    cloth = wear_shirt(outfit, "leotard")
    if outfit.rng.random() < 0.3 + 0.4 * male:
        wear_trousers(outfit, str(outfit.rng.choice(["leggings", "shorts"])), cloth)


def choose_head(outfit: Outfit, hair: Materials, *, male: float, age: float) -> Floats:
    """Hair, hat, glasses, beard.

    Args:
        outfit: changed.
        hair: its material [1].
        male: 0 to 1.
        age: years.

    Returns:
        [V] tint of the skin.
    """
    rng, body = outfit.rng, outfit.wardrobe.body
    tint = outfit.wardrobe.tint
    # Made-up lips are common among women; brows are of any strength. Irises are what they are.
    lips, brows = rng.uniform(0.3, 0.7 + 0.3 * (1 - male)), rng.uniform(0.4, 1.0)
    painted = np.where(tint > 0, tint * lips, tint * brows)
    eyes = np.concatenate([body.vertices_of("left_eye"), body.vertices_of("right_eye")])
    painted[eyes] = tint[eyes]
    tint = painted
    with_hat = rng.random() < 0.17
    bald = rng.random() < 0.03 + 0.22 * male * np.clip((age - 30) / 40, 0, 1)
    add_hair(outfit, hair, male=male, bald=bool(bald), under_hat=bool(with_hat))
    if with_hat:
        add_hat(outfit)
    if rng.random() < 0.16:
        add_glasses(outfit)
    if male > 0.5 and age > 16 and rng.random() < 0.5:
        tint = np.minimum(tint, beard_shadow(outfit, hair))
    return np.asarray(tint, np.float32)


def choose_props(outfit: Outfit) -> None:
    """Most people carry nothing; some hold something, some have a bag."""
    rng = outfit.rng
    if rng.random() < 0.22:
        hold(outfit, str(rng.choice(HAND_PROPS)), str(rng.choice(["L", "R"])))
    if rng.random() < 0.1:
        (add_backpack if rng.random() < 0.6 else add_shoulder_bag)(outfit)
