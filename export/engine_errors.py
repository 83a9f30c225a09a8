"""What TensorRT's parser and builder complain of, in words for those who have a network and want an engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ltsh_deploy.errors import DeviceError, ExportError, LtshError
from ltsh_deploy.tensorrt_library import Messages, plain_words

__all__ = ["build_error", "parser_error"]

_NOTHING = "Nothing was written."
# The nodes about 8-bit integers, as problems name their kind.
_QUANTISING = re.compile(r"\((Q|Deq)uantizeLinear\)", re.IGNORECASE)
#: What a builder's error holds, what that means, and what to do. The first that fits is told.
_MEANINGS = (
    (
        r"workspace|Could not find any implementation|no tactics",
        "TensorRT finds no way to compute {node} in the memory it may use",
        "Give it more with --workspace, or leave that out.",
    ),
    (
        r"out of memory|OutOfMemory|FAILED_ALLOCATION|cudaErrorMemoryAllocation|cudaError 2\b",
        "the GPU's memory does not suffice to build {node}",
        "Free some, or give smaller --shapes.",
    ),
    (
        r"[Ss]hape|[Dd]imension|profile",
        "TensorRT cannot compute {node} at the shapes that were asked for",
        "Give other --shapes: multiples of the model's stride.",
    ),
)


def parser_error(path: Path, parser: Any, model: bytes) -> LtshError:
    """Why a parser did not take an ONNX file.

    Args:
        path: the file.
        parser: TensorRT's, after it failed.
        model: the file's bytes.
    """
    problems = [_parser_problem(parser.get_error(index), model) for index in range(parser.num_errors)]
    more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
    remedy = "Export with another --precision or --opset, or take another version of TensorRT."
    if problems and _QUANTISING.search(problems[0]):
        remedy = (
            "TensorRT takes signed 8-bit integers whose zero is 0. Build the engine from the checkpoint or the ONNX "
            "file of fp32, with --precision int8 --calibrate DIR; or export that with --quantise-for tensorrt first."
        )
    return ExportError(
        f"{path}: TensorRT cannot read {problems[0] if problems else 'it, and does not say why'}{more}",
        f"{_NOTHING} {remedy}",
    )


def _parser_problem(error: Any, model: bytes) -> str:
    """Of TensorRT's error: "node 'conv_1' (Conv): what is wrong"."""
    reason = plain_words(str(error.desc())) or "no reason is given"
    # TensorRT 8.6 knows only the node's number.
    name, kind = (str(getattr(error, key)()) if hasattr(error, key) else "" for key in ("node_name", "node_operator"))
    if not kind:
        name, kind = _node(model, int(error.node()))
    return f"node {name!r} ({kind}): {reason}" if kind else f"the file: {reason}"


def _node(model: bytes, index: int) -> tuple[str, str]:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        nodes = onnx.load_model_from_string(model).graph.node
    except DecodeError:
        return "", ""
    return (nodes[index].name or nodes[index].output[0], nodes[index].op_type) if 0 <= index < len(nodes) else ("", "")


def build_error(path: Path, messages: Messages, workspace: int | None) -> LtshError:
    """Why a builder gave no engine.

    Args:
        path: the ONNX file.
        messages: what TensorRT said.
        workspace: the limit of memory that was set, in MiB.
    """
    said = [plain_words(error) for error in messages.errors]
    reason = next((text for text in reversed(said) if text), "it does not say why")
    everything = "\n".join(messages.errors)
    if re.search(r"cudaError (35|100)\b|no CUDA-capable device|CUDA initialization failure", everything):
        return DeviceError(
            f"{path}: TensorRT cannot build an engine without a working NVIDIA GPU ({reason})",
            "Look at the driver with nvidia-smi. TensorRT for RTX builds without a GPU.",
        )
    node = _named_node(everything)
    for pattern, meaning, remedy in _MEANINGS:
        if re.search(pattern, everything):
            what = meaning.format(node=f"node {node!r}" if node else "a part of the network")
            limit = f" (--workspace {workspace})" if workspace is not None and "memory it may use" in meaning else ""
            return ExportError(f"{path}: {what}{limit}: {reason}", f"{_NOTHING} {remedy}")
    where = f"node {node!r}: " if node else ""
    return ExportError(
        f"{path}: TensorRT could not build an engine: {where}{reason}",
        f"{_NOTHING} --verbose shows all that TensorRT says.",
    )


def _named_node(text: str) -> str:
    """The node or layer that a message speaks of."""
    found = re.search(r"\b(?:node|layer) (?:\{?\w*\[)?([\w./+-]+?)(?:\.\.\.|[\]},: ]|$)", text, re.IGNORECASE)
    return found[1].rstrip(".") if found else ""
