"""``ltsh kernels``: the programs that decode on an NVIDIA GPU, made ahead of time."""

from __future__ import annotations

import json
import logging

import click

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
    "where there is none, all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def build(architectures: tuple[str, ...], as_json: bool) -> None:
    """Compile the kernels; needs no GPU."""
    from ltsh_deploy.cuda_kernels.compile import ARCHITECTURES, KERNELS, CompileError, cubin_path, find_compiler
    from ltsh_deploy.cuda_work import architecture_of
    from ltsh_deploy.errors import DeviceError, MissingPartError, OutputError, UsageError
    from ltsh_deploy.nvidia_driver import list_gpus
    from ltsh_deploy.parts import install_line

    for name in architectures:
        if name not in ARCHITECTURES:
            raise UsageError(f"--arch {name}: no such architecture", f"Known are {', '.join(ARCHITECTURES)}.")
    if not architectures:
        try:
            architectures = tuple(dict.fromkeys(architecture_of(gpu) for gpu in list_gpus()))
        except DeviceError as error:
            _log.info("%s: building for all architectures", error.message)
        architectures = architectures or ARCHITECTURES
    made = []
    try:
        compiler = find_compiler()
        for architecture in architectures:
            for kernel in KERNELS:
                path = cubin_path(kernel, architecture, compiler)
                made.append({"kernel": kernel, "architecture": architecture, "path": str(path)})
                if not as_json:
                    click.echo(f"{architecture}  {kernel}  {path}")
    except CompileError as error:
        raise MissingPartError(f"the CUDA kernels cannot be compiled: {error}", install_line("cuda")) from None
    except OSError as error:
        reason = f"{error.filename or 'the cache'}: the kernels cannot be written there ({error.strerror})"
        raise OutputError(reason, "Make room; or set XDG_CACHE_HOME to a folder of yours.") from None
    if as_json:
        click.echo(json.dumps({"compiler": compiler.name, "kernels": made}, indent=2))
