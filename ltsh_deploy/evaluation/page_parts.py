"""What the report's page is put together from."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["data_uri", "details", "number", "readable", "section", "spread", "swatch", "table"]


def data_uri(jpeg: bytes) -> str:
    """An address that holds the picture itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def section(title: str, text: str, body: str) -> str:
    """A part of the page with its title; text and body are HTML."""
    return f"<section><h2>{escape(title)}</h2><p>{text}</p>{body}</section>\n"


def details(summary: str, body: str) -> str:
    """HTML that is folded away under a line of text."""
    return f"<details><summary>{summary}</summary>{body}</details>"


def table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table of plain texts; a wide one scrolls by itself."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in body)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def swatch(kind: str) -> str:
    """A square in the colour of a class of the style sheet."""
    return f'<i class="{kind}"></i>'


def readable(name: str) -> str:
    """``right_ankle`` as people write it."""
    return name.replace("_", " ")


def number(value: float, form: str = ".2f") -> str:
    """A figure as text; n/a for NaN."""
    return "n/a" if math.isnan(value) else format(value, form)


def spread(low: float, high: float, form: str = ".2f") -> str:
    """The ends of an interval as text; n/a where there is none."""
    return "n/a" if math.isnan(low) or math.isnan(high) else f"{low:{form}} to {high:{form}}"
