"""ONNX to a TensorRT engine: a file of TensorRT's own bytes, and beside it a JSON file that says what they are.

The engine's precision is that of the ONNX file, and is read back from what was built; where that is not what was asked
for, nothing is written. Where a GPU is there, the engine is run too, and must find the people whom the ONNX file finds.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import DeviceError, OutputError, UsageError
from ltsh_deploy.export.accuracy import LIMITS
from ltsh_deploy.export.engine_builder import BuildSettings, BuiltEngine, build_engine
from ltsh_deploy.export.engine_parity import EngineParity, compare_engine
from ltsh_deploy.export.engine_precision import check_precision
from ltsh_deploy.export.engine_progress import BuildProgress, Done, uninterrupted
from ltsh_deploy.export.engine_shapes import read_input
from ltsh_deploy.export.graphs import count_precisions, read_precision
from ltsh_deploy.export.kinds import COMPATIBILITIES
from ltsh_deploy.nvidia_driver import Gpu, find_gpu
from ltsh_deploy.onnx_files import read_model
from ltsh_deploy.parts import import_part
from ltsh_deploy.result_names import refuse_overwriting
from ltsh_deploy.tensorrt_library import import_tensorrt, library_name, library_version, listen
from ltsh_deploy.whole_files import WholeFile, write_whole

if TYPE_CHECKING:
    from ltsh_deploy.descriptions import ModelDescription
    from ltsh_deploy.engine_files import EngineSidecar, Shapes

__all__ = ["EngineOptions", "EngineReport", "check_output", "export_engine"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineOptions:
    """What an engine shall be.

    Attributes:
        precision: what the ONNX file must compute in: fp32, fp16 or int8; None for whatever it does.
        shapes: the inputs it takes; None for one picture of the model's usual size, and at most 8 of any shape that
            fits a square of its longer side.
        compat: the GPUs it may run on, one of :data:`~ltsh_deploy.export.kinds.COMPATIBILITIES`.
        timing_cache: a file of measurements that make the next build faster; read if it exists, and written.
        workspace: MiB of GPU memory that its layers may take while they run; None leaves it to TensorRT.
        plugin_free: refuse a network that needs a plugin library.
        overwrite: whether an existing engine is replaced.
        rebuild: the command that makes it again, for its JSON file.

    Raises:
        UsageError: for a value that cannot be.
    """

    precision: str | None = None
    shapes: Shapes | None = None
    compat: str = "none"
    timing_cache: Path | None = None
    workspace: int | None = None
    plugin_free: bool = False
    overwrite: bool = False
    rebuild: str = "ltsh export MODEL --format engine"

    def __post_init__(self) -> None:
        if self.compat not in COMPATIBILITIES:
            raise UsageError(f"there is no compatibility {self.compat!r}", f"Choose {', '.join(COMPATIBILITIES)}.")
        if self.workspace is not None and not 1 <= self.workspace < 1 << 24:
            raise UsageError(f"a workspace of {self.workspace} MiB cannot be", "Give a number of MiB, such as 1024.")


@dataclass(frozen=True)
class EngineReport:
    """What was written.

    Attributes:
        path: the engine; its JSON file lies beside it.
        sidecar: that file's content.
        seconds: that the build took.
        parity: how the engine did when it was run; None where there is no GPU to run it on.
        not_run: why it was not run.
    """

    path: Path
    sidecar: EngineSidecar
    seconds: float
    parity: EngineParity | None
    not_run: str = ""


def export_engine(
    onnx_path: str | Path,
    output: str | Path,
    options: EngineOptions = EngineOptions(),
    *,
    source: str | Path | None = None,
    images: Sequence[npt.NDArray[np.uint8]] = (),
    done: Done = lambda percents, phase: None,
    examine: Callable[[Path], None] = lambda engine: None,
) -> EngineReport:
    """Build an engine of an ONNX file, and prove what it computes in; else nothing is written.

    A timing cache that cannot be written is warned of: the engine is good without it.

    Args:
        onnx_path: an ONNX file that is described, by itself or beside it.
        output: the engine to write, with the suffix .engine.
        options: what it shall be.
        source: the model as the user knows it, for messages; the ONNX file by default.
        images: pictures to run it on where a GPU is there: uint8 [H, W, 3] RGB each.
        done: is told of every further percent of the build, and of what is being done.
        examine: is called with the engine, before it gets its name, where a GPU is there; may raise.

    Raises:
        UsageError: for arguments that cannot be, or when the file exists and is not to be replaced.
        ModelFileError: when the ONNX file cannot be read or is not described.
        ExportError: when TensorRT cannot build it, builds another precision, or the engine finds other people.
        DeviceError: when this TensorRT needs a GPU to build, and there is none.
        OutputError: when the engine or its JSON file cannot be written.
        MissingPartError: when onnx or TensorRT is not installed.
    """
    onnx_path, output = Path(onnx_path), Path(output)
    source = onnx_path if source is None else Path(source)
    check_output(onnx_path, output, options)
    import_part("onnx", "Building an engine", "export")
    trt = import_tensorrt("Building an engine")
    model = read_model(onnx_path)
    target, expected = read_input(onnx_path, model), count_precisions(model)
    precision = read_precision(model)
    if options.precision not in (None, precision):
        raise UsageError(
            f"{source}: computes in {precision}, not in {options.precision}",
            f"Export it with --precision {options.precision} first: an engine computes in what its ONNX file does.",
        )
    shapes = target.shapes(options.shapes)
    content = onnx_path.read_bytes()
    gpu, without = _gpu()
    settings = BuildSettings(
        source,
        target.name,
        target.fixed,
        target.layout,
        shapes,
        precision,
        options.compat,
        options.workspace,
        options.plugin_free,
        _read_cache(options.timing_cache),
    )
    _log.info("building an engine of %s with %s", source, library_version(trt))
    progress, messages, began = BuildProgress(done), listen(trt), time.monotonic()
    built = uninterrupted(
        lambda: build_engine(trt, messages, content, onnx_path, settings, progress, gpu is not None), progress
    )
    seconds = time.monotonic() - began
    check_precision(precision, expected, built.layers)
    sidecar = _describe(trt, built, content, target.description, precision, shapes, gpu, options)
    parity = None
    if gpu is not None:
        with tempfile.TemporaryDirectory(prefix="ltsh-engine-") as folder:
            trial = Path(folder) / output.name
            _write(trial, built.plan, sidecar)
            if images:
                parity = compare_engine(onnx_path, trial, images, shapes, LIMITS[precision].lost)
            examine(trial)
    _write(output, built.plan, sidecar)
    if options.timing_cache is not None and built.timing_cache is not None:
        _keep_cache(options.timing_cache, built.timing_cache)
    return EngineReport(output, sidecar, seconds, parity, without or ("" if images else "there were no pictures"))


def check_output(source: Path, output: Path, options: EngineOptions) -> None:
    """Make sure that an engine can be written without harm, before it is built.

    Raises:
        UsageError: for a name that no engine may have, a file that exists, or one that is read.
        OutputError: for a folder that is not there or cannot be written to.
    """
    from ltsh_deploy.engine_files import sidecar_path

    if output.suffix.lower() != ".engine":
        raise UsageError(f"{output}: an engine must be named so", f"Write to {output.with_suffix('.engine')}.")
    for path in (output, sidecar_path(output)):
        if path.exists() and not options.overwrite:
            raise UsageError(f"{path}: exists already", "Give another name, or --overwrite.")
        refuse_overwriting(path, [source])
        WholeFile(path)
    if options.timing_cache is not None:
        WholeFile(options.timing_cache)
        refuse_overwriting(options.timing_cache, [source, output, sidecar_path(output)])


def _gpu() -> tuple[Gpu | None, str]:
    """The GPU that engines are built for, or why there is none."""
    try:
        return find_gpu(0), ""
    except DeviceError as error:
        return None, error.message


def _read_cache(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise UsageError(f"{path}: the timing cache cannot be read ({error.strerror})", "Name another file.") from None


def _keep_cache(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OutputError as error:
        _log.warning("%s; the engine is written, and the next build will not be faster", error.message)


def _describe(
    trt: Any,
    built: BuiltEngine,
    model: bytes,
    description: ModelDescription,
    precision: str,
    shapes: Shapes,
    gpu: Gpu | None,
    options: EngineOptions,
) -> EngineSidecar:
    from ltsh_deploy.engine_files import EngineGpu, EngineSidecar

    return EngineSidecar.model_validate(
        {
            "engine": {"sha256": hashlib.sha256(built.plan).hexdigest(), "bytes": len(built.plan)},
            "library": {"name": library_name(trt), "version": str(trt.__version__)},
            "gpu": gpu and EngineGpu(name=gpu.name, compute_capability=gpu.compute_capability),
            "compat": options.compat,
            "onnx_sha256": hashlib.sha256(model).hexdigest(),
            "precision": precision,
            "layers": dict(sorted(built.layers.items())),
            "read_back": built.read_back,
            "strongly_typed": built.strongly_typed,
            "plugins": built.plugins,
            "shapes": shapes,
            "rebuild": options.rebuild,
            "metadata": description.to_metadata(),
        }
    )


def _write(output: Path, plan: bytes, sidecar: EngineSidecar) -> None:
    from ltsh_deploy.engine_files import sidecar_path

    # An engine without the file that describes it is of no use, and neither is an older one with a newer file: neither
    # gets its name before both are whole.
    with WholeFile(output) as engine, WholeFile(sidecar_path(output)) as beside:
        for file, content in ((engine, plan), (beside, sidecar.to_json())):
            with file.named_errors():
                file.temporary.write_bytes(content)
