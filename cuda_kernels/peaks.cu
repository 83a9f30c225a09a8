// Step one of the decoder on a GPU: peaks of heat maps, and a look at whether all maps hold numbers.
//
// Grid: (channels, images), the channels of the heat maps first and then those of the fields. The block of a joint's
// heat map finds its peaks; the others only look for NaN and infinity. Blocks are of whole warps, at most 1024 threads.
//
// What is computed and why is said in ltsh_deploy/peaks.py and peaks.h. Which cells are peaks is kept as one bit a cell,
// in the order of cells. Counting bits puts peaks into that order without a race for places, so that results never
// depend on which thread came first.

#include "cuda_results.h"
#include "half.h"
#include "peaks.h"

namespace {

using ltsh::FoundPeak;

constexpr int kWarp = 32, kMostWarps = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
/// Strengths are told apart by this many bits at a time.
constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;

/// One joint's heat map, and the memory that serves to find its peaks.
template <class Value>
struct Map {
    const Value* values;
    int h, w;
    /// A bit a cell, 32 cells a word.
    unsigned* marks;
    /// Per cell, and only touched where neighbouring cells are equal; see peaks.h.
    int* parent;
    ltsh::Plateau* plateau;

    __device__ int cells() const { return h * w; }
    __device__ int words() const { return (cells() + kWarp - 1) / kWarp; }
    __device__ ltsh::Patch patch(int cell) const { return ltsh::read_patch(values, h, w, cell / w, cell % w); }
    __device__ float value(int cell) const { return static_cast<float>(values[cell]); }
    __device__ bool is_marked(int cell) const { return marks[cell / kWarp] >> (cell % kWarp) & 1; }

