"""A network that finds arms painted in colours, as a real ONNX file, and pictures for it.

Red is a shoulder, green an elbow, blue a wrist; limbs point to the right. Cells are means of 8 x 8 pixels, a heat map
is how much of its colour a cell has, and the PAFs are the unit vector (1, 0) everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from ltsh_deploy.descriptions import ModelDescription
from ltsh_deploy.skeletons import Skeleton

__all__ = ["ARM", "paint", "write_colour_model"]

ARM = Skeleton("arm", ("shoulder", "elbow", "wrist"), ((0, 1), (1, 2)), (), (0.1, 0.1, 0.1))


def write_colour_model(path: Path, paf: float = 1.0) -> Path:
    """Write the network; with a ``paf`` of NaN its maps cannot be used."""
    weights = np.zeros((8, 3, 1, 1), np.float32)
    # Each colour less the two others, so that grey is nothing; the fourth channel, background, stays empty.
    weights[:3, :, 0, 0] = (1.5 * np.eye(3) - 0.5) / 255
    bias = np.array([0, 0, 0, 0, paf, 0, paf, 0], np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["means"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Conv", ["means", "weights", "bias"], ["maps"]),
        helper.make_node("Split", ["maps"], ["heatmaps", "pafs"], axis=1, num_outputs=2),
    ]
    constants = [onnx.numpy_helper.from_array(weights, "weights"), onnx.numpy_helper.from_array(bias, "bias")]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 4, "h", "w"]) for n in ("heatmaps", "pafs")]
    graph = helper.make_graph(nodes, "arms", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    model.ir_version = 9
    description: dict[str, Any] = {
        "skeleton": ARM,
        "stride": 8,
        "size": (160, 120),
        "input": {"name": "image"},
        "heatmaps": {"name": "heatmaps"},
        "pafs": {"name": "pafs"},
    }
    helper.set_model_props(model, ModelDescription(**description).to_metadata())
    path.write_bytes(model.SerializeToString())
    return path


def paint(arms: list[tuple[int, int]], size: tuple[int, int] = (160, 120)) -> npt.NDArray[np.uint8]:
    """A grey picture, [H, W, 3] RGB, with arms whose shoulders' cells begin at these pixels (multiples of 8)."""
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    for x, y in arms:
        for joint in range(3):
            image[y : y + 8, x + 32 * joint : x + 32 * joint + 8] = 255 * (np.arange(3) == joint)
    return image
