"""Import one package and say how it went; run by ``ltsh doctor`` as a program of its own.

A broken native library may end the process that loads it, so none is loaded into doctor itself. Only the standard
library is imported here, and the caller's module search path is taken over, so that what is found is what ltsh finds.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["COMPILED_DECODER", "IDENTITY_MODEL", "MARK", "NVIDIA_DRIVER", "PROBES"]

#: Begins the line on stdout that carries the answer; packages may print lines of their own.
MARK = "ltsh-probe:"
#: The module that asks the NVIDIA driver; a broken driver may end the process too.
NVIDIA_DRIVER = "ltsh_deploy.nvidia_driver"

#: The module that loads the compiled decoder.
COMPILED_DECODER = "ltsh_deploy.cuda_kernels.cpu_library"

#: The smallest ONNX model, y = x for one float: it shows which execution providers onnxruntime can truly load.
IDENTITY_MODEL = bytes.fromhex(
    "0808"  # ir_version 8
    "3a2f"  # graph, 47 bytes
    "0a100a01781201792208" "4964656e74697479"  # a node: input x, output y, operator Identity
    "120167"  # named g
    "5a0b0a017812060a0408011200"  # input x: a float tensor of rank 0
    "620b0a017912060a0408011200"  # output y: likewise
    "4202100d"  # operator set 13
)  # fmt: skip


def _opencv(module: Any) -> dict[str, Any]:
    lines = (line.split(":", 1) for line in module.getBuildInformation().splitlines() if ":" in line)
    windows = next((value.strip() for key, value in lines if key.strip() == "GUI"), "unknown")
    return {"windows": None if windows == "NONE" else windows}


def _torch(module: Any) -> dict[str, Any]:
    devices = [module.cuda.get_device_name(i) for i in range(module.cuda.device_count())]
    return {"cuda": module.version.cuda, "cuda_devices": devices if module.cuda.is_available() else []}


def _onnxruntime(module: Any) -> dict[str, Any]:
    """Which providers load. That one is listed says only that onnxruntime was built with it."""
    module.disable_telemetry_events()
    listed = module.get_available_providers()
    if "CUDAExecutionProvider" in listed and hasattr(module, "preload_dlls"):
        module.preload_dlls()
    providers = {}
    for name in listed:
        if name in ("CPUExecutionProvider", "CUDAExecutionProvider"):
            try:
                session = module.InferenceSession(IDENTITY_MODEL, providers=[name])
                providers[name] = "works" if name in session.get_providers() else "does not load"
            except Exception as error:
                providers[name] = f"does not load: {error}"
        else:
            providers[name] = "listed, not tried"
    return {"providers": providers}


def _compiled_decoder(module: Any) -> dict[str, Any]:
    """Where the library lies; raises OSError when it cannot be used."""
    return {"library": str(module.load_library().path)}


def _nvidia_driver(module: Any) -> dict[str, Any]:
    """The driver's own list of devices, or why there is none."""
    try:
        driver = module.read_driver()
    except module.DeviceError as error:
        return {"problem": error.message}
    devices = [
        {
            "name": gpu.name,
            "compute_capability": "{}.{}".format(*gpu.compute_capability),
            "memory_mib": gpu.memory_mib,
        }
        for gpu in driver.gpus
    ]
    return {"driver_cuda": driver.cuda, "devices": devices}


#: What is asked of a package beyond that it can be imported.
PROBES: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "cv2": _opencv,
    COMPILED_DECODER: _compiled_decoder,
    NVIDIA_DRIVER: _nvidia_driver,
    "torch": _torch,
    "onnxruntime": _onnxruntime,
}


def _main() -> None:
    name, sys.path[:] = sys.argv[1], json.loads(sys.argv[2])
    answer: dict[str, Any] = {"problem": None}
    try:
        module = importlib.import_module(name)
        answer.update(PROBES[name](module) if name in PROBES else {})
    # Whatever a package raises while it is imported is the answer.
    except BaseException as error:
        answer["problem"] = str(error) or type(error).__name__
    print(MARK + json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    _main()
