"""Checkpoints: one safetensors file with a network's weights and all that is needed to build the network again.

The header holds the network's name and configuration, its skeleton, usual input size and origin, as JSON. Loading is
strict: what does not fit exactly is refused, never skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltsh_deploy.description_template import DEFAULT_SIZE, LARGEST_SIDE
from ltsh_deploy.errors import ModelFileError, UsageError
from ltsh_deploy.parts import import_part
from ltsh_deploy.skeletons import Skeleton
from ltsh_deploy.whole_files import WholeFile

if TYPE_CHECKING:
    from torch import Tensor

    from ltsh_deploy.descriptions import ModelDescription
    from ltsh_deploy.networks import PoseNetwork

__all__ = [
    "FORMAT_VERSION",
    "Checkpoint",
    "Provenance",
    "describe_network",
    "load_checkpoint",
    "read_checkpoint",
    "save_checkpoint",
]

FORMAT_VERSION = 1
_KEY = "ltsh.checkpoint"


@dataclass(frozen=True)
class Provenance:
    """Where weights came from. It stays with them in every file they are exported to.

    Attributes:
        training_data: the data sets, by name.
        licence: of the weights.
        notes: anything else worth keeping.
    """

    training_data: str = ""
    licence: str = ""
    notes: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        network: in evaluation mode, on the CPU.
        provenance: of its weights.
        size: (width, height) of the box that pictures are fitted into by default.
    """

    network: PoseNetwork
    provenance: Provenance
    size: tuple[int, int]


def save_checkpoint(
    path: str | Path,
    network: PoseNetwork,
    provenance: Provenance = Provenance(),
    size: tuple[int, int] = DEFAULT_SIZE,
) -> None:
    """Write a checkpoint; an older file of this name is replaced once the new one is whole and on the disk.

    Args:
        path: of the file.
        network: with the weights to write.
        provenance: of the weights.
        size: (width, height) of the box that pictures are fitted into by default; multiples of the stride.

    Raises:
        UsageError: when ``size`` cannot be.
        OutputError: when it cannot be written.
        MissingPartError: when safetensors is not installed.
    """
    import_part("safetensors", "A checkpoint", "train")
    from safetensors.torch import save

    _check_size(size, network.stride)

    header = {
        "version": FORMAT_VERSION,
        "network": network.name,
        "config": asdict(network.config),
        "skeleton": network.skeleton.to_dict(),
        "provenance": asdict(provenance),
        "size": [int(side) for side in size],
    }
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    data = save(tensors, metadata={_KEY: json.dumps(header)})
    with WholeFile(path) as file, file.named_errors(), file.temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def load_checkpoint(path: str | Path) -> tuple[PoseNetwork, Provenance]:
    """The network and the provenance of :func:`read_checkpoint`, which says more."""
    checkpoint = read_checkpoint(path)
    return checkpoint.network, checkpoint.provenance


def read_checkpoint(path: str | Path) -> Checkpoint:
    """All that a checkpoint holds.

    Raises:
        ModelFileError: when the file is missing, corrupt or of another kind or version, names an unknown network, or
            holds other tensors than that network has.
        SkeletonError: when the skeleton in it is not sound.
        MissingPartError: when torch or safetensors is not installed.
    """
    path = Path(path)
    import_part("torch", "A checkpoint", "train")
    safetensors = import_part("safetensors", "A checkpoint", "train")
    from safetensors.torch import load

    from ltsh_deploy.networks import build_network

    if path.is_dir():
        raise ModelFileError(f"{path}: is a folder, not a checkpoint")
    try:
        # Read, not mapped into memory: who overwrites a mapped file in place changes the weights of a running program.
        data = path.read_bytes()
        tensors = load(data)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ModelFileError(f"{path}: is not a whole safetensors file ({error})", _RECOPY) from None
    header = _read_header(path, data)
    skeleton = Skeleton.from_dict(header["skeleton"], where=f"{path}: skeleton")
    # Files that were written before there was a size are of the usual one.
    size = header.get("size", list(DEFAULT_SIZE))
    if not isinstance(size, list) or len(size) != 2 or any(type(side) is not int for side in size):
        raise ModelFileError(f"{path}: header entry {_KEY!r} has no proper 'size'", _RECOPY)
    try:
        network = build_network(header["network"], skeleton, header["config"])
        _check_size((size[0], size[1]), network.stride)
    except UsageError as error:
        raise ModelFileError(f"{path}: {error.message}", error.remedy) from None
    # A default that a later version changes must not change what an older file means.
    lacking = [field.name for field in fields(network.config) if field.name not in header["config"]]
    if lacking:
        raise ModelFileError(f"{path}: its configuration lacks {', '.join(lacking)}", _RECOPY)
    _check_tensors(path, network.state_dict(), tensors)
    network.load_state_dict(tensors, assign=True)
    return Checkpoint(network.eval(), Provenance(**header["provenance"]), (size[0], size[1]))


