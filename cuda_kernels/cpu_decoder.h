// The decoder for the CPU: the three steps of ltsh_deploy/decode.py on arrays that the caller owns.
//
// A plain shared library, loaded by cpu_library.py, so that it needs no Python headers to be built. Its functions keep
// no state and may run in many threads at once. Each returns how many results it wrote, or one of the codes below. They
// check every index they are given; whatever numbers the maps hold, they end and stay within their arrays.

#ifndef LTSH_CPU_DECODER_H
#define LTSH_CPU_DECODER_H

#include <cstdint>
#include <limits>
#include <new>
#include <stdexcept>

#define LTSH_EXPORT extern "C" __attribute__((visibility("default")))

namespace ltsh {

/// NumPy's intp.
using Index = std::intptr_t;

/// Returned in place of a number of results. A result that found no room is a bad argument too.
constexpr Index kNoMemory = -1, kBadArgument = -2;

/// Runs a step; what it throws becomes a code.
template <class Step>
Index guarded(Step step) {
    try {
        return step();
    } catch (const std::bad_alloc&) {
        return kNoMemory;
    } catch (const std::length_error&) {
        return kNoMemory;
    }
}

/// Whether maps of this size can be walked with indices of type int.
inline bool is_size(Index channels, Index h, Index w) {
    return channels >= 0 && h > 0 && w > 0 && h <= std::numeric_limits<int>::max() / 4 / w;
}

}  // namespace ltsh

/// A digest of what the library was built from.
LTSH_EXPORT const char* ltsh_sources();

/// The peaks of [joints, h, w] heat maps, at most `max_peaks` a joint. `joint`, `score` and `xy`, two numbers a peak,
/// have room for `capacity` peaks; `starts` for joints + 1 and `dropped` for joints numbers.
LTSH_EXPORT ltsh::Index ltsh_find_peaks(
    const float* heatmaps, ltsh::Index joints, ltsh::Index h, ltsh::Index w, float threshold, ltsh::Index max_peaks,
    ltsh::Index capacity, ltsh::Index* joint, double* xy, double* score, ltsh::Index* starts, ltsh::Index* dropped);

/// The connections of [2 limbs, h, w] fields between peaks, by limb and, within a limb, by first peak. The peaks of
/// joint j are starts[j] up to starts[j + 1], of `peaks` in all; `limb_ends` holds two joints a limb; `positions` the
/// `samples` parts of a line in the order of reading. The results have room for `capacity` connections.
LTSH_EXPORT ltsh::Index ltsh_score_limbs(
    const float* pafs, ltsh::Index limbs, ltsh::Index h, ltsh::Index w, const ltsh::Index* limb_ends, const double* xy,
    const double* peak_score, const ltsh::Index* starts, ltsh::Index joints, ltsh::Index peaks, const float* positions,
    ltsh::Index samples, ltsh::Index min_samples, float sample_threshold, float max_length, double sure_peak,
    ltsh::Index capacity, ltsh::Index* limb, ltsh::Index* first, ltsh::Index* second, double* score);

/// The people that connections make of peaks, the best first. `people_xy` [capacity, joints, 2] and `joint_scores`
/// [capacity, joints] are filled up to the number of people, with NaN and 0 where a joint is absent.
LTSH_EXPORT ltsh::Index ltsh_assemble_people(
    ltsh::Index joints, ltsh::Index peaks, const ltsh::Index* joint, const double* xy, const double* peak_score,
    ltsh::Index connections, const ltsh::Index* first, const ltsh::Index* second, const double* score,
    ltsh::Index min_joints, double min_score, ltsh::Index capacity, double* people_xy, double* joint_scores,
    double* people_scores);

/// All three steps; the arguments are theirs. `dropped` is one number, of all joints together.
LTSH_EXPORT ltsh::Index ltsh_decode(
    const float* heatmaps, ltsh::Index joints, const float* pafs, ltsh::Index limbs, ltsh::Index h, ltsh::Index w,
    const ltsh::Index* limb_ends, float peak_threshold, ltsh::Index max_peaks, const float* positions,
    ltsh::Index samples, ltsh::Index min_samples, float sample_threshold, float max_length, double sure_peak,
    ltsh::Index min_joints, double min_score, ltsh::Index capacity, double* people_xy, double* joint_scores,
    double* people_scores, ltsh::Index* dropped);

#endif
