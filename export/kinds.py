"""What can be exported to, by the names that users write; nothing heavy is imported for them."""

from __future__ import annotations

__all__ = ["COMPATIBILITIES", "FORMATS", "INTEGER_STYLES", "PRECISIONS"]

#: An ONNX file, a TensorRT engine, a model repository for Triton Inference Server.
FORMATS = ("onnx", "engine", "triton")
#: What a network computes in: float32, float16, or 8-bit integers.
PRECISIONS = ("fp32", "fp16", "int8")
#: The programs whose 8-bit integers are known; see :mod:`ltsh_deploy.export.quantise`.
INTEGER_STYLES = ("onnxruntime", "tensorrt")
#: The GPUs that an engine runs on: the kind that it is built on, all of its compute capability, or all from Ampere on.
COMPATIBILITIES = ("none", "same-cc", "ampere+")
