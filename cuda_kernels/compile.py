"""From the .cu files beside this one to programs for a GPU: by NVRTC, else nvcc, and only once.

NVRTC is a library of NVIDIA's that pip installs (``nvidia-cuda-nvrtc``); nvcc comes with the CUDA toolkit. Neither
needs a GPU. What they make, cubins, is kept in the user's cache, under a name made of all that it depends on: the
sources, the options, the architecture, and the compiler with its version.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import secrets
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

__all__ = [
    "ARCHITECTURES",
    "KERNELS",
    "CompileError",
    "Compiler",
    "Nvcc",
    "Nvrtc",
    "cubin",
    "cubin_path",
    "find_compiler",
]

#: The .cu files, by name.
KERNELS = ("peaks", "limbs", "preprocess")
#: What CUDA 13.0 compiles for, as ``nvcc --list-gpu-code`` has it; earlier and later compilers know others.
ARCHITECTURES = (
    *("sm_75", "sm_80", "sm_86", "sm_87", "sm_88", "sm_89", "sm_90"),
    *("sm_100", "sm_103", "sm_110", "sm_120", "sm_121"),
)
_FOLDER = Path(__file__).parent
_HEADERS = ("cuda_results.h", "half.h", "host_device.h", "limbs.h", "peaks.h")
#: Products and sums are rounded one by one, as on every other processor.
_OPTIONS = ("-std=c++17", "-fmad=false")
_DIGEST_BYTES = 32


class CompileError(Exception):
    """No compiler is there, or it refuses."""


class Compiler(Protocol):
    """What turns a kernel's source into a program.

    Attributes:
        name: the compiler and its version.
        architectures: that it compiles for, such as ``sm_90``.
    """

    name: str
    architectures: tuple[str, ...]

    def compile(self, kernel: str, architecture: str) -> bytes:
        """The program of a .cu file for an architecture, such as ``sm_90``.

        Raises:
            CompileError: when the compiler refuses.
        """


class Nvrtc:
    """NVIDIA's compiler as a library.

    Raises:
        CompileError: when it is not there.
    """

    def __init__(self) -> None:
        self._library = _load_nvrtc()
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.name = f"NVRTC {major.value}.{minor.value}"
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", numbers)
        self.architectures = tuple(f"sm_{number}" for number in numbers)

    def compile(self, kernel: str, architecture: str) -> bytes:
        """See :class:`Compiler`."""
        program = ctypes.c_void_p()
        names = [name.encode() for name in _HEADERS]
        texts = [(_FOLDER / name).read_bytes() for name in _HEADERS]
        options = [option.encode() for option in (*_OPTIONS, f"--gpu-architecture={architecture}")]
        self._call(
            "nvrtcCreateProgram",
            ctypes.byref(program),
            (_FOLDER / f"{kernel}.cu").read_bytes(),
            f"{kernel}.cu".encode(),
            len(names),
            _strings(texts),
            _strings(names),
        )
        try:
            if self._library.nvrtcCompileProgram(program, len(options), _strings(options)):
                log = self._result(program, "nvrtcGetProgramLog").decode(errors="replace").strip("\0\n ")
                raise CompileError(f"{self.name} does not compile {kernel}.cu for {architecture}: {log}")
            return self._result(program, "nvrtcGetCUBIN")
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _result(self, program: ctypes.c_void_p, function: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"{function}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(function, program, buffer)
        return buffer.raw

    def _call(self, function: str, *arguments: Any) -> None:
        code = getattr(self._library, function)(*arguments)
        if code:
            raise CompileError(f"{self.name}: {function} fails with error {code}")


class Nvcc:
    """NVIDIA's compiler as a program.

    Raises:
        CompileError: when it is not there.
    """

    def __init__(self) -> None:
        path = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
        if path is None:
            raise CompileError("there is no nvcc on the PATH")
        self._path = path
        version = re.search(r"V([\d.]+)", _output([path, "--version"]))
        self.name = f"nvcc {version[1] if version else 'of an unknown version'}"
        self.architectures = tuple(_output([path, "--list-gpu-code"]).split())

    def compile(self, kernel: str, architecture: str) -> bytes:
        """See :class:`Compiler`."""
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "kernel.cubin"
            command = [self._path, *_OPTIONS, f"-arch={architecture}", "-cubin", "-o", str(made)]
            try:
                _output([*command, str(_FOLDER / f"{kernel}.cu")])
            except CompileError as error:
                raise CompileError(f"{self.name} does not compile {kernel}.cu for {architecture}: {error}") from None
            return made.read_bytes()


@cache
def find_compiler() -> Compiler:
    """NVRTC where it is there, else nvcc.

    Raises:
        CompileError: when neither is there.
    """
    reasons = []
    for kind in (Nvrtc, Nvcc):
        try:
            return kind()
        except CompileError as error:
            reasons.append(str(error))
    raise CompileError("; ".join(reasons))


def cubin(kernel: str, architecture: str, compiler: Compiler | None = None, folder: Path | None = None) -> bytes:
    """The program of a .cu file, compiled now or before.

    Args:
        kernel: one of ``KERNELS``.
        architecture: such as ``sm_90``.
        compiler: by default, :func:`find_compiler`'s.
        folder: where programs are kept; by default, the user's cache. One that cannot be written to is done without.

    Raises:
        CompileError: when there is no compiler, or it refuses.
    """
    compiler = compiler or find_compiler()
    path = _path(kernel, architecture, compiler, folder)
    kept = _read_kept(path)
    if kept is not None:
        return kept
    made = compiler.compile(kernel, architecture)
    with suppress(OSError):
        _keep(path, made)
    return made


def cubin_path(kernel: str, architecture: str, compiler: Compiler, folder: Path | None = None) -> Path:
    """Where :func:`cubin` will find that program; it is compiled now, unless it was before.

    Raises:
        CompileError: when the compiler refuses.
        OSError: when the folder cannot be written to.
    """
    path = _path(kernel, architecture, compiler, folder)
    if _read_kept(path) is None:
        _keep(path, compiler.compile(kernel, architecture))
    return path


def _read_kept(path: Path) -> bytes | None:
    """A program that was kept; None where there is none, or the disk has lost a part of it."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    program, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    return program if hashlib.sha256(program).digest() == digest else None


