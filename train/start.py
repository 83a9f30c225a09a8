"""Everything that comes before the first step of a run: the folder, the device, the network, the data."""

from __future__ import annotations

import logging
import math
import os
import platform
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import torch

from ltsh_deploy.checkpoints import Provenance, load_checkpoint
from ltsh_deploy.default_model import default_model
from ltsh_deploy.errors import ConfigError, DeviceError, InputError, ModelFileError
from ltsh_deploy.network_base import PoseNetwork
from ltsh_deploy.networks import create_network
from ltsh_deploy.skeletons import Skeleton, load_skeleton
from ltsh_deploy.train.batches import CropMaker, Loader
from ltsh_deploy.train.config_file import about_key, dump_config, save_config
from ltsh_deploy.train.data import Pools, group_people, open_pools
from ltsh_deploy.train.exported_weights import load_exported_weights, measure_normalisations
from ltsh_deploy.train.folder import CONFIG, STATE, open_folder
from ltsh_deploy.train.groups import Groups
from ltsh_deploy.train.loop import Run
from ltsh_deploy.train.network_choice import check_alike, network_stride
from ltsh_deploy.train.processes import first_alone, num_processes, together
from ltsh_deploy.train.sampling import Sampler
from ltsh_deploy.train.sessions import Session
from ltsh_deploy.train.state import load_state
from ltsh_deploy.train.teacher import create_teacher
from ltsh_deploy.train.teacher_network import student_features
from ltsh_deploy.train.versions import code_version, package_versions
from ltsh_deploy.train.windows import synchronised

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig

__all__ = ["choose_device", "create_student", "prepare"]

_log = logging.getLogger(__name__)

#: What ``init`` calls the model that comes with the package.
_DEFAULT = "default"
# So many crops tell the mean and variance of what a normalisation sees well enough: it sees a batch at a time.
_MEASURED_CROPS = 256


def prepare(config: RunConfig, out: Path, *, resume: bool = False, source: Path | None = None) -> Run:
    """A run that is ready to train. Where several processes train, all must call this together.

    Args:
        config: of the run; it is saved in the folder with every key.
        out: the run's folder, made where it is not there; see :func:`~ltsh_deploy.train.folder.claimed`.
        resume: go on where the folder's last checkpoint was written.
        source: the file that the configuration came from, which a new run does not replace by its own.

    Raises:
        ConfigError: when the configuration cannot be.
        UsageError: when the folder holds a run and ``resume`` is not set.
        InputError: when the data, the first checkpoint or the saved state cannot be used.
        DeviceError: when there is no such device.
        OutputError: when the folder cannot be written to.
    """
    # The code may be another one when the run has ended.
    code, packages = code_version(), package_versions()
    device = together(lambda: choose_device(config))
    # All that a run goes on with is in its state.
    beginning = config.model_copy(update={"init": None}) if resume else config
    skeleton, network, origin = together(lambda: _create_network(beginning))
    torch.manual_seed(config.seed)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    # The workers are as many threads as are wanted.
    cv2.setNumThreads(1)
    first_alone(lambda: open_folder(out, dump_config(config), resume=resume, source=source))
    state = together(lambda: load_state(out / STATE)) if resume else None
    if state is not None:
        config = _as_begun(config, state["config"].get("init"))
    pools, groups = together(lambda: _read_data(config, skeleton))
    if _is_exported(beginning.init):
        together(lambda: _measure_normalisations(config, network, pools, groups))
    features = student_features(network)
    with about_key("teacher"):
        teacher = synchronised(
            lambda: create_teacher(
                config.teacher, groups.counts, config.seed, device, batch_size=config.batch, student_features=features
            )
        )
    session = Session(0, code, packages, _device_name(device))
    run = Run(config, out, network, pools, groups, teacher, device, session, origin)
    if state is not None:
        run.resume(state)
    first_alone(lambda: save_config(out / CONFIG, config))
    return run


def _create_network(config: RunConfig) -> tuple[Skeleton, PoseNetwork, Provenance | None]:
    with about_key("skeleton"):
        skeleton = load_skeleton(config.skeleton)
    return skeleton, *create_student(config, skeleton)


