"""The YAML shown to a user whose model file nothing describes, filled in as far as the file itself tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ltsh_deploy.skeletons import SKELETONS

__all__ = ["DEFAULT_SIZE", "LARGEST_SIDE", "TENSOR_TYPES", "TensorInfo", "yaml_template"]

#: (width, height) that pictures are fitted into where neither a model nor the user says otherwise.
DEFAULT_SIZE = (432, 368)
#: No model's usual size has a longer side, in pixels.
LARGEST_SIDE = 16384
#: The types an input of pictures may have, and onnxruntime's spelling of them.
TENSOR_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)", "float16": "tensor(float16)"}


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model file, as the file declares it.

    Attributes:
        name: as it must be asked for.
        dtype: onnxruntime's spelling, such as ``tensor(float)``.
        shape: a number, or the name of a dimension that may vary, or None; empty when nothing is declared.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    def declared(self, axis: int) -> int:
        """The length of an axis, 0 when it varies or does not exist."""
        length = self.shape[axis] if len(self.shape) == 4 else None
        return length if isinstance(length, int) else 0

    @property
    def may_be_maps(self) -> bool:
        """Whether it has the type and the number of dimensions of an output with maps."""
        return self.dtype in ("tensor(float)", "tensor(float16)", "tensor(double)") and len(self.shape) in (0, 4)


def yaml_template(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> str:
    """YAML in which only the words in capitals are left to the user."""
    image = inputs[0] if inputs else TensorInfo("INPUT", "tensor(float)", ())
    layout = "NCHW" if image.declared(1) == 3 else "NHWC"
    candidates = [tensor for tensor in outputs if tensor.may_be_maps] or [TensorInfo("OUTPUT", "", ())]
    maps = [(tensor, _maps_layout(tensor, layout)) for tensor in candidates]
    # A skeleton has about as many limbs as joints, and each limb has two maps: the larger output is the PAFs'.
    maps.sort(key=lambda pair: pair[0].declared(pair[1].index("C")))
    height, width = image.declared(layout.index("H")), image.declared(layout.index("W"))
    rows = maps[0][0].declared(maps[0][1].index("H"))
    stride = height // rows if height and rows else 8
    size = [width or DEFAULT_SIZE[0], height or DEFAULT_SIZE[1]]
    dtype = next((name for name, spelling in TENSOR_TYPES.items() if spelling == image.dtype), "float32")
    scaling = "" if dtype == "uint8" else ", scale: 1.0, mean: 0.0, std: 1.0"
    counts = [tensor.declared(layout.index("C")) for tensor, layout in (maps[0], maps[-1])]
    apart = len(maps) > 1
    fitting = _fitting_skeletons(counts, apart)
    lines = [
        f"  skeleton: SKELETON   # {', '.join(SKELETONS)}, or a YAML file with joints and limbs"
        + (f"; the channels fit {' or '.join(fitting)}" if fitting else ""),
        f"  stride: {stride}   # pixels of the input for one cell of the maps",
        f"  size: {size}   # width, height",
        f"  input: {{name: {json.dumps(image.name)}, layout: {layout}, dtype: {dtype}, colour: RGB{scaling}}}"
        "   # it gets (pixel * scale - mean) / std",
    ]
    for key, (tensor, maps_layout), count in zip(("heatmaps", "pafs"), (maps[0], maps[-1]), counts, strict=True):
        channels = "" if apart and all(counts) else ", channels: FIRST-LAST"
        lines.append(
            f"  {key}: {{name: {json.dumps(tensor.name)}, layout: {maps_layout}{channels}}}"
            f"   # of {count or 'an unknown number of'} channels"
        )
    return "\n".join(lines)


def _fitting_skeletons(counts: Sequence[int], apart: bool) -> list[str]:
    """Built-in skeletons with as many maps, with or without a background, as one or two outputs have channels."""
    fitting = []
    for name, skeleton in SKELETONS.items():
        heatmaps, pafs = skeleton.num_joints, 2 * skeleton.num_limbs
        wanted = [(n, pafs) if apart else (n + pafs,) * 2 for n in (heatmaps, heatmaps + 1)]
        if tuple(counts) in wanted:
            fitting.append(name)
    return fitting


def _maps_layout(tensor: TensorInfo, of_input: str) -> str:
    """Channels are the dimension that does not vary; where none varies, the input's layout is the best guess."""
    first, last = tensor.declared(1), tensor.declared(3)
    if bool(first) == bool(last):
        return of_input
    return "NCHW" if first else "NHWC"
