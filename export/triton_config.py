"""What Triton Inference Server is told of a model: ``config.pbtxt``, a ``ModelConfig`` in protobuf's text format.

The protocol's own Python classes come with Triton's client, which an export shall not need; so it is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ltsh_deploy.errors import ExportError
from ltsh_deploy.skeletons import Skeleton

if TYPE_CHECKING:
    from ltsh_deploy.description_template import TensorInfo
    from ltsh_deploy.descriptions import ModelDescription

__all__ = ["Backend", "ServedModel", "ServedTensor", "serve"]

#: What a client must know to make the input and to read the outputs; the rest may differ from version to version.
_CONTRACT = ("version", "skeleton", "stride", "size", "input", "heatmaps", "pafs", "resize")
#: Pictures that go through the network together, at most, where the model leaves it open.
LARGEST_BATCH = 8

_TYPES = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32", "tensor(float16)": "TYPE_FP16"}


@dataclass(frozen=True)
class Backend:
    """The part of Triton that runs a model.

    Attributes:
        name: its name.
        platform: the older name of backend and kind of file together.
        file: the name that the model file must have.
        kind: where it runs: ``KIND_GPU``, or ``KIND_AUTO`` for a GPU where there is one and else the CPU.
    """

    name: str
    platform: str
    file: str
    kind: str


@dataclass(frozen=True)
class ServedTensor:
    """An input or output.

    Attributes:
        name: its name in the model file.
        data_type: Triton's word for its type, such as ``TYPE_FP32``.
        dims: lengths of its axes, -1 where they vary; without the first one where Triton makes batches.
    """

    name: str
    data_type: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class ServedModel:
    """A model as Triton serves it.

    Attributes:
        backend: what runs it.
        max_batch: pictures at once, at most; 0 where the model's own first axis is fixed, and Triton makes no batches.
        inputs: its inputs.
        outputs: those of its outputs that hold maps.
        description: of the network.
    """

    backend: Backend
    max_batch: int
    inputs: tuple[ServedTensor, ...]
    outputs: tuple[ServedTensor, ...]
    description: ModelDescription

    def contract(self) -> dict[str, Any]:
        """All that versions of one model have in common, since they have one config.pbtxt; for JSON."""
        tensors = {
            key: [[tensor.name, tensor.data_type, list(tensor.dims)] for tensor in tensors]
            for key, tensors in (("inputs", self.inputs), ("outputs", self.outputs))
        }
        return {"backend": self.backend.name, "max_batch": self.max_batch, **tensors, "parameters": self._parameters()}

    def config(self, name: str) -> str:
        """The text of config.pbtxt for a model of this name."""
        backend = self.backend
        lines = [
            f"name: {_quoted(name)}",
            f"backend: {_quoted(backend.name)}",
            f"platform: {_quoted(backend.platform)}",
            f"default_model_filename: {_quoted(backend.file)}",
            "# Pictures of one size that go through the network together, at most; 0: Triton makes no batches.",
            f"max_batch_size: {self.max_batch}",
        ]
        for key, tensors in (("input", self.inputs), ("output", self.outputs)):
            for tensor in tensors:
                dims = ", ".join(map(str, tensor.dims))
                fields = f"name: {_quoted(tensor.name)} data_type: {tensor.data_type} dims: [ {dims} ]"
                lines.append(f"{key} [ {{ {fields} }} ]")
        if self.max_batch > 1:
            lines += [
                "# Whatever waits when the network is free goes together. To wait for more to come, at the cost of",
                "# latency, set max_queue_delay_microseconds here.",
                "dynamic_batching { }",
            ]
        lines += [
            "# More instances may use the processor better, each with memory of its own.",
            f"instance_group [ {{ kind: {backend.kind} count: 1 }} ]",
            "# For clients: how to make the input, and what the maps are.",
        ]
        for key, value in self._parameters().items():
            lines.append(f"parameters {{ key: {_quoted(key)} value: {{ string_value: {_quoted(value)} }} }}")
        return "\n".join(lines) + "\n"

    def labels(self) -> dict[str, str]:
        """Files that say what each map is, one line a map, in the order of the maps."""
        skeleton = self.description.skeleton
        spec = self.description.heatmaps
        output = next(tensor for tensor in self.outputs if tensor.name == spec.name)
        count = len(spec.channels) if spec.channels is not None else output.dims[spec.layout.index("C") - 4]
        heatmaps = [*skeleton.joints, *["background"] * (count == skeleton.num_joints + 1)]
        return {"heatmaps.txt": "\n".join(heatmaps) + "\n", "pafs.txt": "\n".join(_paf_labels(skeleton)) + "\n"}

    def _parameters(self) -> dict[str, str]:
        metadata = self.description.to_metadata()
        return {key: metadata[key] for key in (f"ltsh.{name}" for name in _CONTRACT)}


def serve(
    backend: Backend,
    description: ModelDescription,
    inputs: Sequence[TensorInfo],
    outputs: Sequence[TensorInfo],
    largest_batch: int = LARGEST_BATCH,
) -> ServedModel:
    """A model with tensors as its file declares them.

    Args:
        backend: what will run it.
        description: of the network.
        inputs: the file's inputs.
        outputs: its outputs; those without maps are left out.
        largest_batch: pictures at once, where the file leaves it open.

    Raises:
        ExportError: when Triton could not serve such tensors.
    """
    wanted = {description.heatmaps.name, description.pafs.name}
    maps = [tensor for tensor in outputs if tensor.name in wanted]
    for tensor in (*inputs, *maps):
        if tensor.dtype not in _TYPES or len(tensor.shape) != 4:
            shape = list(tensor.shape) if tensor.shape else "of no declared shape"
            raise ExportError(
                f"{tensor.name!r} is {tensor.dtype} {shape}, which Triton cannot serve as pictures or maps",
                "Export the model again with 4 declared axes, in uint8, float16 or float32.",
            )
    # Triton batches along the first axis, which must then vary in all of them.
    batched = not any(tensor.declared(0) for tensor in (*inputs, *maps))
    served = [
        tuple(
            ServedTensor(tensor.name, _TYPES[tensor.dtype], tuple(tensor.declared(axis) or -1 for axis in axes))
            for tensor in tensors
        )
        for axes in [range(1, 4) if batched else range(4)]
        for tensors in (inputs, maps)
    ]
    return ServedModel(backend, largest_batch if batched else 0, served[0], served[1], description)


def _paf_labels(skeleton: Skeleton) -> list[str]:
    joints = skeleton.joints
    return [f"{joints[first]} to {joints[second]}, {axis}" for first, second in skeleton.limbs for axis in "xy"]


def _quoted(text: str) -> str:
    """A string of protobuf's text format: what is no plain character of ASCII as the octal numbers of its bytes."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').encode()
    return '"' + "".join(chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in plain) + '"'
