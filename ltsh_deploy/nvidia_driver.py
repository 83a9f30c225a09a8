"""What the NVIDIA driver says of itself and its GPUs; needs no package, and uses no GPU."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ltsh_deploy.errors import DeviceError

__all__ = ["GET_DRIVER", "Driver", "Gpu", "find_gpu", "list_gpus", "read_driver"]

#: What mends it that there is no driver.
GET_DRIVER = "Install the NVIDIA driver; no pip package brings it. nvidia-smi shows whether it works."

# The driver's numbers for the major and the minor part of the compute capability.
_MAJOR, _MINOR = 75, 76
_REMEDY = "Look at the driver with nvidia-smi."


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        name: such as ``NVIDIA A100-SXM4-40GB``.
        compute_capability: such as (8, 0).
        memory_mib: how much memory it has; 0 where that is not known.
    """

    name: str
    compute_capability: tuple[int, int]
    memory_mib: int = 0

    def __str__(self) -> str:
        major, minor = self.compute_capability
        return f"{self.name} (compute capability {major}.{minor})"


@dataclass(frozen=True)
class Driver:
    """The driver.

    Attributes:
        cuda: the newest CUDA that it runs, such as ``13.2``.
        gpus: those that CUDA programs of this process may use, in CUDA's order.
    """

    cuda: str
    gpus: tuple[Gpu, ...]


def read_driver() -> Driver:
    """Ask the driver.

    Raises:
        DeviceError: when there is no driver, or it does not answer.
    """
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        raise DeviceError("there is no NVIDIA driver on this machine", GET_DRIVER) from None

    def ask(function: str, *arguments: Any) -> None:
        code = _function(library, function)(*arguments)
        if code:
            raise DeviceError(f"the NVIDIA driver answers {function} with error {code}", _REMEDY)

    ask("cuInit", 0)
    number, name, memory = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_size_t()
    ask("cuDriverGetVersion", ctypes.byref(number))
    cuda = f"{number.value // 1000}.{number.value % 1000 // 10}"
    ask("cuDeviceGetCount", ctypes.byref(number))
    gpus = []
    for index in range(number.value):
        device = ctypes.c_int()
        ask("cuDeviceGet", ctypes.byref(device), index)
        ask("cuDeviceGetName", name, len(name), device)
        ask("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
        parts = []
        for attribute in (_MAJOR, _MINOR):
            ask("cuDeviceGetAttribute", ctypes.byref(number), attribute, device)
            parts.append(number.value)
        gpus.append(Gpu(name.value.decode(errors="replace"), (parts[0], parts[1]), memory.value >> 20))
    return Driver(cuda, tuple(gpus))


def list_gpus() -> list[Gpu]:
    """The GPUs that CUDA programs of this process may use, in CUDA's order.

    Raises:
        DeviceError: when there is no driver, or it does not answer.
    """
    return list(read_driver().gpus)


def find_gpu(index: int) -> Gpu:
    """The GPU of this index.

    Raises:
        DeviceError: when there is none, or no driver.
    """
    gpus = list_gpus()
    if index >= len(gpus):
        count = f"{len(gpus) or 'no'} GPU{'s' * (len(gpus) != 1)}"
        raise DeviceError(f"there is no GPU {index}: the NVIDIA driver knows {count}", _REMEDY)
    return gpus[index]


def _function(library: Any, name: str) -> Callable[..., int]:
    try:
        function: Callable[..., int] = getattr(library, name)
    except AttributeError:
        raise DeviceError(f"the NVIDIA driver has no function {name}", _REMEDY) from None
    return function
