"""What all parts of a configuration have in common: no unknown keys, no truth values for numbers, and bounds."""

from __future__ import annotations

import typing
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

__all__ = [
    "TRUTH",
    "UNKNOWN_KEY",
    "ConfigPart",
    "Crops",
    "Factor",
    "Fraction",
    "Length",
    "NotNegative",
    "NotNegativeWhole",
    "Positive",
    "Share",
    "Whole",
]

#: The type of pydantic's error for a key that does not exist; its context has ``key`` and ``known``.
UNKNOWN_KEY = "unknown_key"
#: That of the error for a truth value where a number belongs, which pydantic would take for 0 or 1; it has ``key``.
TRUTH = "truth_value"

# Numbers far beyond any use overflow somewhere; they are refused where they are read.
Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=1e-6, le=1)]
Positive = Annotated[float, Field(ge=1e-12, le=1e6)]
NotNegative = Annotated[float, Field(ge=0, le=1e6)]
Whole = Annotated[int, Field(ge=1, le=10**9)]
NotNegativeWhole = Annotated[int, Field(ge=0, le=10**9)]
#: In pixels.
Length = Annotated[float, Field(ge=0.1, le=10_000)]
Factor = Annotated[float, Field(ge=0.01, le=100)]
Crops = Annotated[int, Field(ge=1, le=100_000)]


class ConfigPart(BaseModel):
    """A part of a configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: Any) -> Any:
        for key, value in data.items() if isinstance(data, dict) else ():
            known = cls.model_fields
            if key not in known:
                # Unlike pydantic's own error, it knows which keys there are.
                raise PydanticCustomError(UNKNOWN_KEY, "there is no such key", {"key": key, "known": list(known)})
            if _is_of_numbers(known[key].annotation) and _has_truth(value):
                raise PydanticCustomError(TRUTH, "true and false are no numbers", {"key": key})
        return data


def _has_truth(value: Any) -> bool:
    """Whether it is true or false, or such a value is in it."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    return any(isinstance(each, bool) for each in inside)


def _is_of_numbers(annotation: Any) -> bool:
    """Whether a number may stand somewhere in a value of this type, and a truth value may not."""
    if annotation in (int, float):
        return True
    return any(map(_is_of_numbers, typing.get_args(annotation)))
