"""A model repository for Triton Inference Server, from an ONNX file or a TensorRT engine.

::

    REPOSITORY/NAME/config.pbtxt         what the server must know, and in its parameters what clients must
    REPOSITORY/NAME/heatmaps.txt         what each map is; pafs.txt likewise
    REPOSITORY/NAME/VERSION/model.onnx   or model.plan, an engine
    REPOSITORY/NAME/VERSION/ltsh.json    all that is known of this version

Versions of one model share one config.pbtxt, which may be edited: it is written with the first version, and stays as it
is when further ones are added.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltsh_deploy.description_template import TENSOR_TYPES, TensorInfo
from ltsh_deploy.errors import ExportError, ModelFileError, UsageError
from ltsh_deploy.export.triton_config import Backend, ServedModel, serve
from ltsh_deploy.model_tensors import check_input, check_tensors
from ltsh_deploy.onnx_session import open_session, read_declarations
from ltsh_deploy.parts import import_part
from ltsh_deploy.result_names import make_folder
from ltsh_deploy.runtime_inputs import check_file
from ltsh_deploy.whole_files import write_error, write_whole

__all__ = ["TritonOptions", "TritonReport", "check_repository", "export_triton", "model_name"]

ONNX = Backend("onnxruntime", "onnxruntime_onnx", "model.onnx", "KIND_AUTO")
TENSORRT = Backend("tensorrt", "tensorrt_plan", "model.plan", "KIND_GPU")

_CONFIG, _FACTS = "config.pbtxt", "ltsh.json"
_LARGEST_VERSION = 1 << 31


@dataclass(frozen=True)
class TritonOptions:
    """Where in a repository a model goes.

    Attributes:
        name: of the model, by which clients ask for it.
        version: its number, 1 or more. Servers take the highest one, unless they are told otherwise.
        overwrite: whether that version is replaced where it exists.

    Raises:
        UsageError: for a name or number that cannot be.
    """

    name: str
    version: int = 1
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", self.name):
            raise UsageError(
                f"a model cannot be called {self.name!r}",
                "Use letters, digits, '_', '-' and '.', and begin with none of the last two.",
            )
        if not 1 <= self.version < _LARGEST_VERSION:
            raise UsageError(f"there is no version {self.version}", "Versions are numbered 1, 2, 3 and so on.")


@dataclass(frozen=True)
class TritonReport:
    """What was written.

    Attributes:
        folder: the model's, in the repository.
        version: that was written.
        versions: all that the model has now.
        served: what the server is told.
        config_written: whether config.pbtxt is new; an old one that fits is left as it is.
        library: for an engine, what it was built by and what alone runs it, such as "TensorRT 10.16.1"; else empty.
    """

    folder: Path
    version: int
    versions: tuple[int, ...]
    served: ServedModel
    config_written: bool
    library: str


def model_name(path: Path) -> str:
    """A model's name after its file: what a name may not have becomes "_"."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)[:128].lstrip("-") or "model"


def check_repository(repository: str | Path, options: TritonOptions) -> None:
    """Find out, before anything is made, whether a model may be put there.

    Raises:
        UsageError: when it may not.
    """
    repository = Path(repository)
    if repository.exists() and not repository.is_dir():
        raise UsageError(f"{repository}: is a file, and a model repository is a folder", "Name a folder with -o.")
    if (repository / _CONFIG).exists():
        raise UsageError(
            f"{repository}: is a model in a repository, for it holds a {_CONFIG}",
            f"Name the folder above it: {repository.parent}; the model is named with --model-name.",
        )
    folder = repository / options.name
    if not folder.exists():
        return
    versions = _versions(folder) if folder.is_dir() else ()
    if not any((folder / str(version) / _FACTS).is_file() for version in versions):
        raise UsageError(
            f"{folder}: exists, and `ltsh export` did not write it",
            "Give the model another name with --model-name, or remove that folder.",
        )
    if options.version in versions and not options.overwrite:
        raise UsageError(
            f"{folder}: has version {options.version} already",
            f"Add --model-version {versions[-1] + 1}, or --overwrite.",
        )


def export_triton(model: str | Path, repository: str | Path, options: TritonOptions) -> TritonReport:
    """Put a model into a repository: a new one, or a further version of one that is there.

    Args:
        model: an ONNX file that is described, or an engine (``.engine``) with its JSON file beside it.
        repository: a folder; it is made where there is none.
        options: under which name and number.

    Raises:
        UsageError: when it may not be put there, or does not fit the model's other versions.
        ModelFileError: when the model cannot be read, or is not described.
        ExportError: when Triton could not serve it.
        OutputError: when a file cannot be written; what was there is then as it was.
        MissingPartError: when onnx or onnxruntime is not installed.
    """
    model, repository = Path(model), Path(repository)
    check_repository(repository, options)
    check_file(model)
    served, content, library = (_read_engine if model.suffix.lower() == ".engine" else _read_onnx)(model)
    folder = repository / options.name
    others = [version for version in _versions(folder) if version != options.version]
    contract = served.contract()
    _check_versions(folder, others, contract)
    facts = {
        "contract": contract,
        "sha256": hashlib.sha256(content).hexdigest(),
        "library": library,
        "metadata": served.description.to_metadata(),
    }
    version = {served.backend.file: content, _FACTS: (json.dumps(facts, indent=2) + "\n").encode()}
    head = {name: text.encode() for name, text in served.labels().items()}
    head[_CONFIG] = served.config(options.name).encode()
    keep = (folder / _CONFIG).exists() and (bool(others) or _contract(folder, options.version) == contract)
    make_folder(repository)
    if folder.exists():
        _put_folder(folder / str(options.version), version)
        if not keep:
            for name, content in head.items():
                write_whole(folder / name, content)
    else:
        _put_folder(folder, head | {f"{options.version}/{name}": data for name, data in version.items()})
    return TritonReport(folder, options.version, _versions(folder), served, not keep, library)