def describe_network(
    network: PoseNetwork, provenance: Provenance, size: tuple[int, int] = DEFAULT_SIZE
) -> ModelDescription:
    """What a runtime must know of a network that is deployed as an :class:`~ltsh_deploy.networks.ImageNetwork`.

    Args:
        network: any.
        provenance: of its weights.
        size: (width, height) of the box that pictures are fitted into by default.

    Raises:
        UsageError: when a side of ``size`` is not a positive multiple of the stride.
    """
    from ltsh_deploy.descriptions import InputSpec, MapsSpec, ModelDescription

    _check_size(size, network.stride)
    return ModelDescription(
        skeleton=network.skeleton,
        stride=network.stride,
        size=size,
        input=InputSpec(name="image"),
        heatmaps=MapsSpec(name="heatmaps"),
        pafs=MapsSpec(name="pafs"),
        network=network.name,
        training_data=provenance.training_data,
        licence=provenance.licence,
        notes=provenance.notes,
    )


def _check_size(size: tuple[int, int], stride: int) -> None:
    if any(not 0 < side <= LARGEST_SIDE or side % stride for side in size):
        raise UsageError(
            f"the size {size[0]}x{size[1]} cannot be: both sides must be multiples of {stride}, up to {LARGEST_SIDE}"
        )


_RECOPY = "It may have been cut short: copy or download it again."


def _read_header(path: Path, data: bytes) -> dict[str, Any]:
    """The header of a file that is sound safetensors: its first eight bytes say how long its JSON is."""
    length = int.from_bytes(data[:8], "little")
    text = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get(_KEY)
    if text is None:
        raise ModelFileError(
            f"{path}: is a safetensors file, but not a checkpoint of this project: its header has no {_KEY!r}"
        )
    try:
        header: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelFileError(f"{path}: header entry {_KEY!r} is not JSON", _RECOPY) from None
    version = header.get("version") if isinstance(header, dict) else None
    if type(version) is not int or version < 1:
        raise ModelFileError(f"{path}: header entry {_KEY!r} has no version", _RECOPY)
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: is a checkpoint of format version {version}; this program reads up to {FORMAT_VERSION}",
            "It was written by a later version of ltsh-deploy, which is needed to read it.",
        )
    for key, kind in (("network", str), ("config", dict), ("skeleton", dict), ("provenance", dict)):
        if not isinstance(header.get(key), kind):
            raise ModelFileError(f"{path}: header entry {_KEY!r} has no proper {key!r}", _RECOPY)
    provenance, known = header["provenance"], {field.name for field in fields(Provenance)}
    if not set(provenance) <= known or not all(isinstance(value, str) for value in provenance.values()):
        raise ModelFileError(f"{path}: provenance may hold texts under {sorted(known)}, got {sorted(provenance)}")
    return header


def _check_tensors(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Name the first tensor that is missing, unknown, or of another shape or type."""
    for key in sorted(expected.keys() | found.keys()):
        if key not in found:
            problem = f"tensor {key} is missing"
        elif key not in expected:
            problem = f"tensor {key} is none of this network's"
        elif expected[key].shape != found[key].shape:
            problem = f"tensor {key} has shape {list(found[key].shape)}, this network's has {list(expected[key].shape)}"
        elif expected[key].dtype != found[key].dtype:
            problem = f"tensor {key} is {found[key].dtype}, this network's is {expected[key].dtype}"
        elif not found[key].isfinite().all():
            problem = f"tensor {key} holds NaN or infinity"
        else:
            continue
        raise ModelFileError(f"{path}: {problem}", "The file is damaged, or its header was changed by hand.")
