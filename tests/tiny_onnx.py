"""Small ONNX files whose maps can be foretold: each map is a weighted sum of the mean colours of its cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from ltsh_deploy.descriptions import ModelDescription
from ltsh_deploy.skeletons import Skeleton

ARM = Skeleton("arm", ("shoulder", "elbow"), ((0, 1),), (), (0.1, 0.1))
WEIGHTS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
TYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}


def write_model(
    path: Path,
    *,
    layout: str = "NHWC",
    dtype: str = "uint8",
    maps_layout: str = "NCHW",
    shape: Sequence[int | str] = ("N", "H", "W"),
    stride: int = 8,
    maps_dtype: str = "float32",
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a model with input ``image``, outputs ``heatmaps`` (3 channels), ``pafs`` (2) and ``both`` (5)."""
    axes = dict(zip("NHWC", (*shape, 3), strict=True))
    nodes = [helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT)]
    order = [0, 3, 1, 2] if layout == "NHWC" else [0, 1, 2, 3]
    nodes += [
        helper.make_node("Transpose", ["floats"], ["planes"], perm=order),
        helper.make_node("AveragePool", ["planes"], ["means"], kernel_shape=[stride] * 2, strides=[stride] * 2),
    ]
    back = [0, 2, 3, 1] if maps_layout == "NHWC" else [0, 1, 2, 3]
    outputs, weights = [], []
    for name, rows in (("heatmaps", slice(0, 3)), ("pafs", slice(3, 5)), ("both", slice(0, 5))):
        weights.append(onnx.numpy_helper.from_array(WEIGHTS[rows, :, None, None], f"{name}_weights"))
        nodes += [
            helper.make_node("Conv", ["means", f"{name}_weights"], [f"{name}_sums"]),
            helper.make_node("Transpose", [f"{name}_sums"], [f"{name}_turned"], perm=back),
            helper.make_node("Cast", [f"{name}_turned"], [name], to=TYPES[maps_dtype]),
        ]
        outputs.append(helper.make_tensor_value_info(name, TYPES[maps_dtype], [None] * 4))
    image = helper.make_tensor_value_info("image", TYPES[dtype], [axes[axis] for axis in layout])
    model = helper.make_model(
        helper.make_graph(nodes, "tiny", [image], outputs, weights), opset_imports=[helper.make_opsetid("", 19)]
    )
    model.ir_version = 9
    helper.set_model_props(model, metadata or {})
    path.write_bytes(model.SerializeToString())
    return path


def described(**changes: Any) -> dict[str, Any]:
    """A description that fits :func:`write_model`'s defaults."""
    return {
        "skeleton": ARM,
        "stride": 8,
        "size": (64, 48),
        "input": {"name": "image"},
        "heatmaps": {"name": "heatmaps"},
        "pafs": {"name": "pafs"},
        **changes,
    }


def metadata(**changes: Any) -> dict[str, str]:
    """The same as metadata of the file."""
    return ModelDescription(**described(**changes)).to_metadata()


def foretold(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """[5, h, w] maps of a normalised picture [H, W, 3] in the network's own order of colours, at stride 8."""
    h, w = pixels.shape[0] // 8, pixels.shape[1] // 8
    means = pixels.astype(np.float64).reshape(h, 8, w, 8, 3).mean(axis=(1, 3))
    maps: npt.NDArray[np.float64] = np.einsum("kc,hwc->khw", WEIGHTS.astype(np.float64), means)
    return maps
