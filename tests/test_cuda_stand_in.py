"""The CUDA stand-in: that right kernels run, and that each kind of wrong one is caught and named."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.cuda_stand_in.gpu import FOLDER, Gpu, Numbers

#: The line of each mistake in wrong.cu, by kernel.
LINES = {
    match[1]: number
    for number, line in enumerate((FOLDER / "wrong.cu").read_text().splitlines(), 1)
    if (match := re.search(r"// (\w+)$", line))
}


N = np.arange(64)
#: What kernels of right.cu make of N, and how they are launched.
RIGHT: dict[str, tuple[Any, dict[str, Any]]] = {
    "copy": (N, {}),
    "reverse": (N[::-1], {}),
    "reverse_in_memory_sized_at_launch": (N[::-1], {"shared": 256}),
    "reverse_by_two_blocks": (N[::-1], {"grid": (2, 1)}),
    "neighbours_of_a_warp": (N ^ 1, {}),
    "chain_of_pairs": (np.where(N % 32 < 3, N // 32 * 32, 0), {}),
    "sum_by_shuffles": (np.where(N % 32, 0, np.where(N < 32, 496, 1520)), {}),
    "shuffles_of_half_warps": (
        1 + 2 * (N ^ 8) + 1000 * np.where(N % 16, N - 1, N) + 100000 * (N // 16 * 16 + 3),
        {},
    ),
    "ranks_by_a_vote": (N % 32 // 2 + 200 + 1000 * (N >= 32) + 10000 * (N < 32), {}),
    "votes_of_the_block": (np.full(64, 131), {}),
    "atomic_operations": (np.where(N < 5, np.resize([2016, 3, 63, 255, 32], 64), 0), {}),
    "neighbouring_bytes": ((N ^ 1) % 2, {}),
    "memory_used_in_turns": ((N + 3) % 64, {}),
    "waiting_for_another_thread": (N, {}),
    "threads_that_end_early": (np.where(N < 32, N, 7), {}),
    "constants": (N % 4 + 5, {}),
    "places_in_the_grid": (
        1000 * (N // 16) + 100 * (N % 4) + 10 * (N // 4 % 2) + N // 8 % 2,
        {"grid": (2, 2), "block": (4, 2, 2)},
    ),
}

WITHIN = "thread {} of block 0 {} what thread {} of block 0 {} at wrong.cu:[^,]+, with no barrier between: a race in {}"
BETWEEN = "thread {} of block 1 {} what thread {} of block 0 {} at wrong.cu:\\S+ in the same launch: a race in {}"
#: What is said of kernels of wrong.cu, and how they are launched.
WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "missing_barrier": (WITHIN.format(32, "reads", 0, "wrote", "shared variable kept"), {}),
    "missing_barrier_before_a_read": (WITHIN.format(32, "writes", 31, "read", "shared variable kept"), {}),
    "barrier_of_the_warp_alone": (WITHIN.format(0, "reads", 32, "wrote", "shared variable kept"), {}),
    "vote_taken_for_a_barrier": (WITHIN.format(0, "reads", 1, "wrote", "shared variable kept"), {}),
    "barrier_of_other_lanes": (WITHIN.format(0, "reads", 16, "wrote", "shared variable kept"), {}),
    "many_readers_then_a_writer": (WITHIN.format(63, "writes", r"\d+", "read", "shared variable kept"), {}),
    "reader_before_many_others": (WITHIN.format(40, "writes", 3, "read", "shared variable kept"), {}),
    "race_of_bytes": (WITHIN.format(1, "writes", 0, "wrote", "shared variable kept"), {}),
    "word_over_bytes": (WITHIN.format(1, "writes", 0, "wrote", "shared variable words"), {}),
    "two_threads_write_one_place": (WITHIN.format(1, "writes", 0, "wrote", "memory of 256 bytes"), {}),
    "two_blocks_write_one_place": (BETWEEN.format(0, "writes", 0, "wrote", "memory of 512 bytes"), {"grid": (2, 1)}),
    "block_reads_what_another_wrote": (
        BETWEEN.format(0, "reads", 0, "wrote", "memory of 512 bytes"),
        {"grid": (2, 1)},
    ),
    "plain_write_beside_an_atomic_one": (r"(writes|reads) what thread \d+ of block 0 wrote", {}),
    "plain_read_beside_atomic_ones": (WITHIN.format(63, "reads", r"\d+", "wrote", "memory of 256 bytes"), {}),
    "read_behind_the_end": ("thread 63 of block 0 reads 4 bytes out of bounds, right behind memory of 256 bytes", {}),
    "write_before_the_beginning": (
        "thread 0 of block 0 writes 4 bytes out of bounds, 4 bytes before memory",
        {},
    ),
    "read_behind_memory_sized_at_launch": (
        "thread 63 of block 0 reads 4 bytes out of bounds, right behind shared memory of 256 bytes",
        {"shared": 256},
    ),
    "index_beyond_a_shared_array": ("thread 63 of block 0 uses an index out of an array's bounds", {}),
    "pointer_from_one_shared_array_to_the_next": (
        "thread 63 of block 0 reads 4 bytes out of bounds, right behind shared variable kept",
        {},
    ),
    "pointer_between_shared_arrays_of_templates": (
        "thread 0 of block 0 reads 4 bytes out of bounds, .* shared variable (kept|others)",
        {},
    ),
    "index_beyond_a_local_array": ("thread 4 of block 0 uses an index out of an array's bounds", {}),
    "memory_of_the_host": ("reads 4 bytes out of bounds, at an address that is none of the GPU's", {}),
    "local_variable_of_another_thread": ("thread 0 of block 0 touches a local variable of thread 5", {}),
    "copy_of_too_many_bytes": ("thread 0 of block 0 reads 260 bytes out of bounds, at byte 0 of memory of 256", {}),
    "uninitialised_shared_memory": (
        "thread 0 of block 0 reads shared variable kept, at byte 0, which nobody wrote",
        {},
    ),
    "shared_memory_of_the_block_before": (
        "thread 0 of block 1 reads shared variable kept, at byte 0, which nobody wrote",
        {"grid": (2, 1)},
    ),
    "sum_that_begins_nowhere": ("thread 0 of block 0 reads shared variable sum, at byte 0, which nobody wrote", {}),
    "barrier_that_half_of_a_block_reaches": (
        "is not reached by all threads of the block: thread 0 waits, thread 32 has ended",
        {},
    ),
    "different_barriers": (r"wait at different barriers: thread 0 at wrong.cu:\d+, thread 32 at wrong.cu:\d+", {}),
    "barriers_of_block_and_warp": (r"for lane 0 of its warp, which waits elsewhere, at wrong.cu:\d+: this never", {}),
    "vote_without_one_of_its_lanes": ("thread 1 waits at .* for lane 0 of its warp, which has ended", {}),
    "lane_outside_of_its_mask": ("thread 0 of block 0 takes part, whose lane the mask leaves out", {}),
    "different_masks": ("which waits there for other lanes", {}),
    "shuffle_from_a_lane_that_is_absent": ("asks a lane that takes no part in the shuffle", {}),
    "unaligned_read": ("thread 5 of block 0 uses an address that is not aligned for its type", {}),
    "unaligned_pair": ("thread 0 of block 0 uses an address that is not aligned for its type", {}),
    "shift_by_all_bits": ("thread 32 of block 0 shifts by a number of bits that is negative or too large", {}),
    "division_by_zero": ("thread 0 of block 0 divides by zero", {}),
    "integer_overflow": ("thread 11 of block 0 overflows an integer", {}),
    "too_much_shared_memory": ("shared memory of 64000 bytes, of which there are 49152", {}),
    "endless_recursion": ("a thread's stack is exhausted", {}),
}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", RIGHT)
def test_right_kernels_compute_what_they_should_in_any_order(name: str, seed: int, gpu: Gpu) -> None:
    result, launch = RIGHT[name]
    with gpu.library.order(seed):
        np.testing.assert_array_equal(gpu.run(name, **launch)[:64], result)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_kernels_are_caught_and_named(name: str, gpu: Gpu) -> None:
    message, launch = WRONG[name]
    line = rf"\bwrong.cu:{LINES[name]}\b.*" if name in LINES else ""
    with gpu.faults(f"kernel {name}: .*(?={message}).*") as caught:
        gpu.run(name, "wrong", **launch)
    assert re.search(line, str(caught.value)), f"not of line {LINES[name]}: {caught.value}"


@pytest.mark.parametrize("name", sorted(WRONG.keys() - {"integer_overflow"}))
def test_wrong_kernels_are_caught_in_any_order(name: str, gpu: Gpu) -> None:
    """Which mistake of a kernel comes first depends on the order; that one comes does not."""
    for seed in range(1, 6):
        with gpu.library.order(seed), gpu.faults(f"kernel {name}: "):
            gpu.run(name, "wrong", **WRONG[name][1])


def test_every_kernel_is_tested() -> None:
    others = {"right": {"tickets", "arguments_of_many_kinds"}, "wrong": {"endless_loop"}}
    for file, tested in (("right", RIGHT), ("wrong", WRONG)):
        kernels = re.findall(r"^KERNEL (\w+)\(", (FOLDER / f"{file}.cu").read_text(), re.M)
        assert set(kernels) == tested.keys() | others[file]


def test_a_kernel_that_does_not_end_is_stopped(gpu: Gpu) -> None:
    with gpu.library.patience(0.1), gpu.faults(r"kernel endless_loop: the kernel does not end: thread \d+ of block 0"):
        gpu.run("endless_loop", "wrong")


def test_orders_differ_and_come_again_and_atomic_operations_stay_whole(gpu: Gpu) -> None:
    next_ticket, tickets = gpu.cuda.mem_alloc(4), gpu.cuda.mem_alloc(1024)

    def given(seed: int) -> Numbers:
        result = np.zeros(256, np.int32)
        gpu.cuda.memset_d32(next_ticket, 0, 1)
        with gpu.library.order(seed):
            gpu.kernel("tickets").prepared_call((4, 1), (64, 1, 1), next_ticket, tickets)
            gpu.cuda.memcpy_dtoh(result, tickets)
        return result

    np.testing.assert_array_equal(given(0), np.arange(256))
    orders = [given(seed) for seed in (1, 2, 3)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(256))
    assert len({order.tobytes() for order in [given(0), *orders]}) == 4
    np.testing.assert_array_equal(given(2), orders[1])
    next_ticket.free()
    tickets.free()


def test_arguments_of_every_kind_arrive(gpu: Gpu) -> None:
    memory, result = gpu.cuda.mem_alloc(4), np.zeros(1, np.int32)
    kernel = gpu.kernel("arguments_of_many_kinds", arguments="bd16sHP")
    pair = np.array([(1.5, 2.25)], np.dtype([("number", "f4"), ("other", "f8")], align=True)).tobytes()
    kernel.prepared_call((1, 1), (32, 1, 1), -3, 100.5, pair, 60000, int(memory))
    gpu.cuda.memcpy_dtoh(result, memory)
    assert result[0] == int(-3 + 100.5 + 1.5 + 2.25 + 60000)
    memory.free()
