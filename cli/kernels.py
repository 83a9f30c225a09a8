"""``ltsh kernels``: the programs that decode on an NVIDIA GPU, made ahead of time."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ltsh_deploy.cuda_kernels.compile import Compiler

__all__ = ["command"]

_log = logging.getLogger(__name__)


@click.group("kernels")
def command() -> None:
    """Compile the CUDA kernels that decode on an NVIDIA GPU.

    They are otherwise made when a GPU first decodes, which takes about a second, and kept in the user's cache.
    """


@command.command("build")
@click.option(
    "--arch",
    "architectures",
    multiple=True,
    metavar="sm_NN",
    help="An architecture, such as sm_90; may be given several times. By default those of this machine's GPUs, and "
    "where there is none, all that the compiler knows.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def build(architectures: tuple[str, ...], as_json: bool) -> None:
    """Compile the kernels; needs no GPU."""
    from ltsh_deploy.cuda_kernels.compile import KERNELS, cubin_path, find_compiler
    from ltsh_deploy.cuda_work import named_refusals
    from ltsh_deploy.errors import OutputError

    made = []
    try:
        with named_refusals():
            compiler = find_compiler()
            for architecture in _chosen(architectures, compiler):
                for kernel in KERNELS:
                    path = cubin_path(kernel, architecture, compiler)
                    made.append({"kernel": kernel, "architecture": architecture, "path": str(path)})
                    if not as_json:
                        click.echo(f"{architecture}  {kernel}  {path}")
    except OSError as error:
        reason = f"{error.filename or 'the cache'}: the kernels cannot be written there ({error.strerror})"
        raise OutputError(reason, "Make room; or set XDG_CACHE_HOME to a folder of yours.") from None
    if as_json:
        click.echo(json.dumps({"compiler": compiler.name, "kernels": made}, indent=2))


def _chosen(asked_for: tuple[str, ...], compiler: Compiler) -> tuple[str, ...]:
    """The architectures to build for.

    Raises:
        UsageError: when the compiler does not know one that was asked for.
    """
    from ltsh_deploy.cuda_kernels.compile import ARCHITECTURES
    from ltsh_deploy.cuda_work import architecture_of
    from ltsh_deploy.errors import DeviceError, UsageError
    from ltsh_deploy.nvidia_driver import list_gpus

    known = tuple(name for name in ARCHITECTURES if name in compiler.architectures)
    for name in asked_for:
        if name not in compiler.architectures:
            raise UsageError(
                f"--arch {name}: {compiler.name} knows no such architecture", f"Known are {', '.join(known)}."
            )
    if asked_for:
        return asked_for
    try:
        return tuple(dict.fromkeys(architecture_of(gpu, compiler) for gpu in list_gpus())) or known
    except DeviceError as error:
        _log.info("%s: building for all architectures", error.message)
        return known
