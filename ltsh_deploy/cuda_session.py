"""One GPU's memory and one stream on it, by pycuda."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.cuda_kernels.graphs import DriverError
from ltsh_deploy.errors import DeviceError, LtshError, MissingPartError
from ltsh_deploy.nvidia_driver import Gpu, find_gpu
from ltsh_deploy.parts import import_part

__all__ = ["CudaSession"]


class CudaSession:
    """The primary context of a GPU, which torch and others use too, with a stream and pools of memory.

    Everything is done within :meth:`current`. Closing it needs no :meth:`current`.

    Args:
        index: of the GPU.
        what: what needs it, to begin messages with.

    Attributes:
        gpu: which GPU it is.
        stream: pycuda's stream; ``stream.handle`` is what other libraries take.

    Raises:
        DeviceError: when there is no driver, or no such GPU.
        MissingPartError: when pycuda is not installed.
    """

    def __init__(self, index: int, what: str) -> None:
        try:
            self.gpu: Gpu = find_gpu(index)
        except DeviceError as error:
            raise DeviceError(f"{what} needs an NVIDIA GPU: {error.message}", error.remedy) from None
        import_part("pycuda", what, "cuda")
        try:
            self._cuda: Any = import_part("pycuda.driver", what, "cuda")
            self._tools: Any = import_part("pycuda.tools", what, "cuda")
        except MissingPartError as error:
            raise DeviceError(error.message, error.remedy) from None
        self.index = index
        with self.named_errors(what):
            self._cuda.init()
            self._context: Any = self._cuda.Device(index).retain_primary_context()
        self.stream: Any = None
        self._memory: Any = None
        try:
            with self.current(), self.named_errors(what):
                self.stream = self._cuda.Stream()
                self._memory = self._tools.DeviceMemoryPool()
                # A pool that keeps its first block asks which context is current, and pycuda ends the process where
                # none is. With a byte that nobody takes out again, memory can be given up anywhere.
                self._memory.allocate(1)
        except LtshError:
            with self.current():
                self.stream = self._memory = None
            self._context.detach()
            raise

    @contextmanager
    def current(self) -> Iterator[None]:
        """Inside, this GPU is the calling thread's; threads may be inside at once."""
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    @contextmanager
    def named_errors(self, what: str) -> Iterator[None]:
        """Inside, what the driver refuses becomes an LtshError that begins with ``what``.

        Raises:
            LtshError: for want of memory mostly.
        """
        try:
            yield
        except (self._cuda.Error, DriverError) as error:
            raise LtshError(
                f"{what}: the GPU failed ({error})", "If memory ran out, use a smaller --batch or --size."
            ) from None

    def allocate(self, size: int) -> Any:
        """Bytes on the GPU; they come back to a pool when nothing refers to them any more."""
        # The pool's one byte stays in it.
        return self._memory.allocate(max(size, 2))

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array on the host that the GPU copies to and from by itself."""
        array: npt.NDArray[Any] = self._cuda.pagelocked_empty(shape, np.dtype(dtype))
        return array

    def upload(self, target: Any, source: npt.NDArray[Any]) -> None:
        """Begin to copy a pinned array to the GPU."""
        self._cuda.memcpy_htod_async(target, source, self.stream)

    def download(self, target: npt.NDArray[Any], source: Any) -> None:
        """Begin to copy from the GPU into a pinned array."""
        self._cuda.memcpy_dtoh_async(target, source, self.stream)

    def event(self) -> Any:
        """A mark that can be set in the stream and waited for."""
        return self._cuda.Event()

    def finish(self) -> None:
        """Wait for the stream before something is freed. A failed GPU is no news by then: whoever used it was told."""
        with contextlib.suppress(self._cuda.Error):
            self.stream.synchronize()

    def close(self) -> None:
        """Give everything back. What was allocated and is still referred to is freed with its last reference."""
        with self.current():
            self.finish()
            self._memory.stop_holding()
            del self.stream, self._memory
        self._context.detach()
