"""What a machine is, as far as figures measured on it need to say."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

__all__ = ["Machine", "describe_machine", "processor_name"]

_PACKAGES = ("numpy", "opencv-python-headless", "opencv-python", "onnxruntime", "onnxruntime-gpu", "torch", "tensorrt")


@dataclass(frozen=True)
class Machine:
    """A machine and what runs on it.

    Attributes:
        processor: its name.
        cores: logical processors, all of them.
        usable_cores: those that this process may use.
        system: operating system and kind of machine.
        python: version.
        packages: versions by name, of those installed that measurements depend on.
        load: programs that were running or waiting for a processor, on average over the last minute; None if unknown.
    """

    processor: str
    cores: int
    usable_cores: int
    system: str
    python: str
    packages: dict[str, str]
    load: float | None

    @property
    def is_busy(self) -> bool:
        """Whether other programs alone keep all usable processors busy, so that times say little of the machine."""
        return self.load is not None and self.load >= self.usable_cores

    def __str__(self) -> str:
        packages = "".join(f", {name} {version}" for name, version in self.packages.items())
        usable = f" ({self.usable_cores} usable)" if self.usable_cores != self.cores else ""
        return f"{self.processor}, {self.cores} cores{usable}, {self.system}, Python {self.python}{packages}"


def describe_machine() -> Machine:
    """This machine, now."""
    cores = os.cpu_count() or 1
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return Machine(
        processor_name() or "unknown processor",
        cores,
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores,
        f"{platform.system()} {platform.machine()}",
        platform.python_version(),
        packages,
        round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def processor_name() -> str:
    """The processor's name, as the system has it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1].strip() if model else platform.processor() or platform.machine()
