"""A float32 network in ONNX, computed in float16: half the size, and on GPUs a good deal faster.

The picture's normalisation stays in float32, where it costs nothing, and so do the outputs that users see: values are
cast once before the first convolution and once after the last. Nothing is clipped to make it fit: a weight that float16
cannot hold is an error, not another weight.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from ltsh_deploy.errors import ExportError
from ltsh_deploy.export.calibration import measure_values, network_inputs
from ltsh_deploy.export.graphs import Graph, array_of
from ltsh_deploy.onnx_files import Model

if TYPE_CHECKING:
    from ltsh_deploy.descriptions import ModelDescription

__all__ = ["LARGEST", "check_range", "rounding_as_float16", "to_float16"]

#: The largest number of float16.
LARGEST = float(np.finfo(np.float16).max)

# Inputs that must be float32 whatever the others are: a Resize's region and scales.
_ALWAYS_FLOAT32 = {"Resize": (1, 2)}


def to_float16(model: Model) -> Model:
    """A copy of a float32 model that computes in float16 from its first weighted operator on.

    Args:
        model: sound ONNX with float32 outputs.

    Raises:
        ExportError: when a weight is too large for float16 (its layer is named), or the graph cannot be converted.
    """
    model = copy.deepcopy(model)
    graph = Graph(model)
    behind = list(graph.behind_weights())
    halves = set(_halves(graph))
    casts = _Casts(graph, halves)
    nodes: list[Any] = []
    converted = {node.output[0] for node in behind}
    for node in model.graph.node:
        if node.output[0] in converted and any(graph.type_of(name) == TensorProto.FLOAT for name in node.input):
            nodes += casts.before(node)
        nodes.append(node)
    nodes += _cast_outputs(graph, nodes, halves)
    kept = {name for node in nodes for name in node.input}
    tensors = [tensor for tensor in (*graph.graph.initializer, *casts.weights) if tensor.name in kept]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(tensors)
    return model


def rounding_as_float16(half: Model) -> Model:
    """A float32 model that rounds every value where a float16 one does, for processors that have no float16.

    There, onnxruntime computes a float16 model in float32, and rounds nothing between two nodes: what the model says
    on a GPU would stay unknown, and so would an infinity.

    Args:
        half: from :func:`to_float16`.
    """
    model = copy.deepcopy(half)
    graph = Graph(model)
    tensors = [
        onnx.numpy_helper.from_array(array_of(tensor).astype(np.float32), tensor.name)
        if tensor.data_type == TensorProto.FLOAT16
        else tensor
        for tensor in model.graph.initializer
    ]
    nodes: list[Any] = []
    for node in model.graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            if graph.type_of(name) != TensorProto.FLOAT16:
                continue
            rounded = node.output[index] = graph.new_name(f"{name}_rounded")
            if node.op_type != "Cast":
                exact = node.output[index] = graph.new_name(f"{name}_exact")
                nodes.append(_cast(graph, exact, rounded, TensorProto.FLOAT16))
            nodes.append(_cast(graph, rounded, name, TensorProto.FLOAT))
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(tensors)
    return model


def check_range(
    model: Model,
    images: Sequence[npt.NDArray[np.uint8]],
    description: ModelDescription,
    done: Callable[[int], None] = lambda pictures: None,
) -> None:
    """Make sure that float16 can hold what a float32 network computes on pictures.

    Running the float16 network does not tell: where a processor has no float16, onnxruntime computes in float32, and
    numbers that are infinite on a GPU come out as if nothing were wrong.

    Raises:
        ExportError: naming the node whose values are too large.
    """
    graph = Graph(model)
    found = measure_values(model, _halves(graph), network_inputs(images, description), done)
    for name, values in found.items():
        if not values.largest <= LARGEST:
            node = graph.producer(name)
            raise ExportError(
                f"float16 cannot hold what {node.name!r} ({node.op_type}) computes: {values.largest:.4g} on the "
                f"pictures, and the largest number there is {LARGEST:.0f}",
                "Nothing was written. Export with --precision fp32 or int8.",
            )


def _halves(graph: Graph) -> list[str]:
    """The tensors that are to be float16: what is computed behind the first weights, and not cast on purpose."""
    computed = (name for node in graph.behind_weights() if node.op_type != "Cast" for name in node.output)
    return [name for name in computed if graph.type_of(name) == TensorProto.FLOAT]


class _Casts:
    """Gives nodes float16 inputs: other weights, and casts of what is computed in float32."""

    def __init__(self, graph: Graph, halves: set[str]) -> None:
        self._graph, self._halves = graph, halves
        self._names: dict[str, str] = {}
        self.weights: list[Any] = []

    def before(self, node: Any) -> list[Any]:
        """Change a node's inputs; returns the casts that must stand before it."""
        added: list[Any] = []
        keep = _ALWAYS_FLOAT32.get(node.op_type, ())
        for index, name in enumerate(node.input):
            if not name or name in self._halves or self._graph.type_of(name) != TensorProto.FLOAT or index in keep:
                continue
            if name not in self._names:
                self._names[name] = self._graph.new_name(f"{name}_float16")
                if name in self._graph.weights:
                    self.weights.append(_half(self._graph.weights[name], self._names[name], node))
                else:
                    added.append(_cast(self._graph, name, self._names[name], TensorProto.FLOAT16))
            node.input[index] = self._names[name]
        return added


def _half(tensor: Any, name: str, node: Any) -> Any:
    values = array_of(tensor)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= LARGEST:
        raise ExportError(
            f"float16 cannot hold a weight of {node.name!r} ({tensor.name}): it is {largest:.4g}, and the largest "
            f"number there is {LARGEST:.0f}",
            "Export with --precision fp32.",
        )
    return onnx.numpy_helper.from_array(values.astype(np.float16), name)


def _cast_outputs(graph: Graph, nodes: list[Any], halves: set[str]) -> list[Any]:
    """Casts that give the network's float16 results under the names and in the type of its outputs."""
    renamed = {name: graph.new_name(f"{name}_float16") for name in sorted(graph.outputs & halves)}
    for node in nodes:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = renamed.get(name, name)
    return [_cast(graph, inner, name, TensorProto.FLOAT) for name, inner in renamed.items()]


def _cast(graph: Graph, source: str, target: str, kind: int) -> Any:
    return helper.make_node("Cast", [source], [target], name=graph.new_name(f"cast_{target}"), to=kind)
