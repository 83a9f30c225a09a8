"""``ltsh export --format engine``: its options, and what it says of the engine that it built."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np
import numpy.typing as npt

from ltsh_deploy.cli import console
from ltsh_deploy.cli.export_report import accuracy_lines
from ltsh_deploy.errors import DeviceError, UsageError
from ltsh_deploy.export.kinds import COMPATIBILITIES
from ltsh_deploy.nvidia_driver import find_gpu

if TYPE_CHECKING:
    from ltsh_deploy.engine_files import Shapes
    from ltsh_deploy.export.accuracy import Accuracy, VerificationData
    from ltsh_deploy.export.to_tensorrt import EngineReport

__all__ = ["EngineJob", "engine_options", "take_engine_options"]

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--shapes",
        metavar="MIN/OPT/MAX",
        help="engine: the inputs it takes, each as pictures x width x height, such as 1x64x64/1x432x368/8x864x736.  "
        "[default: up to 8 pictures of the model's size, upright or not]",
    ),
    click.option(
        "--compat",
        type=click.Choice(COMPATIBILITIES),
        help="engine: the GPUs it runs on: the kind that it is built on, all of its compute capability, or all from "
        "Ampere on.  [default: none]",
    ),
    click.option(
        "--timing-cache",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="engine: measurements that make the next build faster; read if it exists, and written.",
    ),
    click.option(
        "--workspace", metavar="MIB", type=int, help="engine: GPU memory that its layers may take while they run."
    ),
    click.option("--plugin-free", is_flag=True, help="engine: fail if the network needs a plugin library."),
)
_NAMES = ("shapes", "compat", "timing_cache", "workspace", "plugin_free")


def engine_options(command: Command) -> Command:
    """Give a command the options that only engines have."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_engine_options(given: dict[str, Any], kind: str) -> dict[str, Any]:
    """Take the engine's options out of all that were given.

    Raises:
        UsageError: when one was given and no engine is wanted.
    """
    taken = {name: given.pop(name) for name in _NAMES}
    used = [name for name, value in taken.items() if value]
    if used and kind != "engine":
        raise UsageError(f"--{used[0].replace('_', '-')} is for --format engine", "Leave it out.")
    return taken


class EngineJob:
    """The making of one engine.

    Args:
        source: the model, as the user named it.
        output: the engine to write.
        overwrite: whether it may exist.
        precision: that was asked for, or None.
        calibrate: the folder that was asked for, or None.
        size: that was asked for, or None.
        opset: that was asked for, or None.
        wanted: of :func:`take_engine_options`.

    Raises:
        LtshError: for everything that can be known to be wrong before anything is made.
    """

    def __init__(
        self,
        source: Path,
        output: Path,
        *,
        overwrite: bool,
        precision: str | None,
        calibrate: Path | None,
        size: tuple[int, int] | None,
        opset: int | None,
        wanted: dict[str, Any],
    ) -> None:
        from ltsh_deploy.engine_files import Shapes
        from ltsh_deploy.export.to_tensorrt import EngineOptions, check_output
        from ltsh_deploy.tensorrt_library import import_tensorrt

        shapes = None if wanted["shapes"] is None else Shapes.parse(wanted["shapes"])
        options = {
            "--precision": precision,
            "--calibrate": calibrate,
            "--size": size and f"{size[0]}x{size[1]}",
            "--opset": opset,
            "--shapes": shapes,
            "--compat": wanted["compat"],
            "--workspace": wanted["workspace"],
        }
        words = ["ltsh", "export", str(source), "--format", "engine", "-o", str(output)]
        words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
        words += ["--plugin-free"] * wanted["plugin_free"] + ["--overwrite"]
        self.source, self.output = source, output
        self.options = EngineOptions(
            precision=precision,
            shapes=shapes,
            compat=wanted["compat"] or "none",
            timing_cache=wanted["timing_cache"],
            workspace=wanted["workspace"],
            plugin_free=wanted["plugin_free"],
            overwrite=overwrite,
            rebuild=shlex.join(words),
        )
        check_output(source, output, self.options)
        import_tensorrt("Building an engine")

    def check_gpu(self) -> None:
        """Make sure that the engine can be verified, which means that it is run.

        Raises:
            DeviceError: where there is no GPU to run it on.
        """
        try:
            find_gpu(0)
        except DeviceError as error:
            raise DeviceError(
                f"--verify has to run the engine: {error.message}", "Leave --verify out, or build it where a GPU is."
            ) from None

    def run(
        self, onnx: Path, images: Sequence[npt.NDArray[np.uint8]], verification: VerificationData | None
    ) -> tuple[dict[str, Any], str]:
        """Build the engine from an ONNX file; the report for JSON, and for people.

        Args:
            onnx: the file.
            images: pictures to run the engine on, where there is a GPU.
            verification: data on which it must find people as well as the source, likewise.
        """
        from ltsh_deploy.export.to_tensorrt import export_engine

        accuracies: list[Accuracy] = []

        def examine(engine: Path) -> None:
            if verification is not None:
                from ltsh_deploy.export.accuracy import verify

                accuracies.append(verify(self.source, engine, _precision_of(engine), verification))
                accuracies[0].check()

        with console.progress(f"building {self.output.name}", 100) as done:
            report = export_engine(
                onnx, self.output, self.options, source=self.source, images=images, done=done, examine=examine
            )
        accuracy = accuracies[0] if accuracies else None
        return _as_dict(report, accuracy), _as_text(report, accuracy, verification)


