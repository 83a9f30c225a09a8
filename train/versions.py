"""Which code runs, and on which packages."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import ltsh_deploy

__all__ = ["CodeVersion", "code_version", "package_versions"]

_PACKAGES = ("torch", "numpy", "opencv-python-headless", "opencv-python")


@dataclass(frozen=True)
class CodeVersion:
    """Which code ran.

    Attributes:
        package: version of ltsh-deploy.
        commit: of the checkout it ran from; None when it was installed from elsewhere.
        changed: whether files differed from that commit.
    """

    package: str
    commit: str | None = None
    changed: bool = False


def code_version(folder: str | Path | None = None) -> CodeVersion:
    """The code that is running.

    Args:
        folder: of the checkout; by default the one this file lies in, if it lies in one of this project.
    """
    root = Path(folder) if folder is not None else Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package may lie inside somebody else's checkout: theirs is not the version of this code.
    top = git("rev-parse", "--show-toplevel") if (root / "setup.cfg").is_file() else None
    if top is None or Path(top).resolve() != root.resolve():
        return CodeVersion(ltsh_deploy.__version__)
    return CodeVersion(
        ltsh_deploy.__version__, git("rev-parse", "HEAD"), changed=bool(git("status", "--porcelain", "--untracked=no"))
    )


def package_versions() -> dict[str, str]:
    """Versions of Python and the packages whose arithmetic a run depends on."""
    versions = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
