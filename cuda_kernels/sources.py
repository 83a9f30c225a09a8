"""What the compiled decoder is built from; read by ``setup.py`` too, so that it imports the standard library alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["COMPILE_FLAGS", "HEADERS", "LIBRARY", "UNITS", "fingerprint"]

#: The shared library's name before the suffix that Python gives to compiled files.
LIBRARY = "_cpu_decoder"
UNITS = ("cpu_decode.cpp", "cpu_limbs.cpp", "cpu_peaks.cpp", "cpu_people.cpp")
HEADERS = ("cpu_decoder.h", "cpu_lanes.h", "host_device.h", "limbs.h", "peaks.h")
COMPILE_FLAGS = (
    "-std=c++17",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    # Without contraction of products and sums, every machine rounds alike.
    "-ffp-contract=off",
    # Results are the same with these two; but with them, a square root may be taken of several numbers at once.
    "-fno-math-errno",
    "-fno-trapping-math",
)


def fingerprint() -> str:
    """A digest of the sources, which a library carries, so that one built from others is never run."""
    digest = hashlib.sha256(" ".join(COMPILE_FLAGS).encode())
    for name in (*UNITS, *HEADERS):
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()[:16]
