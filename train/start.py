"""Everything that comes before the first step of a run: the folder, the device, the network, the data."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import torch

from ltsh_deploy.checkpoints import load_checkpoint
from ltsh_deploy.errors import DeviceError, InputError, OutputError, UsageError
from ltsh_deploy.network_base import PoseNetwork
from ltsh_deploy.networks import create_network
from ltsh_deploy.skeletons import Skeleton, load_skeleton
from ltsh_deploy.train.config_file import parse_config, save_config
from ltsh_deploy.train.data import group_people, open_pools
from ltsh_deploy.train.loop import STATE, Run
from ltsh_deploy.train.processes import first_alone, is_first
from ltsh_deploy.train.state import load_state
from ltsh_deploy.train.teacher import create_teacher
from ltsh_deploy.train.teacher_network import student_features
from ltsh_deploy.train.windows import synchronised

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig

__all__ = ["CONFIG", "choose_device", "create_student", "prepare"]

_log = logging.getLogger(__name__)

CONFIG = "config.yaml"


def prepare(config: RunConfig, out: Path, *, resume: bool = False) -> Run:
    """A run that is ready to train.

    Args:
        config: of the run; it is saved in the folder with every key.
        out: the run's folder, made where it is not there.
        resume: go on where the folder's last checkpoint was written.

    Raises:
        UsageError: when the configuration cannot be, or the folder holds a run and ``resume`` is not set.
        InputError: when the data, the first checkpoint or the saved state cannot be used.
        DeviceError: when there is no such device.
        OutputError: when the folder cannot be written to.
    """
    device = choose_device(config)
    skeleton = load_skeleton(config.skeleton)
    network = create_student(config, skeleton)
    torch.manual_seed(config.seed)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    # The workers are as many threads as are wanted.
    cv2.setNumThreads(1)
    first_alone(lambda: _open_folder(out, resume))
    if resume and is_first():
        _report_changes(out / STATE, config)
    pools = open_pools(config.data, skeleton)
    groups = group_people(config, pools)
    features = student_features(network)
    teacher = synchronised(
        lambda: create_teacher(
            config.teacher, groups.counts, config.seed, device, batch_size=config.batch, student_features=features
        )
    )
    run = Run(config, out, network, pools, groups, teacher, device)
    if resume:
        run.resume()
    if is_first():
        save_config(out / CONFIG, config)
    return run


def choose_device(config: RunConfig) -> torch.device:
    """The device that a configuration names, this process's own where there are several.

    Raises:
        UsageError: when it names none.
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
        raise UsageError(f"device: {config.device!r} is none of auto, cpu, cuda and cuda:N")
    if device.type == "cpu":
        if config.precision == "fp16":
            raise UsageError("precision: fp16 needs a GPU; on the CPU there are bf16 and float32")
        return device
    if not torch.cuda.is_available():
        raise DeviceError("device: torch finds no GPU", "Use device: cpu, or install a torch with CUDA.")
    index = device.index if device.index is not None else int(os.environ.get("LOCAL_RANK", "0"))
    if index >= torch.cuda.device_count():
        raise DeviceError(f"device: there is no cuda:{index}; this machine has {torch.cuda.device_count()}")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def create_student(config: RunConfig, skeleton: Skeleton) -> PoseNetwork:
    """The network to begin with: from ``init``, or with random weights.

    Raises:
        UsageError: when there is no such network, it cannot be built so, or the crops do not fit its stride.
        ModelFileError: when ``init`` is no sound checkpoint.
        InputError: when ``init`` is of another network or skeleton.
    """
    network = create_network(config.network.name, skeleton, config.seed, **config.network.config)
    if any(side % network.stride for side in config.size):
        raise UsageError(f"size: both sides must be multiples of {network.stride}, got {list(config.size)}")
    if config.init is None:
        return network
    first, _ = load_checkpoint(config.init)
    for what, own, other in (
        ("network", network.name, first.name),
        ("configuration of the network", network.config, first.config),
        ("skeleton", network.skeleton, first.skeleton),
    ):
        if own != other:
            raise InputError(
                f"init: {config.init} has another {what} than the configuration asks for: {other}, not {own}",
                "Name the network, its configuration and the skeleton as in the run that wrote it.",
            )
    return first


def _open_folder(out: Path, resume: bool) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: the folder cannot be made ({error.strerror})") from None
    if (out / STATE).exists() and not resume:
        raise UsageError(f"{out}: holds a run already", "Add --resume to go on with it, or choose another --out.")
    # What a killed process left half written.
    for path in out.glob(".*.part.*"):
        path.unlink(missing_ok=True)


def _report_changes(state: Path, config: RunConfig) -> None:
    """Say which keys differ from the run that is resumed: it then goes on, but not as it would have."""
    before = parse_config(load_state(state)["config"], str(state)).model_dump(mode="json")
    after = config.model_dump(mode="json")
    changed = [key for key in after if after[key] != before[key]]
    if changed:
        _log.warning("resuming with another configuration than the run had so far: %s", ", ".join(changed))
