// Four numbers side by side, on which every processor in use computes at once. Included before limbs.h, whose
// arithmetic they then serve.

#ifndef LTSH_CPU_LANES_H
#define LTSH_CPU_LANES_H

#include <cmath>
#include <cstring>

// A function that is compiled for several generations of processors; the one that fits is chosen as the library loads.
// Where the system cannot choose, it is compiled once, for them all.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define LTSH_FOR_EACH_PROCESSOR __attribute__((flatten, target_clones("avx2", "sse4.1", "default")))
#else
#define LTSH_FOR_EACH_PROCESSOR
#endif

namespace ltsh {

constexpr int kLanes = 4;
typedef float Floats __attribute__((vector_size(16)));
/// Comparisons of either type give -1 for true and 0 for false.
typedef int Ints __attribute__((vector_size(16)));

inline Ints whole(Floats numbers) { return __builtin_convertvector(numbers, Ints); }
inline Floats real(Ints numbers) { return __builtin_convertvector(numbers, Floats); }

inline Floats root(Floats numbers) {
    return Floats{std::sqrt(numbers[0]), std::sqrt(numbers[1]), std::sqrt(numbers[2]), std::sqrt(numbers[3])};
}

inline Ints load(const int* numbers) {
    Ints loaded;
    std::memcpy(&loaded, numbers, sizeof loaded);
    return loaded;
}

inline Floats load(const float* numbers) {
    Floats loaded;
    std::memcpy(&loaded, numbers, sizeof loaded);
    return loaded;
}

template <class Number>
auto gather(const Number* numbers, Ints places) {
    typedef Number Numbers __attribute__((vector_size(16)));
    return Numbers{numbers[places[0]], numbers[places[1]], numbers[places[2]], numbers[places[3]]};
}

inline Ints gather_bytes(const unsigned char* numbers, Ints places) {
    return Ints{numbers[places[0]], numbers[places[1]], numbers[places[2]], numbers[places[3]]};
}

inline bool any(Ints truths) {
    typedef long long Halves __attribute__((vector_size(16)));
    const Halves halves = reinterpret_cast<Halves>(truths);
    return (halves[0] | halves[1]) != 0;
}

/// The two maps of a limb, for limbs.h.
struct PafLanes {
    const float *x_map, *y_map;

    void read(Ints cells, Floats& x, Floats& y) const {
        x = gather(x_map, cells);
        y = gather(y_map, cells);
    }
};

}  // namespace ltsh

#endif
