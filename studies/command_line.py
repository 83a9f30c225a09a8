"""What the studies' command lines have in common: how they tell what they do, and how they end."""

from __future__ import annotations

import logging
import sys

import click

from ltsh_deploy.errors import ExitCode, LtshError

__all__ = ["run_command", "tell"]


def tell(line: str) -> None:
    """Say something that is no result, on stderr."""
    click.echo(line, err=True)


def run_command(command: click.Command, name: str, interrupted: str, arguments: list[str] | None = None) -> int:
    """Run a command; errors that a user can cause are told without a traceback. Returns the exit code.

    Args:
        command: to run.
        name: how it is called, for its help.
        interrupted: what is said when it was.
        arguments: those of the program by default.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        command.main(args=arguments, prog_name=name, standalone_mode=False)
    except LtshError as error:
        tell(f"error: {error}")
        return int(error.exit_code)
    except click.ClickException as error:
        error.show()
        return int(ExitCode.USAGE)
    except OSError as error:
        # What was not foreseen of the disk: a folder that may not be read, a file that may not be removed.
        tell(f"error: {error.filename or 'a file'}: {error.strerror or error}")
        tell("check the path, its permissions, and that there is room on the disk")
        return int(ExitCode.FAILURE)
    except (KeyboardInterrupt, click.Abort):
        tell(f"interrupted; {interrupted}")
        return int(ExitCode.INTERRUPTED)
    return int(ExitCode.OK)
