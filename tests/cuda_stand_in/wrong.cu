// Kernels that are wrong on purpose, one mistake each; test_cuda_stand_in.py says what must be found, and at which of the
// lines marked here. One block of 64 threads gets the numbers 0 to 63 and 64 numbers to write.

#define KERNEL extern "C" __global__ void

constexpr unsigned kAll = 0xffffffffu;

// Barriers that are missing.

KERNEL missing_barrier(const int* from, int* to) {
    __shared__ int kept[64];
    kept[threadIdx.x] = from[threadIdx.x];
    __syncthreads();
    to[threadIdx.x] = kept[threadIdx.x ^ 32];
    kept[threadIdx.x] = 0;  // missing_barrier
}

KERNEL missing_barrier_before_a_read(const int* from, int* to) {
    __shared__ int kept[64];
    kept[threadIdx.x] = 0;
    __syncthreads();
    kept[63 - threadIdx.x] = from[threadIdx.x];  // missing_barrier_before_a_read
    to[threadIdx.x] = kept[threadIdx.x];
}

KERNEL barrier_of_the_warp_alone(const int* from, int* to) {
    __shared__ int kept[64];
    kept[threadIdx.x] = 0;
    __syncthreads();
    kept[threadIdx.x ^ 32] = from[threadIdx.x];
    __syncwarp();
    to[threadIdx.x] = kept[threadIdx.x];  // barrier_of_the_warp_alone
}

KERNEL vote_taken_for_a_barrier(const int* from, int* to) {
    __shared__ int kept[64];
    kept[threadIdx.x] = from[threadIdx.x];
    __ballot_sync(kAll, 1);
    if (threadIdx.x % 32 == 0) to[threadIdx.x] = kept[threadIdx.x + 1];  // vote_taken_for_a_barrier
}

KERNEL barrier_of_other_lanes(const int* from, int* to) {
    __shared__ int kept[64];
    const unsigned lane = threadIdx.x % 32;
    kept[threadIdx.x] = from[threadIdx.x];
    __syncwarp(lane < 16 ? 0x0000ffffu : 0xffff0000u);
    to[threadIdx.x] = kept[threadIdx.x ^ 16];  // barrier_of_other_lanes
}

KERNEL many_readers_then_a_writer(const int* from, int* to) {
    __shared__ int kept;
    if (threadIdx.x == 0) kept = from[0];
    __syncthreads();
    to[threadIdx.x] = threadIdx.x < 40 ? kept : 0;
    if (threadIdx.x == 63) kept = 1;  // many_readers_then_a_writer
}

// The first reader must not be forgotten over those of the writer's own warp, who have nothing against it.
KERNEL reader_before_many_others(const int* from, int* to) {
    __shared__ int kept;
    if (threadIdx.x == 0) kept = from[0];
    __syncthreads();
    if (threadIdx.x == 3 || threadIdx.x >= 40) to[threadIdx.x] = kept;
    if (threadIdx.x < 32) return;
    __syncwarp();
    if (threadIdx.x == 40) kept = 1;  // reader_before_many_others
}

KERNEL race_of_bytes(const int* from, int* to) {
    __shared__ char kept[64];
    kept[threadIdx.x / 2] = from[threadIdx.x];  // race_of_bytes
    to[threadIdx.x] = kept[threadIdx.x / 2];
}

KERNEL word_over_bytes(const int* from, int* to) {
    __shared__ int words[16];
    if (threadIdx.x < 16) words[threadIdx.x] = 0;
    __syncthreads();
    if (threadIdx.x == 0) reinterpret_cast<char*>(words)[5] = 1;
    if (threadIdx.x == 1) words[1] = from[0];  // word_over_bytes
    __syncthreads();
    to[threadIdx.x] = words[threadIdx.x / 4];
}

// Races in global memory.

KERNEL two_threads_write_one_place(const int* from, int* to) {
    to[0] = threadIdx.x;  // two_threads_write_one_place
}

KERNEL two_blocks_write_one_place(const int* from, int* to) {
    to[threadIdx.x] = blockIdx.x;  // two_blocks_write_one_place
}

