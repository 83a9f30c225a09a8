"""ONNX graphs as what computes what: tensors' types, and what is computed in which precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from ltsh_deploy.errors import ExportError
from ltsh_deploy.onnx_files import Model, read_model

__all__ = [
    "WEIGHTED",
    "Graph",
    "array_of",
    "check_model",
    "count_precisions",
    "read_precision",
]

#: Operators that multiply by weights: what a network's precision is that of.
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_INTEGER = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")
_NAMES: dict[int, str] = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16"}


class Graph:
    """A model's graph with what its nodes and tensors have to do with each other.

    Args:
        model: sound ONNX, its nodes in the order of computation, as ONNX demands.

    Raises:
        ExportError: when types cannot be inferred, or the graph holds other graphs (loops, conditions).
    """

    def __init__(self, model: Model) -> None:
        self.model, self.graph = model, model.graph
        subgraphs = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
        for node in self.graph.node:
            if any(attribute.type in subgraphs for attribute in node.attribute):
                raise ExportError(
                    f"node {node.name!r} ({node.op_type}) holds a graph of its own, which cannot be converted",
                    "Export it with --precision fp32.",
                )
        try:
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        except onnx.shape_inference.InferenceError as error:
            raise ExportError(f"the types in the network do not fit: {str(error).splitlines()[0]}") from None
        typed = (*inferred.value_info, *inferred.input, *inferred.output)
        self._types = {value.name: value.type.tensor_type.elem_type for value in typed}
        self.weights = {tensor.name: tensor for tensor in self.graph.initializer}
        self.outputs = {value.name for value in self.graph.output}
        named = (*self.graph.node, *self.graph.input, *self.graph.initializer)
        self._names = {item.name for item in named} | {name for node in self.graph.node for name in node.output}

    def type_of(self, tensor: str) -> int:
        """The ONNX type of a tensor's elements; 0 where there is no such tensor."""
        if tensor in self.weights:
            return int(self.weights[tensor].data_type)
        return int(self._types.get(tensor, TensorProto.UNDEFINED))

    def new_name(self, wanted: str) -> str:
        """A name that no tensor and no node has yet: the one wanted, or with a number."""
        name, number = wanted, 1
        while name in self._names:
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name)
        return name

    def users(self, tensor: str) -> list[Any]:
        """The nodes that read a tensor."""
        return [node for node in self.graph.node if tensor in node.input]

    def producer(self, tensor: str) -> Any:
        """The node that computes a tensor, which is no input and no weight."""
        return next(node for node in self.graph.node if tensor in node.output)

    def behind_weights(self) -> Iterator[Any]:
        """The nodes from the first weighted one on, in order: those whose values depend on weighted sums.

        What lies before, the normalisation of the picture, is cheap, and is left in float32.
        """
        reached: set[str] = set()
        for node in self.graph.node:
            if node.op_type in WEIGHTED or reached.intersection(node.input):
                reached.update(node.output)
                yield node


def check_model(model: Model, remedy: str) -> None:
    """Hold a model against ONNX's own rules.

    Raises:
        ExportError: naming the rule that it breaks.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    # A model of more than 2 GB is a ValueError.
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise ExportError(f"the exported network is not sound ONNX: {str(error).splitlines()[0]}", remedy) from None


def count_precisions(model: Model) -> Counter[str]:
    """How many of a network's weighted operators are computed in which precision, as their tensors tell.

    An operator is of int8 where both what it reads and its weights come out of a DequantizeLinear, which is how
    quantised networks are written, or where it takes integers itself.
    """
    graph = Graph(model)
    dequantised = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    counts: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type in _INTEGER:
            counts["int8"] += 1
        elif node.op_type in WEIGHTED:
            is_integer = dequantised.issuperset(node.input[:2])
            counts["int8" if is_integer else _NAMES.get(graph.type_of(node.input[0]), "other")] += 1
    return counts


def read_precision(model: Model | str | Path) -> str:
    """What a network truly computes in, as its tensors tell: ``fp32``, ``fp16`` or ``int8``.

    It is the one that most of the weighted operators have: a quantised network may keep a few layers in float.

    Args:
        model: an ONNX model, or the path of its file.

    Raises:
        ModelFileError: when a file cannot be read.
        ExportError: when nothing is computed with weights, or in some other type.
    """
    counts = count_precisions(read_model(Path(model)) if isinstance(model, str | Path) else model)
    if not counts:
        raise ExportError("the network has no convolution, so it has no precision")
    precision = counts.most_common(1)[0][0]
    if precision == "other":
        raise ExportError("the network computes in another type than float32, float16 and 8-bit integers")
    return precision


def array_of(tensor: Any) -> npt.NDArray[Any]:
    """The values of a weight."""
    return np.asarray(onnx.numpy_helper.to_array(tensor))
