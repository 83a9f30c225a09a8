// All three steps of the decoder for the CPU in one call, which saves a caller the arrays between them.

#include <algorithm>
#include <vector>

#include "cpu_decoder.h"

#ifndef LTSH_SOURCES
#error "setup.py defines LTSH_SOURCES, by which cpu_library.py knows a library that was built from other sources"
#endif

using ltsh::Index;

const char* ltsh_sources() { return LTSH_SOURCES; }

Index ltsh_decode(
    const float* heatmaps, Index joints, const float* pafs, Index limbs, Index h, Index w, const Index* limb_ends,
    float peak_threshold, Index max_peaks, const float* positions, Index samples, Index min_samples,
    float sample_threshold, float max_length, double sure_peak, Index min_joints, double min_score, Index capacity,
    double* people_xy, double* joint_scores, double* people_scores, Index* all_dropped) {
    if (!ltsh::is_size(joints, h, w) || max_peaks < 0) return ltsh::kBadArgument;
    return ltsh::guarded([&]() -> Index {
        // Of four cells in a square, one at most is a peak.
        const Index most = joints * std::min(max_peaks, ((h + 1) / 2) * ((w + 1) / 2));
        std::vector<Index> joint(most), starts(joints + 1), dropped(joints);
        std::vector<double> xy(2 * most), peak_score(most);
        const Index peaks = ltsh_find_peaks(
            heatmaps, joints, h, w, peak_threshold, max_peaks, most, joint.data(), xy.data(), peak_score.data(),
            starts.data(), dropped.data());
        if (peaks < 0) return peaks;
        *all_dropped = 0;
        for (const Index count : dropped) *all_dropped += count;

        Index room = 0;
        for (Index l = 0; l < limbs; ++l) {
            const Index a = limb_ends[2 * l], b = limb_ends[2 * l + 1];
            if (a < 0 || b < 0 || a >= joints || b >= joints) return ltsh::kBadArgument;
            room += std::min(starts[a + 1] - starts[a], starts[b + 1] - starts[b]);
        }
        std::vector<Index> limb(room), first(room), second(room);
        std::vector<double> score(room);
        const Index connections = ltsh_score_limbs(
            pafs, limbs, h, w, limb_ends, xy.data(), peak_score.data(), starts.data(), joints, peaks, positions, samples,
            min_samples, sample_threshold, max_length, sure_peak, room, limb.data(), first.data(), second.data(),
            score.data());
        if (connections < 0) return connections;
        return ltsh_assemble_people(
            joints, peaks, joint.data(), xy.data(), peak_score.data(), connections, first.data(), second.data(),
            score.data(), min_joints, min_score, capacity, people_xy, joint_scores, people_scores);
    });
}
