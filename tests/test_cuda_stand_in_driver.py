"""The CUDA stand-in's driver: memory, streams, events, graphs, contexts and launches, as pycuda uses them."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cuda_stand_in.gpu import Gpu
from tests.cuda_stand_in.stand_in import StandIn, compile_kernels

ROOT = Path(__file__).parent.parent


def numbers(gpu: Gpu, count: int = 64) -> Any:
    """Page-locked, so that they are copied when the stream comes to it."""
    array = gpu.cuda.pagelocked_empty(count, np.int32)
    array[:] = np.arange(count)
    return array


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        ({"block": (1056, 1, 1)}, "too many threads in a block"),
        ({"block": (1, 1, 65)}, "too many threads in a block"),
        ({"block": (0, 1, 1)}, "a grid or block of nothing"),
        ({"grid": (0, 1)}, "a grid or block of nothing"),
        ({"grid": (1, 65536)}, "too many blocks in a grid"),
        ({"shared": 64 * 1024}, "more shared memory than it may have"),
    ],
)
def test_launches_beyond_the_limits_are_refused(launch: dict[str, Any], message: str, gpu: Gpu) -> None:
    with gpu.faults(f"kernel copy: {message}"):
        memory = gpu.cuda.mem_alloc(256)
        grid, block = launch.get("grid", (1, 1)), launch.get("block", (64, 1, 1))
        shared = launch.get("shared", 0)
        gpu.kernel("copy").prepared_async_call(grid, block, gpu.stream, memory, memory, shared_size=shared)
    gpu.library.forgive()
    memory.free()


def test_a_kernel_that_asks_for_it_may_have_more_shared_memory(gpu: Gpu) -> None:
    memory, kernel = gpu.cuda.mem_alloc(256), gpu.kernel("reverse_in_memory_sized_at_launch")
    kernel.set_attribute(gpu.cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES, 100 * 1024)
    gpu.cuda.memcpy_htod(memory, np.arange(64, dtype=np.int32))
    kernel.prepared_call((1, 1), (64, 1, 1), memory, memory, shared_size=100 * 1024)
    gpu.cuda.Context.synchronize()
    with pytest.raises(gpu.cuda.LogicError):
        kernel.set_attribute(gpu.cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES, 228 * 1024)
    memory.free()


def test_arguments_of_another_size_are_refused(gpu: Gpu) -> None:
    kernel = gpu.kernel("copy", arguments="Pi")
    with gpu.faults("kernel copy: arguments of 12 bytes, not 16"):
        kernel.prepared_async_call((1, 1), (64, 1, 1), gpu.stream, 0, 0)


def test_what_is_no_program_and_what_is_no_kernel_is_refused(gpu: Gpu) -> None:
    with pytest.raises(gpu.cuda.Error, match="cuModuleLoadDataEx failed"):
        gpu.cuda.module_from_buffer(b"\x7fELF" + bytes(1000))
    with pytest.raises(gpu.cuda.LogicError, match="cuModuleGetFunction failed"):
        gpu.kernel("absent")


def test_copies_out_of_bounds_and_of_what_nobody_wrote_are_caught(gpu: Gpu) -> None:
    memory, host = gpu.cuda.mem_alloc(16), np.zeros(5, np.int32)
    for begin, message in ((0, "at byte 0 of memory of 16 bytes"), (16, "right behind memory of 16 bytes")):
        with gpu.faults(f"a copy to the GPU of 20 bytes out of bounds, {message}"):
            gpu.cuda.memcpy_htod(int(memory) + begin, host)
        gpu.library.forgive()
    with gpu.faults("a copy from the GPU of 20 bytes out of bounds"):
        gpu.cuda.memcpy_dtoh(host, memory)
    gpu.library.forgive()
    gpu.cuda.memcpy_htod(memory, host[:2])
    with gpu.faults("a copy from the GPU reads byte 8 of memory of 16 bytes, which nobody wrote"):
        gpu.cuda.memcpy_dtoh(host[:4], memory)
    gpu.library.forgive()
    with gpu.faults("a memset of 20 bytes out of bounds"):
        gpu.cuda.memset_d32(memory, 0, 5)
    gpu.library.forgive()
    gpu.cuda.memset_d32(int(memory) + 8, 5, 2)
    gpu.cuda.memcpy_dtoh(host[:4], memory)
    assert host.tolist() == [0, 0, 5, 5, 0]
    memory.free()


def test_freed_memory_is_known_ever_after(gpu: Gpu) -> None:
    kernel, memory, other = gpu.kernel("copy"), gpu.cuda.mem_alloc(256), gpu.cuda.mem_alloc(256)
    gpu.cuda.memset_d32(other, 0, 64)
    address = int(memory)
    memory.free()
    later = [gpu.cuda.mem_alloc(256) for _ in range(100)]
    kernel.prepared_async_call((1, 1), (64, 1, 1), gpu.stream, other, address)
    with gpu.faults("kernel copy: right.cu:.* thread 0 of block 0 touches memory of 256 bytes after it was freed"):
        gpu.stream.synchronize()
    gpu.library.forgive()
    with gpu.faults("a copy to the GPU touches memory of 256 bytes after it was freed"):
        gpu.cuda.memcpy_htod(address, np.zeros(64, np.int32))
    gpu.library.forgive()
    for memory in (other, *later):
        memory.free()


def test_memory_runs_out(gpu: Gpu) -> None:
    free, total = gpu.cuda.mem_get_info()
    memory = gpu.cuda.mem_alloc(1 << 20)
    assert gpu.cuda.mem_get_info() == (free - (1 << 20), total)
    with pytest.raises(gpu.cuda.MemoryError):
        gpu.cuda.mem_alloc(total)
    memory.free()


def test_nothing_is_done_before_somebody_waits(gpu: Gpu) -> None:
    memory, before, after = gpu.cuda.mem_alloc(256), numbers(gpu), numbers(gpu)
    after[:] = 0
    gpu.cuda.memcpy_htod_async(memory, before, gpu.stream)
    gpu.kernel("copy").prepared_async_call((1, 1), (64, 1, 1), gpu.stream, memory, memory)
    gpu.cuda.memcpy_dtoh_async(after, memory, gpu.stream)
    event, other = gpu.cuda.Event().record(gpu.stream), gpu.cuda.Stream()
    before[:] = 9
    assert not event.query()
    assert not after.any()
    other.wait_for_event(event)
    other.synchronize()
    assert event.query()
    assert (after == 9).all(), "page-locked memory that is written too early arrives as it was written"
    memory.free()


def test_memory_that_is_not_page_locked_is_copied_at_once(gpu: Gpu) -> None:
    memory, before, after = gpu.cuda.mem_alloc(256), np.arange(64, dtype=np.int32), np.zeros(64, np.int32)
    gpu.cuda.memcpy_htod_async(memory, before, gpu.stream)
    before[:] = 9
    gpu.cuda.memcpy_dtoh_async(after, memory, gpu.stream)
    np.testing.assert_array_equal(after, np.arange(64))
    memory.free()


def test_the_default_stream_waits_for_others_and_events_have_times(gpu: Gpu) -> None:
    memory, before, after = gpu.cuda.mem_alloc(256), numbers(gpu), np.zeros(64, np.int32)
    begin, end = gpu.cuda.Event().record(gpu.stream), gpu.cuda.Event()
    gpu.cuda.memcpy_htod_async(memory, before, gpu.stream)
    end.record(gpu.stream)
    gpu.cuda.memcpy_dtoh(after, memory)
    np.testing.assert_array_equal(after, before)
    assert end.time_since(begin) >= 0
    memory.free()


def test_kernels_may_use_page_locked_memory(gpu: Gpu) -> None:
    before, after = numbers(gpu), numbers(gpu)
    after[:] = 0
    gpu.kernel("reverse").prepared_call((1, 1), (64, 1, 1), before.base.get_device_pointer(), after.ctypes.data)
    gpu.cuda.Context.synchronize()
    np.testing.assert_array_equal(after, before[::-1])


def test_the_next_launch_may_write_what_the_one_before_wrote(gpu: Gpu) -> None:
    memory = gpu.cuda.mem_alloc(256)
    gpu.cuda.memset_d32(memory, 0, 64)
    for _ in range(2):
        gpu.kernel("reverse").prepared_async_call((1, 1), (64, 1, 1), gpu.stream, memory, memory)
    gpu.stream.synchronize()
    memory.free()


def test_a_fault_stays_until_it_is_forgiven(gpu: Gpu) -> None:
    memory = gpu.cuda.mem_alloc(256)
    gpu.cuda.memset_d32(memory, 0, 64)
    gpu.kernel("two_threads_write_one_place", "wrong").prepared_async_call(
        (1, 1), (64, 1, 1), gpu.stream, memory, memory
    )
    for _ in range(2):
        with gpu.faults("kernel two_threads_write_one_place"):
            gpu.stream.synchronize()
    assert "two_threads_write_one_place" in gpu.library.fault
    gpu.library.forgive()
    gpu.stream.synchronize()
    memory.free()


def test_what_is_not_given_back_is_counted(gpu: Gpu) -> None:
    before = gpu.library.open
    memory, host, stream, event = gpu.cuda.mem_alloc(1), numbers(gpu), gpu.cuda.Stream(), gpu.cuda.Event()
    more = {kind: count + (kind != "graphs") for kind, count in before.items()}
    assert gpu.library.open == more
    memory.free()
    del host, stream, event
    assert gpu.library.open == before


def test_work_is_recorded_once_and_started_as_often_as_wanted(gpu: Gpu) -> None:
    driver, memory, after = ctypes.CDLL("libcuda.so.1"), gpu.cuda.mem_alloc(256), numbers(gpu)
    stream, graph, program = ctypes.c_void_p(gpu.stream.handle), ctypes.c_void_p(), ctypes.c_void_p()
    before = numbers(gpu)
    assert driver.cuStreamBeginCapture_v2(stream, 1) == 0
    gpu.cuda.memcpy_htod_async(memory, before, gpu.stream)
    gpu.kernel("reverse").prepared_async_call((1, 1), (64, 1, 1), gpu.stream, memory, memory)
    gpu.cuda.memcpy_dtoh_async(after, memory, gpu.stream)
    with pytest.raises(gpu.cuda.LogicError, match="a stream that records a graph cannot be waited for"):
        gpu.stream.synchronize()
    assert driver.cuStreamEndCapture(stream, ctypes.byref(graph)) == 0
    assert driver.cuGraphInstantiateWithFlags(ctypes.byref(program), graph, ctypes.c_ulonglong(0)) == 0
    assert driver.cuGraphDestroy(graph) == 0
    for first in (0, 100):
        before[:] = np.arange(first, first + 64)
        assert driver.cuGraphLaunch(program, stream) == 0
        gpu.stream.synchronize()
        np.testing.assert_array_equal(after, before[::-1])
    assert gpu.library.open["graphs"] == 1
    assert driver.cuGraphExecDestroy(program) == 0
    memory.free()


def test_a_thread_without_a_context_is_refused(gpu: Gpu) -> None:
    driver, codes = ctypes.CDLL("libcuda.so.1"), []

    def work() -> None:
        place = ctypes.c_void_p()
        codes.append(driver.cuMemAlloc_v2(ctypes.byref(place), ctypes.c_size_t(4)))
        codes.append(driver.cuCtxPopCurrent_v2(None))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert codes == [201, 201]


def test_any_thread_may_use_the_device_with_a_context_of_its_own(gpu: Gpu) -> None:
    results = []

    def work() -> None:
        context = gpu.cuda.Device(0).retain_primary_context()
        context.push()
        memory, after = gpu.cuda.mem_alloc(256), np.zeros(64, np.int32)
        gpu.cuda.memcpy_htod(memory, np.arange(64, dtype=np.int32))
        gpu.kernel("reverse").prepared_call((1, 1), (64, 1, 1), memory, memory)
        gpu.cuda.memcpy_dtoh(after, memory)
        memory.free()
        results.append(after)
        context.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all((after == np.arange(63, -1, -1)).all() for after in results)


def test_arrays_that_say_where_they_are_on_the_device_are_taken_as_arguments(gpu: Gpu) -> None:
    class OnDevice:
        def __init__(self, memory: Any) -> None:
            data = (int(memory), False)
            self.__cuda_array_interface__ = {"shape": (64,), "typestr": "<i4", "data": data, "version": 3}

    memory, after = gpu.cuda.mem_alloc(256), np.zeros(64, np.int32)
    gpu.cuda.memcpy_htod(memory, np.arange(64, dtype=np.int32))
    array = OnDevice(memory)
    gpu.kernel("reverse")(array, array, block=(64, 1, 1), grid=(1, 1))
    gpu.cuda.memcpy_dtoh(after, memory)
    np.testing.assert_array_equal(after, np.arange(63, -1, -1))
    memory.free()


def test_what_the_stand_in_has_not_got_is_refused(gpu: Gpu) -> None:
    with pytest.raises(gpu.cuda.Error, match="refused by the CUDA stand-in"):
        gpu.cuda.managed_empty(4, np.int32, mem_flags=gpu.cuda.mem_attach_flags.GLOBAL)


def test_a_source_that_does_not_compile_is_told_with_its_line(stand_in: StandIn, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"broken.cu:2.*absent"):
        compile_kernels('extern "C" __global__ void work(int* to) {\n  absent(to); }', tmp_path, tmp_path, "broken.cu")
    with pytest.raises(AssertionError, match=r"broken.cu:2.*uninitialized"):
        compile_kernels(
            'extern "C" __global__ void work(int* to) {\n int x; to[x] = 1; }', tmp_path, tmp_path, "broken.cu"
        )


def test_pycuda_meets_the_stand_in_also_where_a_library_of_that_name_is_asked_for(stand_in_folder: Path) -> None:
    """Where pycuda was linked with libcuda.so.1, the loader must take the one that is loaded already."""
    code = (
        "import ctypes, sys; from pathlib import Path; from tests.cuda_stand_in.stand_in import load\n"
        f"load(Path({str(stand_in_folder)!r})); name = ctypes.create_string_buffer(64)\n"
        "ctypes.CDLL('libcuda.so.1').cuDeviceGetName(name, 64, 0); print(name.value.decode())"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "CPU standing in for a GPU\n"
