"""What all that runs the project's CUDA kernels has in common: their programs, and a session of its own or shared."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ltsh_deploy.cuda_kernels.compile import ARCHITECTURES, CompileError, Compiler, cubin
from ltsh_deploy.cuda_session import CudaSession
from ltsh_deploy.errors import MissingPartError, UsageError
from ltsh_deploy.nvidia_driver import Gpu
from ltsh_deploy.parts import install_line

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["KernelUser", "architecture_of", "programs"]


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
            with self._session.current():
                self._free()
            if self._owns_session:
                self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def architecture_of(gpu: Gpu) -> str:
    """What to compile for: the latest architecture that a GPU runs.

    Raises:
        UsageError: for a GPU that CUDA 13 no longer knows.
    """
    major, minor = gpu.compute_capability
    known = [tuple(divmod(int(name.removeprefix("sm_")), 10)) for name in ARCHITECTURES]
    fitting = [each for each in known if each[0] == major and each[1] <= minor]
    if fitting:
        return "sm_{}{}".format(*max(fitting))
    if (major, minor) < min(known):
        raise UsageError(
            f"{gpu} is older than what the CUDA kernels are compiled for ({ARCHITECTURES[0]})",
            "Decode on the CPU: leave out the CUDA decoder.",
        )
    # Newer than this list: the compiler decides.
    return f"sm_{major}{minor}"


def programs(
    names: Sequence[str], architecture: str, compiler: Compiler | None = None, folder: Path | None = None
) -> list[bytes]:
    """The programs of some of the ``.cu`` files; see :func:`ltsh_deploy.cuda_kernels.compile.cubin`.

    Raises:
        MissingPartError: when there is no compiler, or it refuses.
    """
    try:
        return [cubin(name, architecture, compiler, folder) for name in names]
    except CompileError as error:
        raise MissingPartError(f"the CUDA kernels cannot be compiled: {error}", install_line("cuda")) from None