KERNEL block_reads_what_another_wrote(const int* from, int* to) {
    if (blockIdx.x == 0) to[threadIdx.x] = 1;
    if (blockIdx.x == 1) to[threadIdx.x] = to[0];  // block_reads_what_another_wrote
}

KERNEL plain_write_beside_an_atomic_one(const int* from, int* to) {
    if (threadIdx.x) atomicAdd(to, 1);
    if (threadIdx.x == 0) *to = 5;  // plain_write_beside_an_atomic_one
}

KERNEL plain_read_beside_atomic_ones(const int* from, int* to) {
    atomicAdd(to, 1);
    if (threadIdx.x == 63 && *to > 9) to[1] = 0;  // plain_read_beside_atomic_ones
}

// Out of bounds.

KERNEL read_behind_the_end(const int* from, int* to) {
    to[threadIdx.x] = from[threadIdx.x + 1];  // read_behind_the_end
}

KERNEL write_before_the_beginning(const int* from, int* to) {
    to[static_cast<int>(threadIdx.x) - 1] = 0;  // write_before_the_beginning
}

KERNEL read_behind_memory_sized_at_launch(const int* from, int* to) {
    extern __shared__ int kept[];
    kept[threadIdx.x] = from[threadIdx.x];
    __syncthreads();
    to[threadIdx.x] = kept[threadIdx.x + 1];  // read_behind_memory_sized_at_launch
}

KERNEL index_beyond_a_shared_array(const int* from, int* to) {
    __shared__ int kept[64], others[64];
    others[threadIdx.x] = kept[threadIdx.x] = from[threadIdx.x];
    __syncthreads();
    to[threadIdx.x] = kept[threadIdx.x + 1] + others[threadIdx.x];  // index_beyond_a_shared_array
}

// By a pointer, which does not tell the compiler of which array.
__device__ int element(const int* array, int index) {
    return array[index];  // pointer_from_one_shared_array_to_the_next
}

KERNEL pointer_from_one_shared_array_to_the_next(const int* from, int* to) {
    __shared__ int kept[64], others[64];
    kept[threadIdx.x] = others[threadIdx.x] = from[threadIdx.x];
    __syncthreads();
    to[threadIdx.x] = element(kept, threadIdx.x + 1) + element(others, threadIdx.x);
}

template <class Number>
__device__ void shift(const Number* from, Number* to) {
    __shared__ Number kept[64], others[64];
    kept[threadIdx.x] = others[threadIdx.x] = from[threadIdx.x];
    __syncthreads();
    to[threadIdx.x] = element(kept, static_cast<int>(threadIdx.x) - 1) + element(others, threadIdx.x);
}

KERNEL pointer_between_shared_arrays_of_templates(const int* from, int* to) { shift(from, to); }

KERNEL index_beyond_a_local_array(const int* from, int* to) {
    int local[4] = {1, 2, 3, 4};
    to[threadIdx.x] = local[from[threadIdx.x] % 5];  // index_beyond_a_local_array
}

KERNEL memory_of_the_host(const int* from, int* to) {
    to[threadIdx.x] = *reinterpret_cast<const int*>(0x1000 + 4 * threadIdx.x);  // memory_of_the_host
}

KERNEL local_variable_of_another_thread(const int* from, int* to) {
    __shared__ const int* where;
    const int mine[2] = {from[threadIdx.x], from[0]};
    if (threadIdx.x == 5) where = mine;
    __syncthreads();
    to[threadIdx.x] = where[from[threadIdx.x] % 2];  // local_variable_of_another_thread
    __syncthreads();
}

KERNEL copy_of_too_many_bytes(const int* from, int* to) {
    if (threadIdx.x == 0) memcpy(to, from, from[1] * 260);  // copy_of_too_many_bytes
}

// What nobody wrote.

KERNEL uninitialised_shared_memory(const int* from, int* to) {
    __shared__ int kept[64];
    if (threadIdx.x) kept[threadIdx.x] = 0;
    __syncthreads();
    to[threadIdx.x] = kept[threadIdx.x];  // uninitialised_shared_memory
}

