"""What ``make`` does before it installs anything, and where a checkout lies."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Makes "environments" whose Python notes what it is told and does nothing.
PYTHON = """#!/bin/sh
echo "$@" >>"$LOG"
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$4/bin" && rm -f "$4"/.[!.]* && cp "$0" "$4/bin/python"; fi
"""


@pytest.fixture(params=["checkout", "it's a checkout"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder: Path = tmp_path / request.param
    folder.mkdir()
    for name in ("Makefile", "setup.cfg", "setup.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    for room in ("ltsh_deploy", "train", "export", "cuda_kernels", "cli"):
        (folder / room).mkdir()
        (folder / room / "__init__.py").touch()
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return folder


def make(checkout: Path, *arguments: str) -> tuple[int, str, list[str]]:
    """The exit code, what was written, and what every Python was told."""
    log = checkout.parent / "log"
    log.write_text("")
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PICTURE", "MODEL", "VENV"))
    }
    run = subprocess.run(
        ["make", f"PYTHON={checkout.parent / 'python'}", *arguments],
        cwd=checkout,
        env=environment | {"LOG": str(log)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return run.returncode, run.stdout, log.read_text().splitlines()


def told(calls: list[str], part: str) -> int:
    return sum(part in call for call in calls)


def test_demo_with_a_model_that_is_not_there_installs_nothing(checkout: Path) -> None:
    code, text, calls = make(checkout, "demo", "MODEL=no such.onnx")
    assert code != 0
    assert "no file no such.onnx" in text
    assert calls == []
    assert not (checkout / ".venv").exists()


def test_demo_without_a_model_takes_the_packages_own(checkout: Path) -> None:
    code, text, calls = make(checkout, "demo")
    assert code == 0, text
    assert calls[-2:] == [
        "-m ltsh_deploy.demo out/demo/picture.png",
        "-m ltsh_deploy infer out/demo/picture.png --draw out/demo/drawn",
    ]


def test_demo_with_a_model_installs_once(checkout: Path) -> None:
    (checkout / "it's.onnx").touch()
    for installs in (1, 0):
        code, text, calls = make(checkout, "demo", "MODEL=it's.onnx", "PICTURE=a b.png")
        assert code == 0, text
        assert told(calls, "pip install") == told(calls, "-m venv") == installs
        assert calls[-1] == "-m ltsh_deploy infer a b.png --model it's.onnx --draw out/demo/drawn"


def test_an_environment_of_another_place_is_made_anew(checkout: Path) -> None:
    assert told(make(checkout, "test")[2], "-m venv") == 1
    assert told(make(checkout, "test")[2], "-m venv") == 0
    elsewhere = checkout.rename(checkout.with_name(f"{checkout.name} 2"))
    code, text, calls = make(elsewhere, "test")
    assert code == 0, text
    assert told(calls, "-m venv --clear") == told(calls, "--editable") == 1
    assert calls[-1].startswith("-m pytest")


@pytest.mark.parametrize("name", [".venv", ".venv/", "link"])
@pytest.mark.parametrize("target", ["demo", "test", "check", "lint", "types", "format"])
def test_an_environment_that_is_a_link_is_refused(checkout: Path, name: str, target: str) -> None:
    """It may be that of another checkout, and would be emptied."""
    (checkout / "a.onnx").touch()
    theirs = checkout.parent / "theirs"
    (theirs / "bin").mkdir(parents=True)
    (theirs / ".created").write_text("elsewhere\n")
    for link in (checkout / ".venv", checkout / "link"):
        link.symlink_to(theirs)
    code, text, calls = make(checkout, target, f"VENV={name}", "MODEL=a.onnx")
    assert code != 0
    assert f"{name} is a symbolic link" in text
    assert "make VENV=folder" in text
    assert calls == []
    assert (theirs / ".created").read_text() == "elsewhere\n"
    assert (theirs / "bin").is_dir()


def test_a_link_is_refused_though_its_environment_was_made_here(checkout: Path) -> None:
    assert make(checkout, "test")[0] == 0
    (checkout / ".venv").rename(checkout.parent / "theirs")
    (checkout / ".venv").symlink_to(checkout.parent / "theirs")
    code, text, calls = make(checkout, "test")
    assert code != 0
    assert ".venv is a symbolic link" in text
    assert calls == []


@pytest.mark.parametrize("name", [".venv", ".venv/"])
def test_clean_leaves_linked_environments_alone(checkout: Path, name: str) -> None:
    theirs = checkout.parent / "theirs"
    (theirs / "bin").mkdir(parents=True)
    (theirs / ".created").write_text(f"{checkout}\n")
    (checkout / ".venv").symlink_to(theirs)
    assert make(checkout, "clean", f"VENV={name}")[0] == 0
    assert (theirs / ".created").is_file()
    assert (checkout / ".venv").is_symlink()
    (checkout / ".venv").unlink()
    theirs.rename(checkout / ".venv")
    assert make(checkout, "clean", f"VENV={name}")[0] == 0
    assert not (checkout / ".venv").exists()


def test_types_sees_the_rooms_wherever_they_lie(checkout: Path) -> None:
    code, text, calls = make(checkout, "types")
    assert code == 0, text
    assert calls[-1].startswith(f"-m mypy --config-file {checkout}/pyproject.toml")
    assert (checkout / "build" / "types" / "ltsh_deploy" / "cli" / "__init__.py").is_file()
