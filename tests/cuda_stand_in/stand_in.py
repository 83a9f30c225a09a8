"""The library that stands in for NVIDIA's driver, and kernels compiled for it; see README.md beside this file."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

__all__ = ["StandIn", "compile_kernels", "load", "why_not"]

_FOLDER = Path(__file__).parent
_UNITS = ("accesses.cpp", "driver.cpp", "memory.cpp", "modules.cpp", "streams.cpp", "threads.cpp")
_MAGIC = b"LTSH STAND-IN 1\0"
_KERNEL = re.compile(r'extern "C" __attribute__\(\(used\)\) void (\w+)\(')
_DYNAMIC = re.compile(r"extern static ([\w:]+) (\w+)\[\];")


class StandIn:
    """The loaded library."""

    def __init__(self, path: Path) -> None:
        # Global: pycuda and kernels find their functions here.
        self._library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        self._library.stand_in_fault.restype = ctypes.c_char_p
        self._library.stand_in_allocations.restype = ctypes.c_size_t

    @property
    def fault(self) -> str:
        """What a kernel, or its caller, did wrong; "" for nothing."""
        return str(self._library.stand_in_fault().decode())

    @property
    def allocations(self) -> int:
        """Pieces of the device's memory that are in use."""
        return int(self._library.stand_in_allocations())

    def forgive(self) -> None:
        """Go on after a fault, as if in a new process: what waits in streams is forgotten."""
        self._library.stand_in_forgive()


def why_not() -> str:
    """Why it cannot be used here; "" when it can."""
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        return "the CUDA stand-in is written for Linux on x86-64"
    if shutil.which("g++") is None:
        return "the CUDA stand-in needs g++"
    if importlib.util.find_spec("pycuda") is None:
        return "the CUDA stand-in needs pycuda"
    return ""


def build(folder: Path) -> Path:
    """Compile the library into a folder."""
    stubs = folder / "unsupported.cpp"
    stubs.write_text(
        "".join(
            f'extern "C" __attribute__((visibility("default"), weak)) int {name}() {{ return 801; }}\n'
            for name in sorted(_names_pycuda_needs())
        )
    )
    library = folder / "libcuda.so.1"
    units = [*(str(_FOLDER / name) for name in _UNITS), str(stubs)]
    flags = ["-std=c++17", "-O2", "-g1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra"]
    # Its own copy of C++'s library, seen by nobody: NVRTC, which has one too, would take a shared one for its own.
    flags += ["-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL"]
    _run("g++", *flags, "-Wl,-soname,libcuda.so.1", "-o", str(library), *units, "-ldl")
    return library


@cache
def load(folder: Path) -> StandIn:
    """Build the library and load it, once a process."""
    return StandIn(build(folder))


def compile_kernels(source: str, include: Path, folder: Path) -> bytes:
    """What ``cuModuleLoadData`` takes, of the text of a .cu file.

    Args:
        source: CUDA C++.
        include: where its headers are.
        folder: to work in.
    """
    written, plain = folder / "kernels.cpp", folder / "plain.cpp"
    common = ["-std=c++17", f"-I{_FOLDER}", f"-I{include}"]

    def preprocessed(text: str) -> str:
        written.write_text(text)
        return _run("g++", *common, "-E", "-include", str(_FOLDER / "device.h"), str(written))

    # Kernels may be named by macros, so their names are looked for in what these become.
    entries = "".join(f"STAND_IN_ENTRY({name})\n" for name in _KERNEL.findall(preprocessed(source)))
    text = preprocessed(f'{source}\n#include "{_FOLDER / "entries.h"}"\n{entries}')
    # Memory that is sized at launch: CUDA writes it as an array of no size.
    plain.write_text(_DYNAMIC.sub(r"\1* const \2 = static_cast<\1*>(stand_in_dynamic_shared());", text))
    flags = ["-O1", "-g1", "-fPIC", "-ffp-contract=off", "-fsanitize=thread", "-Wno-tsan"]
    shapes = ["--param", "tsan-distinguish-volatile=1"]
    _run("g++", *common, *flags, *shapes, "-c", str(plain), "-o", str(folder / "kernels.o"))
    # Linked without g++'s own library for -fsanitize=thread: the stand-in answers its calls.
    _run("g++", "-shared", str(folder / "kernels.o"), "-o", str(folder / "kernels.so"))
    library = (folder / "kernels.so").read_bytes()
    return _MAGIC + len(library).to_bytes(8, "little") + library


def _names_pycuda_needs() -> set[str]:
    spec = importlib.util.find_spec("pycuda")
    assert spec is not None
    assert spec.submodule_search_locations
    (driver,) = Path(spec.submodule_search_locations[0]).glob("_driver*.so")
    return set(re.findall(r" U (cu[A-Z]\w*)", _run("nm", "-D", str(driver))))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return done.stdout
