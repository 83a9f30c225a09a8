"""Bring TensorRT 8.6.0 to a machine with a GPU that has no network, and see there what engines do.

The full TensorRT of PyPI is 8.6.0, which needs Python 3.10 and is too large to be sent at once. So it is packed, where
there is a network, with a Python 3.10, numpy, onnxruntime, pycuda and this checkout, into parts of at most 60 MiB:

    python tools/tensorrt86.py pack parts --python python3.10 --pycuda pycuda-2026.1-cp310-*.whl

pycuda is built before (`pip wheel pycuda` with Python 3.10 and nvcc). Then, on the other machine, with any Python from
3.8 on, parts are taken in as they come, some at a time, and when all are there it is tried:

    python3 tensorrt86.py unpack some_parts /tmp/tensorrt86
    python3 tensorrt86.py try /tmp/tensorrt86 photographs model.onnx results

`try` builds engines in fp32, fp16 and int8, holds their people against onnxruntime's on the photographs, times both,
and writes what each command said into the folder of results. Nothing is installed on either machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PART_MIB = 60
# What compresses well enough into one part, as the first guess.
CHUNK_MIB = 160
PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "click",
    "pydantic",
    "pyyaml",
    "rich",
    "platformdirs",
    "onnx",
    "onnxruntime",
)
ROOMS = ("ltsh_deploy", "train", "export", "cuda_kernels", "cli")
#: All that the rest of TensorRT wants of its plugins. This project needs none, and they want cuBLAS and cuDNN.
STUB = 'extern "C" int initLibNvInferPlugins(void*, char const*) { return 1; }\n'


def main() -> int:
    """Pack, unpack or try."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="where there is a network")
    packing.add_argument("parts", type=Path)
    packing.add_argument("--python", default="python3.10", help="a Python 3.10 with pip")
    packing.add_argument("--pycuda", type=Path, required=True, help="its wheel for Python 3.10")
    packing.add_argument(
        "--without-tensorrt", action="store_true", help="all but the gigabyte, to see that the rest works"
    )
    unpacking = commands.add_parser("unpack", help="on the machine with the GPU; again for every few parts")
    unpacking.add_argument("parts", type=Path)
    unpacking.add_argument("target", type=Path)
    trying = commands.add_parser("try", help="on the machine with the GPU, when all parts are there")
    trying.add_argument("target", type=Path)
    trying.add_argument("photographs", type=Path, help="a folder with 8 pictures of people or more")
    trying.add_argument("model", type=Path)
    trying.add_argument("results", type=Path)
    given = parser.parse_args()
    for name, value in vars(given).items():
        setattr(given, name, value.resolve() if isinstance(value, Path) else value)
    if given.command == "pack":
        return pack(given.parts, given.python, given.pycuda, not given.without_tensorrt)
    if given.command == "unpack":
        return unpack(given.parts, given.target)
    return attempt(given.target, given.photographs, given.model, given.results)


