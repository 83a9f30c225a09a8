"""What ltsh-deploy and its extras ask for, and whether it is met; read from metadata, nothing is imported."""

from __future__ import annotations

import configparser
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ltsh_deploy.parts import DISTRIBUTION, install_line, reinstall_line

__all__ = ["RIVALS", "Extra", "Package", "Requirement", "check_extra", "read_requirements"]

#: Distributions that install the same import package: one of them meets a requirement for another of its row, and two
#: of them in one environment overwrite each other's files.
RIVALS: Mapping[str, tuple[str, ...]] = {
    "cv2": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
}
# The gpu and gui extras want one of the rivals and no other.
_EXACT = frozenset({"onnxruntime-gpu", "opencv-python"})

# What a distribution is imported as, where that is not its name.
_MODULES: Mapping[str, str] = {"pycuda": "pycuda.driver", "pyyaml": "yaml", "tensorrt-rtx-cu13": "tensorrt_rtx"} | {
    name: module for module, names in RIVALS.items() for name in names
}
# Distributions that nothing is learned from importing: tools, data, and libraries without a module.
_NOT_IMPORTED = frozenset({"nvidia-cuda-nvrtc"})
_TOOLS_EXTRA = "dev"


@dataclass(frozen=True)
class Requirement:
    """One line of the package's requirements.

    Attributes:
        name: the distribution, in lower case.
        minimum: its lower bound, or "".
        extra: whose requirement it is; "" for the core.
        processor: the only one that it is there for, as :func:`platform.machine` has it; "" for all.
    """

    name: str
    minimum: str
    extra: str
    processor: str = ""

    @property
    def module(self) -> str | None:
        """What to import to see that it works; None when that it is installed is all there is to see."""
        if self.extra == _TOOLS_EXTRA or self.name in _NOT_IMPORTED:
            return None
        return _MODULES.get(self.name, self.name.replace("-", "_"))


@dataclass(frozen=True)
class Package:
    """An installed distribution.

    Attributes:
        version: from its metadata.
        problem: why it does not work, or None.
        shortfall: why it works but lacks what it is chosen for among its rivals, or None.
        details: what else is known of it.
    """

    version: str
    problem: str | None = None
    shortfall: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Extra:
    """Whether a part works.

    Attributes:
        status: ``works``, ``missing`` (something is not installed, or too old) or ``broken`` (something installed does
            not work).
        reasons: why it does not work.
        repair: the line that mends it; "" when it works, or nothing does.
    """

    status: str
    reasons: tuple[str, ...] = ()
    repair: str = ""


def read_requirements() -> list[Requirement]:
    """The requirements of ltsh-deploy: as installed, else, in a checkout that is not, as its setup.cfg has them."""
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        lines = _lines_of_setup_cfg()
    return [r for r in map(_parse, lines) if r is not None]


def _lines_of_setup_cfg() -> list[str]:
    config = configparser.ConfigParser()
    config.read(Path(__file__).parent.parent / "setup.cfg", encoding="utf-8")
    core = config.get("options", "install_requires", fallback="")
    extras = config["options.extras_require"] if config.has_section("options.extras_require") else {}
    lines = [f"{line}; extra == '{name}'" for name, value in extras.items() for line in value.split("\n") if line]
    return [line for line in core.split("\n") if line] + lines


def _parse(line: str) -> Requirement | None:
    specifier, _, marker = line.partition(";")
    name = re.match(r"[\w.-]+", specifier)
    minimum = re.search(r">=\s*([\w.]+)", specifier)
    extra = re.search(r"""extra\s*==\s*['"]([\w-]+)['"]""", marker)
    if name is None:
        return None
    processor = re.search(r"""platform_machine\s*==\s*['"](\w+)['"]""", marker)
    return Requirement(
        name[0].lower(), minimum[1] if minimum else "", extra[1] if extra else "", processor[1] if processor else ""
    )


def check_extra(name: str, requirements: Iterable[Requirement], packages: Mapping[str, Package]) -> Extra:
    """Whether an extra's requirements are installed, new enough and working.

    Args:
        name: the extra; "" is the core.
        requirements: those of all extras.
        packages: the installed distributions, by name in lower case.
    """
    absent: list[str] = []
    old: list[str] = []
    broken: dict[str, str] = {}
    wanted = [r for r in requirements if r.extra == name]
    for requirement in wanted:
        candidates = () if requirement.name in _EXACT else RIVALS.get(requirement.module or "", ())
        found = next((n for n in (requirement.name, *candidates) if n in packages), None)
        if found is None:
            absent.append(requirement.name)
        elif _numbers(packages[found].version) < _numbers(requirement.minimum):
            old.append(f"{found} {packages[found].version} is older than {requirement.minimum}")
        else:
            problem = packages[found].problem or (packages[found].shortfall if requirement.name in _EXACT else None)
            if problem:
                broken[found] = f"{found} {packages[found].version}: {problem}"
    elsewhere = [r for r in wanted if r.name in absent and r.processor not in ("", platform.machine())]
    if elsewhere:
        reasons = (f"{r.name} is there for {r.processor} alone, and this is {platform.machine()}" for r in elsewhere)
        return Extra("missing", tuple(reasons))
    missing = [*([f"not installed: {', '.join(absent)}"] if absent else []), *old]
    if missing:
        return Extra("missing", (*missing, *broken.values()), install_line(*([name] if name else [])))
    if broken:
        # A package of its own that it cannot find was removed or damaged, and comes back with it.
        incomplete = any("No module named" in reason for reason in broken.values())
        versions = {found: packages[found].version for found in broken}
        return Extra("broken", tuple(broken.values()), reinstall_line(versions, dependencies=incomplete))
    return Extra("works")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version.partition("+")[0]))
