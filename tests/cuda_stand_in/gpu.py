"""The stand-in through pycuda, for its own tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cuda_stand_in.stand_in import StandIn, compile_kernels

__all__ = ["FOLDER", "Gpu", "Numbers"]

Numbers = np.ndarray[Any, Any]

#: Where right.cu and wrong.cu are.
FOLDER = Path(__file__).parent


@cache
def _program(source: Path, folder: Path) -> bytes:
    return compile_kernels(source.read_text(), FOLDER, folder, source.name)


class Gpu:
    """The stand-in through pycuda."""

    def __init__(self, library: StandIn, folder: Path) -> None:
        import pycuda.driver

        self.cuda: Any = pycuda.driver
        self.library, self._folder = library, folder
        self.cuda.init()
        self.context = self.cuda.Device(0).retain_primary_context()
        self.context.push()
        self.stream = self.cuda.Stream()

    def kernel(self, name: str, file: str = "right", arguments: str = "PP") -> Any:
        module = self.cuda.module_from_buffer(_program(FOLDER / f"{file}.cu", self._folder))
        return module.get_function(name).prepare(arguments)

    def run(
        self,
        name: str,
        file: str = "right",
        *,
        grid: tuple[int, int] = (1, 1),
        block: tuple[int, int, int] = (64, 1, 1),
        shared: int = 0,
    ) -> Numbers:
        """What a kernel makes of 0, 1, 2 ...; 64 numbers are there to read and, for each block, to write."""
        blocks = max(1, grid[0] * grid[1])
        before, after = np.arange(64, dtype=np.int32), self.cuda.pagelocked_empty(64 * blocks, np.int32)
        source, target = self.cuda.mem_alloc(before.nbytes), self.cuda.mem_alloc(after.nbytes)
        try:
            self.cuda.memcpy_htod_async(source, before, self.stream)
            self.cuda.memset_d32_async(target, 7, after.size, self.stream)
            kernel = self.kernel(name, file)
            kernel.prepared_async_call(grid, block, self.stream, source, target, shared_size=shared)
            self.cuda.memcpy_dtoh_async(after, target, self.stream)
            self.stream.synchronize()
            return np.array(after)
        finally:
            # As in real life, a GPU with a fault does nothing more, so that memory could not be freed.
            self.library.forgive()
            source.free()
            target.free()
            after.base.free()

    def faults(self, message: str) -> Any:
        """A context in which something must go wrong, with these words."""
        return pytest.raises(self.cuda.LaunchError, match=message)

    def close(self) -> None:
        del self.stream
        self.context.pop()
        self.context.detach()
