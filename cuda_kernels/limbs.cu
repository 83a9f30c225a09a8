// Step two of the decoder on a GPU: line integrals of all pairs of peaks of all limbs, and the choice among the pairs.
//
// Grid: (limbs, images). A block scores the pairs of one limb, then joins peaks. Blocks are of whole warps.
//
// The CPU takes pairs in the order of their scores, and each peak once. Here, a pair is taken if it is the best that is
// left for both its peaks, again and again until no pair is left: where no two pairs rank alike, that comes to the same
// pairs in any order of taking (they are "locally dominant"; Preis, "Linear time 1/2-approximation algorithm for maximum
// weighted matching in general graphs", STACS 1999), and many can be taken at once.

#include "cuda_results.h"
#include "half.h"
#include "limbs.h"

namespace {

using ltsh::FoundLimb;
using ltsh::FoundPeak;
using ltsh::kMostPeaks;

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kNobody = -1;

/// The scores of a limb's pairs: `rows` peaks of its first joint by `columns` of its second. 0 is for pairs that may not
/// be joined.
struct Pairs {
    double* scores;
    int rows, columns;

    __device__ double score(int row, int column) const { return scores[row * columns + column]; }
};

template <class Value>
__device__ void score_pairs(
    const Pairs& pairs, const ltsh::Paf<Value>& paf, int h, int w, const FoundPeak* firsts, const FoundPeak* seconds,
    const ltsh::LimbCriteria& criteria, double sure_peak) {
    for (int pair = threadIdx.x; pair < pairs.rows * pairs.columns; pair += blockDim.x) {
        const FoundPeak first = firsts[pair / pairs.columns], second = seconds[pair % pairs.columns];
        const auto line = ltsh::line_between(
            static_cast<float>(first.x), static_cast<float>(first.y), static_cast<float>(second.x),
            static_cast<float>(second.y), h, w);
        const float integral = ltsh::line_integral(paf, h, w, line, criteria);
        const double sureness = ltsh::sureness(first.score, sure_peak) * ltsh::sureness(second.score, sure_peak);
        // Of NaN, which maps that hold no numbers may bring, nothing is made.
        pairs.scores[pair] = integral > 0 ? integral * sureness : 0;
    }
}

/// Among the partners 0 to `count` that are free, the one of the greatest score, on ties the first; kNobody if none may
/// be joined. Asked by a whole warp, answered to all its lanes.
template <class Score>
__device__ int best_partner(int count, const bool* is_taken, Score score) {
    const int lane = threadIdx.x % kWarp;
    double best_score = 0;
    int best = kNobody;
    for (int i = lane; i < count; i += kWarp) {
        if (!is_taken[i] && score(i) > best_score) {
            best_score = score(i);
            best = i;
        }
    }
    for (int step = kWarp / 2; step > 0; step /= 2) {
        const double other_score = __shfl_xor_sync(kAllLanes, best_score, step);
        const int other = __shfl_xor_sync(kAllLanes, best, step);
        if (other_score > best_score || (other_score == best_score && other != kNobody && other < best)) {
            best_score = other_score;
            best = other;
        }
    }
    return best;
}

/// Joins peaks; `partner[row]` becomes the column of a row, or kNobody.
__device__ void join(
    const Pairs& pairs, int* partner, bool* is_row_taken, bool* is_column_taken, int* best_column, int* best_row) {
    const int warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
    for (int row = threadIdx.x; row < pairs.rows; row += blockDim.x) {
        partner[row] = kNobody;
        is_row_taken[row] = false;
    }
    for (int column = threadIdx.x; column < pairs.columns; column += blockDim.x) is_column_taken[column] = false;
    bool joined = true;
    // The barrier in the condition also makes what was written before it known to all.
    while (__syncthreads_or(joined)) {
        for (int row = warp; row < pairs.rows; row += warps) {
            const int best = is_row_taken[row] ? kNobody : best_partner(
                pairs.columns, is_column_taken, [&](int column) { return pairs.score(row, column); });
            if (threadIdx.x % kWarp == 0) best_column[row] = best;
        }
        for (int column = warp; column < pairs.columns; column += warps) {
            const int best = is_column_taken[column] ? kNobody : best_partner(
                pairs.rows, is_row_taken, [&](int row) { return pairs.score(row, column); });
            if (threadIdx.x % kWarp == 0) best_row[column] = best;
        }
        __syncthreads();
        joined = false;
        for (int row = threadIdx.x; row < pairs.rows; row += blockDim.x) {
            const int column = best_column[row];
            if (column == kNobody || best_row[column] != row) continue;
            partner[row] = column;
            is_row_taken[row] = is_column_taken[column] = true;
            joined = true;
        }
    }
}

/// Lists the connections in the order of their first peaks, by one warp.
__device__ void list_connections(const Pairs& pairs, const int* partner, FoundLimb* connections, int* count) {
    int so_far = 0;
    for (int begin = 0; begin < pairs.rows; begin += kWarp) {
        const int row = begin + threadIdx.x, column = row < pairs.rows ? partner[row] : kNobody;
        const unsigned joined = __ballot_sync(kAllLanes, column != kNobody);
        const unsigned before = joined & ((1u << threadIdx.x) - 1);
        if (column != kNobody) connections[so_far + __popc(before)] = {pairs.score(row, column), row, column};
        so_far += __popc(joined);
    }
    if (threadIdx.x == 0) *count = so_far;
}

template <class Value>
__device__ void score_limbs(
    const Value* pafs, int h, int w, const int* limb_ends, int joints, int max_peaks, const int* kept,
    const FoundPeak* peaks, const float* positions, int samples, int min_samples, float sample_threshold,
    float max_length, double sure_peak, double* scores, int* counts, FoundLimb* connections) {
    const int limb = blockIdx.x, limbs = gridDim.x, image = blockIdx.y;
    const int first = image * joints + limb_ends[2 * limb], second = image * joints + limb_ends[2 * limb + 1];
    const long long place = static_cast<long long>(image) * limbs + limb, cells = static_cast<long long>(h) * w;

    extern __shared__ double shared_scores[];
    __shared__ int partner[kMostPeaks], best_column[kMostPeaks], best_row[kMostPeaks];
    __shared__ bool is_row_taken[kMostPeaks], is_column_taken[kMostPeaks];
    // Where shared memory has no room for the scores of all pairs, they have a place in the GPU's own.
    double* own_scores = scores ? scores + place * max_peaks * max_peaks : shared_scores;
    const Pairs pairs = {own_scores, kept[first], kept[second]};
    const ltsh::Paf<Value> paf = {pafs + place * 2 * cells, pafs + (place * 2 + 1) * cells};
    const ltsh::LimbCriteria criteria = {positions, samples, min_samples, sample_threshold, max_length};
    const long long first_peak = static_cast<long long>(first) * max_peaks;
    const long long second_peak = static_cast<long long>(second) * max_peaks;

    score_pairs(pairs, paf, h, w, peaks + first_peak, peaks + second_peak, criteria, sure_peak);
    join(pairs, partner, is_row_taken, is_column_taken, best_column, best_row);
    if (threadIdx.x < kWarp) list_connections(pairs, partner, connections + place * max_peaks, counts + place);
}

}  // namespace

#define LTSH_SCORE_LIMBS(NAME, VALUE)                                                                                 \
    extern "C" __global__ void NAME(                                                                                 \
        const VALUE* pafs, int h, int w, const int* limb_ends, int joints, int max_peaks, const int* kept,            \
        const ltsh::FoundPeak* peaks, const float* positions, int samples, int min_samples, float sample_threshold,   \
        float max_length, double sure_peak, double* scores, int* counts, ltsh::FoundLimb* connections) {             \
        score_limbs(                                                                                                 \
            pafs, h, w, limb_ends, joints, max_peaks, kept, peaks, positions, samples, min_samples, sample_threshold, \
            max_length, sure_peak, scores, counts, connections);                                                     \
    }

LTSH_SCORE_LIMBS(score_limbs_float, float)
LTSH_SCORE_LIMBS(score_limbs_half, ltsh::Half)
