"""That two processes of one study do not write into one folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ltsh_deploy.errors import UsageError
from ltsh_deploy.train.folder import claimed

__all__ = ["claim", "wait_for"]

# Seconds between two looks at whether another process is done.
_WAIT = 5.0


def claim(folder: Path, stack: ExitStack) -> bool:
    """Keep other processes from the folder until the stack is closed; False where one has it.

    Raises:
        OutputError: when the folder cannot be made or written to.
    """
    try:
        stack.enter_context(claimed(folder))
    except UsageError:
        return False
    return True


def wait_for(folder: Path, stack: ExitStack, name: str, tell: Callable[[str], None]) -> None:
    """The same, but where another process has the folder, wait until it is done with it.

    Args:
        folder: to claim.
        stack: ends the claim.
        name: of what the folder holds, for who is told.
        tell: is told that there is a wait.

    Raises:
        OutputError: when the folder cannot be made or written to.
    """
    if claim(folder, stack):
        return
    tell(f"{name}: another process is at it; waiting")
    while not claim(folder, stack):
        time.sleep(_WAIT)
