"""CI cannot pass by skipping."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).parent / "conftest.py"
ALLOWED = """
import pytest

def test_that_runs():
    pass

def test_with_shared(shared):
    assert shared.is_dir()

@pytest.mark.skipif(True, reason="there is no /dev/full here")
def test_of_a_device():
    pass
"""
SKIPPED = {
    "skip": "import pytest\ndef test_x(): pytest.skip('not in the mood')",
    "mark": "import pytest\n@pytest.mark.skip\ndef test_x(): pass",
    "skipif": "import pytest\n@pytest.mark.skipif(True, reason='as: there is no /dev/full here')\ndef test_x(): pass",
    "importorskip": "import pytest\ndef test_x(): pytest.importorskip('absent_package')",
    "module": "import pytest\npytest.importorskip('absent_package')\ndef test_x(): pass",
    "shared": "import pytest\ndef test_x(): pytest.skip('needs the third-party pictures and models in ../shared, which "
    "are not here')",
}


@pytest.fixture
def checkout(pytester: pytest.Pytester) -> Path:
    tests = pytester.path / "checkout" / "tests"
    tests.mkdir(parents=True)
    (tests / "conftest.py").write_text(CONFTEST.read_text(encoding="utf-8"))
    return tests


@pytest.mark.parametrize("kind", SKIPPED)
def test_a_skip_that_is_not_allowed_fails_in_ci_and_nowhere_else(
    kind: str, checkout: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pytester.path / "shared").mkdir()
    (checkout / "test_kind.py").write_text(SKIPPED[kind])
    (checkout / "test_good.py").write_text("def test_y(): pass")
    monkeypatch.setenv("CI", "true")
    result = pytester.runpytest_inprocess(checkout)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*may not be skipped in CI: *test_kind.py*"])
    monkeypatch.delenv("CI")
    assert pytester.runpytest_inprocess(checkout).ret == 0


@pytest.mark.parametrize("present", [True, False])
def test_what_a_machine_may_lack_is_allowed(
    present: bool, checkout: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    if present:
        (pytester.path / "shared").mkdir()
    (checkout / "test_good.py").write_text(ALLOWED)
    monkeypatch.setenv("CI", "true")
    result = pytester.runpytest_inprocess(checkout)
    assert result.ret == 0
    result.assert_outcomes(passed=1 + present, skipped=2 - present)