KERNEL shared_memory_of_the_block_before(const int* from, int* to) {
    __shared__ int kept[64];
    if (blockIdx.x == 0) kept[threadIdx.x] = 0;
    to[64 * blockIdx.x + threadIdx.x] = kept[threadIdx.x];  // shared_memory_of_the_block_before
}

KERNEL sum_that_begins_nowhere(const int* from, int* to) {
    __shared__ int sum;
    atomicAdd(&sum, from[threadIdx.x]);  // sum_that_begins_nowhere
}

// Barriers, votes and shuffles without those who belong to them.

KERNEL barrier_that_half_of_a_block_reaches(const int* from, int* to) {
    if (threadIdx.x < 32) __syncthreads();  // barrier_that_half_of_a_block_reaches
}

KERNEL different_barriers(const int* from, int* to) {
    if (threadIdx.x < 32) {
        __syncthreads();  // different_barriers
    } else {
        __syncthreads();
    }
}

KERNEL barriers_of_block_and_warp(const int* from, int* to) {
    if (threadIdx.x % 32 < 16) {
        __syncthreads();
    } else {
        __syncwarp();  // barriers_of_block_and_warp
    }
}

KERNEL vote_without_one_of_its_lanes(const int* from, int* to) {
    if (threadIdx.x % 32) __ballot_sync(kAll, 1);  // vote_without_one_of_its_lanes
}

KERNEL lane_outside_of_its_mask(const int* from, int* to) {
    __syncwarp(0xfffffffeu);  // lane_outside_of_its_mask
}

KERNEL different_masks(const int* from, int* to) {
    __syncwarp(threadIdx.x % 2 ? kAll : 0x0fffffffu | 1u << threadIdx.x % 32);  // different_masks
}

KERNEL shuffle_from_a_lane_that_is_absent(const int* from, int* to) {
    if (threadIdx.x % 32 < 16) to[threadIdx.x] = __shfl_sync(0x0000ffffu, from[0], 20);  // shuffle_from_a_lane_that_is_absent
}

// What C++ leaves undefined.

KERNEL unaligned_read(const int* from, int* to) {
    const char* bytes = reinterpret_cast<const char*>(from);
    to[threadIdx.x] = *reinterpret_cast<const int*>(bytes + (threadIdx.x == 5));  // unaligned_read
}

KERNEL unaligned_pair(const int* from, int* to) {
    struct alignas(8) Pair {
        int first, second;
    };
    if (threadIdx.x < 8) to[threadIdx.x] = reinterpret_cast<const Pair*>(from + 1)[threadIdx.x].second;  // unaligned_pair
}

KERNEL shift_by_all_bits(const int* from, int* to) {
    to[threadIdx.x] = 1u >> from[threadIdx.x];  // shift_by_all_bits
}

KERNEL division_by_zero(const int* from, int* to) {
    to[threadIdx.x] = 64 / from[threadIdx.x];  // division_by_zero
}

KERNEL integer_overflow(const int* from, int* to) {
    to[threadIdx.x] = 0x7fffffff - 10 + from[threadIdx.x];  // integer_overflow
}

// What does not fit, or does not end.

KERNEL too_much_shared_memory(const int* from, int* to) {
    __shared__ double first[4000], second[4000];
    first[threadIdx.x] = second[threadIdx.x] = from[threadIdx.x];
    to[threadIdx.x] = static_cast<int>(first[threadIdx.x] + second[threadIdx.x]);
}

__device__ int deep(const int* from, int depth) {
    volatile int room[64];
    room[depth % 64] = depth;
    return from[depth % 64] + (depth ? deep(from, depth - 1) : 0) + room[depth % 64];
}

KERNEL endless_recursion(const int* from, int* to) { to[threadIdx.x] = deep(from, from[63] << 20); }

KERNEL endless_loop(const int* from, int* to) {
    while (from[0] == 0) {
    }
}
