"""Average precision once more, as slowly and plainly as possible, in whole numbers and fractions.

A unit is ``(truth, heads, prediction, scores)``: people as lists of joints, a joint (x, y) in whole numbers or None.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

Joint = tuple[int, int] | None


class Unit(NamedTuple):
    truth: list[list[Joint]]
    heads: list[int | None]
    prediction: list[list[Joint]]
    scores: list[list[float]]


class Detection(NamedTuple):
    unit: int
    score: float
    hit: bool


def is_hit(found: Joint, true: Joint, head: int | None) -> bool:
    """At most half a head size away, without a square root."""
    if found is None or true is None or not head:
        return False
    return 4 * ((found[0] - true[0]) ** 2 + (found[1] - true[1]) ** 2) <= head**2


def pckh(person: list[Joint], true: list[Joint], head: int | None) -> Fraction:
    annotated = sum(joint is not None for joint in true)
    hits = sum(is_hit(a, b, head) for a, b in zip(person, true, strict=True))
    return Fraction(hits, annotated) if annotated else Fraction(0)


def match(unit: Unit) -> list[int]:
    """For each predicted person the labelled one, or -1."""
    wishes: list[tuple[int, Fraction] | None] = []
    for person in unit.prediction:
        wish = None
        for g, (true, head) in enumerate(zip(unit.truth, unit.heads, strict=True)):
            value = pckh(person, true, head)
            if value > 0 and (wish is None or value > wish[1]):
                wish = g, value
        wishes.append(wish)
    matched = [-1] * len(wishes)
    for g in range(len(unit.truth)):
        best = None
        for p, wish in enumerate(wishes):
            if wish and wish[0] == g and (best is None or wish[1] > best[1]):
                best = p, wish[1]
        if best:
            matched[best[0]] = g
    return matched


def detections(units: list[Unit], joint: int, draw: list[int] | None = None) -> list[Detection]:
    """From the surest on; each as often as its unit was drawn."""
    found = []
    for u, unit in enumerate(units):
        for p, g in enumerate(match(unit)):
            place = unit.prediction[p][joint]
            if place is not None:
                hit = g >= 0 and is_hit(place, unit.truth[g][joint], unit.heads[g])
                found.append(Detection(u, unit.scores[p][joint], hit))
    found = sorted(found, key=lambda each: -each.score)
    return [each for each in found for _ in range(draw[each.unit] if draw else 1)]


def annotated(units: list[Unit], joint: int, draw: list[int] | None = None) -> int:
    return sum(
        (draw[u] if draw else 1) * sum(person[joint] is not None for person in unit.truth)
        for u, unit in enumerate(units)
    )


def average_precision(ranked: list[Detection], n_gt: int) -> float | None:
    """100 times the area under the best precision at each recall or a higher one."""
    if not n_gt:
        return None
    precisions, recalls, found = [], [Fraction(0)], 0
    for seen, each in enumerate(ranked, 1):
        found += each.hit
        precisions.append(Fraction(found, seen))
        recalls.append(Fraction(found, n_gt))
    steps = ((recalls[i + 1] - recalls[i]) * max(precisions[i:]) for i in range(len(precisions)))
    return float(100 * sum(steps))


def joint_counts(units: list[Unit], joint: int) -> dict[str, Any]:
    """Average precision of one joint and what it is made of."""
    ranked, n_gt = detections(units, joint), annotated(units, joint)
    return {
        "ap": average_precision(ranked, n_gt),
        "n_gt": n_gt,
        "n_detections": len(ranked),
        "n_true_positives": sum(each.hit for each in ranked),
    }
