"""The YAML shown to a user whose model file nothing describes, filled in as far as the file itself tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ltsh_deploy.skeletons import SKELETONS

__all__ = ["TensorInfo", "yaml_template"]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model file, as the file declares it.

    Attributes:
        name: as it must be asked for.
        dtype: onnxruntime's spelling, such as ``tensor(float)``.
        shape: a number, or the name of a dimension that may vary, or None.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    def declared(self, axis: int) -> int:
        """The length of an axis, 0 when it varies or does not exist."""
        length = self.shape[axis] if len(self.shape) == 4 else None
        return length if isinstance(length, int) else 0


def yaml_template(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> str:
    """YAML in which only the words in capitals are left to the user."""
    image = inputs[0] if inputs else TensorInfo("INPUT", "tensor(float)", ())
    layout = "NCHW" if image.declared(1) == 3 else "NHWC"
    maps = [(tensor, _maps_layout(tensor, layout)) for tensor in outputs or [TensorInfo("OUTPUT", "", ())]]
    # A skeleton has about as many limbs as joints, and each limb has two maps: the larger output is the PAFs'.
    maps.sort(key=lambda pair: pair[0].declared(pair[1].index("C")))
    height, width = image.declared(layout.index("H")), image.declared(layout.index("W"))
    rows = maps[0][0].declared(maps[0][1].index("H"))
    stride = height // rows if height and rows else 8
    size = [width or 432, height or 368]
    dtype = "uint8" if image.dtype == "tensor(uint8)" else "float32"
    scaling = "" if dtype == "uint8" else ", scale: 1.0, mean: 0.0, std: 1.0"
    lines = [
        f"  skeleton: SKELETON   # {', '.join(SKELETONS)}, or a YAML file with joints and limbs",
        f"  stride: {stride}",
        f"  size: {size}   # width, height",
        f"  input: {{name: {json.dumps(image.name)}, layout: {layout}, dtype: {dtype}, colour: RGB{scaling}}}",
    ]
    for key, (tensor, maps_layout) in (("heatmaps", maps[0]), ("pafs", maps[-1])):
        channels = tensor.declared(maps_layout.index("C")) or "an unknown number of"
        lines.append(
            f"  {key}: {{name: {json.dumps(tensor.name)}, layout: {maps_layout}, channels: FIRST-LAST}}"
            f"   # of {channels} channels"
        )
    return "\n".join(lines)


def _maps_layout(tensor: TensorInfo, of_input: str) -> str:
    """Channels are the dimension that does not vary; where none varies, the input's layout is the best guess."""
    first, last = tensor.declared(1), tensor.declared(3)
    if bool(first) == bool(last):
        return of_input
    return "NCHW" if first else "NHWC"
