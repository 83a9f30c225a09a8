"""What an ONNX file takes in, and the shapes that an engine of it shall take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltsh_deploy.description_template import TensorInfo
from ltsh_deploy.errors import UsageError
from ltsh_deploy.model_tensors import check_input, check_tensors

if TYPE_CHECKING:
    from ltsh_deploy.descriptions import ModelDescription
    from ltsh_deploy.engine_files import Shapes

__all__ = ["EngineInput", "read_input"]

_USUAL_BATCH = 8


@dataclass(frozen=True)
class EngineInput:
    """The one input of a network, and what is known of the rest.

    Attributes:
        path: the ONNX file, for messages.
        name: of the input.
        layout: which of its axes is which, ``NHWC`` or ``NCHW``.
        fixed: the lengths of its axes, in that order; -1 for one that varies.
        description: of the network.
    """

    path: Path
    name: str
    layout: str
    fixed: tuple[int, ...]
    description: ModelDescription

    def shapes(self, wanted: Shapes | None) -> Shapes:
        """The shapes of the engine: those that are wanted, or the usual ones.

        Raises:
            UsageError: when the network cannot take them.
        """
        stride, (width, height) = self.description.stride, self.description.size
        lengths = tuple(self.fixed[self.layout.index(axis)] for axis in "NHW")
        if wanted is None:
            longer = max(width, height)
            usual = ((1, stride, stride), (1, height, width), (_USUAL_BATCH, longer, longer))
            low, middle, high = (
                tuple(fixed if fixed > 0 else length for fixed, length in zip(lengths, shape, strict=True))
                for shape in usual
            )
            from ltsh_deploy.engine_files import Shapes

            return Shapes.model_validate({"min": low, "opt": middle, "max": high})
        for name, shape in (("smallest", wanted.min), ("usual", wanted.opt), ("largest", wanted.max)):
            for axis, fixed, length in zip("NHW", lengths, shape, strict=True):
                if fixed > 0 and length != fixed:
                    raise UsageError(
                        f"{self.path}: takes {axis} = {fixed} and nothing else; the {name} of --shapes has {length}",
                        "Leave --shapes out, or export the model with a size that varies.",
                    )
                if axis != "N" and length % stride:
                    raise UsageError(
                        f"the {name} of --shapes has a side of {length}, which is no multiple of the stride, {stride}",
                        f"Write {length // stride * stride or stride} or {-(-length // stride) * stride}.",
                    )
        return wanted


def read_input(path: Path, model: Any) -> EngineInput:
    """The input of an ONNX model, held against its description.

    Raises:
        ModelFileError: when the model is not described, or contradicts its description.
    """
    from ltsh_deploy.descriptions import find_description

    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [_info(value) for value in model.graph.input if value.name not in weights]
    outputs = [_info(value) for value in model.graph.output]
    tensor = check_input(path, inputs)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    description = find_description(path, metadata, inputs, outputs)
    check_tensors(path, description, inputs, outputs)
    layout = description.input.layout
    declared = [tensor.declared(axis) or -1 for axis in range(4)]
    declared[layout.index("C")] = 3
    return EngineInput(path, tensor.name, layout, tuple(declared), description)


def _info(value: Any) -> TensorInfo:
    import onnx

    kinds = {onnx.TensorProto.UINT8: "uint8", onnx.TensorProto.FLOAT: "float", onnx.TensorProto.FLOAT16: "float16"}
    tensor = value.type.tensor_type
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else axis.dim_param for axis in tensor.shape.dim)
    return TensorInfo(value.name, f"tensor({kinds.get(tensor.elem_type, 'other')})", shape)
