"""Optional packages: imported when a request needs them; and every line that installs or repairs one."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from ltsh_deploy.errors import MissingPartError

__all__ = [
    "DISTRIBUTION",
    "build_line",
    "import_part",
    "install_line",
    "is_installed",
    "reinstall_line",
    "replace_line",
]

DISTRIBUTION = "ltsh-deploy"

_CHECKOUT = Path(__file__).resolve().parent.parent
_DOCTOR = "`ltsh doctor` says what is wrong with it and prints the line that repairs it."


def import_part(module: str, what: str, *extras: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: its name.
        what: what needs it, to begin the message with.
        extras: those that bring it; any one of them will do. Without any, it is installed by its own name.

    Raises:
        MissingPartError: when it is not installed, or installed and broken.
    """
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            lines = " or ".join(map(install_line, extras)) or f"{_pip()} install {module}"
            raise MissingPartError(f"{what} needs {module}, which is not installed", lines) from None
        raise MissingPartError(f"{what} needs {module}, which cannot be imported: {error}", _DOCTOR) from None
    # A broken package may raise anything: torch an OSError for a library, others RuntimeError or AttributeError.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise MissingPartError(f"{what} needs {module}, which cannot be imported: {reason}", _DOCTOR) from None
    if found.__spec__ is not None and found.__spec__.origin is None:
        raise MissingPartError(f"{what} needs {module}, of which only an empty folder is left", _DOCTOR)
    return found


def is_installed() -> bool:
    """Whether pip knows ltsh-deploy here, so that its extras can be asked for by its name.

    A folder of metadata that a build left in the checkout has no RECORD, and is no installation.
    """
    from importlib import metadata

    return any(found.read_text("RECORD") is not None for found in metadata.distributions(name=DISTRIBUTION))


def install_line(*extras: str) -> str:
    """The line that installs the package with these extras: by its name, or from a checkout that is not installed."""
    wanted = f"[{','.join(extras)}]" if extras else ""
    if is_installed() or not (_CHECKOUT / "setup.cfg").is_file():
        return f"{_pip()} install {_quoted(DISTRIBUTION + wanted)}"
    place = "." if Path.cwd() == _CHECKOUT else str(_CHECKOUT)
    return f"{_pip()} install -e {_quoted(place + wanted)}"


def build_line() -> str:
    """The line that builds the package's compiled part, which needs a C++ compiler."""
    if (_CHECKOUT / "setup.cfg").is_file():
        place = "." if Path.cwd() == _CHECKOUT else str(_CHECKOUT)
        return f"{_pip()} install --no-deps -e {_quoted(place)}"
    return f"{_pip()} install --force-reinstall --no-deps --no-binary {DISTRIBUTION} {DISTRIBUTION}"


def replace_line(unwanted: Iterable[str], *extras: str) -> str:
    """The line that removes distributions which are in the way, and installs the package with these extras."""
    return f"{_pip()} uninstall -y {' '.join(unwanted)} && {install_line(*extras)}"


def reinstall_line(packages: Mapping[str, str], dependencies: bool = False) -> str:
    """The line that installs packages again in the versions they have, so that nothing else moves.

    Args:
        packages: versions by name; "" for whichever pip chooses.
        dependencies: whether what they depend on is installed again too.
    """
    pins = [f"{name}=={version}" if version else name for name, version in packages.items()]
    # PyPI has only one build of torch; the others, whose versions end in +cpu and so on, lie on an index of their own.
    builds = re.findall(r"\btorch==[^+\s]+\+(\w+)", " ".join(pins))
    index = "".join(f" --extra-index-url https://download.pytorch.org/whl/{build}" for build in builds)
    return f"{_pip()} install --force-reinstall {'' if dependencies else '--no-deps '}{' '.join(pins)}{index}"


def _pip() -> str:
    """The pip of the Python that runs; by its plain name only where the shell would find the same."""
    plain = shutil.which("pip")
    if not sys.executable or (plain and Path(plain).parent.resolve() == Path(sys.executable).parent.resolve()):
        return "pip"
    return f"{shlex.quote(sys.executable)} -m pip"


def _quoted(word: str) -> str:
    """In double quotes, which every shell knows, unless the word holds what they do not protect."""
    return shlex.quote(word) if re.search(r'["$`\\!]', word) else f'"{word}"'
