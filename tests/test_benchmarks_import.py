"""Benchmarks are run by hand and seldom: that they can still be started is tested here."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

MODULES = sorted(path.stem for path in (Path(__file__).parent.parent / "benchmarks").glob("[!_]*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_can_be_imported(name: str) -> None:
    """Names that other modules no longer have would be told by the import."""
    assert importlib.import_module(f"benchmarks.{name}").__doc__