    /// Calls `visit` with each neighbour that has the same value.
    template <class Visit>
    __device__ void for_equal_neighbours(int cell, Visit visit) const {
        const int row = cell / w, column = cell % w;
        for (int r = ltsh::greatest(row - 1, 0); r <= ltsh::least(row + 1, h - 1); ++r) {
            for (int c = ltsh::greatest(column - 1, 0); c <= ltsh::least(column + 1, w - 1); ++c) {
                const int other = r * w + c;
                if (other != cell && value(other) == value(cell)) visit(other);
            }
        }
    }
};

template <class Value>
__device__ bool is_finite(Value value) {
    // The difference of anything else to itself is NaN.
    const float number = static_cast<float>(value);
    return number - number == 0;
}

/// Writes the marks of 32 cells at a time; `is_marked(cell)` is asked by one thread a cell.
template <class Value, class IsMarked>
__device__ void mark(const Map<Value>& map, IsMarked is_marked) {
    for (int begin = 0; begin < map.words() * kWarp; begin += blockDim.x) {
        const int cell = begin + threadIdx.x;
        const unsigned word = __ballot_sync(kAllLanes, cell < map.cells() && is_marked(cell));
        // What the other lanes have read of the word must come before it is written: a vote does not see to that.
        __syncwarp();
        if (threadIdx.x % kWarp == 0 && cell / kWarp < map.words()) map.marks[cell / kWarp] = word;
    }
}

/// Marks the tops. Returns, to all threads alike, whether there are plateaus among them.
template <class Value>
__device__ bool mark_tops(const Map<Value>& map, float threshold, bool& finite) {
    bool tied = false;
    mark(map, [&](int cell) {
        const ltsh::Patch patch = map.patch(cell);
        finite &= is_finite(patch.value[4]);
        const bool top = ltsh::is_top(patch, threshold);
        tied |= top && ltsh::is_tied(patch);
        return top;
    });
    return __syncthreads_or(tied);
}

/// Leaves one mark a plateau, at its first cell, and none on a plateau that is a step up to a higher cell.
template <class Value>
__device__ void merge_plateaus(const Map<Value>& map) {
    for (int cell = threadIdx.x; cell < map.cells(); cell += blockDim.x) {
        map.parent[cell] = map.is_marked(cell) ? cell : ltsh::kNoTop;
        map.plateau[cell] = {0, 0, 0, map.w, -1, map.h, -1, 0};
    }
    __syncthreads();
    for (int cell = threadIdx.x; cell < map.cells(); cell += blockDim.x) {
        if (!map.is_marked(cell)) continue;
        map.for_equal_neighbours(cell, [&](int other) {
            if (other < cell && map.is_marked(other)) ltsh::join_plateaus(map.parent, cell, other);
        });
    }
    __syncthreads();
    for (int cell = threadIdx.x; cell < map.cells(); cell += blockDim.x) {
        if (!map.is_marked(cell)) continue;
        ltsh::Plateau& plateau = map.plateau[ltsh::plateau_of(map.parent, cell)];
        const int row = cell / map.w, column = cell % map.w;
        atomicAdd(&plateau.cells, 1);
        atomicAdd(&plateau.sum_of_columns, column);
        atomicAdd(&plateau.sum_of_rows, row);
        atomicMin(&plateau.first_column, column);
        atomicMax(&plateau.last_column, column);
        atomicMin(&plateau.first_row, row);
        atomicMax(&plateau.last_row, row);
        bool is_step = false;
        map.for_equal_neighbours(cell, [&](int other) { is_step |= !map.is_marked(other); });
        if (is_step) atomicMax(&plateau.is_step, 1);
    }
    __syncthreads();
    // A thread asks for the mark of no cell but its own, whose word its warp then writes.
    mark(map, [&](int cell) { return map.is_marked(cell) && map.parent[cell] == cell && !map.plateau[cell].is_step; });
    __syncthreads();
}

/// The sum of `number` over the threads before this one, and in `total` over all. Begins and ends with a barrier.
__device__ int sum_before(int number, int& total, int* warp_sums) {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
    int sum = number;
    for (int step = 1; step < kWarp; step *= 2) {
        const int other = __shfl_up_sync(kAllLanes, sum, step);
        if (lane >= step) sum += other;
    }
    __syncthreads();
    if (lane == kWarp - 1) warp_sums[warp] = sum;
    __syncthreads();
    int before = 0;
    total = 0;
    for (int i = 0; i < warps; ++i) {
        if (i < warp) before += warp_sums[i];
        total += warp_sums[i];
    }
    __syncthreads();
    return before + sum - number;
}

/// Values that exceed a threshold which is not negative are ordered as the integers of their bits.
__device__ unsigned strength(float value) { return __float_as_uint(value); }

/// Which marked cells are kept: all stronger than `least`, and of those as strong the first so many.
struct Selection {
    unsigned least;
    int equals;
};

/// Finds the `most` strongest marked cells, digit by digit of the strength that the last of them has.
template <class Value>
__device__ Selection select_strongest(const Map<Value>& map, int most, int* counts) {
    unsigned prefix = 0;
    int wanted = most;
    for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
        for (int digit = threadIdx.x; digit < kDigits; digit += blockDim.x) counts[digit] = 0;
        __syncthreads();
        for (int cell = threadIdx.x; cell < map.cells(); cell += blockDim.x) {
            if (!map.is_marked(cell)) continue;
            const unsigned bits = strength(map.value(cell));
            // The digits before must be those of the prefix; a shift by all 32 bits is not defined.
            if (((bits ^ prefix) >> shift) >> kDigitBits) continue;
            atomicAdd(&counts[bits >> shift & (kDigits - 1)], 1);
        }
        __syncthreads();
        // Every thread comes to the same answer by itself.
        int digit = kDigits - 1;
        while (counts[digit] < wanted) wanted -= counts[digit--];
        prefix |= static_cast<unsigned>(digit) << shift;
        __syncthreads();
    }
    return {prefix, wanted};
}

/// Lists the chosen cells in their order; returns how many, to all threads.
template <class Value>
__device__ int list_chosen(const Map<Value>& map, const Selection& selection, int* chosen, int* warp_sums) {
    int stronger_so_far = 0, equals_so_far = 0;
    for (int begin = 0; begin < map.words(); begin += blockDim.x) {
        const int index = begin + threadIdx.x;
        unsigned stronger = 0, equal = 0;
        for (unsigned left = index < map.words() ? map.marks[index] : 0; left; left &= left - 1) {
            const int bit = __ffs(left) - 1;
            const unsigned bits = strength(map.value(index * kWarp + bit));
            if (bits > selection.least) stronger |= 1u << bit;
            if (bits == selection.least) equal |= 1u << bit;
        }
        int all_stronger, all_equals;
        int place = stronger_so_far + sum_before(__popc(stronger), all_stronger, warp_sums);
        int equals = equals_so_far + sum_before(__popc(equal), all_equals, warp_sums);
        place += ltsh::least(equals, selection.equals);
        for (unsigned left = stronger | equal; left; left &= left - 1) {
            const int bit = __ffs(left) - 1;
            if (equal >> bit & 1 && equals++ >= selection.equals) continue;
            chosen[place++] = index * kWarp + bit;
        }
        stronger_so_far += all_stronger;
        equals_so_far += all_equals;
    }
    __syncthreads();
    return stronger_so_far + ltsh::least(equals_so_far, selection.equals);
}

