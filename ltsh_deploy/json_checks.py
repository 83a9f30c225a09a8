"""Reading parsed JSON that others wrote: each function gives the value in the type it names, or says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ltsh_deploy.errors import InputError

__all__ = ["as_box", "as_list", "as_mapping", "as_number", "as_numbers", "as_whole", "short"]


def as_mapping(value: object, where: str) -> Mapping[str, Any]:
    """The value, which is a JSON object; else an InputError."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: expected an object, found {short(value)}")
    return value


def as_list(value: object, where: str) -> list[Any]:
    """The value, which is a JSON array; else an InputError."""
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list, found {short(value)}")
    return value


def as_number(value: object, where: str) -> float:
    """The value, which is a finite number; else an InputError."""
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: expected a number, found {short(value)}")
    return number


def as_numbers(values: Iterable[object], where: str) -> list[float]:
    """The values, all of them finite numbers; else an InputError."""
    return [as_number(value, where) for value in values]


def as_box(value: object, where: str) -> list[float]:
    """The value, which is a box as COCO has it: x, y, width, height; else an InputError."""
    numbers = as_numbers(as_list(value, where), where)
    if len(numbers) != 4:
        raise InputError(f"{where} must be 4 numbers, found {len(numbers)}")
    return numbers


def as_whole(value: object, where: str) -> int:
    """The value, which is a whole number (written 3 or 3.0) of at most 63 bits; else an InputError."""
    number = as_number(value, where)
    if number != int(number) or abs(number) >= 2**63:
        raise InputError(f"{where}: expected a whole number, found {short(value)}")
    return value if isinstance(value, int) else int(number)


def short(value: object) -> str:
    """The value as an error message may show it: at most 60 characters."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
