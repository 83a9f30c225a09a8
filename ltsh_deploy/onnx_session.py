"""Opening an ONNX file with onnxruntime on the device that was asked for, without its own words on the terminal."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import threading
from pathlib import Path
from typing import Any

from ltsh_deploy.description_template import TensorInfo
from ltsh_deploy.errors import DeviceError, ModelFileError
from ltsh_deploy.parts import import_part, replace_line

__all__ = ["first_line", "onnx_failures", "open_session", "quiet_session", "read_declarations"]

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_FATAL_ONLY = 4
_WARNING = 2
_cuda_attempt = threading.Lock()


def open_session(path: Path, kind: str, index: int, threads: int | None) -> tuple[Any, str]:
    """An onnxruntime session, and the device it truly runs on.

    Looking for CUDA sets onnxruntime's own level of messages for the whole process, which does not tell what it was
    before: it is its default, warnings, afterwards.

    Args:
        path: the ONNX file.
        kind: ``auto``, ``cpu`` or ``cuda``.
        index: of the CUDA device.
        threads: CPU threads; None leaves it to onnxruntime.

    Raises:
        ModelFileError: when onnxruntime cannot read the file.
        DeviceError: when CUDA is asked for and does not work.
        MissingPartError: when onnxruntime is not installed.
    """
    ort = import_part("onnxruntime", f"{path}: running it", "cpu", "gpu")
    ort.disable_telemetry_events()
    failures = onnx_failures()
    has_cuda = _CUDA in ort.get_available_providers()
    if kind == "cuda" and not has_cuda:
        raise DeviceError(f"device cuda:{index}: the installed onnxruntime is the one without CUDA", _gpu_line())
    reason = "onnxruntime could not load its CUDA libraries"
    if kind != "cpu" and has_cuda:
        # That CUDA is listed means only that onnxruntime was built with it; the session tells whether it works. What it
        # says of libraries that it misses goes past the session's own level, so the process's is set: by one at a time.
        with _cuda_attempt:
            _load_cuda_libraries(ort)
            ort.set_default_logger_severity(_FATAL_ONLY)
            try:
                session = _session(ort, path, threads, [(_CUDA, _cuda_options(index)), _CPU])
                if _CUDA in session.get_providers():
                    return session, f"cuda:{index}"
            except failures as error:
                reason = first_line(error)
            finally:
                ort.set_default_logger_severity(_WARNING)
    try:
        session = _session(ort, path, threads, [_CPU])
    except failures as error:
        raise _unreadable(path, first_line(error)) from None
    if kind == "cuda":
        raise DeviceError(
            f"device cuda:{index}: CUDA does not work ({reason})",
            f"Look at the driver with nvidia-smi, and install the libraries: {_gpu_line()}; or use --device cpu.",
        )
    return session, "cpu"


def quiet_session(model: bytes) -> Any:
    """An onnxruntime session on the CPU for an ONNX model in memory.

    Raises:
        MissingPartError: when onnxruntime is not installed; what onnxruntime raises, see :func:`onnx_failures`.
    """
    ort = import_part("onnxruntime", "Running a network", "cpu", "gpu")
    ort.disable_telemetry_events()
    return _session(ort, model, None, [_CPU])


_RECOPY = "It may be cut short or no ONNX file: copy, download or export it again."


def _unreadable(path: Path, reason: str) -> ModelFileError:
    absent = re.search(r'External data path does not exist: "?([^"]+)"?', reason)
    if absent is None:
        return ModelFileError(f"{path}: onnxruntime cannot read it ({reason})", _RECOPY)
    name = Path(absent[1]).name
    return ModelFileError(
        f"{path}: keeps its weights in a second file, {name}, which is not beside it",
        f"Copy {name} into {path.parent} too, under that name.",
    )


def _gpu_line() -> str:
    return replace_line(["onnxruntime", "onnxruntime-gpu"], "gpu")


def _session(ort: Any, model: Path | bytes, threads: int | None, providers: list[Any]) -> Any:
    options = ort.SessionOptions()
    # What it prints, past Python's streams, the exceptions repeat, or it means nothing to a user.
    options.log_severity_level = _FATAL_ONLY
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads or 0
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=providers, enable_fallback=0)


def _cuda_options(index: int) -> dict[str, str]:
    # TF32 would make fields differ between devices, and between batches, by far more than float32 does. An exhaustive
    # search for algorithms, the default, would be made anew for every size of picture.
    return {"device_id": str(index), "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


def _load_cuda_libraries(ort: Any) -> None:
    """Load CUDA and cuDNN from their pip packages; what is missing shows when the session is opened."""
    if not hasattr(ort, "preload_dlls"):  # it came with onnxruntime 1.21
        return
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(RuntimeError, OSError):
        ort.preload_dlls()


def onnx_failures() -> tuple[type[Exception], ...]:
    """Everything onnxruntime raises: its own classes have no base in common."""
    own = vars(importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")).values()
    return (RuntimeError, ValueError, *(c for c in own if isinstance(c, type) and issubclass(c, Exception)))


def first_line(error: Exception) -> str:
    """What an error says, without onnxruntime's prefix of codes or the C++ stack that torch may append."""
    lines = str(error).splitlines() or [type(error).__name__]
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", lines[0])[:300]


def read_declarations(session: Any, path: Path) -> tuple[dict[str, str], list[TensorInfo], list[TensorInfo]]:
    """The metadata, inputs and outputs that a file declares.

    Raises:
        ModelFileError: when a name or an entry is not UTF-8.
    """
    try:
        metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
        inputs, outputs = (
            [TensorInfo(tensor.name, tensor.type, tuple(tensor.shape)) for tensor in tensors]
            for tensors in (session.get_inputs(), session.get_outputs())
        )
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path}: its names or metadata are damaged ({error})", _RECOPY) from None
    return metadata, inputs, outputs
