"""ONNX files as graphs, for whoever looks at or changes what is inside. To run one, nothing of this is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ltsh_deploy.errors import ModelFileError
from ltsh_deploy.parts import import_part

if TYPE_CHECKING:
    from ltsh_deploy.descriptions import ModelDescription

__all__ = ["Model", "read_model", "read_own_model"]

Model: TypeAlias = Any

_EXPORT_A_CHECKPOINT = (
    "Export a checkpoint of this project (.safetensors). Others' models run, become engines "
    "and go to Triton as they are, without --precision and the like."
)


def read_model(path: Path) -> Model:
    """An ONNX file's content.

    Raises:
        ModelFileError: when it cannot be read.
        MissingPartError: when onnx is not installed.
    """
    onnx = import_part("onnx", "Looking into an ONNX file", "export")
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(str(path))
    except OSError as error:
        raise ModelFileError(f"{path}: the model file cannot be read ({error.strerror or error})") from None
    except (DecodeError, ValueError, onnx.checker.ValidationError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelFileError(f"{path}: cannot be read as ONNX ({reason})", "Export or copy it again.") from None


def read_own_model(path: Path, remedy: str = _EXPORT_A_CHECKPOINT) -> tuple[Model, ModelDescription]:
    """An ONNX file that this program wrote, and its description.

    Args:
        path: of the file.
        remedy: for whoever names another program's file.

    Raises:
        ModelFileError: when it cannot be read, or another program wrote it.
        MissingPartError: when onnx is not installed.
    """
    from ltsh_deploy.descriptions import ModelDescription

    model = read_model(path)
    from onnx import TensorProto

    metadata = {entry.key: entry.value for entry in model.metadata_props}
    inputs = [(value.name, value.type.tensor_type.elem_type) for value in model.graph.input]
    if "ltsh.version" not in metadata or inputs != [("image", TensorProto.UINT8)]:
        raise ModelFileError(
            f"{path}: is no ONNX file that `ltsh export` wrote, so nothing is known of its inside", remedy
        )
    return model, ModelDescription.from_metadata(metadata, str(path))
