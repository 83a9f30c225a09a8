"""The ``ltsh`` command group. A subcommand's module is imported when that subcommand is called, not for --help."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ltsh_deploy import __version__
from ltsh_deploy.cli import console
from ltsh_deploy.cli.signals import EndWell
from ltsh_deploy.errors import ExitCode, LtshError

__all__ = ["COMMANDS", "cli", "main"]

#: Every subcommand: its module, whose ``command`` it is, and its line in ``ltsh --help``.
COMMANDS = {
    "infer": ("ltsh_deploy.cli.infer", "Find people's poses in pictures, videos and cameras."),
    "serve": ("ltsh_deploy.cli.serve", "Serve a page for the camera, and poses over HTTP and WebSocket."),
    "export": ("ltsh_deploy.cli.export", "Turn a MODEL into a file to deploy."),
    "train": ("ltsh_deploy.cli.train", "Train a network as CONFIG (a YAML file) says."),
    "evaluate": ("ltsh_deploy.cli.evaluate", "Measure a model, or stored predictions, on a data set."),
    "benchmark": ("ltsh_deploy.cli.benchmark", "Measure how long each stage takes, from file to drawn picture."),
    "data": ("ltsh_deploy.cli.data", "Check a data set, and show what is in it."),
    "synthesize": ("ltsh_deploy.cli.synthesize", "Make data sets of synthetic people to train on."),
    "kernels": ("ltsh_deploy.cli.kernels", "Compile the CUDA kernels that decode on an NVIDIA GPU."),
    "doctor": ("ltsh_deploy.cli.doctor", "Report versions, devices and which optional parts work."),
}


class _LazyGroup(click.Group):
    """A group that knows its commands' names and summaries without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        for each in (command, *getattr(command, "commands", {}).values()):
            taken = {flag for parameter in each.params for flag in parameter.opts}
            each.params.extend(o for o in _verbosity_options() if taken.isdisjoint(o.opts))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        close = get_close_matches(name, COMMANDS, n=1)
        if close:
            hint = f"Did you mean '{close[0]}'?"
        elif Path(name).exists():
            hint = f"To find the people in it: ltsh infer {name}"
        else:
            hint = f"Commands are: {', '.join(COMMANDS)}."
        raise click.UsageError(f"No such command '{name}'. {hint}", ctx)


def _set_verbosity(ctx: click.Context, option: click.Parameter, on: bool) -> None:
    if not on:
        return
    if ctx.meta.setdefault(__name__, option.name) != option.name:
        raise click.UsageError("--quiet and --verbose exclude each other.", ctx)
    console.configure(console.Verbosity.QUIET if option.name == "quiet" else console.Verbosity.VERBOSE)


def _verbosity_options() -> list[click.Option]:
    """The options that stand before or after a subcommand alike."""
    shared: dict[str, Any] = {"is_flag": True, "expose_value": False, "is_eager": True, "callback": _set_verbosity}
    return [
        click.Option(["-q", "--quiet"], help="Say nothing but errors.", **shared),
        click.Option(["-v", "--verbose"], help="Say more, and show tracebacks of errors.", **shared),
    ]


cli = _LazyGroup(
    "ltsh",
    help="Multi-person 2D pose estimation: find people in pictures and video, and deploy the models that do.",
    epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 bad input or model file, 4 missing optional part, 130 interrupted.",
    params=[
        *_verbosity_options(),
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=lambda ctx, option, on: _print_version(ctx) if on else None,
            help="Show the version and exit.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(ctx: click.Context) -> None:
    click.echo(f"ltsh {__version__}")
    ctx.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``ltsh`` and return its exit code; no error leaves as a traceback unless --verbose asks for one.

    A command's function may return its exit code; None is success.

    Args:
        argv: the arguments after the command's name; ``sys.argv``'s when None.
    """
    console.configure(console.Verbosity.NORMAL)
    arguments = list(sys.argv[1:] if argv is None else argv)
    with EndWell() as signals:
        try:
            result = cli.main(arguments or ["--help"], "ltsh", standalone_mode=False)
            if sys.stdout is not None:
                sys.stdout.flush()
            return result if isinstance(result, int) else ExitCode.OK
        except (KeyboardInterrupt, click.Abort):
            # click turns Ctrl-C into Abort.
            click.echo("interrupted", err=True)
            return signals.exit_code
        except Exception as error:
            if console.is_verbose() and not isinstance(error, click.ClickException):
                traceback.print_exc()
            return _report(error)
        finally:
            _give_up_unwritten()


def _report(error: Exception) -> int:
    """Say on stderr what went wrong and what to do; returns the exit code."""
    code = int(ExitCode.FAILURE)
    if isinstance(error, LtshError):
        console.print_error(error.message, error.remedy)
        code = error.exit_code
    elif isinstance(error, click.ClickException):
        error.show()
        code = error.exit_code
    elif isinstance(error, ImportError):
        console.print_error(
            f"a package that ltsh needs cannot be imported: {error}",
            "`ltsh doctor` says what is wrong with it and prints the line that repairs it.",
        )
        code = ExitCode.MISSING_PART
    elif isinstance(error, OSError) and error.strerror and not isinstance(error, BrokenPipeError):
        console.print_error(f"{error.strerror}: {error.filename or 'standard output'}")
    elif not isinstance(error, BrokenPipeError):
        console.print_error(
            f"unexpected {type(error).__name__}: {error}",
            "This is a mistake in ltsh-deploy. Please report it with the traceback, which --verbose shows.",
        )
    return code


def _give_up_unwritten() -> None:
    """Drop output that stdout does not take (its reader is gone, the disk is full), already reported or not worth it.

    Otherwise the interpreter would try once more as it ends, and complain.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
