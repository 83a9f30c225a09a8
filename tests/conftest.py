"""Fixtures every test may use."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of third-party pictures and models beside the checkout; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the third-party pictures and models in ../shared, which are not here")
    return SHARED


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Undo what ``main()`` does to logging: it is made for a process that ends with it."""
    root, package = logging.getLogger(), logging.getLogger("ltsh_deploy")
    before = root.level, package.level, list(root.handlers)
    yield
    root.setLevel(before[0])
    package.setLevel(before[1])
    root.handlers[:] = before[2]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI, a skip for want of data that is there is a failure, not a skip."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or not SHARED.is_dir() or reporter is None:
        return
    wrongly = [r.nodeid for r in reporter.stats.get("skipped", []) if "../shared" in str(r.longrepr)]
    if wrongly:
        reporter.write_line(f"skipped for want of ../shared, which is there: {wrongly}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
