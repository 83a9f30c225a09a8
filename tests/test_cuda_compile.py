"""The kernels' compilers, the cache of what they made, and ``ltsh kernels build``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from ltsh_deploy.cli.kernels import command
from ltsh_deploy.cuda_kernels import compile as kernels
from ltsh_deploy.cuda_kernels.compile import (
    ARCHITECTURES,
    KERNELS,
    CompileError,
    Compiler,
    Nvcc,
    Nvrtc,
    cubin,
    cubin_path,
)
from ltsh_deploy.errors import MissingPartError, OutputError, UsageError


class Counting:
    """A compiler that makes up programs, and counts."""

    name = "none 1.0"
    architectures = ARCHITECTURES

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    def compile(self, kernel: str, architecture: str) -> bytes:
        self.made.append((kernel, architecture))
        return f"{kernel} {architecture}".encode()


@pytest.fixture
def nvrtc() -> Nvrtc:
    try:
        return Nvrtc()
    except CompileError as error:
        pytest.skip(f"needs NVRTC: {error}")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_compiles_for_every_architecture(kernel: str, architecture: str, nvrtc: Nvrtc) -> None:
    program = nvrtc.compile(kernel, architecture)
    assert program[:4] == b"\x7fELF"
    names = {
        "peaks": (b"find_peaks_float", b"find_peaks_half"),
        "limbs": (b"score_limbs_float", b"score_limbs_half"),
        "preprocess": (b"resize_pictures",),
    }
    assert all(name in program for name in names[kernel])


def test_nvrtc_says_what_it_compiles_for(nvrtc: Nvrtc) -> None:
    assert set(ARCHITECTURES) <= set(nvrtc.architectures)
    assert "sm_1" not in nvrtc.architectures


def test_nvcc_compiles_them_too() -> None:
    try:
        compiler = Nvcc()
    except CompileError as error:
        pytest.skip(f"needs nvcc: {error}")
    assert {"sm_86", "sm_87", "sm_90"} <= set(compiler.architectures)
    assert compiler.compile("limbs", "sm_90")[:4] == b"\x7fELF"
    with pytest.raises(CompileError, match=r"nvcc [\d.]+ does not compile limbs\.cu for sm_1"):
        compiler.compile("limbs", "sm_1")


def test_what_a_compiler_says_is_passed_on(nvrtc: Nvrtc) -> None:
    with pytest.raises(CompileError, match=r"NVRTC [\d.]+ does not compile peaks\.cu for sm_1.*invalid value"):
        nvrtc.compile("peaks", "sm_1")


def test_programs_are_compiled_once(tmp_path: Path) -> None:
    compiler = Counting()
    for _ in range(2):
        assert cubin("peaks", "sm_90", compiler, tmp_path / "cache") == b"peaks sm_90"
    assert cubin("peaks", "sm_80", compiler, tmp_path / "cache") == b"peaks sm_80"
    assert compiler.made == [("peaks", "sm_90"), ("peaks", "sm_80")]
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_another_compiler_or_source_makes_them_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = Counting()
    cubin("peaks", "sm_90", compiler, tmp_path)
    compiler.name = "none 1.1"
    cubin("peaks", "sm_90", compiler, tmp_path)
    changed = tmp_path / "sources"
    changed.mkdir()
    for path in kernels._FOLDER.iterdir():
        if path.suffix in (".cu", ".h"):
            (changed / path.name).write_bytes(path.read_bytes())
    (changed / "half.h").write_text("// other")
    monkeypatch.setattr(kernels, "_FOLDER", changed)
    cubin("peaks", "sm_90", compiler, tmp_path)
    assert len(compiler.made) == 3


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert cubin("peaks", "sm_90", Counting(), tmp_path / "file" / "cache") == b"peaks sm_90"


@pytest.mark.parametrize("content", [b"", b"peaks", b"peaks sm_90", b"\0" * 100])
def test_a_program_that_the_disk_damaged_is_made_anew(tmp_path: Path, content: bytes) -> None:
    compiler = Counting()
    path = cubin_path("peaks", "sm_90", compiler, tmp_path)
    whole = path.read_bytes()
    for get in (cubin, cubin_path):
        path.write_bytes(content)
        get("peaks", "sm_90", compiler, tmp_path)
        assert path.read_bytes() == whole
    assert cubin("peaks", "sm_90", compiler, tmp_path) == b"peaks sm_90"
    assert len(compiler.made) == 3


def test_programs_may_be_read_by_whom_files_here_may_be_read(tmp_path: Path) -> None:
    """Who builds a container's image is often another user than the one who runs it."""
    before = os.umask(0o022)
    try:
        path = cubin_path("peaks", "sm_90", Counting(), tmp_path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    compiler = Counting()
    monkeypatch.setattr(kernels, "find_compiler", lambda: compiler)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    return compiler


def test_the_command_builds_what_it_is_asked_for(compiler: Counting, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        command, ["build", "--arch", "sm_87", "--arch", "sm_90", "--json"], catch_exceptions=False
    )
    said = json.loads(done.stdout)
    assert said["compiler"] == "none 1.0"
    assert [(each["kernel"], each["architecture"]) for each in said["kernels"]] == compiler.made
    assert sorted(each["path"] for each in said["kernels"]) == sorted(
        str(path) for path in (tmp_path / "ltsh-deploy" / "kernels").iterdir()
    )
    assert len(compiler.made) == 2 * len(KERNELS)


def test_the_command_builds_for_all_where_there_is_no_gpu(compiler: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ltsh_deploy.nvidia_driver.list_gpus", list)
    done = CliRunner().invoke(command, ["build"], catch_exceptions=False)
    assert {architecture for _, architecture in compiler.made} == set(ARCHITECTURES)
    assert len(done.stdout.splitlines()) == len(ARCHITECTURES) * len(KERNELS)


def test_the_command_leaves_out_what_an_older_compiler_does_not_know(
    compiler: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ltsh_deploy.nvidia_driver.list_gpus", list)
    monkeypatch.setattr(compiler, "architectures", ("sm_70", "sm_80", "sm_90", "sm_90a"))
    CliRunner().invoke(command, ["build"], catch_exceptions=False)
    assert {architecture for _, architecture in compiler.made} == {"sm_80", "sm_90"}
    CliRunner().invoke(command, ["build", "--arch", "sm_70"], catch_exceptions=False)
    assert compiler.made[-1][1] == "sm_70"


def test_the_command_names_what_is_wrong(compiler: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner().invoke
    with pytest.raises(UsageError, match=r"--arch sm_1: none 1\.0 knows no such architecture"):
        run(command, ["build", "--arch", "sm_1"], catch_exceptions=False)
    (tmp_path / "ltsh-deploy").write_text("")
    with pytest.raises(OutputError, match="the kernels cannot be written there"):
        run(command, ["build", "--arch", "sm_90"], catch_exceptions=False)

    def nothing() -> None:
        raise CompileError("the package nvidia-cuda-nvrtc is not installed; there is no nvcc on the PATH")

    monkeypatch.setattr(kernels, "find_compiler", nothing)
    with pytest.raises(MissingPartError, match="nvidia-cuda-nvrtc is not installed"):
        run(command, ["build", "--arch", "sm_90"], catch_exceptions=False)
