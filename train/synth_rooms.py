"""Procedural rooms: living rooms, offices and halls, furnished along their walls."""

from __future__ import annotations

from typing import Any

import numpy as np

from ltsh_deploy.train.synth_palettes import cloth_colour, furnishing_colour, hard_colour, linear_from_srgb
from ltsh_deploy.train.synth_place_plan import Plan
from ltsh_deploy.train.synth_place_surfaces import (
    BOOKS,
    BRICK,
    COURT,
    CURTAIN,
    FOLIAGE,
    PAINT,
    PICTURE,
    PLANKS,
    TILES,
    WINDOW,
)

__all__ = ["plan_room"]

_WOODS = ([0.35, 0.2, 0.1], [0.2, 0.1, 0.05], [0.5, 0.36, 0.22], [0.09, 0.05, 0.03])


def _wood(rng: np.random.Generator) -> Any:
    return np.array(_WOODS[rng.integers(len(_WOODS))]) * np.exp(rng.normal(0, 0.15))


def _pale(rng: np.random.Generator) -> Any:
    tint = rng.uniform(-0.06, 0.06, 3) * rng.choice([0.3, 1.0, 2.0])
    return linear_from_srgb(np.clip(rng.uniform(0.6, 0.95) + tint, 0.1, 0.97))


def plan_room(rng: np.random.Generator, radius: float, least_height: float) -> Plan:
    """A room around the origin.

    Args:
        rng: where the numbers come from.
        radius: metres around the origin that are left free of furniture.
        least_height: metres that the ceiling is above the floor at least, so that the camera is below it.
    """
    hall = radius > 4.5 or least_height > 4.0 or rng.random() < 0.2
    half = radius + rng.uniform(0.8, 2.5, 2) + (2.0 if hall else 0.0)
    height = max(least_height + 0.4, rng.uniform(5.0, 9.0) if hall else rng.uniform(2.5, 3.3))
    floor = int(rng.choice([PLANKS, TILES, COURT, PAINT], p=[0.3, 0.25, 0.4, 0.05] if hall else [0.5, 0.3, 0.0, 0.2]))
    wall = int(rng.choice([PAINT, BRICK, TILES], p=[0.72, 0.18, 0.1]))
    wall_colour = np.array([0.3, 0.12, 0.07]) * np.exp(rng.normal(0, 0.3)) if wall == BRICK else _pale(rng)
    periods = {PLANKS: rng.uniform(0.07, 0.2), TILES: rng.uniform(0.2, 0.7), BRICK: rng.uniform(0.22, 0.3)}
    floor_colour = _wood(rng) if floor in (PLANKS, COURT) else _pale(rng) * rng.uniform(0.3, 1)
    plan = Plan(rng, "hall" if hall else "room")
    plan.surface(floor, floor_colour, hard_colour(rng) if floor == COURT else 0.5 * floor_colour, periods.get(floor, 1))
    plan.surface(wall, wall_colour, 0.6 * wall_colour + 0.1, periods.get(wall, 1.0))
    plan.surface(PAINT, _pale(rng), _pale(rng))
    plan.room = np.array([[-half[0], -half[1], 0.0], [half[0], half[1], height]])
    skirting = plan.surface(PAINT, _pale(rng), _pale(rng))
    for side in range(4):
        plan.on_wall(side, 0.0, 0.05, 50.0, 0.1, 0.02, skirting)
        _furnish_wall(plan, rng, side, half[1 - side % 2], hall=hall)
    if not hall and rng.random() < 0.5:
        size = rng.uniform(0.8, 1.4, 2)
        plan.box(
            (*rng.uniform(-0.5, 0.5, 2), 0.005),
            (*size, 0.005),
            plan.surface(PICTURE, furnishing_colour(rng), furnishing_colour(rng), 1.2),
        )
    plan.light_indoors()
    return plan


