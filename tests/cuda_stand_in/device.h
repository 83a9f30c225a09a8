// What kernels may use of CUDA C++; g++ reads it before a kernel's source.

#pragma once

#define __CUDACC__
#define __CUDA_ARCH__ 900

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __host__
#define __device__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
// stand_in.py looks for these two.
#define __global__ __attribute__((used))
#define __shared__ static

extern "C" {
void stand_in_check(void* address, std::size_t size, int kind, bool is_aligned_by_type);
void stand_in_thread_index(unsigned* xyz);
void stand_in_block_index(unsigned* xyz);
void stand_in_block_size(unsigned* xyz);
void stand_in_grid_size(unsigned* xyz);
void* stand_in_dynamic_shared();
unsigned stand_in_block_barrier(bool vote);
void stand_in_warp_barrier(unsigned mask, std::uint64_t brought, std::uint64_t* all);
}

struct uint3 {
    unsigned x, y, z;
};
using dim3 = uint3;

inline uint3 stand_in_xyz(void (*tell)(unsigned*)) {
    unsigned xyz[3];
    tell(xyz);
    return {xyz[0], xyz[1], xyz[2]};
}

#define threadIdx stand_in_xyz(stand_in_thread_index)
#define blockIdx stand_in_xyz(stand_in_block_index)
#define blockDim stand_in_xyz(stand_in_block_size)
#define gridDim stand_in_xyz(stand_in_grid_size)

// Always inlined: where a thread waits is known by the place from which the library is called.
#define STAND_IN_INLINE __attribute__((always_inline)) inline

STAND_IN_INLINE void __syncthreads() { stand_in_block_barrier(false); }
STAND_IN_INLINE int __syncthreads_or(int vote) { return stand_in_block_barrier(vote) != 0; }
STAND_IN_INLINE int __syncthreads_count(int vote) { return static_cast<int>(stand_in_block_barrier(vote)); }
STAND_IN_INLINE void __syncwarp(unsigned mask = 0xffffffffu) { stand_in_warp_barrier(mask, 0, nullptr); }

inline unsigned stand_in_lane() {
    const uint3 thread = threadIdx, size = blockDim;
    return (thread.x + size.x * (thread.y + size.y * thread.z)) % 32;
}

STAND_IN_INLINE unsigned __ballot_sync(unsigned mask, int vote) {
    std::uint64_t all[32] = {};
    stand_in_warp_barrier(mask, vote != 0, all);
    unsigned ballot = 0;
    for (int lane = 0; lane < 32; ++lane) {
        if (mask >> lane & 1 && all[lane]) ballot |= 1u << lane;
    }
    return ballot;
}
STAND_IN_INLINE int __any_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote) != 0; }
STAND_IN_INLINE int __all_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote) == mask; }

template <class Value>
STAND_IN_INLINE Value __shfl_sync(unsigned mask, Value value, int source) {
    static_assert(sizeof(Value) == 4 || sizeof(Value) == 8, "CUDA shuffles 4 or 8 bytes");
    std::uint64_t brought = 0, all[32] = {};
    std::memcpy(&brought, &value, sizeof value);
    stand_in_warp_barrier(mask, brought, all);
    Value taken;
    std::memcpy(&taken, &all[source & 31], sizeof taken);
    return taken;
}
template <class Value>
STAND_IN_INLINE Value __shfl_xor_sync(unsigned mask, Value value, int bits) {
    return __shfl_sync(mask, value, static_cast<int>(stand_in_lane()) ^ bits);
}
template <class Value>
STAND_IN_INLINE Value __shfl_up_sync(unsigned mask, Value value, unsigned distance) {
    const unsigned lane = stand_in_lane();
    return __shfl_sync(mask, value, static_cast<int>(lane < distance ? lane : lane - distance));
}
template <class Value>
STAND_IN_INLINE Value __shfl_down_sync(unsigned mask, Value value, unsigned distance) {
    const unsigned lane = stand_in_lane();
    return __shfl_sync(mask, value, static_cast<int>(lane + distance > 31 ? lane : lane + distance));
}

/// Replaces a value by another one, in one piece; returns what was there.
template <class Value, class Change>
__attribute__((no_sanitize("thread"), noinline)) Value stand_in_atomic(Value* place, Change change) {
    stand_in_check(place, sizeof(Value), 2, true);
    const Value before = *place;
    *place = change(before);
    return before;
}
template <class Value>
inline Value atomicAdd(Value* place, Value value) {
    return stand_in_atomic(place, [=](Value before) { return before + value; });
}
template <class Value>
inline Value atomicMin(Value* place, Value value) {
    return stand_in_atomic(place, [=](Value before) { return value < before ? value : before; });
}
template <class Value>
inline Value atomicMax(Value* place, Value value) {
    return stand_in_atomic(place, [=](Value before) { return before < value ? value : before; });
}
template <class Value>
inline Value atomicOr(Value* place, Value value) {
    return stand_in_atomic(place, [=](Value before) { return before | value; });
}
template <class Value>
inline Value atomicExch(Value* place, Value value) {
    return stand_in_atomic(place, [=](Value) { return value; });
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits ? __builtin_clz(bits) : 32; }
inline unsigned __float_as_uint(float number) {
    unsigned bits;
    std::memcpy(&bits, &number, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float number;
    std::memcpy(&number, &bits, sizeof number);
    return number;
}
template <class Value>
inline Value __ldg(const Value* place) {
    return *place;
}
