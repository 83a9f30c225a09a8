"""What a runtime must know about a network to use its file: the one ModelDescription, and where it is found.

It is read from the ONNX file's own metadata, from a YAML file beside it, or from the descriptions of public models that
ship with the package. Nothing imports this module, and so pydantic, before a model is opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError, field_validator, model_validator

from ltsh_deploy.description_messages import explain
from ltsh_deploy.description_template import LARGEST_SIDE, TensorInfo, yaml_template
from ltsh_deploy.description_yaml import read_description, read_skeleton
from ltsh_deploy.errors import ModelFileError
from ltsh_deploy.file_digests import sha256_of
from ltsh_deploy.skeletons import Skeleton

__all__ = ["FORMAT_VERSION", "RESIZE_RULE", "InputSpec", "MapsSpec", "ModelDescription", "find_description"]

FORMAT_VERSION = 1
ResizeRule = Literal["fit, keep aspect, pad right and bottom with 128"]
#: How a picture becomes a network input; there is one rule, and a file that asks for another is refused.
RESIZE_RULE: ResizeRule = "fit, keep aspect, pad right and bottom with 128"

_PREFIX = "ltsh."
_VERSION_KEY = "ltsh.version"
_SHIPPED = Path(__file__).parent / "assets" / "models"

Layout = Literal["NHWC", "NCHW"]
Triple = tuple[float, float, float]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputSpec(_Spec):
    """What the network's input tensor holds: ``(pixel * scale - mean) / std``, pixels being 0..255.

    ``mean`` and ``std`` are per channel, in the network's own order of colours; one number stands for all three.
    """

    name: str
    layout: Layout = "NHWC"
    dtype: Literal["uint8", "float32", "float16"] = "uint8"
    colour: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1.0
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _one_for_all(cls, value: Any) -> Any:
        return (value,) * 3 if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _possible(self) -> InputSpec:
        if self.scale == 0 or 0 in self.std:
            raise ValueError("scale and std must not be 0")
        if self.dtype == "uint8" and not self.takes_plain_pixels:
            raise ValueError("a uint8 input takes plain pixels: scale, mean and std are for float32 and float16")
        return self

    @property
    def takes_plain_pixels(self) -> bool:
        """Whether nothing is scaled or subtracted."""
        return (self.scale, self.mean, self.std) == (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class MapsSpec(_Spec):
    """Where heat maps or PAFs are: an output tensor, its layout and, where it holds more, the channels to take."""

    name: str
    layout: Layout = "NCHW"
    channels: tuple[int, ...] | None = None

    @field_validator("channels", mode="before")
    @classmethod
    def _range(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        first, dash, last = value.partition("-")
        if not (dash and first.strip().isdecimal() and last.strip().isdecimal() and int(last) < 10_000):
            raise ValueError("must be a list of channel numbers or a range such as 0-18")
        return tuple(range(int(first), int(last) + 1))

    @field_validator("channels")
    @classmethod
    def _once_each(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or min(value) < 0 or len(set(value)) != len(value)):
            raise ValueError("channels are numbered from 0 and listed once each")
        return value


class ModelDescription(_Spec):
    """All a runtime, and whoever feeds it, must know about a network.

    Attributes:
        skeleton: its joints are the heat maps' channels in order, its limbs the PAFs'.
        stride: pixels of the input a cell of the maps.
        size: (width, height) of the box that pictures are fitted into unless the user says otherwise; multiples of
            the stride.
        input: what the input tensor holds.
        heatmaps: J maps, or J + 1 with the background last.
        pafs: 2L maps, x and y of each limb.
        resize: always :data:`RESIZE_RULE`.
        network: its name.
        training_data: what it was trained on; empty when not known.
        licence: of the weights; empty when not known.
        notes: anything else that should stay with them.
        precision: what the network computes in, as it was exported; empty when not known.
        calibration: the pictures that 8 bits were fitted to, and how; empty for other precisions.
    """

    skeleton: InstanceOf[Skeleton]
    stride: int = Field(ge=1, le=64)
    size: tuple[int, int]
    input: InputSpec
    heatmaps: MapsSpec
    pafs: MapsSpec
    resize: ResizeRule = RESIZE_RULE
    network: str = ""
    training_data: str = ""
    licence: str = ""
    notes: str = ""
    precision: Literal["", "fp32", "fp16", "int8"] = ""
    calibration: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> ModelDescription:
        if any(side % self.stride or not 0 < side <= LARGEST_SIDE for side in self.size):
            raise ValueError(f"size: {list(self.size)} must be positive multiples of the stride, {self.stride}")
        for key, spec in (("heatmaps", self.heatmaps), ("pafs", self.pafs)):
            allowed = self.map_counts[key]
            if spec.channels is not None and len(spec.channels) not in allowed:
                raise ValueError(
                    f"{key}: {len(spec.channels)} channels, but skeleton {self.skeleton.name} needs "
                    f"{' or '.join(map(str, allowed))}"
                )
        if self.heatmaps.name == self.pafs.name:
            heatmaps, pafs = self.heatmaps.channels, self.pafs.channels
            if heatmaps is None or pafs is None or not set(heatmaps).isdisjoint(pafs):
                raise ValueError(
                    f"heatmaps and pafs take the same channels of output {self.pafs.name!r}: give each its own channels"
                )
        return self

    @property
    def map_counts(self) -> Mapping[str, tuple[int, ...]]:
        """How many channels ``heatmaps`` and ``pafs`` may have: background or none, and two a limb."""
        joints = self.skeleton.num_joints
        return {"heatmaps": (joints, joints + 1), "pafs": (2 * self.skeleton.num_limbs,)}

    def to_metadata(self) -> dict[str, str]:
        """Entries for an ONNX file's ``metadata_props``: each field as JSON, and ONNX's own keys for images."""
        data = self.model_dump(mode="json", exclude={"skeleton"})
        data = {"version": FORMAT_VERSION, "skeleton": self.skeleton.to_dict(), **data}
        metadata = {_PREFIX + key: json.dumps(value) for key, value in data.items()}
        metadata["Image.BitmapPixelFormat"] = {"RGB": "Rgb8", "BGR": "Bgr8"}[self.input.colour]
        if self.input.takes_plain_pixels:
            metadata["Image.NominalPixelRange"] = "NominalRange_0_255"
        return metadata

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], where: str) -> ModelDescription:
        """The inverse of :meth:`to_metadata`; entries of other programs are passed over.

        Raises:
            ModelFileError: naming ``where`` and the entry that is missing, wrong or of a later version.
            SkeletonError: likewise.
        """
        data = {}
        for key, text in metadata.items():
            if key.startswith(_PREFIX):
                try:
                    data[key.removeprefix(_PREFIX)] = json.loads(text)
                except (ValueError, RecursionError):
                    raise ModelFileError(f"{where}: metadata entry {key} is not JSON", _REEXPORT) from None
        version = data.pop("version", None)
        if type(version) is not int or version < 1:
            raise ModelFileError(f"{where}: metadata entry {_VERSION_KEY} is missing or wrong", _REEXPORT)
        if version > FORMAT_VERSION:
            raise ModelFileError(
                f"{where}: its metadata has format version {version}; this program reads up to {FORMAT_VERSION}",
                "It was written by a later version of ltsh-deploy, which is needed to read it.",
            )
        if "skeleton" in data:
            data["skeleton"] = Skeleton.from_dict(data["skeleton"], where=f"{where}: metadata entry ltsh.skeleton")
        return cls._checked(data, where, _REEXPORT)

    @classmethod
    def from_yaml(cls, path: str | Path) -> ModelDescription:
        """Read a description that was written by hand.

        The skeleton may be a built-in name, the path of a skeleton's YAML file relative to this one, or a mapping. A
        ``sha256`` key, which lists the files that are described, is for :func:`find_description`.

        Raises:
            ModelFileError: naming the file and the key.
            SkeletonError: likewise.
        """
        return cls._from_yaml_data(read_description(Path(path))[0], Path(path))

    @classmethod
    def _from_yaml_data(cls, data: dict[str, Any], path: Path) -> ModelDescription:
        if "skeleton" in data:
            data["skeleton"] = read_skeleton(data["skeleton"], path)
        return cls._checked(data, str(path), f"Correct {path}.")

    @classmethod
    def _checked(cls, data: dict[str, Any], where: str, remedy: str) -> ModelDescription:
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ModelFileError(f"{where}: {explain(error.errors(include_url=False))}", remedy) from None


_REEXPORT = "Export the model again with `ltsh export`."


def find_description(
    model_path: str | Path,
    metadata: Mapping[str, str],
    inputs: Sequence[TensorInfo] = (),
    outputs: Sequence[TensorInfo] = (),
) -> ModelDescription:
    """The description of an ONNX file: its metadata, else a YAML file beside it, else one that ships with the package.

    Args:
        model_path: the ONNX file.
        metadata: its ``metadata_props``.
        inputs: its input tensors, for the YAML that is shown to the user when there is no description.
        outputs: its output tensors, likewise.

    Raises:
        ModelFileError: when there is none, with the YAML to write, or when the one found is wrong.
        SkeletonError: when the one found has an unsound skeleton.
    """
    path = Path(model_path)
    if any(key.startswith(_PREFIX) for key in metadata):
        return ModelDescription.from_metadata(metadata, str(path))
    beside = [path.with_suffix(".yaml"), path.with_suffix(".yml"), path.with_name(path.name + ".yaml")]
    for candidate in beside:
        if candidate.is_file():
            data, digests = read_description(candidate)
            if digests is not None and sha256_of(path) not in digests:
                raise ModelFileError(
                    f"{candidate}: sha256: is of another file than {path.name}",
                    f"The SHA-256 of {path} is {sha256_of(path)}. Change the key, or leave it out.",
                )
            return ModelDescription._from_yaml_data(data, candidate)
    digest = sha256_of(path)
    for shipped in sorted(_SHIPPED.glob("*.yaml")):
        data, digests = read_description(shipped)
        if digest in (digests or ()):
            return ModelDescription._from_yaml_data(data, shipped)
    raise ModelFileError(
        f"{path}: nothing says which joints and limbs its outputs are: it has no metadata of this project, there is no "
        f"{beside[0].name} beside it, and it is none of the public models known by their SHA-256",
        f"Write {beside[0]} with the skeleton and the channels of this network:\n" + yaml_template(inputs, outputs),
    )
