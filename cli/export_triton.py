"""``ltsh export --format triton``: its options, and what it says of the repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ltsh_deploy.errors import UsageError

if TYPE_CHECKING:
    from ltsh_deploy.export.to_triton import TritonReport

__all__ = ["TritonJob", "take_triton_options", "triton_options"]

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--model-name", metavar="NAME", help="triton: what clients call it.  [default: after the file]"),
    click.option("--model-version", metavar="N", type=int, help="triton: the number of this version.  [default: 1]"),
)
_NAMES = ("model_name", "model_version")


def triton_options(command: Command) -> Command:
    """Give a command the options that only repositories for Triton have."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_triton_options(given: dict[str, Any], kind: str) -> dict[str, Any]:
    """Take Triton's options out of all that were given.

    Raises:
        UsageError: when one was given and no repository is wanted.
    """
    taken = {name: given.pop(name) for name in _NAMES}
    used = [name for name, value in taken.items() if value is not None]
    if used and kind != "triton":
        raise UsageError(f"--{used[0].replace('_', '-')} is for --format triton", "Leave it out.")
    return taken


class TritonJob:
    """The putting of one model into a repository.

    Args:
        source: the model, as the user named it.
        repository: the folder.
        overwrite: whether the version may exist.
        wanted: of :func:`take_triton_options`.

    Raises:
        UsageError: for everything that can be known to be wrong before anything is made.
    """

    def __init__(self, source: Path, repository: Path, *, overwrite: bool, wanted: dict[str, Any]) -> None:
        from ltsh_deploy.export.to_triton import TritonOptions, check_repository, model_name

        name, version = wanted["model_name"], wanted["model_version"]
        self.repository = repository
        self.options = TritonOptions(
            model_name(source) if name is None else name, 1 if version is None else version, overwrite
        )
        check_repository(repository, self.options)

    def run(self, model: Path) -> tuple[dict[str, Any], str]:
        """Put the model there; the report for JSON, and for people.

        Args:
            model: an ONNX file or an engine.
        """
        from ltsh_deploy.export.to_triton import export_triton

        report = export_triton(model, self.repository, self.options)
        return _as_dict(report), _as_text(report)


def _as_dict(report: TritonReport) -> dict[str, Any]:
    contract = report.served.contract()
    tensors = {
        key: [{"name": name, "type": data_type, "dims": dims} for name, data_type, dims in contract[key]]
        for key in ("inputs", "outputs")
    }
    return {
        "folder": str(report.folder),
        "version": report.version,
        "versions": list(report.versions),
        "backend": contract["backend"],
        "library": report.library or None,
        "max_batch": contract["max_batch"],
        **tensors,
        "config_written": report.config_written,
    }


def _as_text(report: TritonReport) -> str:
    served, backend = report.served, report.served.backend
    versions = ", ".join(map(str, report.versions))
    batches = f"at most {served.max_batch} pictures at once" if served.max_batch else "no batches made by the server"
    state = "written" if report.config_written else "left as it was"
    lines = [
        f"{report.folder}: version {report.version} ({backend.file}, run by Triton's {backend.name} backend, {batches})"
        f"; config.pbtxt was {state}.",
    ]
    if len(report.versions) > 1:
        lines.append(f"It has versions {versions} now. A server takes the highest, unless config.pbtxt says otherwise.")
    if report.library:
        lines.append(f"The server must have {report.library}: an engine runs in no other version.")
    lines += [
        f"{tensor.name}: {tensor.data_type} [{', '.join(map(str, tensor.dims))}]"
        for tensor in (*served.inputs, *served.outputs)
    ]
    lines += ["Start the server:", f"    tritonserver --model-repository={report.folder.parent.resolve()}"]
    return "\n".join(lines)