def _read_data(config: RunConfig, skeleton: Skeleton) -> tuple[Pools, Groups]:
    pools = open_pools(config.data, skeleton)
    groups = group_people(config, pools)
    if config.teacher is not None and config.teacher.kind == "group" and all(p.all_synthetic for p in pools.training):
        raise ConfigError(
            "teacher: the group teacher looks at crops of real people, and no data set in data.mix is of such",
            "Add one to data.mix, or use another teacher.",
            "teacher",
        )
    return pools, groups


def _measure_normalisations(config: RunConfig, network: PoseNetwork, pools: Pools, groups: Groups) -> None:
    """Give them the statistics of the crops of the first steps, which are the same in every process."""
    sampler = Sampler(pools.training, pools.parts, config.batch, config.seed, groups.members)
    make = CropMaker(sampler, config, network.stride)
    _log.info("init: measuring what the network's normalisations see, on %d crops", _MEASURED_CROPS)
    with Loader(make, range(config.batch), config.workers, config.prefetch) as loader:
        batches = loader.batches(0, math.ceil(_MEASURED_CROPS / config.batch))
        # One by one, so that the size of batches changes not a bit of the sums.
        crops = chain.from_iterable(batch.images.chunk(config.batch) for batch in batches)
        measure_normalisations(network, islice(crops, _MEASURED_CROPS))


def _as_begun(config: RunConfig, init: str | None) -> RunConfig:
    """The configuration with the weights that the run truly began with."""
    if config.init != init:
        _log.warning(
            "init: the run began with %s; a run that goes on begins with nothing else", init or "random weights"
        )
    return config.model_copy(update={"init": init})


def _device_name(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"
    processes = num_processes()
    return name if processes == 1 else f"{processes} x {name}"


def choose_device(config: RunConfig) -> torch.device:
    """The device that a configuration names, this process's own where there are several.

    Raises:
        ConfigError: when it names none, or one that has not the precision.
        DeviceError: when it is not there.
    """
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device: {config.device!r} is none of auto, cpu, cuda and cuda:N", key="device")
    if device.type == "cpu":
        if config.precision == "fp16":
            raise ConfigError("precision: fp16 needs a GPU; on the CPU there are bf16 and float32", key="precision")
        return device
    if not torch.cuda.is_available():
        raise DeviceError("device: torch finds no GPU", "Use device: cpu, or install a torch with CUDA.")
    index = device.index if device.index is not None else int(os.environ.get("LOCAL_RANK", "0"))
    if index >= torch.cuda.device_count():
        raise DeviceError(f"device: there is no cuda:{index}; this machine has {torch.cuda.device_count()}")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def create_student(config: RunConfig, skeleton: Skeleton) -> tuple[PoseNetwork, Provenance | None]:
    """The network to begin with, and where its weights came from: ``init``, or None for random weights.

    Raises:
        ConfigError: when there is no such network, it cannot be built so, or the crops do not fit its stride.
        ModelFileError: when ``init`` is no sound checkpoint, nor an ONNX file that can be learned from.
        InputError: when ``init`` is of another network or skeleton.
        MissingPartError: when ``init`` is an ONNX file, and onnx is not installed.
    """
    network_stride(config, skeleton)
    network = create_network(config.network.name, skeleton, config.seed, **config.network.config)
    if config.init is None:
        return network, None
    with about_key("init"):
        path = default_model() if config.init == _DEFAULT else Path(config.init)
        if not path.is_file():
            problem = "it is a folder" if path.is_dir() else "there is no such file"
            raise ModelFileError(
                f"{path}: cannot be read ({problem})",
                "Name a checkpoint, an ONNX file that `ltsh export` wrote, or `default`, the package's own model.",
            )
        if _is_exported(config.init):
            return network, load_exported_weights(network, path)
        first, origin = load_checkpoint(path)
        check_alike(network, first.name, first.skeleton, str(path))
        if first.config != network.config:
            raise InputError(
                f"{path}: is of another configuration of the network: {first.config}, not {network.config}",
                "Give network.config as in the run that wrote it.",
            )
    return first, origin


def _is_exported(init: str | None) -> bool:
    return init is not None and (init == _DEFAULT or Path(init).suffix.lower() == ".onnx")
