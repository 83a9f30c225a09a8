"""Procedural places outdoors: streets, parks, beaches and playing fields."""

from __future__ import annotations

from typing import Any

import numpy as np

from ltsh_deploy.train.synth_palettes import car_colour, hard_colour, linear_from_srgb
from ltsh_deploy.train.synth_place_plan import Plan
from ltsh_deploy.train.synth_place_surfaces import (
    ASPHALT,
    BRICK,
    FACADE,
    FOLIAGE,
    GRASS,
    PAINT,
    SAND,
    TILES,
)

__all__ = ["plan_outdoors"]


def plan_outdoors(rng: np.random.Generator, radius: float) -> Plan:
    """A street, park, square, beach or field around the origin, with ``radius`` metres around it left free."""
    kind = str(rng.choice(["street", "square", "park", "field", "beach"], p=[0.32, 0.2, 0.26, 0.12, 0.1]))
    plan = Plan(rng, kind)
    plan.light_outdoors()
    if kind == "street":
        _street(plan, radius)
    elif kind == "square":
        _square(plan, radius)
    elif kind == "park":
        _park(plan, radius)
    elif kind == "field":
        _field(plan, radius)
    else:
        _beach(plan, radius)
    return plan


def _grey(rng: np.random.Generator, low: float, high: float) -> Any:
    return np.full(3, rng.uniform(low, high)) * (1 + rng.normal(0, 0.04, 3))


def _green(rng: np.random.Generator) -> Any:
    return np.array([0.09, 0.15, 0.035]) * np.exp(rng.normal(0, 0.3)) * (1 + rng.normal(0, 0.12, 3))


def _ground(plan: Plan, kind: int, colour: Any, second: Any, period: float = 1.0) -> None:
    plan.surface(kind, colour, second, period)
    # Outdoors there are no walls and no ceiling.
    for _ in range(2):
        plan.surface(PAINT, colour, colour)


def _buildings(plan: Plan, distance: float, *, axis: int, sign: float) -> None:
    """A row of houses at right angles to an axis."""
    rng, place = plan.rng, -60.0
    while place < 60:
        width, height, deep = rng.uniform(8, 22), rng.choice([2, 3, 4, 5, 7, 10]) * 3.1 + 1.0, rng.uniform(8, 12)
        front = linear_from_srgb(np.clip(rng.uniform(0.35, 0.9) + rng.normal(0, 0.06, 3), 0.1, 0.95))
        if rng.random() < 0.3:
            front = np.array([0.28, 0.12, 0.08]) * np.exp(rng.normal(0, 0.25))
        surface = plan.surface(FACADE, front, 0.5 * front, rng.uniform(1.8, 4.0))
        middle, half = np.zeros(3), np.zeros(3)
        middle[axis], half[axis] = sign * (distance + rng.uniform(0, 1.5) + deep / 2), deep / 2
        middle[1 - axis], half[1 - axis] = place + width / 2, width / 2
        middle[2], half[2] = height / 2, height / 2
        plan.box(middle.tolist(), half.tolist(), surface)
        place += width + (rng.uniform(2, 8) if rng.random() < 0.15 else 0.0)


def _tree(plan: Plan, x: float, y: float) -> None:
    rng = plan.rng
    height, width = rng.uniform(4, 11), rng.uniform(1.4, 3.2)
    bark = plan.surface(PAINT, np.array([0.09, 0.06, 0.04]), np.array([0.09, 0.06, 0.04]))
    leaves = plan.surface(FOLIAGE, 0.6 * _green(rng), 1.6 * _green(rng))
    plan.box((x, y, height / 4), (0.12, 0.12, height / 4), bark)
    for _ in range(3):
        shift = rng.normal(0, 0.35 * width, 3)
        half = width * rng.uniform(0.6, 1.0), width * rng.uniform(0.6, 1.0), height * rng.uniform(0.2, 0.32)
        plan.box((x + shift[0], y + shift[1], 0.68 * height + 0.5 * shift[2]), half, leaves, blob=True)


def _car(plan: Plan, x: float, y: float, *, along_x: bool) -> None:
    rng = plan.rng
    paint = car_colour(rng)
    body = plan.surface(PAINT, paint, paint)
    glass = plan.surface(PAINT, np.full(3, 0.03), np.full(3, 0.03))
    length, width, high = rng.uniform(1.9, 2.3), 0.88, rng.uniform(0.5, 0.75)

    def part(shift: float, z: float, half_length: float, half_width: float, half_height: float, surface: int) -> None:
        middle = (x + shift, y, z) if along_x else (x, y + shift, z)
        half = (half_length, half_width, half_height) if along_x else (half_width, half_length, half_height)
        plan.box(middle, half, surface)

    part(0.0, 0.55, length, width, 0.3, body)
    part(0.1, 0.85 + high / 2, 0.6 * length, 0.9 * width, high / 2, glass)
    part(0.1, 0.87 + high, 0.55 * length, 0.88 * width, 0.03, body)
    for end in (-0.62, 0.62):
        part(end * length, 0.32, 0.32, width + 0.01, 0.32, glass)


def _around(plan: Plan, count: int, nearest: float, farthest: float, put: Any) -> None:
    """Put things all around at random, none nearer than ``nearest`` to the origin."""
    for _ in range(count):
        turn, distance = plan.rng.uniform(0, 2 * np.pi), plan.rng.uniform(nearest, farthest)
        put(plan, distance * np.cos(turn), distance * np.sin(turn))


