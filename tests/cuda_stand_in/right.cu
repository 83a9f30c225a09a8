// Kernels that are right: the stand-in must find nothing, and compute what test_cuda_stand_in.py says. Unless that says
// otherwise, one block of 64 threads gets the numbers 0 to 63 and 64 numbers to write, which are all 7 at first.

#define KERNEL extern "C" __global__ void

constexpr unsigned kAll = 0xffffffffu;

KERNEL copy(const int* from, int* to) { to[threadIdx.x] = from[threadIdx.x]; }

KERNEL reverse(const int* from, int* to) {
    __shared__ int kept[64];
    kept[threadIdx.x] = from[threadIdx.x];
    __syncthreads();
    to[threadIdx.x] = kept[63 - threadIdx.x];
}

KERNEL reverse_in_memory_sized_at_launch(const int* from, int* to) {
    extern __shared__ int kept[];
    kept[threadIdx.x] = from[threadIdx.x];
    __syncthreads();
    to[threadIdx.x] = kept[63 - threadIdx.x];
}

// Two blocks, each with shared memory of its own.
KERNEL reverse_by_two_blocks(const int* from, int* to) {
    __shared__ int kept[64];
    kept[threadIdx.x] = from[threadIdx.x];
    __syncthreads();
    to[64 * blockIdx.x + threadIdx.x] = kept[63 - threadIdx.x];
}

KERNEL neighbours_of_a_warp(const int* from, int* to) {
    __shared__ int kept[64];
    kept[threadIdx.x] = from[threadIdx.x];
    __syncwarp();
    to[threadIdx.x] = kept[threadIdx.x ^ 1];
}

// What a lane learns from a second one, which learned it from a third, is in order too.
KERNEL chain_of_pairs(const int* from, int* to) {
    __shared__ int kept[64];
    const unsigned lane = threadIdx.x % 32, first = threadIdx.x / 32 * 32;
    if (lane == 0) kept[first] = from[first];
    if (lane < 2) __syncwarp(0x3u);
    if (lane == 1 || lane == 2) __syncwarp(0x6u);
    to[threadIdx.x] = lane < 3 ? kept[first] : 0;
}

KERNEL sum_by_shuffles(const int* from, int* to) {
    int sum = from[threadIdx.x];
    for (int step = 16; step; step /= 2) sum += __shfl_down_sync(kAll, sum, step);
    to[threadIdx.x] = threadIdx.x % 32 ? 0 : sum;
}

KERNEL shuffles_of_half_warps(const int* from, int* to) {
    const int mine = from[threadIdx.x];
    const double other = __shfl_xor_sync(kAll, 0.5 + mine, 8, 16);
    to[threadIdx.x] = static_cast<int>(2 * other) + 1000 * __shfl_up_sync(kAll, mine, 1, 16) +
        100000 * __shfl_sync(kAll, mine, 3, 16);
}

KERNEL ranks_by_a_vote(const int* from, int* to) {
    const unsigned odd = __ballot_sync(kAll, from[threadIdx.x] & 1);
    to[threadIdx.x] = __popc(odd & ((1u << threadIdx.x % 32) - 1)) + 100 * __ffs(odd) +
        1000 * __any_sync(kAll, from[threadIdx.x] == 63) + 10000 * __all_sync(kAll, from[threadIdx.x] < 32);
}

KERNEL votes_of_the_block(const int* from, int* to) {
    const int mine = from[threadIdx.x];
    to[threadIdx.x] = __syncthreads_or(mine == 63) + 10 * __syncthreads_count(mine < 3) +
        100 * __syncthreads_and(mine < 64) + 1000 * __syncthreads_and(mine);
}

KERNEL atomic_operations(const int* from, int* to) {
    __shared__ int sum, least, greatest, bits;
    __shared__ float weight;
    if (threadIdx.x == 0) sum = bits = 0, least = 100, greatest = -1, weight = 0;
    __syncthreads();
    const int mine = from[threadIdx.x];
    atomicAdd(&sum, mine);
    atomicAdd(&weight, 0.5f);
    atomicMin(&least, mine + 3);
    atomicMax(&greatest, mine);
    atomicOr(&bits, 1 << mine % 8);
    __syncthreads();
    const int results[] = {sum, least, greatest, bits, static_cast<int>(weight)};
    to[threadIdx.x] = threadIdx.x < 5 ? results[threadIdx.x] : 0;
}

// Which thread gets which ticket depends on the order of execution.
KERNEL tickets(int* next, int* of_thread) {
    of_thread[blockDim.x * blockIdx.x + threadIdx.x] = atomicAdd(next, 1);
}

// Bytes of a word that belong to different threads.
KERNEL neighbouring_bytes(const int* from, int* to) {
    __shared__ bool is_odd[64];
    is_odd[threadIdx.x] = from[threadIdx.x] % 2;
    __syncthreads();
    to[threadIdx.x] = is_odd[threadIdx.x ^ 1];
}

KERNEL memory_used_in_turns(const int* from, int* to) {
    __shared__ int kept[64];
    kept[threadIdx.x] = from[threadIdx.x];
    for (int round = 0; round < 3; ++round) {
        __syncthreads();
        const int next = kept[(threadIdx.x + 1) % 64];
        __syncthreads();
        kept[threadIdx.x] = next;
    }
    to[threadIdx.x] = kept[threadIdx.x];
}

// One thread waits for what another one writes, which is allowed for volatile variables.
KERNEL waiting_for_another_thread(const int* from, int* to) {
    __shared__ volatile int is_ready;
    if (threadIdx.x == 0) is_ready = 0;
    __syncthreads();
    if (threadIdx.x == 63) is_ready = 1;
    while (!is_ready) {
    }
    to[threadIdx.x] = from[threadIdx.x];
}

KERNEL threads_that_end_early(const int* from, int* to) {
    if (threadIdx.x >= 32) return;
    to[threadIdx.x] = from[threadIdx.x];
}

__device__ const int kTable[] = {5, 6, 7, 8};

KERNEL constants(const int* from, int* to) { to[threadIdx.x] = kTable[from[threadIdx.x] % 4]; }

// 2 x 2 x 1 blocks of 4 x 2 x 2 threads.
KERNEL places_in_the_grid(const int* from, int* to) {
    const unsigned block = blockIdx.x + gridDim.x * blockIdx.y;
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    to[16 * block + thread] = static_cast<int>(1000 * block + 100 * threadIdx.x + 10 * threadIdx.y + threadIdx.z);
}

struct Pair {
    float number;
    double other;
};

KERNEL arguments_of_many_kinds(char small, double large, Pair pair, unsigned short middle, int* to) {
    if (threadIdx.x == 0) to[0] = static_cast<int>(small + large + pair.number + pair.other + middle);
}
