"""What all that runs the project's CUDA kernels has in common: their programs, and a session of its own or shared."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ltsh_deploy.cuda_kernels import compile as kernels
from ltsh_deploy.cuda_kernels.compile import ARCHITECTURES, CompileError, Compiler
from ltsh_deploy.cuda_session import CudaSession
from ltsh_deploy.errors import MissingPartError, UsageError
from ltsh_deploy.nvidia_driver import Gpu
from ltsh_deploy.parts import install_line

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["KernelUser", "architecture_of", "named_refusals", "programs"]

# Of Jetson and its like: Orin, Thor as CUDA 12 numbers it, and as CUDA 13 does.
_TEGRA = ("sm_87", "sm_101", "sm_110")


class KernelUser(ABC):
    """Works on a session, and closes it if it is its own. A context manager; one thread at a time is let in.

    Args:
        what: it does, to begin messages with.
        device: index of the GPU.
        session: shared with others; by default one of its own.

    Raises:
        DeviceError: when there is no driver or no such GPU.
        MissingPartError: when pycuda is not installed.
    """

    def __init__(self, what: str, device: int, session: CudaSession | None) -> None:
        self._owns_session = session is None
        self._session = session or CudaSession(device, what)
        self._lock, self._closed = threading.Lock(), False

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """What fails inside leaves no session open that is its own."""
        try:
            yield
        except BaseException:
            if self._owns_session:
                self._session.close()
            raise

    @abstractmethod
    def _free(self) -> None:
        """Free what it holds; the session is current."""

    def close(self) -> None:
        """Free what it holds on the GPU."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                with self._session.current():
                    self._free()
            finally:
                if self._owns_session:
                    self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def architecture_of(gpu: Gpu, compiler: Compiler | None = None) -> str:
    """What to compile for: a GPU's own architecture, or the latest that it runs where the compiler does not know that.

    Programs run on later GPUs of the same major number, but those of Tegra run nowhere else, and Tegra runs no others:
    "Binary Compatibility" in NVIDIA's CUDA C++ Programming Guide.

    Raises:
        UsageError: for a GPU that CUDA 13 no longer knows.
        MissingPartError: when there is no compiler.
    """
    major, minor = gpu.compute_capability
    if 10 * major + minor < int(ARCHITECTURES[0].removeprefix("sm_")):
        raise UsageError(
            f"{gpu} is older than what the CUDA kernels are compiled for ({ARCHITECTURES[0]})",
            "Decode on the CPU: leave out the CUDA decoder.",
        )
    with named_refusals():
        known = (compiler or kernels.find_compiler()).architectures
    own = f"sm_{major}{minor}"
    if own not in known and own not in _TEGRA:
        for earlier in (f"sm_{major}{number}" for number in reversed(range(minor))):
            if earlier in known and earlier not in _TEGRA:
                return earlier
    # If the compiler does not know this either, it says so.
    return own


def programs(
    names: Sequence[str], architecture: str, compiler: Compiler | None = None, folder: Path | None = None
) -> list[bytes]:
    """The programs of some of the ``.cu`` files; see :func:`ltsh_deploy.cuda_kernels.compile.cubin`.

    Raises:
        MissingPartError: when there is no compiler, or it refuses.
    """
    with named_refusals():
        return [kernels.cubin(name, architecture, compiler, folder) for name in names]


@contextmanager
def named_refusals() -> Iterator[None]:
    """Turn a compiler's refusal, or its absence, into an error for users.

    Raises:
        MissingPartError: in place of a CompileError.
    """
    try:
        yield
    except CompileError as error:
        raise MissingPartError(f"the CUDA kernels cannot be compiled: {error}", install_line("cuda")) from None
