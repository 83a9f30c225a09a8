"""A float32 network in ONNX, computed in 8-bit integers.

The graph stays one of float tensors in which every value that is to be rounded passes a pair of QuantizeLinear and
DequantizeLinear (Q/DQ); onnxruntime and TensorRT replace a convolution between such pairs by one of integers. Two
programs, two habits:

- onnxruntime's CPU kernels are fastest with unsigned activations whose zero may lie anywhere, so that a ReLU costs
  nothing. Weights have 7 bits: processors without VNNI add pairs of products in 16 bits, which 8 would overflow.
- TensorRT takes signed integers whose zero is 0, for activations as for weights.

What the picture passes before the first convolution, and the layers whose results are the maps, stay in float32: a heat
map in 255 steps has peaks of many equal cells, and no sub-cell positions.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from ltsh_deploy.errors import ExportError
from ltsh_deploy.export.calibration import Values
from ltsh_deploy.export.graphs import WEIGHTED, Graph, array_of
from ltsh_deploy.onnx_files import Model

__all__ = ["STYLES", "Plan", "Style", "plan", "quantise", "style_of"]

# These give values that they were given, or means of them: what they read and write shares one scale.
_MOVING = ("MaxPool", "Reshape", "Resize", "Slice", "Squeeze", "Transpose", "Unsqueeze")
# These only bound values, and become part of the rounding after them.
_BOUNDING = ("Clip", "Relu")
# So many times what it rounds away, a bias may be larger than its 32-bit integer's step.
_LARGEST_BIAS = float(1 << 30)


@dataclass(frozen=True)
class Style:
    """Which integers a program takes.

    Attributes:
        activation: ONNX type of quantised activations.
        low: their smallest value.
        high: their largest.
        symmetric: whether their zero must be 0.
        weight: the largest magnitude of a weight.
        integer_bias: whether biases are integers too, of 32 bits; else they stay float32.
    """

    activation: int
    low: int
    high: int
    symmetric: bool
    weight: int
    integer_bias: bool


#: By the program that is to run the network.
STYLES = {
    "onnxruntime": Style(TensorProto.UINT8, 0, 255, symmetric=False, weight=63, integer_bias=True),
    "tensorrt": Style(TensorProto.INT8, -127, 127, symmetric=True, weight=127, integer_bias=False),
}


@dataclass(frozen=True)
class Plan:
    """What of a network is to be rounded.

    Attributes:
        convolutions: the nodes to compute with integers.
        tensors: the activations that pass a Q/DQ pair.
        groups: for each of these, the one whose range it shares.
    """

    convolutions: list[Any]
    tensors: list[str]
    groups: dict[str, str]


def plan(graph: Graph) -> Plan:
    """Choose the convolutions between the picture and the layers that give the maps, and all activations among them.

    Raises:
        ExportError: when there are none.
    """
    leading = _leading_to_weights(graph)
    behind = list(graph.behind_weights())
    convolutions = [n for n in behind if n.op_type == "Conv" and n.output[0] in leading and n.input[1] in graph.weights]
    if not convolutions:
        raise ExportError("the network has no convolution that could be quantised", "Export it with --precision fp16.")
    inside = {n.input[0] for n in convolutions} | {name for n in behind for name in n.output if name in leading}
    tensors = []
    for name in sorted(inside):
        users = graph.users(name)
        bounded = len(users) == 1 and users[0].op_type in _BOUNDING
        if graph.type_of(name) == TensorProto.FLOAT and not bounded:
            tensors.append(name)
    return Plan(convolutions, tensors, _groups(behind, set(tensors)))


def _leading_to_weights(graph: Graph) -> set[str]:
    """The tensors that some weighted operator depends on."""
    leading: set[str] = set()
    for node in reversed(graph.graph.node):
        if node.op_type in WEIGHTED or leading.intersection(node.output):
            leading.update(node.input)
    return leading


def _groups(nodes: list[Any], tensors: set[str]) -> dict[str, str]:
    """Each tensor's first one among those that only move its values."""
    first = {name: name for name in tensors}
    for node in nodes:
        if node.op_type in _MOVING and node.input[0] in tensors and node.output[0] in tensors:
            first[node.output[0]] = first[node.input[0]]
    return first


def quantise(model: Model, chosen: Plan, values: Mapping[str, Values], style: Style) -> Model:
    """A copy of a float32 model with Q/DQ pairs.

    Args:
        model: the one that the plan is of.
        chosen: what to round.
        values: what the plan's tensors were on real pictures.
        style: of the program that is to run it.

    Raises:
        ExportError: when a tensor's values were not finite.
    """
    model = copy.deepcopy(model)
    graph = Graph(model)
    pooled: dict[str, Values] = {}
    for name in chosen.tensors:
        if not values[name].is_finite:
            raise ExportError(f"the network's {name!r} holds NaN or infinity on the pictures it is calibrated on")
        pooled.setdefault(chosen.groups[name], Values()).merge(values[name])
    rounding = {group: _Rounding.of(found, style) for group, found in pooled.items()}
    writer = _Writer(graph, style)
    for name in chosen.tensors:
        writer.round(name, rounding[chosen.groups[name]])
    convolutions = {node.output[0] for node in chosen.convolutions}
    for node in model.graph.node:
        if node.output[0] in convolutions:
            read = node.input[0]
            writer.round_weights(node, rounding[chosen.groups[read]].scale, values[read].means)
    writer.write()
    return model


