"""What stands beside a TensorRT engine: a JSON file that says what the engine is and where it may be used.

An engine is code for one version of TensorRT and, as a rule, one kind of GPU. The engine file holds TensorRT's bytes
and nothing else, so that other programs load it; ``model.engine.json`` beside ``model.engine`` holds the rest.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ltsh_deploy.errors import ModelFileError, UsageError
from ltsh_deploy.file_digests import sha256_of
from ltsh_deploy.nvidia_driver import Gpu

__all__ = ["FORMAT_VERSION", "EngineGpu", "EngineSidecar", "Shapes", "sidecar_path"]

FORMAT_VERSION: Literal[1] = 1
_AMPERE = (8, 0)
#: Beyond these, a shape is a slip of the pen.
_LARGEST = (4096, 16384, 16384)

Shape = tuple[int, int, int]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Shapes(_Part):
    """The inputs that an engine takes: (N, H, W) each.

    Attributes:
        min: the smallest of each.
        opt: what it was made fastest for.
        max: the largest of each.
    """

    min: Shape
    opt: Shape
    max: Shape

    @model_validator(mode="after")
    def _ordered(self) -> Shapes:
        for low, middle, high, bound in zip(self.min, self.opt, self.max, _LARGEST, strict=True):
            if not 1 <= low <= middle <= high <= bound:
                raise ValueError("min, opt and max must be positive and in this order in each dimension")
        return self

    @classmethod
    def parse(cls, text: str) -> Shapes:
        """Shapes from "1x64x64/1x432x368/8x864x736": N x width x height, three times; or once, for one shape alone.

        Raises:
            UsageError: for anything else.
        """
        parts = [part.strip() for part in text.lower().split("/")]
        found = [re.fullmatch(r"(\d{1,5})x(\d{1,5})x(\d{1,5})", part) for part in parts]
        if len(parts) in (1, 3) and all(found):
            numbers = [(int(match[1]), int(match[3]), int(match[2])) for match in found if match]
            low, middle, high = numbers if len(numbers) == 3 else numbers * 3
            try:
                return cls(min=low, opt=middle, max=high)
            except ValidationError:
                problem = "are not in the order min/opt/max, or too large"
        else:
            problem = "are not three shapes such as 1x64x64/1x432x368/8x864x736 (pictures x width x height)"
        raise UsageError(
            f"the shapes {text!r} {problem}", "Write the smallest, the usual and the largest, in this order."
        )

    def __str__(self) -> str:
        return "/".join(f"{n}x{w}x{h}" for n, h, w in (self.min, self.opt, self.max))


class _EngineFile(_Part):
    sha256: str
    bytes: int = Field(ge=1)


class _Library(_Part):
    name: Literal["tensorrt", "tensorrt_rtx"]
    version: str


class EngineGpu(_Part):
    """The GPU that an engine was built on."""

    name: str
    compute_capability: tuple[int, int]

    def __str__(self) -> str:
        return str(Gpu(self.name, self.compute_capability))


class EngineSidecar(_Part):
    """All there is to know about an engine file.

    Attributes:
        format: of this file.
        engine: digest and length of the engine file.
        library: what built it, and alone can run it.
        gpu: where it was built; None where no GPU was needed for it.
        compat: the GPUs it runs on: the kind that built it, all of its compute capability, or all from Ampere on.
        onnx_sha256: of the ONNX file that it was built from.
        precision: what it computes in: fp32, fp16 or int8.
        layers: how many layers with weights compute in what, as read back from the engine.
        read_back: what was read: TensorRT's inspector of the engine, or the list of layers that its builder gave.
        strongly_typed: whether every type is the ONNX file's own.
        plugins: layers that need a plugin library.
        shapes: the inputs it takes.
        rebuild: the command that makes it again.
        metadata: the model's description, as it stands in the ONNX file.
    """

    format: Literal[1] = FORMAT_VERSION
    engine: _EngineFile
    library: _Library
    gpu: EngineGpu | None
    compat: Literal["none", "same-cc", "ampere+"]
    onnx_sha256: str
    precision: Literal["fp32", "fp16", "int8"]
    layers: dict[str, int]
    read_back: Literal["inspector", "builder"]
    strongly_typed: bool
    plugins: tuple[str, ...]
    shapes: Shapes
    rebuild: str
    metadata: dict[str, str]

    def to_json(self) -> bytes:
        """The file's content."""
        return (json.dumps(self.model_dump(mode="json"), indent=2) + "\n").encode()

    @classmethod
    def read(cls, engine: str | Path) -> EngineSidecar | None:
        """The one beside an engine file, None where there is none.

        Raises:
            ModelFileError: when it cannot be read, is wrong, or belongs to another engine.
        """
        engine, path = Path(engine), sidecar_path(engine)
        try:
            if not path.exists():
                return None
            data = json.loads(path.read_bytes())
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, RecursionError):
            raise ModelFileError(f"{path}: is not JSON", _REEXPORT) from None
        version = data.get("format") if isinstance(data, dict) else None
        if type(version) is int and version > FORMAT_VERSION:
            raise ModelFileError(
                f"{path}: has format version {version}; this program reads up to {FORMAT_VERSION}",
                "It was written by a later version of ltsh-deploy, which is needed to read it.",
            )
        try:
            sidecar = cls.model_validate(data)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            where = ".".join(map(str, fault["loc"])) or "all of it"
            raise ModelFileError(f"{path}: {where}: {fault['msg']}", _REEXPORT) from None
        if sha256_of(engine) != sidecar.engine.sha256:
            raise ModelFileError(
                f"{engine}: is not the engine that {path.name} describes: their SHA-256 differ",
                f"Copy both files again, or build the engine again: {sidecar.rebuild}",
            )
        return sidecar

    def check_place(self, engine: Path, library: str, version: str, gpu: Gpu) -> str:
        """Hold where an engine was built against where it shall run.

        Args:
            engine: the file, for messages.
            library: the module that is to run it.
            version: its version.
            gpu: the device.

        Returns:
            What is not wrong but may be slow; empty where there is nothing to say.

        Raises:
            ModelFileError: naming both sides, with the command that builds it anew.
        """
        if (library, _release(version)) != (self.library.name, _release(self.library.version)):
            problem = f"was built by {self.library.name} {self.library.version}, and here is {library} {version}"
            raise ModelFileError(f"{engine}: {problem}", self._advice)
        if self.gpu is None:
            return ""
        built, here = self.gpu.compute_capability, gpu.compute_capability
        if self.compat == "ampere+" and here >= _AMPERE:
            return ""
        if built != here:
            for_all = f", for {self.compat}" if self.compat != "none" else ""
            raise ModelFileError(f"{engine}: was built on {self.gpu}{for_all}, and this is {gpu}", self._advice)
        if self.compat == "none" and self.gpu.name != gpu.name:
            return f"{engine}: was built on {self.gpu.name} and may be slow on {gpu.name}; building it here is better"
        return ""

    @property
    def _advice(self) -> str:
        return f"An engine is for one TensorRT and one kind of GPU. Build it again here: {self.rebuild}"


_REEXPORT = "Build the engine again with `ltsh export`, or copy both files again."


def sidecar_path(engine: str | Path) -> Path:
    """Where the JSON file of an engine lies: ``x.engine.json`` beside ``x.engine``."""
    engine = Path(engine)
    return engine.with_name(f"{engine.name}.json")


def _release(version: str) -> tuple[str, ...]:
    """Major, minor and patch: builds of one release read each other's engines."""
    return tuple(re.findall(r"\d+", version)[:3])
