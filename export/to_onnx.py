"""Checkpoint to ONNX: one self-describing file that takes plain pictures.

Input ``image`` is uint8 [N, H, W, 3] RGB, with H and W any multiples of the stride; outputs are ``heatmaps``
[N, J + 1, H / stride, W / stride] and ``pafs`` [N, 2L, H / stride, W / stride], float32. All else that a runtime needs
to know is in the file's metadata.
"""

from __future__ import annotations

import copy
import itertools
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy import __version__
from ltsh_deploy.checkpoints import describe_network, read_checkpoint
from ltsh_deploy.errors import ExportError, UsageError
from ltsh_deploy.parts import import_part
from ltsh_deploy.result_names import refuse_overwriting
from ltsh_deploy.runtimes import OnnxRuntime
from ltsh_deploy.whole_files import WholeFile

if TYPE_CHECKING:
    from ltsh_deploy.descriptions import ModelDescription
    from ltsh_deploy.export.parity import Parity
    from ltsh_deploy.networks import PoseNetwork

__all__ = ["DEFAULT_OPSET", "ExportReport", "check_target", "export_onnx", "fold_batchnorm"]

#: Float16 scales of quantised networks need 19; older programs refuse newer ones.
DEFAULT_OPSET = 19

_ANOTHER = "Nothing was written. Export with another --opset, or report this."
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportReport:
    """What was written, and the proof that it is right.

    Attributes:
        path: the file.
        size_bytes: its length.
        opset: the version of ONNX operators it uses.
        description: its metadata.
        parity: how well it agrees with the checkpoint.
    """

    path: Path
    size_bytes: int
    opset: int
    description: ModelDescription
    parity: Parity


def export_onnx(
    checkpoint: str | Path,
    output: str | Path,
    *,
    images: Sequence[npt.NDArray[np.uint8]],
    size: tuple[int, int] | None = None,
    opset: int = DEFAULT_OPSET,
    overwrite: bool = False,
    done: Callable[[int], None] = lambda pictures: None,
) -> ExportReport:
    """Export a checkpoint and prove that the file gives the same maps and poses; else nothing is written.

    Args:
        checkpoint: a file that :func:`~ltsh_deploy.checkpoints.save_checkpoint` wrote.
        output: the file to write, with the suffix .onnx.
        images: pictures to compare both on: uint8 [H, W, 3] RGB each, of any sizes.
        size: (width, height) of the box pictures are fitted into by default, multiples of the stride; None is the
            checkpoint's own.
        opset: version of the ONNX operators, 19 or later.
        overwrite: whether an existing file is replaced.
        done: is called with 1 after every picture that was compared.

    Raises:
        UsageError: for arguments that cannot be, or when the file exists and ``overwrite`` is not set.
        ModelFileError: when the checkpoint cannot be read.
        ExportError: when the exporter fails or parity does not hold.
        OutputError: when the file cannot be written.
        MissingPartError: when torch, onnx, onnxscript or onnxruntime is not installed.
    """
    output = Path(output)
    for module in ("torch", "onnx", "onnxscript"):
        import_part(module, "Exporting", "export")
    import_part("onnxruntime", "Proving parity", "cpu", "gpu")
    import onnx

    from ltsh_deploy.export.graphs import check_model
    from ltsh_deploy.export.parity import check_parity

    newest = onnx.defs.onnx_opset_version()
    if not DEFAULT_OPSET <= opset <= newest:
        raise UsageError(f"opset {opset} cannot be written", f"Choose one from {DEFAULT_OPSET} to {newest}.")
    check_target(Path(checkpoint), output, overwrite)
    if not images:
        raise UsageError("there are no pictures to prove parity on", "Give at least one.")
    source = read_checkpoint(checkpoint)
    network = source.network
    description = describe_network(network, source.provenance, size or source.size)
    description = description.model_copy(update={"precision": "fp32"})
    with WholeFile(output) as file:
        _log.info("exporting %s", checkpoint)
        model = _convert(network, opset)
        model.producer_name, model.producer_version = "ltsh-deploy", __version__
        onnx.helper.set_model_props(model, description.to_metadata())
        check_model(model, _ANOTHER)
        with file.named_errors():
            file.temporary.write_bytes(model.SerializeToString())
        _log.info("comparing the exported network with the checkpoint (pictures: %d)", len(images))
        with OnnxRuntime(file.temporary, device="cpu") as runtime:
            try:
                parity = check_parity(network, runtime, images, done)
            # Memory that torch does not get is a RuntimeError, numpy's a MemoryError.
            except (MemoryError, RuntimeError) as error:
                reason = (str(error) or "out of memory").splitlines()[0]
                raise ExportError(
                    f"the exported network could not be compared with the checkpoint ({reason})",
                    "Nothing was written. Use a smaller --size, or a machine with more memory.",
                ) from None
        if not parity.poses:
            _log.warning(
                "%s: nobody was found on the pictures, so no poses were compared, only maps; better proof are pictures "
                "with people whom the network finds (--images)",
                checkpoint,
            )
        length = file.temporary.stat().st_size
    return ExportReport(output, length, opset, description, parity)