def _street(plan: Plan, radius: float) -> None:
    rng = plan.rng
    grey = _grey(rng, 0.05, 0.16)
    _ground(plan, ASPHALT, grey, 1.6 * grey, 1.0)
    pavement = plan.surface(TILES, _grey(rng, 0.15, 0.4), _grey(rng, 0.06, 0.15), rng.uniform(0.3, 0.8))
    edge = max(3.5, radius)
    for sign in (-1.0, 1.0):
        plan.box((0.0, sign * (edge + 2.0), 0.06), (80.0, 2.0, 0.06), pavement)
        _buildings(plan, edge + 4.0, axis=1, sign=sign)
        for x in np.arange(-24, 25, rng.uniform(6, 11)):
            if rng.random() < 0.5:
                _car(plan, float(x + rng.uniform(-1, 1)), sign * (edge - 0.1), along_x=True)
            elif rng.random() < 0.4:
                _tree(plan, float(x), sign * (edge + 1.0))
    pole = plan.surface(PAINT, np.full(3, 0.1), np.full(3, 0.1))
    for x in (-18.0, -4.0, 11.0, 26.0):
        plan.box((x, edge + 0.5, 3.0), (0.06, 0.06, 3.0), pole)


def _square(plan: Plan, radius: float) -> None:
    rng = plan.rng
    stone = _grey(rng, 0.12, 0.45)
    _ground(plan, int(rng.choice([TILES, BRICK])), stone, 0.5 * stone, rng.uniform(0.25, 1.0))
    distance = radius + rng.uniform(4, 16)
    for axis in (0, 1):
        for sign in (-1.0, 1.0):
            if rng.random() < 0.8:
                _buildings(plan, distance, axis=axis, sign=sign)
    _around(plan, int(rng.integers(0, 5)), radius + 1.5, distance, _tree)
    _around(plan, int(rng.integers(0, 6)), radius + 1.0, distance - 1, _bench)


def _bench(plan: Plan, x: float, y: float) -> None:
    wood = plan.surface(PAINT, np.array([0.2, 0.1, 0.05]), np.array([0.2, 0.1, 0.05]))
    plan.box((x, y, 0.43), (0.9, 0.22, 0.03), wood)
    plan.box((x, y + 0.24, 0.7), (0.9, 0.03, 0.2), wood)
    for end in (-0.7, 0.7):
        plan.box((x + end, y, 0.2), (0.04, 0.2, 0.2), wood)


def _park(plan: Plan, radius: float) -> None:
    rng = plan.rng
    green = _green(rng)
    _ground(plan, GRASS, green, green * [1.5, 1.25, 1.2])
    if rng.random() < 0.6:
        path = plan.surface(SAND, _grey(rng, 0.2, 0.4) * [1.1, 1.0, 0.85], _grey(rng, 0.1, 0.3))
        plan.box((rng.uniform(-2, 2), 0.0, 0.0), (rng.uniform(0.8, 2.0), 200.0, 0.012), path)
    _around(plan, int(rng.integers(5, 14)), radius + 2.5, 40.0, _tree)
    hedge = plan.surface(FOLIAGE, 0.5 * _green(rng), 1.3 * _green(rng))
    for sign in (-1.0, 1.0):
        if rng.random() < 0.6:
            plan.box((0.0, sign * (radius + rng.uniform(6, 25)), 0.7), (80.0, 0.6, rng.uniform(0.6, 1.4)), hedge)
    _woods(plan)


def _woods(plan: Plan) -> None:
    """A line of trees far away, all around."""
    leaves = plan.surface(FOLIAGE, 0.5 * _green(plan.rng), 1.1 * _green(plan.rng))
    for turn in np.arange(0, 2 * np.pi, 0.2):
        reach, size = plan.rng.uniform(70, 110), plan.rng.uniform(9, 18)
        plan.box((reach * np.cos(turn), reach * np.sin(turn), 0.3 * size), (size, size, 0.7 * size), leaves, blob=True)


def _field(plan: Plan, radius: float) -> None:
    rng = plan.rng
    green = _green(rng)
    _ground(plan, GRASS, green, 1.2 * green)
    line = plan.surface(PAINT, np.full(3, 0.6), np.full(3, 0.6))
    for x in (rng.uniform(-6, 6), rng.uniform(-6, 6) + 16):
        plan.box((x, 0.0, 0.0), (0.06, 60.0, 0.006), line)
    plan.box((0.0, rng.uniform(-4, 8), 0.0), (60.0, 0.06, 0.006), line)
    fence = plan.surface(PAINT, hard_colour(rng), hard_colour(rng))
    plan.box((0.0, radius + rng.uniform(8, 25), 0.5), (80.0, 0.05, 0.5), fence)
    if rng.random() < 0.5:
        seats = plan.surface(BRICK, hard_colour(rng), _grey(rng, 0.1, 0.3), 0.9)
        for step in range(6):
            plan.box((0.0, radius + 28 + 1.2 * step, 0.5 + 0.45 * step), (40.0, 0.6, 0.5 + 0.45 * step), seats)
    _woods(plan)


def _beach(plan: Plan, radius: float) -> None:
    rng = plan.rng
    sand = np.array([0.5, 0.4, 0.27]) * np.exp(rng.normal(0, 0.2))
    _ground(plan, SAND, sand, 0.85 * sand)
    sea = plan.surface(SAND, np.array([0.05, 0.14, 0.2]) * rng.uniform(0.6, 2), np.array([0.15, 0.3, 0.35]))
    plan.box((0.0, radius + rng.uniform(3, 15) + 500, 0.0), (3000.0, 500.0, 0.02), sea)
    if rng.random() < 0.5:
        _buildings(plan, radius + 18, axis=1, sign=-1.0)
