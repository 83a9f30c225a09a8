// What kernels may use of CUDA C++; g++ reads it before a kernel's source. What is not here, kernels cannot be tested with.

#pragma once

// stand_in.py replaces `__global__`, `__shared__` and `extern __shared__` in the source itself.
#define __CUDACC__
#define __CUDA_ARCH__ 900

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#define __host__
#define __device__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)

struct uint3 {
    unsigned x, y, z;
};
using dim3 = uint3;

extern "C" {
// They stay the same for as long as a thread lives, so that g++ needs to ask only once.
__attribute__((const)) uint3 stand_in_thread_index();
__attribute__((const)) uint3 stand_in_block_index();
__attribute__((const)) uint3 stand_in_block_size();
__attribute__((const)) uint3 stand_in_grid_size();
__attribute__((const)) unsigned stand_in_lane();
void* stand_in_dynamic_shared();
unsigned stand_in_block_barrier(int vote, const char* file, int line);
void stand_in_warp_barrier(unsigned mask, std::uint64_t brought, std::uint64_t* received, const char* file, int line);
void stand_in_atomic_access(void* address, std::size_t size, const void* place);
void stand_in_fail(const char* what, const char* file, int line);
}

#define threadIdx stand_in_thread_index()
#define blockIdx stand_in_block_index()
#define blockDim stand_in_block_size()
#define gridDim stand_in_grid_size()
constexpr int warpSize = 32;

// As a last parameter: the line of whoever calls, by which barriers are told apart.
#define STAND_IN_CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()

// Barriers.

inline void __syncthreads(STAND_IN_CALLER) { stand_in_block_barrier(0, file, line); }
inline int __syncthreads_count(int vote, STAND_IN_CALLER) { return stand_in_block_barrier(vote, file, line); }
inline int __syncthreads_or(int vote, STAND_IN_CALLER) { return stand_in_block_barrier(vote, file, line) != 0; }
inline int __syncthreads_and(int vote, STAND_IN_CALLER) { return stand_in_block_barrier(!vote, file, line) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu, STAND_IN_CALLER) {
    stand_in_warp_barrier(mask, 0, nullptr, file, line);
}

// Votes and shuffles of a warp.

inline unsigned __ballot_sync(unsigned mask, int vote, STAND_IN_CALLER) {
    std::uint64_t votes[32];
    stand_in_warp_barrier(mask, vote != 0, votes, file, line);
    unsigned ballot = 0;
    for (int lane = 0; lane < 32; ++lane) ballot |= (votes[lane] ? 1u : 0u) << lane;
    return ballot;
}
inline int __any_sync(unsigned mask, int vote, STAND_IN_CALLER) { return __ballot_sync(mask, vote, file, line) != 0; }
inline int __all_sync(unsigned mask, int vote, STAND_IN_CALLER) {
    return __ballot_sync(mask, vote, file, line) == mask;
}

/// What a lane of the warp brought; nothing is known of lanes that took no part.
template <class Value>
inline Value stand_in_shuffle(unsigned mask, Value value, unsigned source, const char* file, int line) {
    static_assert(std::is_arithmetic_v<Value> && (sizeof(Value) == 4 || sizeof(Value) == 8), "no type of a shuffle");
    std::uint64_t brought = 0, received[32];
    std::memcpy(&brought, &value, sizeof value);
    stand_in_warp_barrier(mask, brought, received, file, line);
    if (!(mask >> source & 1)) stand_in_fail("asks a lane that takes no part in the shuffle", file, line);
    std::memcpy(&value, &received[source], sizeof value);
    return value;
}

// A warp may be taken for several narrower ones, of `width` lanes each, which is a power of two. Where there is no lane
// to take from, each keeps its own value.

template <class Value>
inline Value __shfl_sync(unsigned mask, Value value, int source, int width = 32, STAND_IN_CALLER) {
    const unsigned first = stand_in_lane() & -width;
    return stand_in_shuffle(mask, value, first + (source & (width - 1)), file, line);
}
template <class Value>
inline Value __shfl_up_sync(unsigned mask, Value value, unsigned distance, int width = 32, STAND_IN_CALLER) {
    const unsigned lane = stand_in_lane(), place = lane & (width - 1);
    return stand_in_shuffle(mask, value, distance > place ? lane : lane - distance, file, line);
}
template <class Value>
inline Value __shfl_down_sync(unsigned mask, Value value, unsigned distance, int width = 32, STAND_IN_CALLER) {
    const unsigned lane = stand_in_lane(), left = width - 1 - (lane & (width - 1));
    return stand_in_shuffle(mask, value, distance > left ? lane : lane + distance, file, line);
}
template <class Value>
inline Value __shfl_xor_sync(unsigned mask, Value value, int bits, int width = 32, STAND_IN_CALLER) {
    const unsigned lane = stand_in_lane(), other = lane ^ bits, end = (lane & -width) + width;
    return stand_in_shuffle(mask, value, other >= end ? lane : other, file, line);
}

// Atomic operations. Threads take turns only before an access, so that nothing comes between a load and its store.

/// Replaces a value by another one; returns what was there.
template <class Value, class Change>
__attribute__((no_sanitize("thread", "undefined"), noinline)) Value stand_in_atomic(Value* address, Change change) {
    static_assert(std::is_arithmetic_v<Value> && (sizeof(Value) == 4 || sizeof(Value) == 8), "no type of atomics");
    stand_in_atomic_access(address, sizeof(Value), __builtin_return_address(0));
    const Value before = *address;
    *address = change(before);
    return before;
}

/// An operand is converted to the type of the variable.
template <class Value>
using stand_in_operand = typename std::common_type<Value>::type;

#define STAND_IN_ATOMIC(NAME, RESULT)                                                              \
    template <class Value>                                                                         \
    inline Value NAME(Value* address, stand_in_operand<Value> value) {                             \
        return stand_in_atomic(address, [=](Value before) -> Value { return RESULT; });            \
    }

STAND_IN_ATOMIC(atomicAdd, before + value)
STAND_IN_ATOMIC(atomicSub, before - value)
STAND_IN_ATOMIC(atomicMin, value < before ? value : before)
STAND_IN_ATOMIC(atomicMax, before < value ? value : before)
STAND_IN_ATOMIC(atomicAnd, before & value)
STAND_IN_ATOMIC(atomicOr, before | value)
STAND_IN_ATOMIC(atomicXor, before ^ value)
STAND_IN_ATOMIC(atomicExch, value)

template <class Value>
inline Value atomicCAS(Value* address, stand_in_operand<Value> expected, stand_in_operand<Value> value) {
    return stand_in_atomic(address, [=](Value before) { return before == expected ? value : before; });
}

// Bits.

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits ? __builtin_clz(bits) : 32; }

template <class To, class From>
inline To stand_in_same_bits(From from) {
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}
inline unsigned __float_as_uint(float number) { return stand_in_same_bits<unsigned>(number); }
inline int __float_as_int(float number) { return stand_in_same_bits<int>(number); }
inline float __uint_as_float(unsigned bits) { return stand_in_same_bits<float>(bits); }
inline float __int_as_float(int bits) { return stand_in_same_bits<float>(bits); }

template <class Value>
inline Value min(Value a, stand_in_operand<Value> b) {
    return b < a ? b : a;
}
template <class Value>
inline Value max(Value a, stand_in_operand<Value> b) {
    return a < b ? b : a;
}

template <class Value>
inline Value __ldg(const Value* address) {
    return *address;
}