def check_target(source: Path, output: Path, overwrite: bool) -> None:
    """Make sure that an ONNX file may be written.

    Raises:
        UsageError: when its name has another suffix, it is the source, or it exists and is not to be replaced.
    """
    refuse_overwriting(output, [source])
    if output.suffix.lower() != ".onnx":
        remedy = f"Write to {output.with_suffix('.onnx')}"
        if output.suffix.lower() == ".engine":
            remedy += ", or give --format engine for a TensorRT engine"
        raise UsageError(f"{output}: an ONNX file must be named so", f"{remedy}.")
    if output.exists() and not overwrite:
        raise UsageError(f"{output}: exists already", "Give another name, or --overwrite.")


def _convert(network: PoseNetwork, opset: int) -> Any:
    """The ONNX model of a network, with the contract's input and outputs, of any number and size of pictures."""
    import torch

    from ltsh_deploy.networks import ImageNetwork

    stride = network.stride
    dimensions = {axis: torch.export.Dim(axis, min=1, max=1 << 16) for axis in "Nhw"}
    shapes = {"image": {0: dimensions["N"], 1: stride * dimensions["h"], 2: stride * dimensions["w"]}}
    # Not a square, nor a single picture: a length of one would be taken for a constant.
    example = torch.zeros(2, 10 * stride, 13 * stride, 3, dtype=torch.uint8)
    try:
        with _hushed():
            program = torch.onnx.export(
                ImageNetwork(fold_batchnorm(network)).eval(),
                (example,),
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=["image"],
                output_names=["heatmaps", "pafs"],
                opset_version=opset,
                verbose=False,
            )
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise ExportError(f"torch cannot export {network.name}: {str(error).splitlines()[0]}") from error
    assert program is not None
    model = program.model_proto
    written = next(entry.version for entry in model.opset_import if not entry.domain)
    if written != opset:
        raise ExportError(f"torch exported {network.name} with opset {written}, not {opset}", "Leave --opset out.")
    _tidy(model.graph)
    return model


def _tidy(graph: Any) -> None:
    """Hold an exported graph to the contract in what the exporter leaves open."""
    # TensorRT takes a uint8 input into a cast and nowhere else; the exporter reads the picture's size off it too.
    cast = next(node for node in graph.node if node.op_type == "Cast" and node.input[0] == "image")
    others = [node for node in graph.node if node is not cast]
    for node in others:
        for index, name in enumerate(node.input):
            if name == "image":
                node.input[index] = cast.output[0]
    in_order = [copy.deepcopy(node) for node in (cast, *others)]
    del graph.node[:], graph.value_info[:], graph.metadata_props[:]
    graph.node.extend(in_order)
    # Beside every node the exporter notes source files and lines of the machine it runs on.
    for item in (*graph.node, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.ClearField("doc_string")
    for output in graph.output:
        for axis, name in ((2, "h"), (3, "w")):
            output.type.tensor_type.shape.dim[axis].dim_param = name


def fold_batchnorm(network: PoseNetwork) -> PoseNetwork:
    """A copy in which every convolution has the batch normalisation after it folded into its weights."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    folded = copy.deepcopy(network).eval()
    for layers in [module for module in folded.modules() if isinstance(module, nn.Sequential)]:
        for index, (first, second) in enumerate(itertools.pairwise(list(layers))):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                layers[index], layers[index + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return folded


@contextmanager
def _hushed() -> Iterator[None]:
    """Without the exporter's warnings about itself, unless details are asked for."""
    if _log.isEnabledFor(logging.DEBUG):
        yield
        return
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(max(before, logging.WARNING))
        try:
            yield
        finally:
            logging.disable(before)
