"""Synthetic people: how fast they are made, whether what is said of them is true, how real they look, and whether they
teach. Run with ``python -m benchmarks.synthesize [speed|collisions|visibility|realism|transfer ...]``.

Without a name everything but ``transfer`` is measured, which takes hours. Each part writes a section of its own into
docs/performance.md. Photographs are those of ../shared/data where that is; without it, ``realism`` and ``transfer``
cannot be measured.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import machine, write_section

__all__ = ["main"]

_DATA = Path(__file__).parent.parent.parent / "shared" / "data"
_TITLES = {
    "speed": "Making synthetic people",
    "collisions": "Synthetic people in each other",
    "visibility": "Visibility of synthetic people's joints",
    "realism": "How real synthetic people look",
    "transfer": "What synthetic people teach",
}


def main() -> None:
    """Measure what is asked for and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(_TITLES)}; by default all but transfer")
    parser.add_argument("--data", type=Path, default=_DATA, help="folder that holds lspet and backgrounds")
    parser.add_argument("--work", type=Path, default=Path("out/transfer"), help="transfer: where its runs are kept")
    parser.add_argument("--steps", type=int, default=3000, help="transfer: steps of each student, in all")
    parser.add_argument("--pictures", type=int, default=3000, help="transfer: synthetic pictures")
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in _TITLES:
            parser.error(f"there is no part {part!r}; there are {', '.join(_TITLES)}")
    for part in arguments.parts or [name for name in _TITLES if name != "transfer"]:
        write_section(f"synthesize-{part}", "\n\n".join([*_head(part), *_measure(part, arguments)]))


def _head(part: str) -> list[str]:
    # Others that compete for the cores make times by the clock longer, and a second worker useless.
    load = f"Programs that were running already, on average over a minute: {os.getloadavg()[0]:.1f}."
    numba = f"numba {importlib.metadata.version('numba')}"
    return [f"## {_TITLES[part]}", f"`python -m benchmarks.synthesize {part}`. {machine()}, {numba}. {load}"]


def _measure(part: str, arguments: argparse.Namespace) -> Sequence[str]:
    photographs, lspet = arguments.data / "backgrounds", arguments.data / "lspet"
    if part == "speed":
        from benchmarks.synthetic_speed import speed

        return speed(photographs if photographs.is_dir() else None)
    if part == "collisions":
        from benchmarks.synthetic_truth import collisions

        return collisions()
    if part == "visibility":
        from benchmarks.synthetic_truth import visibility

        return visibility()
    if part == "realism":
        from benchmarks.realism import realism

        return realism(lspet, photographs)
    from benchmarks.transfer import transfer

    return transfer(lspet, photographs, arguments.work, arguments.steps, arguments.pictures)


if __name__ == "__main__":
    main()
