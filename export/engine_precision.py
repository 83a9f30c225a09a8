"""What an engine truly computes in, read back from what TensorRT says of the layers that it built.

Before TensorRT 10 a builder is free to compute in float32 what was asked for in float16, and quantised layers may be
computed in float by any version. So an engine's precision is not what was asked for but what its layers hold.

TensorRT describes layers in two forms with the same keys: JSON, which its inspector gives for an engine on a GPU, and
lines of text, which the builder gives to its logger while it builds, without a GPU too.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ltsh_deploy.errors import ExportError

__all__ = ["check_precision", "count_layers"]

_NAMES = {
    "float": "fp32",
    "fp32": "fp32",
    "half": "fp16",
    "fp16": "fp16",
    "bfloat16": "bf16",
    "bf16": "bf16",
    "int8": "int8",
    "fp8": "fp8",
    "int4": "int4",
    "fp4": "fp4",
}
_WIDTHS = {"fp32": 32, "fp16": 16, "bf16": 16, "int8": 8, "fp8": 8, "int4": 4, "fp4": 4}
#: So many of the layers that are to be computed in a precision may be computed in a wider one, where that is faster.
_WIDER = 0.1
# Kinds of layers that multiply by weights, in TensorRT's several spellings.
_WEIGHTED = re.compile(r"conv|gemm|correlation|matrixmultiply|fullyconnected", re.IGNORECASE)


def count_layers(report: str) -> Counter[str]:
    """How many layers with weights compute in what.

    Args:
        report: the inspector's JSON, or the builder's text.

    Returns:
        Counts by ``fp32``, ``fp16``, ``int8`` and so on; empty where the report tells nothing of weights.
    """
    return Counter(precision for layer in _layers(report) if (precision := _precision(layer)))


def check_precision(wanted: str, expected: Mapping[str, int], built: Mapping[str, int]) -> None:
    """Hold an engine's layers against the network that it was built from.

    None may be narrower than the network's, and at most a tenth of those in the precision asked for may be wider.

    Args:
        wanted: the precision asked for.
        expected: how many of the network's operators with weights are in which precision.
        built: likewise of the engine's layers, which may be fewer, for some are fused.

    Raises:
        ExportError: saying what was built instead.
    """
    total, share = sum(built.values()), expected.get(wanted, 0) / max(1, sum(expected.values()))
    if not total:
        raise ExportError(
            "TensorRT does not say which types the engine's layers compute in, so its precision is not known",
            "Nothing was written. Try another version of TensorRT, and report this.",
        )
    is_narrower = {name: width < _WIDTHS[wanted] for name, width in _WIDTHS.items()}
    narrower = sum(count for name, count in built.items() if is_narrower[name])
    allowed = sum(count for name, count in expected.items() if is_narrower.get(name, False))
    if narrower > allowed or built.get(wanted, 0) < (1 - _WIDER) * share * total:
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(built.items()))
        raise ExportError(
            f"TensorRT built another precision than {wanted}: of the engine's {total} layers with weights, {kinds}",
            "Nothing was written. This GPU or this version of TensorRT may have no fast kernels for "
            f"{wanted}; choose another --precision.",
        )


def _layers(report: str) -> Iterator[Mapping[str, Any]]:
    try:
        layers = json.loads(report)["Layers"]
    except (ValueError, KeyError, TypeError):
        yield from map(_from_text, re.findall(r"^Name: .*$", report, re.MULTILINE))
        return
    if isinstance(layers, list):
        yield from (layer for layer in layers if isinstance(layer, dict))


def _from_text(line: str) -> dict[str, Any]:
    """What matters of a line such as ``Name: a, LayerType: b, Inputs: [ { Name: c, ... }], Constants: [...], ...``."""
    layer: dict[str, Any] = {"LayerType": _first(r"LayerType: (\w+)", line)}
    for key in ("Inputs", "Constants"):
        # The list ends where its brackets do; dimensions stand in brackets too.
        found = re.search(rf", {key}: \[((?: \{{.*?\}}(?:,(?= \{{))?)*)\]", line)
        tensors = re.findall(r"\{ (.*?) ?\}", found[1]) if found else []
        layer[key] = [
            {
                "Dimensions": [int(n) for n in re.findall(r"-?\d+", _first(r"Dimensions: \[([^]]*)\]", tensor))],
                "Datatype": _first(r"(?:Format/)?Datatype: ([^,]*)", tensor),
            }
            for tensor in tensors
        ]
    weights = _first(r'Weights: \{ ?"?Type"?: "?(\w+)', line)
    return layer | ({"Weights": {"Type": weights}} if weights else {})


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


def _precision(layer: Mapping[str, Any]) -> str:
    """What a layer with weights computes in; empty for one without."""
    weights = layer.get("Weights")
    if isinstance(weights, dict) and (named := _named(weights.get("Type"))):
        return named
    for tensor in _tensors(layer, "Constants"):
        # A kernel has four dimensions with several outputs first; a bias has 1 there.
        dimensions = tensor.get("Dimensions")
        if isinstance(dimensions, list) and len(dimensions) == 4 and dimensions[0] != 1:
            return _type_of(tensor)
    if _WEIGHTED.search(str(layer.get("LayerType", ""))):
        return next((named for tensor in _tensors(layer, "Inputs") if (named := _type_of(tensor))), "")
    return ""


def _tensors(layer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    tensors = layer.get(key)
    return [tensor for tensor in tensors if isinstance(tensor, dict)] if isinstance(tensors, list) else []


def _type_of(tensor: Mapping[str, Any]) -> str:
    return _named(tensor.get("Datatype") or tensor.get("Format/Datatype"))


def _named(spelling: object) -> str:
    """Of ``Half`` or ``Channel major FP16 format where channel % 8 == 0``: fp16."""
    words = re.findall(r"[a-z]+\d*", str(spelling).lower())
    return next((_NAMES[word] for word in words if word in _NAMES), "")
