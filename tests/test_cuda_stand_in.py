"""The CUDA stand-in: that right kernels run, and that each kind of wrong one is caught and named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cuda_stand_in.stand_in import StandIn, compile_kernels

Numbers = np.ndarray[Any, Any]

# A block of 64 threads reads `from` and writes `to`, 64 numbers each.
_KERNEL = 'extern "C" __global__ void work(const int* from, int* to) {{ const int i = threadIdx.x; {body} }}'


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

    def function(self, source: str, name: str = "work") -> Any:
        program = compile_kernels(source, self._folder, self._folder)
        return self.cuda.module_from_buffer(program).get_function(name)

    def run(self, body: str, *, blocks: int = 1, threads: int = 64, shared: int = 0, given: int = 64) -> Numbers:
        """What a kernel of this body makes of 0, 1, 2 ...; ``given`` numbers are there to read and to write."""
        before = np.arange(given, dtype=np.int32)
        source, target = self.cuda.mem_alloc(before.nbytes), self.cuda.mem_alloc(before.nbytes)
        after = self.cuda.pagelocked_empty(given, np.int32)
        try:
            self.cuda.memcpy_htod_async(source, before, self.stream)
            self.cuda.memset_d32_async(target, 7, given, self.stream)
            work = self.function(_KERNEL.format(body=body)).prepare("PP")
            work.prepared_async_call((blocks, 1), (threads, 1, 1), self.stream, source, target, shared_size=shared)
            self.cuda.memcpy_dtoh_async(after, target, self.stream)
            self.stream.synchronize()
            return after.copy()
        finally:
            for memory in (source, target):
                try:
                    memory.free()
                except self.cuda.Error:
                    assert self.library.fault


@pytest.fixture
def gpu(stand_in: StandIn, stand_in_folder: Path) -> Iterator[Gpu]:
    gpu = Gpu(stand_in, stand_in_folder)
    yield gpu
    stand_in.forgive()
    del gpu.stream
    gpu.context.pop()
    gpu.context.detach()


RIGHT = {
    "copy": ("to[i] = from[i];", np.arange(64)),
    "reverse through shared memory": (
        "__shared__ int kept[64]; kept[i] = from[i]; __syncthreads(); to[i] = kept[63 - i];",
        np.arange(64)[::-1],
    ),
    "memory sized at launch": (
        "extern __shared__ int kept[]; kept[i] = from[i]; __syncthreads(); to[i] = kept[63 - i];",
        np.arange(64)[::-1],
    ),
    "neighbours in a warp": (
        "__shared__ int kept[64]; kept[i] = from[i]; __syncwarp(); to[i] = kept[i ^ 1];",
        np.arange(64) ^ 1,
    ),
    "sum by shuffles": (
        "int sum = from[i]; for (int step = 16; step; step /= 2) sum += __shfl_down_sync(0xffffffffu, sum, step);"
        "to[i] = i % 32 ? 0 : sum;",
        np.where(np.arange(64) % 32, 0, np.arange(64).reshape(2, 32).sum(axis=1).repeat(32)),
    ),
    "ranks by a vote": (
        "const unsigned odd = __ballot_sync(0xffffffffu, from[i] & 1);to[i] = __popc(odd & ((1u << i % 32) - 1));",
        np.tile(np.arange(32) // 2, 2),
    ),
    "atomic sum": (
        "__shared__ int sum; if (i == 0) sum = 0; __syncthreads(); atomicAdd(&sum, from[i]); __syncthreads();"
        "to[i] = sum;",
        np.full(64, 2016),
    ),
    "a vote of the block": (
        "to[i] = __syncthreads_or(from[i] == 63) + __syncthreads_count(from[i] < 3);",
        np.full(64, 4),
    ),
    "threads that end early": ("if (i >= 32) return; to[i] = from[i];", np.where(np.arange(64) < 32, np.arange(64), 7)),
}

WRONG = {
    "race through shared memory": (
        "__shared__ int kept[64]; kept[i] = from[i]; to[i] = kept[63 - i];",
        r"nobody wrote|no barrier between",
    ),
    "missing barrier": (
        "__shared__ int kept[64]; kept[i] = from[i]; __syncthreads(); to[i] = kept[i ^ 32]; kept[i] = 0;",
        "race in shared memory: thread 32 of block 0 reads what thread 0 of block 0 wrote, with no barrier between",
    ),
    "barrier of the warp where the block's is needed": (
        "__shared__ int kept[64]; kept[i] = 0; __syncthreads(); kept[63 - i] = from[i]; __syncwarp(); to[i] = kept[i];",
        "no barrier between",
    ),
    "two threads write one place": ("to[0] = i;", "race in global memory: thread 1 of block 0 writes what thread 0"),
    "plain write beside an atomic one": ("if (i) atomicAdd(to, 1); else *to = 5;", "race in global memory"),
    "read beyond the end": ("to[i] = from[i + 1];", "thread 63 of block 0 reads 4 bytes out of bounds"),
    "write before the beginning": ("to[i - 1] = from[i];", "thread 0 of block 0 writes 4 bytes out of bounds"),
    "read beyond shared memory sized at launch": (
        "extern __shared__ int kept[]; kept[i] = from[i]; __syncthreads(); to[i] = kept[i + 1];",
        "thread 63 of block 0 reads 4 bytes out of bounds",
    ),
    "read of the host's memory": ("to[i] = *(const int*)(0x1000 + 4 * i);", "out of bounds"),
    "uninitialised shared memory": (
        "__shared__ int kept[64]; if (i) kept[i] = 0; __syncthreads(); to[i] = kept[i];",
        "thread 0 of block 0 reads shared memory that nobody wrote",
    ),
    "unaligned read": (
        "to[i] = *(const int*)((const char*)from + (i == 5 ? 1 : 0));",
        "thread 5 of block 0 reads at an address that is not aligned",
    ),
    "a barrier that half of a block reaches": (
        "if (i < 32) __syncthreads(); to[i] = 0;",
        "a barrier is not reached by all threads of the block",
    ),
    "a warp that waits for itself": (
        "if (i % 32 < 16) __syncthreads(); else __syncwarp(); to[i] = 0;",
        "waits for lanes that wait elsewhere",
    ),
    "different barriers": (
        "if (i < 32) { __syncthreads(); to[i] = 0; } else { __syncthreads(); to[i] = 1; }",
        "threads of a block wait at different barriers",
    ),
    "a vote without one of its lanes": ("if (i % 32) __syncwarp(); to[i] = 0;", "waits for a lane that is not there"),
    "a lane outside of its mask": ("__syncwarp(0xfffffffeu); to[i] = 0;", "whose mask leaves it out"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_kernels_compute_what_they_should(name: str, gpu: Gpu) -> None:
    body, result = RIGHT[name]
    np.testing.assert_array_equal(gpu.run(body, shared=256), result)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_kernels_are_caught_and_named(name: str, gpu: Gpu) -> None:
    body, message = WRONG[name]
    with pytest.raises(gpu.cuda.LaunchError, match=f"kernel work: .*({message})"):
        gpu.run(body, shared=256)


def test_blocks_that_write_one_place_race(gpu: Gpu) -> None:
    gpu.run("if (blockIdx.x == 0) to[i] = 1;", blocks=2)
    with pytest.raises(
        gpu.cuda.LaunchError, match="of block 1 writes what thread 0 of block 0 wrote in the same launch"
    ):
        gpu.run("to[i] = 1;", blocks=2)


def test_the_next_launch_may_write_what_the_one_before_wrote(gpu: Gpu) -> None:
    memory = gpu.cuda.mem_alloc(256)
    work = gpu.function(_KERNEL.format(body="to[i] = 1;")).prepare("PP")
    for _ in range(2):
        work.prepared_async_call((1, 1), (64, 1, 1), gpu.stream, memory, memory)
    gpu.stream.synchronize()
    memory.free()


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        ({"threads": 1056}, "too many threads in a block"),
        ({"shared": 64 * 1024}, "more shared memory than it may have"),
        ({"blocks": 0}, "a grid or block of nothing"),
    ],
)
def test_launches_beyond_the_limits_are_refused(launch: dict[str, int], message: str, gpu: Gpu) -> None:
    with pytest.raises(gpu.cuda.LaunchError, match=message):
        gpu.run("", **launch)


def test_arguments_of_another_size_are_refused(gpu: Gpu) -> None:
    work = gpu.function(_KERNEL.format(body="")).prepare("Pi")
    with pytest.raises(gpu.cuda.LaunchError, match="arguments of 12 bytes, not 16"):
        work.prepared_async_call((1, 1), (64, 1, 1), gpu.stream, 0, 0)


def test_memory_is_checked_outside_of_kernels_too(gpu: Gpu) -> None:
    memory, host = gpu.cuda.mem_alloc(16), np.zeros(5, np.int32)
    with pytest.raises(gpu.cuda.LaunchError, match="a copy to the GPU out of bounds"):
        gpu.cuda.memcpy_htod(memory, host)
    gpu.library.forgive()
    with pytest.raises(gpu.cuda.LaunchError, match="a copy from the GPU reads memory that nobody wrote"):
        gpu.cuda.memcpy_dtoh(host[:4], memory)
    gpu.library.forgive()
    memory.free()


def test_freed_memory_is_out_of_bounds(gpu: Gpu) -> None:
    memory = gpu.cuda.mem_alloc(256)
    work = gpu.function(_KERNEL.format(body="to[i] = 1;")).prepare("PP")
    address = int(memory)
    memory.free()
    work.prepared_async_call((1, 1), (64, 1, 1), gpu.stream, address, address)
    with pytest.raises(gpu.cuda.LaunchError, match="thread 0 of block 0 writes 4 bytes out of bounds"):
        gpu.stream.synchronize()


def test_nothing_is_done_before_somebody_waits(gpu: Gpu) -> None:
    memory, other = gpu.cuda.mem_alloc(256), gpu.cuda.Stream()
    after, event = gpu.cuda.pagelocked_zeros(64, np.int32), gpu.cuda.Event()
    work = gpu.function(_KERNEL.format(body="to[i] = 1;")).prepare("PP")
    work.prepared_async_call((1, 1), (64, 1, 1), gpu.stream, memory, memory)
    gpu.cuda.memcpy_dtoh_async(after, memory, gpu.stream)
    event.record(gpu.stream)
    assert not event.query()
    assert not after.any()
    other.wait_for_event(event)
    other.synchronize()
    assert event.query()
    assert after.all()
    memory.free()


def test_leaks_are_counted(gpu: Gpu) -> None:
    before = gpu.library.allocations
    memory = gpu.cuda.mem_alloc(1)
    assert gpu.library.allocations == before + 1
    memory.free()
    assert gpu.library.allocations == before
