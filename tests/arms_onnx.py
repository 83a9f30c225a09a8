"""A deeper network for the painted arms of tests/colour_model.py: several convolutions, so that some may be quantised.

It has what real ones have between two convolutions: a ReLU, a sum of two branches, a change of size, a join.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from ltsh_deploy.descriptions import ModelDescription
from tests.colour_model import ARM

__all__ = ["arms_values", "write_arms"]


def write_arms(
    path: Path, *, inner: float = 1.0, faint: float = 1.0, metadata: bool = True, changes: dict[str, Any] | None = None
) -> Path:
    """Write the network as ``ltsh export`` would.

    Args:
        path: of the file.
        inner: the values between two of the convolutions are so many times as large; the maps are the same.
        faint: the wrists' heat map is so many times as strong.
        metadata: whether the file says what it is.
        changes: fields of its description.
    """
    colours = 1.5 * np.eye(3) - 0.5
    weights = {
        "colours": inner * colours[:, :, None, None],
        "each": np.ones((3, 1, 1, 1)),
        "last": np.zeros((8, 6, 1, 1)),
    }
    # The sum holds every colour twice.
    weights["last"][:3, :3, 0, 0] = np.diag([1, 1, faint]) / (2 * inner)
    bias = np.array([0, 0, 0, 0, 1, 0, 1, 0], np.float32)
    constants = [onnx.numpy_helper.from_array(w.astype(np.float32), f"{name}_weights") for name, w in weights.items()]
    constants += [
        onnx.numpy_helper.from_array(np.array(1 / 255, np.float32), "scale"),
        onnx.numpy_helper.from_array(bias, "last_bias"),
        *(onnx.numpy_helper.from_array(np.zeros(3, np.float32), f"{name}_bias") for name in ("colours", "each")),
        onnx.numpy_helper.from_array(np.array([1, 1, 0.5, 0.5], np.float32), "halves"),
        onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"),
    ]
    nodes = [
        _node("Cast", ["image"], "floats", to=TensorProto.FLOAT),
        _node("Transpose", ["floats"], "planes", perm=[0, 3, 1, 2]),
        _node("Mul", ["planes", "scale"], "normal"),
        _node("Conv", ["normal", "colours_weights", "colours_bias"], "colours"),
        _node("Relu", ["colours"], "seen"),
        _node("AveragePool", ["seen"], "means", kernel_shape=[8, 8], strides=[8, 8]),
        _node("Conv", ["means", "each_weights", "each_bias"], "each", group=3),
        _node("Add", ["means", "each"], "sum"),
        _node("Resize", ["sum", "", "twice"], "larger", mode="nearest", coordinate_transformation_mode="asymmetric"),
        _node("MaxPool", ["larger"], "back", kernel_shape=[2, 2], strides=[2, 2]),
        _node("Concat", ["back", "each"], "joined", axis=1),
        _node("Conv", ["joined", "last_weights", "last_bias"], "maps"),
        helper.make_node("Split", ["maps"], ["heatmaps", "pafs"], name="split", axis=1, num_outputs=2),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 4, "h", "w"]) for n in ("heatmaps", "pafs")]
    graph = helper.make_graph(nodes, "arms", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    model.ir_version = 9
    if metadata:
        described: dict[str, Any] = {key: {"name": key} for key in ("heatmaps", "pafs")}
        described |= {"skeleton": ARM, "stride": 8, "size": (160, 120), "input": {"name": "image"}, **(changes or {})}
        helper.set_model_props(model, ModelDescription(**described).to_metadata())
    path.write_bytes(model.SerializeToString())
    return path


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, [output], name=f"{output}_node", **attributes)


def arms_values(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """[3, h, w] the heat maps that the network gives of a picture, by its definition."""
    seen = np.maximum((1.5 * np.eye(3) - 0.5) @ (image.reshape(-1, 3).T / 255), 0).reshape(3, *image.shape[:2])
    height, width = (side // 8 for side in image.shape[:2])
    means: npt.NDArray[np.float64] = seen.reshape(3, height, 8, width, 8).mean(axis=(2, 4))
    return means