def _precision_of(engine: Path) -> str:
    """What an engine computes in, as its JSON file has it."""
    from ltsh_deploy.engine_files import EngineSidecar

    sidecar = EngineSidecar.read(engine)
    assert sidecar is not None
    return sidecar.precision


def _as_dict(report: EngineReport, accuracy: Accuracy | None) -> dict[str, Any]:
    sidecar = report.sidecar
    facts = sidecar.model_dump(mode="json", include={"library", "gpu", "compat", "precision", "layers", "read_back"})
    form: dict[str, Any] = {
        "file": str(report.path),
        "bytes": sidecar.engine.bytes,
        "seconds": round(report.seconds, 2),
        **facts,
        "strongly_typed": sidecar.strongly_typed,
        "shapes": str(sidecar.shapes),
        "run": None if report.parity is None else report.parity.to_dict(),
    }
    if report.not_run:
        form["not_run"] = report.not_run
    return form if accuracy is None else {**form, "accuracy": accuracy.to_dict()}


def _as_text(report: EngineReport, accuracy: Accuracy | None, verification: VerificationData | None) -> str:
    sidecar = report.sidecar
    layers = ", ".join(f"{count} in {name}" for name, count in sidecar.layers.items())
    witness = {"inspector": "read back from the engine", "builder": "as the builder lists what it built"}[
        sidecar.read_back
    ]
    lines = [
        f"{report.path}: {sidecar.engine.bytes / 1e6:.1f} MB, {sidecar.precision}, built in {report.seconds:.1f} s by "
        f"{sidecar.library.name} {sidecar.library.version} on {sidecar.gpu or 'no GPU'}",
        f"Layers with weights: {layers}, {witness}.",
        f"Takes {_shapes(sidecar.shapes)}. What is to be known of it lies beside it, in {report.path.name}.json.",
    ]
    if report.parity is None:
        unverified = ", nor was it verified on the data of --verify" if verification is not None else ""
        lines.append(f"The engine was not run ({report.not_run}){unverified}.")
        return "\n".join(lines)
    agreement = report.parity.agreement
    lines.append(
        f"Run beside the ONNX file on {agreement.pictures} pictures: {agreement.people - agreement.lost} of "
        f"{agreement.people} people are found again; heat maps differ by at most {report.parity.heatmaps:.1e} "
        f"and PAFs by {report.parity.pafs:.1e} of their largest value."
    )
    if accuracy is not None:
        lines += ["", *accuracy_lines(accuracy)]
    return "\n".join(lines)


def _shapes(shapes: Shapes) -> str:
    (few, low, narrow), (_, high, wide), (most, highest, widest) = shapes.min, shapes.opt, shapes.max
    return (
        f"{few} to {most} pictures of {narrow}x{low} to {widest}x{highest} pixels at once, fastest at "
        f"{shapes.opt[0]} of {wide}x{high}"
    )
