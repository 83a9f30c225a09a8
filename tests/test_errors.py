from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from ltsh_deploy import errors
from ltsh_deploy.errors import ExitCode, LtshError, MissingPartError

ROOT = Path(__file__).parent.parent
TREE = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]


def test_every_error_of_the_module_is_public_and_in_the_one_tree() -> None:
    defined = {o for o in vars(errors).values() if isinstance(o, type) and issubclass(o, Exception)}
    assert defined == set(TREE)
    assert all(issubclass(error, LtshError) for error in TREE)


@pytest.mark.parametrize("error", TREE)
def test_every_error_has_a_documented_exit_code_of_a_failure(error: type[LtshError]) -> None:
    assert error.exit_code in set(ExitCode) - {ExitCode.OK, ExitCode.INTERRUPTED}


@pytest.mark.parametrize("error", TREE)
def test_errors_keep_what_they_say_between_processes(error: type[LtshError]) -> None:
    told = error("picture.jpg: is cut short", "Copy it again.")
    copy = pickle.loads(pickle.dumps(told))
    assert (type(copy), copy.message, copy.remedy) == (error, "picture.jpg: is cut short", "Copy it again.")
    assert str(copy) == str(told) == "picture.jpg: is cut short\nCopy it again."


def test_an_error_without_a_remedy_is_one_line() -> None:
    assert str(LtshError("it failed")) == "it failed"


def test_exit_codes_are_those_of_the_documents() -> None:
    for document in ("docs/design.md", "docs/cli.md"):
        text = re.sub(r"\s+", " ", (ROOT / document).read_text(encoding="utf-8"))
        for code in ExitCode:
            assert re.search(rf"(?<!\d){code.value}(?!\d)", text), f"{document} lacks exit code {code.value}"


def test_missing_parts_and_bad_input_are_told_apart() -> None:
    assert MissingPartError.exit_code == ExitCode.MISSING_PART == 4
    assert errors.DeviceError.exit_code == ExitCode.MISSING_PART
    for error in (errors.ImageError, errors.SourceError, errors.SkeletonError, errors.ModelFileError):
        assert error.exit_code == ExitCode.BAD_INPUT == 3
    assert errors.UsageError.exit_code == ExitCode.USAGE == 2
    assert errors.OutputError.exit_code == ExitCode.FAILURE == 1
