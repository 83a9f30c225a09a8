"""Options that several commands share: how their text becomes values."""

from __future__ import annotations

import math
import re
from typing import Any

import click

__all__ = ["LARGEST_SIDE", "FiniteRange", "parse_pairs", "parse_scales", "parse_size"]

#: Beyond this a network takes minutes and all memory for one image.
LARGEST_SIDE = 4096


class FiniteRange(click.FloatRange):
    """Numbers of a range, as click has it, but neither NaN, which click lets into every range, nor infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number that the user gave.

        Raises:
            click.BadParameter: when it is none, or outside the range.
        """
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


def parse_size(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """(width, height) from "432x368", or from "368", a square; None stays None."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text.strip().lower())
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
        message = f"{text!r} is not a size such as 432x368 (width x height) or 368, at most {LARGEST_SIDE} a side"
        raise click.BadParameter(message, ctx, param)
    return width, height


def parse_scales(ctx: click.Context, param: click.Parameter, text: str) -> tuple[float, ...]:
    """Positive numbers from "0.7,1,1.3"; spaces do for commas."""
    try:
        scales = tuple(float(part) for part in re.split(r"\s*,\s*|\s+", text.strip()))
    except ValueError:
        scales = ()
    if not scales or not all(0.01 <= scale <= 100 for scale in scales):
        raise click.BadParameter(f"{text!r} is not a list of scales such as 0.7,1,1.3", ctx, param)
    return scales


def parse_pairs(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Keys and values from several "KEY=VALUE", each key once."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not (key and sign and value):
            raise click.BadParameter(f"{text!r}: expected KEY=VALUE", ctx, param)
        if key in pairs:
            raise click.BadParameter(f"{key!r} is there twice", ctx, param)
        pairs[key] = value
    return pairs