@dataclass(frozen=True)
class _Rounding:
    """A real value is ``scale * (integer - zero)``."""

    scale: float
    zero: int

    @classmethod
    def of(cls, values: Values, style: Style) -> _Rounding:
        low, high = values.best_range(style.high - style.low + 1, style.symmetric)
        scale = max((high - low) / (style.high - style.low), float(np.finfo(np.float32).tiny))
        return cls(scale, 0 if style.symmetric else round(style.low - low / scale))


class _Writer:
    """Puts Q/DQ pairs into a graph."""

    def __init__(self, graph: Graph, style: Style) -> None:
        self._graph, self._style = graph, style
        self._after: dict[str, list[Any]] = {}
        self._before: list[Any] = []
        self._constants: list[Any] = []
        self._renamed: dict[str, str] = {}

    def round(self, name: str, rounding: _Rounding) -> None:
        """Let everybody read an activation in steps."""
        kind = helper.tensor_dtype_to_np_dtype(self._style.activation)
        scale = self._constant(f"{name}_scale", np.array(rounding.scale, np.float32))
        zero = self._constant(f"{name}_zero", np.array(rounding.zero, kind))
        integers, rounded = (self._graph.new_name(f"{name}_{what}") for what in ("integers", "rounded"))
        self._after[name] = [
            self._node("QuantizeLinear", [name, scale, zero], integers),
            self._node("DequantizeLinear", [integers, scale, zero], rounded),
        ]
        self._renamed[name] = rounded

    def round_weights(self, node: Any, input_scale: float, input_means: npt.NDArray[np.float64]) -> None:
        """Store a convolution's weights as integers, with a scale for each of its channels, and its bias if need be.

        What rounding a channel's weights adds to its values on average, the bias takes away.
        """
        limit = self._style.weight
        weights = array_of(self._graph.weights[node.input[1]]).astype(np.float64)
        channels = weights.reshape(len(weights), -1)
        scale = np.abs(channels).max(axis=1) / limit
        bias = None
        if len(node.input) > 2 and node.input[2] in self._graph.weights:
            bias = array_of(self._graph.weights[node.input[2]]).astype(np.float64)
            # Beside weights of almost nothing, a bias would not fit into 32 bits of their steps.
            scale = np.maximum(scale, np.abs(bias) / (input_scale * _LARGEST_BIAS))
        scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
        steps = np.rint(channels / scale[:, None]).clip(-limit, limit)
        node.input[1] = self._integers(node.input[1], steps.reshape(weights.shape).astype(np.int8), scale)
        if bias is None:
            return
        added = (steps * scale[:, None] - channels).reshape(*weights.shape[:2], -1).sum(axis=2)
        groups = input_means.size // weights.shape[1]
        means = np.repeat(input_means.reshape(groups, -1), len(weights) // groups, axis=0)
        bias = bias - (added * means).sum(axis=1)
        if self._style.integer_bias:
            # As the sums have it, to which it is added: float32 times float32.
            scale = np.float32(input_scale) * scale
            node.input[2] = self._integers(node.input[2], np.rint(bias / scale).astype(np.int32), scale)
        else:
            node.input[2] = self._constant(f"{node.input[2]}_corrected", bias.astype(np.float32))

    def _integers(self, name: str, steps: npt.NDArray[Any], scale: npt.NDArray[np.float32]) -> str:
        """Store a weight as integers; the name of what it is as float."""
        inputs = [
            self._constant(f"{name}_integers", steps),
            self._constant(f"{name}_scale", scale),
            self._constant(f"{name}_zero", np.zeros(len(scale), steps.dtype)),
        ]
        rounded = self._graph.new_name(f"{name}_rounded")
        self._before.append(self._node("DequantizeLinear", inputs, rounded, axis=0))
        return rounded

    def write(self) -> None:
        """Change the graph, once all is known."""
        graph = self._graph.graph
        nodes = list(self._before)
        for node in graph.node:
            for index, name in enumerate(node.input):
                node.input[index] = self._renamed.get(name, name)
            nodes.append(node)
            for name in node.output:
                nodes += self._after.get(name, [])
        used = {name for node in nodes for name in node.input}
        constants = [tensor for tensor in (*graph.initializer, *self._constants) if tensor.name in used]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(nodes)
        graph.initializer.extend(constants)

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        return helper.make_node(kind, inputs, [output], name=self._graph.new_name(f"{output}_node"), **attributes)

    def _constant(self, wanted: str, array: npt.NDArray[Any]) -> str:
        name = self._graph.new_name(wanted)
        self._constants.append(onnx.numpy_helper.from_array(array, name))
        return name


def style_of(model: Model) -> str | None:
    """For which program a network is quantised, as its activations tell: a key of :data:`STYLES`.

    None where nothing is quantised.
    """
    graph = Graph(model)
    zeros = [array_of(graph.weights[n.input[2]]) for n in model.graph.node if n.op_type == "QuantizeLinear"]
    if not zeros:
        return None
    return "tensorrt" if all(zero.dtype == np.int8 and not zero.any() for zero in zeros) else "onnxruntime"