def _keep(path: Path, program: bytes) -> None:
    """Write a file that is whole or not there; whoever writes it at the same time writes the same.

    The program's digest follows it, for :func:`_read_kept`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # With the rights that files have here: who builds an image and who runs it may be two users.
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(program + hashlib.sha256(program).digest())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _path(kernel: str, architecture: str, compiler: Compiler, folder: Path | None) -> Path:
    from platformdirs import user_cache_path

    folder = folder or user_cache_path("ltsh-deploy") / "kernels"
    return folder / f"{kernel}-{architecture}-{_digest(kernel, architecture, compiler.name)}.cubin"


def _digest(kernel: str, architecture: str, compiler: str) -> str:
    digest = hashlib.sha256("\n".join([*_OPTIONS, architecture, compiler]).encode())
    for name in (f"{kernel}.cu", *_HEADERS):
        digest.update((_FOLDER / name).read_bytes())
    return digest.hexdigest()[:24]


def _load_nvrtc() -> Any:
    # The packages for CUDA 13 and for CUDA 12 have their libraries in different folders.
    nvidia = find_spec("nvidia")
    folders = list(nvidia.submodule_search_locations or []) if nvidia else []
    found = [
        path for folder in folders for path in Path(folder).glob("*/lib/libnvrtc.so.*") if "builtins" not in path.name
    ]
    for name in (*map(str, sorted(found, reverse=True)), "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.nvrtcCreateProgram.argtypes = [
            *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        ]
        library.nvrtcCompileProgram.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        return library
    raise CompileError("the package nvidia-cuda-nvrtc is not installed")


def _strings(texts: list[bytes]) -> Any:
    return (ctypes.c_char_p * len(texts))(*texts)


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise CompileError(f"{command[0]} does not run: {error.strerror}") from None
    if done.returncode:
        raise CompileError((done.stderr or done.stdout).strip())
    return done.stdout
