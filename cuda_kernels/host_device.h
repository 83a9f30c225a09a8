// What lets one header serve both the CUDA kernels and the decoder for the CPU.
//
// The headers beside this one hold the decoder's arithmetic once: no standard library, no exceptions, no allocation, so
// that nvcc, NVRTC and any C++17 compiler take them. Compile without contraction of products and sums into one
// operation (-fmad=false, -ffp-contract=off) and without fast mathematics: then every decoder rounds alike, and agrees
// with the one in NumPy about which of two nearly equal scores is the greater.
//
// Maps are h x w cells, row by row; a map's type is float, or anything that converts to it, such as Half.

#ifndef LTSH_HOST_DEVICE_H
#define LTSH_HOST_DEVICE_H

#if !defined(__CUDACC_RTC__)
#include <math.h>
#endif

#if defined(__CUDACC__)
#define LTSH_HOST_DEVICE __host__ __device__ inline
#else
#define LTSH_HOST_DEVICE inline
#endif

namespace ltsh {

template <class Number>
LTSH_HOST_DEVICE Number least(Number a, Number b) {
    return b < a ? b : a;
}

template <class Number>
LTSH_HOST_DEVICE Number greatest(Number a, Number b) {
    return a < b ? b : a;
}

/// The number in [low, high] that is nearest; of NaN, low.
template <class Number>
LTSH_HOST_DEVICE Number clamped(Number value, Number low, Number high) {
    return value > low ? least(value, high) : low;
}

}  // namespace ltsh

#endif