def pack(parts: Path, python: str, pycuda: Path, with_tensorrt: bool) -> int:
    """Gather everything, and cut it into parts with a list of their digests."""
    parts.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="tensorrt86-", dir=parts) as scratch:
        root = Path(scratch) / "root"
        gather_python(python, root)
        site = root / "site"
        install = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(site)]
        subprocess.run([*install, "--only-binary=:all:", *PACKAGES], check=True)
        subprocess.run([*install, "--upgrade", str(pycuda)], check=True)
        if with_tensorrt:
            # What it depends on is cuBLAS and cuDNN, for its plugins.
            subprocess.run([*install, "--no-deps", "tensorrt==8.6.0"], check=True)
            leave_plugins_out(site)
        for room in ROOMS:
            source = Path(__file__).resolve().parent.parent / room
            shutil.copytree(source, root / "checkout" / room, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        archive = Path(scratch) / "all.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname=".")
        logging.info("%.0f MiB to compress", archive.stat().st_size / 2**20)
        digests = cut(archive, parts)
    (parts / "list.json").write_text(json.dumps(digests, indent=2))
    shutil.copy(__file__, parts)
    logging.info("%d parts, %.0f MiB", len(digests), sum((parts / name).stat().st_size for name in digests) / 2**20)
    return 0


def gather_python(python: str, root: Path) -> None:
    """Copy a Python, its library and the system's libraries that its extensions want."""
    probe = "import sys; print(sys.base_prefix, '%d.%d' % sys.version_info[:2])"
    run = subprocess.run([python, "-c", probe], check=True, capture_output=True, text=True)
    prefix, version = run.stdout.rsplit(maxsplit=1)
    if version != "3.10":
        raise SystemExit(f"{python} is Python {version}, and TensorRT 8.6.0 is for 3.10")
    name, home = f"python{version}", root / "python"
    unneeded = ("__pycache__", "test", "idlelib", "tkinter", "_tkinter*", "ensurepip", "site-packages", "config-*")
    junk = shutil.ignore_patterns(*unneeded)
    shutil.copytree(Path(prefix) / "lib" / name, home / "lib" / name, ignore=junk)
    (home / "bin").mkdir()
    shutil.copy(Path(prefix) / "bin" / name, home / "bin")
    native = root / "native"
    native.mkdir()
    binaries = [home / "bin" / name, *(home / "lib" / name / "lib-dynload").glob("*.so")]
    for binary in binaries:
        listing = subprocess.run(["ldd", str(binary)], check=False, capture_output=True, text=True).stdout
        for line in listing.splitlines():
            library, _, place = line.strip().partition(" => ")
            # The C library is the other machine's own.
            if place.startswith("/") and not library.startswith(
                ("libc.", "libm.", "libpthread", "libdl", "librt", "libresolv", "ld-")
            ):
                shutil.copy(place.split()[0], native / library)


def leave_plugins_out(site: Path) -> None:
    """Put a stub where TensorRT's plugins were."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "stub.cpp"
        source.write_text(STUB)
        name = "libnvinfer_plugin.so.8"
        target = site / "tensorrt" / name
        target.unlink()
        line = ["g++", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(target), str(source)]
        subprocess.run(line, check=True)


def cut(archive: Path, parts: Path) -> dict[str, str]:
    """Compress an archive in pieces, each small enough; the digest of each part by its name, in order."""
    digests: dict[str, str] = {}
    pieces: list[tuple[int, int]] = []
    size, step = archive.stat().st_size, CHUNK_MIB << 20
    pieces = [(begin, min(step, size - begin)) for begin in range(0, size, step)]

    def squeeze(piece: tuple[int, int]) -> list[bytes]:
        begin, length = piece
        with archive.open("rb") as file:
            file.seek(begin)
            small = lzma.compress(file.read(length), preset=2)
        if len(small) <= PART_MIB << 20:
            return [small]
        half = length // 2
        return squeeze((begin, half)) + squeeze((begin + half, length - half))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for contents in pool.map(squeeze, pieces):
            for content in contents:
                name = f"part-{len(digests):03}.xz"
                (parts / name).write_bytes(content)
                digests[name] = hashlib.sha256(content).hexdigest()
    return digests


def unpack(parts: Path, target: Path) -> int:
    """Take in what parts there are, and unpack them all once they are complete."""
    kept = target / "parts"
    kept.mkdir(parents=True, exist_ok=True)
    for file in [*parts.glob("part-*.xz"), *parts.glob("list.json")]:
        shutil.copy(file, kept)
    if not (kept / "list.json").is_file():
        logging.info("list.json is still to come")
        return 1
    digests = json.loads((kept / "list.json").read_text())
    missing = [
        name
        for name, digest in digests.items()
        if not (kept / name).is_file() or hashlib.sha256((kept / name).read_bytes()).hexdigest() != digest
    ]
    if missing:
        logging.info("still to come, or damaged: %s", " ".join(missing))
        return 1
    archive = target / "all.tar"
    with archive.open("wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        for content in pool.map(lambda name: lzma.decompress((kept / name).read_bytes()), digests):
            file.write(content)
    with tarfile.open(archive) as tar:
        # Newer Pythons ask how far an archive is trusted; this is our own.
        tar.extractall(target, **({"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}))
    archive.unlink()
    logging.info("unpacked into %s", target)
    return 0


def attempt(target: Path, photographs: Path, model: Path, results: Path) -> int:
    """Build and run engines in every precision; how many commands failed."""
    results.mkdir(parents=True, exist_ok=True)
    failed = 0
    common = ["export", str(model), "--format", "engine", "--images", str(photographs), "--overwrite", "--json"]
    cache = str(results / "timings")
    commands = {
        "fp32": [*common, "--timing-cache", cache, "-o", str(results / "fp32.engine")],
        "fp32 again": [*common, "--timing-cache", cache, "-o", str(results / "fp32.engine")],
        "ampere+": [*common, "--compat", "ampere+", "-o", str(results / "ampere.engine")],
        "fp16": [*common, "--precision", "fp16", "-o", str(results / "fp16.engine")],
        "int8": [*common, "--precision", "int8", "--calibrate", str(photographs), "-o", str(results / "int8.engine")],
        "engines": ["benchmark", *(str(results / f"{name}.engine") for name in ("fp32", "fp16", "int8"))],
        "onnxruntime": ["benchmark", str(model), "--device", "cpu"],
    }
    for name in ("engines", "onnxruntime"):
        commands[name] += ["--source", str(photographs), "--json"]
    for name, line in commands.items():
        run = run_ltsh(target, line)
        (results / f"{name}.txt").write_text(f"{run.stdout}\n{run.stderr}")
        failed += run.returncode != 0
        logging.info("%s: exit code %d\n%s%s", name, run.returncode, run.stdout, run.stderr)
    return min(failed, 100)


def run_ltsh(target: Path, line: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command of this project with what was unpacked."""
    site = target / "site"
    environment = {
        **os.environ,
        "PYTHONHOME": str(target / "python"),
        "PYTHONPATH": os.pathsep.join([str(target / "checkout"), str(site)]),
        "LD_LIBRARY_PATH": os.pathsep.join(
            [str(target / "native"), str(site / "tensorrt"), os.environ.get("LD_LIBRARY_PATH", "")]
        ),
    }
    python = target / "python" / "bin" / "python3.10"
    whole = [str(python), "-m", "ltsh_deploy", *line]
    return subprocess.run(whole, env=environment, capture_output=True, text=True, check=False, cwd=target / "checkout")


if __name__ == "__main__":
    sys.exit(main())
