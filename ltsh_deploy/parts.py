"""Optional packages: imported when a request needs them, with the line that installs them when they are not there."""

from __future__ import annotations

import importlib
from types import ModuleType

from ltsh_deploy.errors import MissingPartError

__all__ = ["import_part"]


def import_part(module: str, remedy: str, what: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: its name.
        remedy: how to get it: the exact line that installs it.
        what: what needs it, to begin the message with.

    Raises:
        MissingPartError: when it is not installed, or installed and broken.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise MissingPartError(f"{what} needs {module}, which is not installed", remedy) from None
        raise MissingPartError(f"{what} needs {module}, which cannot be imported: {error}", remedy) from None
    # torch raises OSError when one of its libraries cannot be loaded.
    except (ImportError, OSError) as error:
        raise MissingPartError(f"{what} needs {module}, which cannot be imported: {error}", remedy) from None
