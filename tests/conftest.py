"""Fixtures every test may use, and the guard that keeps CI from passing by skipping."""

from __future__ import annotations

import logging
import os
import platform
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.browser_fixtures", "tests.cuda_stand_in.fixtures", "tests.infer_fixtures"]

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
WITHOUT_SHARED = "needs the third-party pictures and models in ../shared, which are not here"
#: The only reasons for which a test may be skipped in CI: what CI's machine may lack and cannot install.
MAY_SKIP = (
    *([re.escape(WITHOUT_SHARED)] if not SHARED.is_dir() else []),
    *(["needs TensorRT for RTX.*"] if platform.machine() != "x86_64" else []),
    "there is no /dev/full here",
    "needs a C compiler for a stand-in driver",
    "needs an NVIDIA GPU.*",
)


def pytest_configure() -> None:
    """Heed Ctrl-C, which a shell's background jobs ignore, they and the processes that tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread for torch, so that tests that run side by side do not fight for the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of third-party pictures and models beside the checkout; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(WITHOUT_SHARED)
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
    """In CI, a skip for any reason that is not listed above is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    allowed = re.compile(f"(Skipped: )?({'|'.join(MAY_SKIP)})")
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not allowed.fullmatch(reason):
            reporter.write_line(f"may not be skipped in CI: {report.nodeid}: {reason}", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