template <class Value>
__device__ FoundPeak refined(const Map<Value>& map, int cell, bool has_plateaus) {
    const ltsh::Summit summit = ltsh::refine(map.patch(cell));
    double x = cell % map.w + summit.x, y = cell / map.w + summit.y;
    if (has_plateaus && ltsh::is_wide(map.plateau[cell])) {
        const ltsh::Plateau& plateau = map.plateau[cell];
        x = static_cast<double>(plateau.sum_of_columns) / plateau.cells;
        y = static_cast<double>(plateau.sum_of_rows) / plateau.cells;
    }
    return {x, y, summit.score};
}

template <class Value>
__device__ void find_peaks(
    const Value* heatmaps, int heatmap_channels, const Value* pafs, int paf_channels, int joints, int h, int w,
    float threshold, int max_peaks, unsigned* marks, int* parent, ltsh::Plateau* plateau, int* not_finite,
    int* kept, int* found, FoundPeak* peaks) {
    const int channel = blockIdx.x, image = blockIdx.y, cells = h * w;
    const long long map_index = static_cast<long long>(image) * joints + channel;
    const Value* values = channel < heatmap_channels
        ? heatmaps + (static_cast<long long>(image) * heatmap_channels + channel) * cells
        : pafs + (static_cast<long long>(image) * paf_channels + channel - heatmap_channels) * cells;
    bool finite = true;
    if (channel >= joints) {
        for (int cell = threadIdx.x; cell < cells; cell += blockDim.x) finite &= is_finite(values[cell]);
        const bool bad = __syncthreads_or(!finite);
        if (threadIdx.x == 0) not_finite[image * gridDim.x + channel] = bad;
        return;
    }
    const int words = (cells + kWarp - 1) / kWarp;
    const Map<Value> map = {
        values, h, w, marks + map_index * words, parent + map_index * cells, plateau + map_index * cells};
    __shared__ int counts[kDigits], warp_sums[kMostWarps], chosen[ltsh::kMostPeaks];

    const bool has_plateaus = mark_tops(map, threshold, finite);
    const bool bad = __syncthreads_or(!finite);
    if (has_plateaus) merge_plateaus(map);

    int tops = 0;
    for (int index = threadIdx.x; index < words; index += blockDim.x) tops += __popc(map.marks[index]);
    int all_tops;
    sum_before(tops, all_tops, warp_sums);
    const Selection all = {0, 0};
    const Selection selection = all_tops > max_peaks ? select_strongest(map, max_peaks, counts) : all;
    const int number = list_chosen(map, selection, chosen, warp_sums);
    for (int i = threadIdx.x; i < number; i += blockDim.x) {
        peaks[map_index * max_peaks + i] = refined(map, chosen[i], has_plateaus);
    }
    if (threadIdx.x == 0) {
        not_finite[image * gridDim.x + channel] = bad;
        kept[map_index] = number;
        found[map_index] = all_tops;
    }
}

}  // namespace

#define LTSH_FIND_PEAKS(NAME, VALUE)                                                                                  \
    extern "C" __global__ void NAME(                                                                                 \
        const VALUE* heatmaps, int heatmap_channels, const VALUE* pafs, int paf_channels, int joints, int h, int w,    \
        float threshold, int max_peaks, unsigned* marks, int* parent, ltsh::Plateau* plateau, int* not_finite,        \
        int* kept, int* found, ltsh::FoundPeak* peaks) {                                                             \
        find_peaks(                                                                                                  \
            heatmaps, heatmap_channels, pafs, paf_channels, joints, h, w, threshold, max_peaks, marks, parent,        \
            plateau, not_finite, kept, found, peaks);                                                                \
    }

LTSH_FIND_PEAKS(find_peaks_float, float)
LTSH_FIND_PEAKS(find_peaks_half, ltsh::Half)
