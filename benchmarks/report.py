"""Timing, the machine's description, and the tables of docs/performance.md."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ltsh_deploy.machine import describe_machine

__all__ = ["machine", "median_ms", "table", "write_section"]

_PAGE = Path(__file__).parent.parent / "docs" / "performance.md"


def median_ms(work: Callable[[], object], repeats: int = 25) -> float:
    """Median milliseconds of one call, after three calls to warm up."""
    for _ in range(3):
        work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def machine() -> str:
    """One line on what the numbers were measured with."""
    return str(describe_machine())


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats with one decimal from 1 on, else two digits, and 0 below a hundred-thousandth."""

    def text(value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}" if abs(value) >= 1e-5 else "0"

    lines = [list(header), ["---"] * len(header), *[[text(v) for v in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_section(name: str, body: str) -> None:
    """Print a section and put it into docs/performance.md, in place of the one of that name."""
    print(body)
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    page = _PAGE.read_text(encoding="utf-8") if _PAGE.is_file() else "# Performance\n"
    section = f"{begin}\n\n{body}\n\n{end}"
    if begin in page:
        page = page[: page.index(begin)] + section + page[page.index(end) + len(end) :]
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    _PAGE.write_text(page, encoding="utf-8")
