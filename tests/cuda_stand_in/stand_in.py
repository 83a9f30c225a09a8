"""The library that stands in for NVIDIA's driver, and kernels compiled for it; see README.md beside this file."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

__all__ = ["StandIn", "compile_kernels", "fingerprint", "load", "why_not"]

_FOLDER = Path(__file__).parent
#: What an image for ``cuModuleLoadData`` begins with; see modules.cpp.
_MAGIC = b"LTSH STAND-IN 2\0"
#: What must be closed again, by kind.
_KINDS = ("memory", "page_locked", "streams", "events", "graphs")

_KERNEL = re.compile(r"\b__global__\b[^;{]*?\b(\w+)\s*\(")
_DYNAMIC = re.compile(r"\bextern\s+__shared__\s+([\w:\s]+?)\s*\b(\w+)\s*\[\s*\]\s*;")
_COMMON = re.compile(r"\t\.comm\t([^,\n]+),(\d+),(\d+)")
_ZEROS = re.compile(r"(\t\.size\t\S+, \d+\n\S+:\n\t\.zero\t)(\d+)\n")
#: Bytes between shared variables.
_GAP = 256
#: What modules.cpp looks for.
_ENTRY = """
extern "C" std::size_t stand_in_size_{kernel}() {{ return stand_in_entries::packed_size(&{kernel}); }}
extern "C" __attribute__((no_sanitize("thread"))) void stand_in_call_{kernel}(const unsigned char* arguments) {{
    stand_in_entries::call(&{kernel}, arguments);
}}
"""
_LIBRARY_FLAGS = ["-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-U_FORTIFY_SOURCE"]
#: C++'s library in a copy that nobody else sees: NVRTC, which has one too, would take a shared one for its own.
_LINK_FLAGS = ["-shared", "-Wl,-soname,libcuda.so.1", "-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL"]
_KERNEL_FLAGS = [
    *("-std=c++17", "-O1", "-gdwarf-4", "-fPIC", "-ffp-contract=off", "-fno-gnu-unique", "-Werror=uninitialized"),
    # A call before each load and store, as for g++'s own detector of races, which is not linked.
    *("-fsanitize=thread", "-Wno-tsan", "--param", "tsan-distinguish-volatile=1"),
    "-fsanitize=bounds,alignment,shift,integer-divide-by-zero,signed-integer-overflow",
]


class StandIn:
    """The loaded library."""

    def __init__(self, path: Path) -> None:
        # Global: pycuda and kernels find their functions here, whether or not pycuda was linked with a libcuda.so.1.
        self._library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        self._library.stand_in_fault.restype = ctypes.c_char_p
        self._library.stand_in_patience.argtypes = [ctypes.c_double]

    @property
    def fault(self) -> str:
        """What a kernel, or its caller, did wrong; "" for nothing."""
        return str(self._library.stand_in_fault().decode())

    @property
    def allocations(self) -> int:
        """Pieces of the device's memory that are in use."""
        return self.open["memory"]

    @property
    def open(self) -> dict[str, int]:
        """How many there are of what must be given back: memory, page-locked memory, streams, events, graphs."""
        return {kind: int(getattr(self._library, f"stand_in_{kind}")()) for kind in _KINDS}

    def forgive(self) -> None:
        """Go on after a fault, as if in a new process: what waits in streams is forgotten."""
        self._library.stand_in_forgive()

    @contextmanager
    def order(self, seed: int) -> Iterator[None]:
        """Inside, blocks run and threads take turns in random orders, and turns may end at any access.

        Args:
            seed: not 0; the same one makes the same orders.
        """
        self._library.stand_in_order(seed)
        try:
            yield
        finally:
            self._library.stand_in_order(0)

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Inside, a kernel that takes longer is said not to end."""
        self._library.stand_in_patience(seconds)
        try:
            yield
        finally:
            self._library.stand_in_patience(60.0)


def why_not() -> str:
    """Why it cannot be used here; "" when it can."""
    if sys.platform != "linux":
        return "the CUDA stand-in is written for Linux"
    if shutil.which("g++") is None or shutil.which("addr2line") is None:
        return "the CUDA stand-in needs g++ and addr2line"
    if importlib.util.find_spec("pycuda") is None:
        return "the CUDA stand-in needs pycuda"
    return ""


def fingerprint() -> str:
    """What programs compiled by :func:`compile_kernels` depend on, beside their sources."""
    return _digest(*((_FOLDER / name).read_text() for name in ("device.h", "entries.h", "stand_in.py")))


def build(folder: Path) -> Path:
    """Compile the library into a folder, unless it is there from an earlier time."""
    sources = [path for path in sorted(_FOLDER.iterdir()) if path.suffix in {".cpp", ".h"}]
    unsupported = "".join(
        f'extern "C" __attribute__((visibility("default"), weak)) int {name}() {{ return 801; }}\n'
        for name in sorted(_names_pycuda_needs())
    )
    digest = _digest(
        unsupported, *_LIBRARY_FLAGS, *_LINK_FLAGS, *(path.read_text(encoding="utf-8") for path in sources)
    )
    library = folder / digest / "libcuda.so.1"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with _work_in(folder) as work:
            (work / "unsupported.cpp").write_text(unsupported)
            units = [*(path for path in sources if path.suffix == ".cpp"), work / "unsupported.cpp"]
            objects = [str(work / f"{unit.stem}.o") for unit in units]
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for done in [
                    pool.submit(_run, "g++", *_LIBRARY_FLAGS, "-c", str(unit), "-o", made)
                    for unit, made in zip(units, objects, strict=True)
                ]:
                    done.result()
            _run("g++", *_LINK_FLAGS, "-o", str(work / library.name), *objects, "-ldl")
            # Renamed when whole: other processes may make it at the same time.
            (work / library.name).replace(library)
    return library


@cache
def load(folder: Path) -> StandIn:
    """Build the library and load it, once a process. To be done before ``pycuda.driver`` is imported."""
    return StandIn(build(folder))


def compile_kernels(source: str, include: Path, folder: Path, name: str = "kernels.cu") -> bytes:
    """What ``cuModuleLoadData`` takes, of the text of a .cu file.

    Args:
        source: CUDA C++.
        include: where its headers are.
        folder: to work in, and to keep what was compiled.
        name: of the file, for messages.
    """
    common = ["-std=c++17", f"-I{_FOLDER}", f"-I{include}"]
    with _work_in(folder) as work:
        (work / "source.cpp").write_text(f'#include "device.h"\n#include "entries.h"\n#line 1 "{name}"\n{source}')
        # Macros first: kernels may be named by them.
        text = _run("g++", *common, "-E", str(work / "source.cpp")).replace(str(work), "")
        kept = folder / f"{_digest(text, fingerprint())}.module"
        if kept.exists():
            return kept.read_bytes()
        entries = "".join(_ENTRY.format(kernel=kernel) for kernel in _KERNEL.findall(text))
        text = _DYNAMIC.sub(r"\1* const \2 = static_cast<\1*>(stand_in_dynamic_shared());", text)
        text = re.sub(r"\b__global__\b", "", re.sub(r"\b__shared__\b", "static", text))
        (work / "plain.cpp").write_text(text + entries)
        _run("g++", *common, *_KERNEL_FLAGS, "-S", str(work / "plain.cpp"), "-o", str(work / "kernels.s"))
        assembly = _with_gaps((work / "kernels.s").read_text())
        (work / "kernels.s").write_text(assembly)
        # Not with -fsanitize=thread, which would link g++'s own detector.
        wrap = "-Wl,--wrap=memcpy,--wrap=memset"
        _run("g++", "-shared", wrap, str(work / "kernels.s"), "-o", str(work / "kernels.so"))
        parts = [_shared_variables(work / "kernels.so").encode(), (work / "kernels.so").read_bytes()]
        image = _MAGIC + b"".join(len(part).to_bytes(8, "little") + part for part in parts)
        (work / "image").write_bytes(image)
        (work / "image").replace(kept)
        return image


def _with_gaps(assembly: str) -> str:
    """Move shared variables apart: a pointer that leaves one of them must not come to the next one."""

    def separate(found: re.Match[str]) -> str:
        name, size, alignment = found[1], int(found[2]), found[3]
        lines = [".section .bss", f".balign {alignment}", f".size {name}, {size}", f"{name}:", f".zero {size + _GAP}"]
        return "\n".join([*lines, ".previous"])

    def widen(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) + _GAP}\n"

    # g++ writes variables of plain functions in the first way, and those of templates in the second.
    return _COMMON.sub(separate, _ZEROS.sub(widen, assembly))


def _shared_variables(library: Path) -> str:
    """Offset, size and name of each, a line each. A kernel has no other variables that begin as zero."""
    lines = []
    for line in _run("nm", "-S", "-C", "--defined-only", str(library)).splitlines():
        found = re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) [bBuV] (.*)", line)
        if found and not found[3].startswith("completed."):
            lines.append(f"{int(found[1], 16)} {int(found[2], 16)} {found[3].rpartition('::')[2]}\n")
    return "".join(lines)


def _names_pycuda_needs() -> set[str]:
    spec = importlib.util.find_spec("pycuda")
    assert spec is not None
    assert spec.submodule_search_locations
    (driver,) = Path(spec.submodule_search_locations[0]).glob("_driver*.so")
    return set(re.findall(r" U (cu[A-Z]\w*)", _run("nm", "-D", str(driver))))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


@contextmanager
def _work_in(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="work-") as name:
        yield Path(name)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return done.stdout
