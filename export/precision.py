"""From a checkpoint, or an ONNX file of this project, to an ONNX file of the precision that is asked for.

A file of less than float32 is made from the one in float32, which is first proven to say what the checkpoint says. Then
it is run beside it: on the pictures of parity, which show that it says anything at all, and on the user's data where
there are any (:mod:`ltsh_deploy.export.accuracy`).
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy import __version__
from ltsh_deploy.errors import UsageError
from ltsh_deploy.export.accuracy import Accuracy, VerificationData, verify
from ltsh_deploy.export.to_onnx import DEFAULT_OPSET, check_target, export_onnx
from ltsh_deploy.onnx_files import read_own_model
from ltsh_deploy.parts import import_part
from ltsh_deploy.runtimes import OnnxRuntime
from ltsh_deploy.whole_files import WholeFile, write_whole

if TYPE_CHECKING:
    from ltsh_deploy.descriptions import ModelDescription
    from ltsh_deploy.export.likeness import Likeness
    from ltsh_deploy.export.parity import Parity

__all__ = ["CALIBRATION_PICTURES", "OnnxExport", "Quantisation", "check_request", "export_precision"]

Image = npt.NDArray[np.uint8]
Done = Callable[[int], None]

#: Of a folder with more, so many pictures are drawn to calibrate on.
CALIBRATION_PICTURES = 256

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Quantisation:
    """How to make 8-bit integers of a network.

    Attributes:
        pictures: a folder of pictures of the kind that the model is for.
        style: the program that is to run it, a key of :data:`~ltsh_deploy.export.quantise.STYLES`.
        count: of a folder with more, so many pictures are drawn.
        seed: of the draw.
    """

    pictures: Path
    style: str = "onnxruntime"
    count: int = CALIBRATION_PICTURES
    seed: int = 0


@dataclass(frozen=True)
class OnnxExport:
    """What was written, and the proof that it is right.

    Attributes:
        path: the file.
        size_bytes: its length.
        opset: the version of ONNX operators it uses.
        description: its metadata.
        precision: what it computes in, read back from the file.
        operators: precision to the number of convolutions and the like that are computed in it, read back too.
        parity: of the float32 file that it is, or was made from, with the checkpoint; None where there was none.
        likeness: to that float32 file; None where it is that file.
        accuracy: on the data to verify on; None without.
    """

    path: Path
    size_bytes: int
    opset: int
    description: ModelDescription
    precision: str
    operators: dict[str, int]
    parity: Parity | None
    likeness: Likeness | None
    accuracy: Accuracy | None


def export_precision(
    source: str | Path,
    output: str | Path,
    *,
    images: Sequence[Image],
    precision: str | None = None,
    quantisation: Quantisation | None = None,
    size: tuple[int, int] | None = None,
    opset: int | None = None,
    verification: VerificationData | None = None,
    overwrite: bool = False,
    done: Done = lambda pictures: None,
) -> OnnxExport:
    """Write an ONNX file of a precision, and prove it; else nothing is written.

    Args:
        source: a checkpoint, or an ONNX file in float32 that this program wrote.
        output: the file to write, with the suffix .onnx.
        images: pictures to prove it on: uint8 [H, W, 3] RGB each, of any sizes.
        precision: ``fp32``, ``fp16`` or ``int8``; None is the source's own, fp32 for a checkpoint.
        quantisation: how, for int8.
        size: (width, height) of the box pictures are fitted into by default; None is the source's own.
        opset: version of the ONNX operators for a checkpoint, 19 or later; None is 19. An ONNX file keeps its own.
        verification: data on which the file must find people as well as the source.
        overwrite: whether an existing file is replaced.
        done: is called with 1 after every picture that was looked at.

    Raises:
        UsageError: for arguments that cannot be, or do not go together.
        ModelFileError: when the source cannot be read, or is not this project's.
        InputError: when the pictures to calibrate on cannot be used.
        ExportError: when the file does not say what the source says, as nearly as its precision allows.
        OutputError: when the file cannot be written.
        MissingPartError: when a package is not installed.
    """
    source, output = Path(source), Path(output)
    precision, given = check_request(source, output, precision, quantisation, size, opset, overwrite)
    if not images:
        raise UsageError("there are no pictures to prove the export on", "Give at least one.")
    with WholeFile(output) as file, tempfile.TemporaryDirectory(prefix="ltsh-export-") as folder:
        parity, base = None, source
        if source.suffix.lower() != ".onnx":
            base = Path(folder) / "float32.onnx"
            opset = DEFAULT_OPSET if opset is None else opset
            parity = export_onnx(source, base, images=images, size=size, opset=opset, done=done).parity
        model = _convert(base, precision, given, quantisation, size, images, done)
        with file.named_errors():
            file.temporary.write_bytes(model.SerializeToString())
        proof = file.temporary
        if precision == "fp16":
            from ltsh_deploy.export.to_float16 import rounding_as_float16

            proof = Path(folder) / "rounding.onnx"
            write_whole(proof, rounding_as_float16(model).SerializeToString())
        likeness = _compare(base, [file.temporary, proof], images, precision, done) if precision != given else None
        accuracy = None
        if verification is not None:
            accuracy = verify(source, proof, precision, verification, done=done)
            accuracy.check()
        return _report(file, parity, likeness, accuracy)


def check_request(
    source: Path,
    output: Path,
    precision: str | None,
    quantisation: Quantisation | None,
    size: tuple[int, int] | None,
    opset: int | None,
    overwrite: bool,
) -> tuple[str, str]:
    """Find what cannot be before anything is computed; the arguments are those of :func:`export_precision`.

    Returns:
        the precision to write, and that of the source, which for a checkpoint is fp32.

    Raises:
        UsageError: for arguments that cannot be, or do not go together.
        ModelFileError: when an ONNX file cannot be read, or is not this project's.
        MissingPartError: when a package is not installed.
    """
    import_part("onnx", "Exporting", "export")
    import_part("onnxruntime", "Proving an export", "cpu", "gpu")
    from ltsh_deploy.export.graphs import read_precision

    check_target(source, output, overwrite)
    is_onnx, given = source.suffix.lower() == ".onnx", "fp32"
    if is_onnx:
        model, description = read_own_model(source)
        given = read_precision(model)
        if size is not None and any(side % description.stride for side in size):
            raise UsageError(f"size {list(size)}: the sides must be multiples of {description.stride}")
    wanted = precision or given
    if quantisation is not None and wanted != "int8":
        raise UsageError(
            f"pictures to calibrate on are for int8, and the model will be {wanted}", "Add --precision int8."
        )
    if is_onnx and opset is not None:
        raise UsageError("--opset is for checkpoints: an ONNX file keeps its own", "Leave --opset out.")
    if wanted == given and is_onnx and (size is None or quantisation is not None):
        raise UsageError(f"{source}: is an ONNX file of {given} already", "Ask for another --precision.")
    if wanted != given != "fp32":
        raise UsageError(
            f"{source}: computes in {given}, and {wanted} can be made of float32 alone",
            "Export from the checkpoint, or from an ONNX file of fp32.",
        )
    if wanted == "int8" != given and quantisation is None:
        raise UsageError("int8 needs pictures to calibrate on", "Add --calibrate DIR, a folder with real pictures.")
    return wanted, given


def _convert(
    base: Path,
    precision: str,
    given: str,
    quantisation: Quantisation | None,
    size: tuple[int, int] | None,
    images: Sequence[Image],
    done: Done,
) -> Any:
    """The model to write, described."""
    import onnx

    from ltsh_deploy.export.graphs import check_model

    model, description = read_own_model(base)
    description = description.model_copy(update={"precision": precision, "size": size or description.size})
    if precision == "fp16" != given:
        from ltsh_deploy.export.to_float16 import check_range, to_float16

        half = to_float16(model)
        check_range(model, images, description, done)
        model = half
    elif quantisation is not None:
        model, note = _quantise(model, description, quantisation, done)
        description = description.model_copy(update={"calibration": note})
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, description.to_metadata())
    model.producer_name, model.producer_version = "ltsh-deploy", __version__
    check_model(model, "Nothing was written. Export with --precision fp32, or report this.")
    return model


def _compare(base: Path, files: Sequence[Path], images: Sequence[Image], precision: str, done: Done) -> Likeness:
    """How like the float32 model the last of the files is; all are checked, and they may be one file."""
    from ltsh_deploy.export.likeness import check_likeness

    _log.info("comparing %s with fp32 (pictures: %d)", precision, len(images))
    with OnnxRuntime(base, device="cpu") as before:
        for path in dict.fromkeys(files):
            with OnnxRuntime(path, device="cpu") as after:
                likeness = check_likeness(before, after, images, precision, done)
    return likeness


def _quantise(model: Any, description: ModelDescription, how: Quantisation, done: Done) -> tuple[Any, str]:
    """A quantised model, and what is to be known of its calibration."""
    from ltsh_deploy.export.calibration import choose_pictures, measure_values, read_inputs
    from ltsh_deploy.export.graphs import Graph
    from ltsh_deploy.export.quantise import STYLES, plan, quantise

    if how.style not in STYLES:
        raise UsageError(f"nothing is known of int8 for {how.style!r}", f"Known: {', '.join(STYLES)}.")
    chosen = plan(Graph(model))
    inputs = read_inputs(choose_pictures(how.pictures, how.count, how.seed), description)
    _log.info("calibrating on %d pictures of %s", len(inputs), how.pictures)
    digest = hashlib.sha256()
    for pixels in inputs:
        digest.update(pixels.tobytes())
    values = measure_values(model, chosen.tensors, inputs, done)
    note = (
        f"{len(inputs)} pictures of {how.pictures.resolve().name}, drawn with seed {how.seed}, ranges of least squared "
        f"error, for {how.style}; SHA-256 of the network's inputs {digest.hexdigest()}"
    )
    return quantise(model, chosen, values, STYLES[how.style]), note


def _report(file: WholeFile, parity: Parity | None, likeness: Likeness | None, accuracy: Accuracy | None) -> OnnxExport:
    """Read back what was written."""
    from ltsh_deploy.export.graphs import count_precisions, read_precision

    model, description = read_own_model(file.temporary)
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    return OnnxExport(
        path=file.path,
        size_bytes=file.temporary.stat().st_size,
        opset=opset,
        description=description,
        precision=read_precision(model),
        operators=dict(count_precisions(model)),
        parity=parity,
        likeness=likeness,
        accuracy=accuracy,
    )
