"""Broken packages are named, never run into; and lines that install one are right for the Python that runs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ltsh_deploy import parts
from ltsh_deploy.errors import MissingPartError
from ltsh_deploy.parts import import_part, install_line, is_installed, reinstall_line, replace_line
from ltsh_deploy.runtimes import open_runtime
from tests.tiny_onnx import metadata, write_model

ROOT = Path(__file__).parent.parent
NAME = "package_of_a_test"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Make a package whose import does what the test wants."""

    def make(name: str, source: str) -> None:
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path / "packages"))
        monkeypatch.delitem(sys.modules, name, raising=False)

    return make


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('no kernel')", "cannot be imported: no kernel"),
        ("raise RuntimeError", "cannot be imported: RuntimeError"),
        ("None.attribute", "cannot be imported: 'NoneType' object has no attribute"),
        ("len(3)", "cannot be imported: object of type 'int'"),
        ("raise OSError('libfoo.so')", "cannot be imported: libfoo.so"),
        ("import absent_part_of_a_test", "cannot be imported: No module named 'absent_part_of_a_test'"),
        ("1 +", "cannot be imported: invalid syntax"),
    ],
)
def test_whatever_a_package_raises_it_is_a_part_that_is_missing(
    package: Callable[[str, str], None], source: str, said: str
) -> None:
    package(NAME, source)
    with pytest.raises(MissingPartError) as caught:
        import_part(NAME, "It", "train")
    assert f"It needs {NAME}, which {said}" in caught.value.message
    # Installing what pip takes to be installed would change nothing.
    assert "ltsh doctor" in caught.value.remedy


def test_what_an_uninstalled_package_leaves_behind_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / NAME).mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    with pytest.raises(MissingPartError, match="only an empty folder is left"):
        import_part(NAME, "It", "train")


def test_a_broken_onnxruntime_is_a_missing_part(
    package: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path / "tiny.onnx", metadata=metadata())
    package("onnxruntime", "raise RuntimeError('no such instruction')")
    with pytest.raises(MissingPartError, match="needs onnxruntime, which cannot be imported: no such instruction"):
        open_runtime(path)


def test_an_absent_package_comes_with_its_line() -> None:
    with pytest.raises(MissingPartError, match=f"It needs absent_{NAME}, which is not installed") as caught:
        import_part(f"absent_{NAME}", "It", "cpu", "gpu")
    assert caught.value.remedy == f"{install_line('cpu')} or {install_line('gpu')}"


def test_metadata_that_a_build_left_behind_is_no_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "ltsh_deploy.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: ltsh-deploy\nVersion: 0.1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert not is_installed()
    info = tmp_path / "ltsh_deploy-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ltsh-deploy\nVersion: 0.1.0\n")
    (info / "RECORD").write_text("")
    assert is_installed()


def test_lines_for_an_installed_package_and_for_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_pip", lambda: "pip")
    monkeypatch.setattr(parts, "is_installed", lambda: True)
    assert install_line("cpu", "export") == 'pip install "ltsh-deploy[cpu,export]"'
    assert replace_line(["onnxruntime"], "gpu") == 'pip uninstall -y onnxruntime && pip install "ltsh-deploy[gpu]"'
    monkeypatch.setattr(parts, "is_installed", lambda: False)
    monkeypatch.chdir(ROOT)
    assert install_line("cpu") == 'pip install -e ".[cpu]"'
    monkeypatch.chdir(tmp_path)
    assert install_line("cpu") == f'pip install -e "{ROOT}[cpu]"'
    monkeypatch.setattr(parts, "_CHECKOUT", tmp_path / "where there is none")
    assert install_line() == 'pip install "ltsh-deploy"'


def test_packages_are_installed_again_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_pip", lambda: "pip")
    assert reinstall_line({"a": "1.0", "b": ""}) == "pip install --force-reinstall --no-deps a==1.0 b"
    assert reinstall_line({"a": "1.0"}, dependencies=True) == "pip install --force-reinstall a==1.0"
    assert reinstall_line({"torch": "2.13.0"}).endswith(" torch==2.13.0")
    assert reinstall_line({"torch": "2.13.0+cu126"}).endswith(
        " torch==2.13.0+cu126 --extra-index-url https://download.pytorch.org/whl/cu126"
    )


def test_the_pip_that_is_named_is_the_one_of_the_python_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = tmp_path / "it's own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        (folder / "pip").write_text("#!/bin/sh\n")
        (folder / "pip").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(own / "python"))
    monkeypatch.setattr(parts, "is_installed", lambda: True)
    monkeypatch.setenv("PATH", str(own))
    assert shutil.which("pip") == str(own / "pip")
    assert install_line("cpu") == 'pip install "ltsh-deploy[cpu]"'
    for path in (str(other), ""):
        monkeypatch.setenv("PATH", path)
        assert install_line("cpu").startswith("'" + str(tmp_path) + "/it'\"'\"'s own/python' -m pip install ")