def _read_onnx(path: Path) -> tuple[ServedModel, bytes, str]:
    """What to serve of an ONNX file, and its content with all weights inside."""
    onnx = import_part("onnx", "Exporting", "export")
    from ltsh_deploy.descriptions import find_description
    from ltsh_deploy.onnx_files import read_model

    # onnxruntime says what it sees in the file, since it is what Triton's backend asks.
    session, _ = open_session(path, "cpu", 0, None)
    metadata, inputs, outputs = read_declarations(session, path)
    check_input(path, inputs)
    description = find_description(path, metadata, inputs, outputs)
    check_tensors(path, description, inputs, outputs)
    content = path.read_bytes()
    graph = onnx.load_model_from_string(content).graph
    constants = (attribute.t for node in graph.node for attribute in node.attribute)
    if any(map(onnx.external_data_helper.uses_external_data, (*graph.initializer, *constants))):
        try:
            content = read_model(path).SerializeToString()
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise ExportError(f"{path}: does not fit into one file with its weights ({reason})") from None
    return serve(ONNX, description, inputs, outputs), content, ""


def _read_engine(path: Path) -> tuple[ServedModel, bytes, str]:
    """What to serve of an engine, as its JSON file has it."""
    from ltsh_deploy.descriptions import ModelDescription
    from ltsh_deploy.engine_files import EngineSidecar, sidecar_path

    sidecar = EngineSidecar.read(path)
    if sidecar is None:
        raise ModelFileError(
            f"{path}: there is no {sidecar_path(path).name} beside it, which says what the engine takes and gives",
            "Copy it there too; or name the ONNX file.",
        )
    if sidecar.library.name != "tensorrt":
        raise ExportError(
            f"{path}: was built by TensorRT-RTX, whose engines Triton does not run",
            "Build it with TensorRT, on a GPU like the server's; or name the ONNX file.",
        )
    description = ModelDescription.from_metadata(sidecar.metadata, str(sidecar_path(path)))
    spec, maps = description.input, (description.heatmaps, description.pafs)
    few, most = sidecar.shapes.min[0], sidecar.shapes.max[0]
    if few > 1:
        raise ExportError(
            f"{path}: takes at least {few} pictures at once, and Triton may have a single one",
            "Build it with --shapes that begin with 1 picture; or name the ONNX file.",
        )
    if spec.layout != "NHWC" or spec.dtype != "uint8" or any(m.layout != "NCHW" or m.channels for m in maps):
        raise ExportError(
            f"{path}: is of a network that this project did not make, so the types of its outputs are not known",
            "Name the ONNX file that it was built from.",
        )
    # Networks of this project take any number and size, whatever the engine was built for, and know the background.
    counts = description.skeleton.num_joints + 1, 2 * description.skeleton.num_limbs
    inputs = [TensorInfo(spec.name, TENSOR_TYPES[spec.dtype], (None, None, None, 3))]
    outputs = [
        TensorInfo(each.name, TENSOR_TYPES["float32"], (None, count, None, None))
        for each, count in zip(maps, counts, strict=True)
    ]
    served = serve(TENSORRT, description, inputs, outputs, largest_batch=most)
    return served, path.read_bytes(), f"TensorRT {sidecar.library.version}"


def _versions(folder: Path) -> tuple[int, ...]:
    """The versions that a model has, in order; as Triton does, folders named otherwise are passed over."""
    if not folder.is_dir():
        return ()
    found = [path.name for path in folder.iterdir() if path.is_dir() and re.fullmatch("[1-9][0-9]{0,9}", path.name)]
    return tuple(sorted(map(int, found)))


def _contract(folder: Path, version: int) -> Any:
    """What a version that is there promises its clients; None where that is not known."""
    try:
        facts = json.loads((folder / str(version) / _FACTS).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return facts.get("contract") if isinstance(facts, dict) else None


def _check_versions(folder: Path, others: list[int], contract: Mapping[str, Any]) -> None:
    """Make sure that a model is such as its other versions are."""
    for version in others:
        known = _contract(folder, version)
        if known == contract:
            continue
        remedy = "The versions of one model share its config.pbtxt. Give this one a name of its own with --model-name."
        if not isinstance(known, dict):
            raise UsageError(f"{folder / str(version)}: {_FACTS} is not there or damaged", remedy)
        parts = [key for key in contract if key != "parameters" and known.get(key) != contract[key]]
        was, now = known.get("parameters"), contract["parameters"]
        parts += [key.removeprefix("ltsh.") for key in now if not isinstance(was, dict) or was.get(key) != now[key]]
        raise UsageError(f"{folder}: version {version} is another model, by its {', '.join(parts)}", remedy)


def _put_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that appears under its name when it is whole, in place of an older one."""
    token = secrets.token_hex(4)
    # Triton passes over versions whose names are no numbers.
    staging, old = (target.with_name(f".{target.name}.{token}.{end}") for end in ("part", "old"))
    try:
        for name, content in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_bytes(content)
        if target.exists():
            target.rename(old)
        try:
            staging.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    except OSError as error:
        raise write_error(target, error) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