def _furnish_wall(plan: Plan, rng: np.random.Generator, side: int, half_length: float, *, hall: bool) -> None:
    place = -half_length + rng.uniform(0.2, 1.2)
    while place < half_length - 0.8:
        width = rng.uniform(0.7, 2.2)
        middle = place + width / 2
        kind = str(rng.choice(["window", "door", "shelf", "cupboard", "sofa", "table", "picture", "plant", "nothing"]))
        if kind == "window":
            _window(plan, rng, side, middle, width)
        elif kind == "door":
            plan.on_wall(side, middle, 1.02, 0.5, 2.04, 0.05, plan.surface(PAINT, _wood(rng), _wood(rng)))
        elif kind == "shelf":
            height = rng.uniform(0.9, 2.2)
            plan.on_wall(side, middle, height / 2, width, height, 0.35, plan.surface(BOOKS, _wood(rng), _wood(rng)))
        elif kind == "cupboard":
            height = rng.uniform(0.7, 2.1)
            plan.on_wall(
                side, middle, height / 2, width, height, 0.55, plan.surface(PLANKS, _wood(rng), _wood(rng), 0.6)
            )
            if height < 1.2:
                plan.on_wall(
                    side,
                    middle,
                    height + 0.17,
                    0.25,
                    0.34,
                    0.4,
                    plan.surface(PAINT, hard_colour(rng), hard_colour(rng)),
                )
        elif kind == "sofa" and not hall:
            cloth = plan.surface(CURTAIN, 0.7 * furnishing_colour(rng), furnishing_colour(rng))
            plan.on_wall(side, middle, 0.22, width + 0.5, 0.44, 0.9, cloth)
            plan.on_wall(side, middle, 0.5, width + 0.5, 0.9, 0.28, cloth)
            for end in (-1, 1):
                plan.on_wall(side, middle + end * (width / 2 + 0.2), 0.32, 0.2, 0.62, 0.9, cloth)
        elif kind == "table":
            wood = plan.surface(PLANKS, _wood(rng), _wood(rng), 0.3)
            plan.on_wall(side, middle, 0.74, width, 0.04, 0.75, wood)
            for end in (-1, 1):
                plan.on_wall(side, middle + end * (width / 2 - 0.06), 0.36, 0.06, 0.72, 0.7, wood)
        elif kind == "picture":
            _picture(plan, rng, side, middle, width)
        elif kind == "plant":
            _plant(plan, rng, side, middle)
        place += width + rng.uniform(0.2, 1.5)


def _window(plan: Plan, rng: np.random.Generator, side: int, middle: float, width: float) -> None:
    outside = np.array([0.7, 0.85, 1.0]) * rng.uniform(0.5, 1.2)
    green = np.array([0.12, 0.2, 0.06]) * rng.uniform(0.7, 2)
    plan.on_wall(side, middle, 1.6, width, 1.5, 0.04, plan.surface(WINDOW, outside, green, width / 2))
    if rng.random() < 0.5:
        curtain = plan.surface(CURTAIN, _pale(rng), _pale(rng))
        for end in (-1, 1):
            plan.on_wall(side, middle + end * (width / 2 + 0.15), 1.35, 0.35, 2.3, 0.12, curtain)


def _picture(plan: Plan, rng: np.random.Generator, side: int, middle: float, width: float) -> None:
    height = rng.uniform(0.4, 1.0)
    frame = plan.surface(PAINT, hard_colour(rng), hard_colour(rng))
    plan.on_wall(side, middle, 1.6, min(width, 1.3) + 0.08, height + 0.08, 0.03, frame)
    picture = plan.surface(PICTURE, cloth_colour(rng), cloth_colour(rng), rng.uniform(0.4, 1.0))
    plan.on_wall(side, middle, 1.6, min(width, 1.3), height, 0.045, picture)


def _plant(plan: Plan, rng: np.random.Generator, side: int, middle: float) -> None:
    pot, leaves = plan.surface(PAINT, hard_colour(rng), hard_colour(rng)), np.array([0.03, 0.1, 0.02])
    plan.on_wall(side, middle, 0.18, 0.36, 0.36, 0.5, pot)
    foliage = plan.surface(FOLIAGE, leaves * rng.uniform(0.6, 2), 2.5 * leaves)
    plan.on_wall(side, middle, 0.9, rng.uniform(0.5, 0.9), rng.uniform(0.8, 1.3), 0.7, foliage, blob=True)
