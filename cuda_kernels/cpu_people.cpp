// Step three of the decoder for the CPU: people from connected peaks.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "cpu_decoder.h"

using ltsh::Index;

namespace {

/// Partial people. At first each peak is a person of its own, known by the peak's index.
class People {
  public:
    People(Index joints, Index peaks, const Index* joint)
        : words_((joints + 63) / 64), person_(peaks), next_(peaks, -1), last_(peaks), sizes_(peaks, 1),
          limb_scores_(peaks, 0.0), joints_(words_ * peaks, 0) {
        std::iota(person_.begin(), person_.end(), Index{0});
        std::iota(last_.begin(), last_.end(), Index{0});
        for (Index peak = 0; peak < peaks; ++peak) {
            joints_[words_ * peak + joint[peak] / 64] |= std::uint64_t{1} << joint[peak] % 64;
        }
    }

    /// Joins the people that two peaks belong to, unless both already have a joint of the same kind. One person's two
    /// ends share all their joints, so a limb that closes a ring is left out here too.
    void connect(Index first, Index second, double score) {
        Index kept = person_[first], merged = person_[second];
        if (share_a_joint(kept, merged)) return;
        if (sizes_[kept] < sizes_[merged]) std::swap(kept, merged);
        for (Index peak = merged; peak >= 0; peak = next_[peak]) person_[peak] = kept;
        next_[last_[kept]] = merged;
        last_[kept] = last_[merged];
        sizes_[kept] += sizes_[merged];
        limb_scores_[kept] += limb_scores_[merged] + score;
        for (Index word = 0; word < words_; ++word) joints_[words_ * kept + word] |= joints_[words_ * merged + word];
    }

    Index of(Index peak) const { return person_[peak]; }
    Index size(Index person) const { return sizes_[person]; }
    double limb_score(Index person) const { return limb_scores_[person]; }

  private:
    bool share_a_joint(Index a, Index b) const {
        for (Index word = 0; word < words_; ++word) {
            if (joints_[words_ * a + word] & joints_[words_ * b + word]) return true;
        }
        return false;
    }

    const Index words_;
    std::vector<Index> person_;
    /// A person's peaks hang together as a list, which begins at the peak the person is known by.
    std::vector<Index> next_, last_, sizes_;
    std::vector<double> limb_scores_;
    /// A bit for each joint, `words_` words a person.
    std::vector<std::uint64_t> joints_;
};

/// The indices of scores, the best first, equal ones in their order, NaN last.
std::vector<Index> by_score(const std::vector<double>& scores) {
    std::vector<Index> order(scores.size());
    std::iota(order.begin(), order.end(), Index{0});
    std::sort(order.begin(), order.end(), [&](Index a, Index b) {
        const bool a_counts = !std::isnan(scores[a]), b_counts = !std::isnan(scores[b]);
        if (a_counts != b_counts) return a_counts;
        return a_counts && scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
    });
    return order;
}

bool all_below(const Index* indices, Index count, Index limit) {
    return std::all_of(indices, indices + count, [=](Index i) { return 0 <= i && i < limit; });
}

}  // namespace

Index ltsh_assemble_people(
    Index joints, Index peaks, const Index* joint, const double* xy, const double* peak_score, Index connections,
    const Index* first, const Index* second, const double* score, Index min_joints, double min_score, Index capacity,
    double* people_xy, double* joint_scores, double* people_scores) {
    if (joints < 0 || peaks < 0 || connections < 0) return ltsh::kBadArgument;
    if (!all_below(joint, peaks, joints) || !all_below(first, connections, peaks) ||
        !all_below(second, connections, peaks)) {
        return ltsh::kBadArgument;
    }
    return ltsh::guarded([&]() -> Index {
        People people(joints, peaks, joint);
        for (const Index i : by_score({score, score + connections})) people.connect(first[i], second[i], score[i]);

        std::vector<double> totals(peaks, 0.0);
        for (Index peak = 0; peak < peaks; ++peak) totals[people.of(peak)] += peak_score[peak];
        std::vector<Index> kept;
        std::vector<double> kept_scores;
        for (Index person = 0; person < peaks; ++person) {
            if (people.of(person) != person) continue;
            const Index size = people.size(person);
            const double mean = (totals[person] + people.limb_score(person)) / (2.0 * static_cast<double>(size));
            if (size >= min_joints && mean >= min_score) {
                kept.push_back(person);
                kept_scores.push_back(mean);
            }
        }

        const Index count = static_cast<Index>(kept.size());
        if (count > capacity) return ltsh::kBadArgument;
        std::fill(people_xy, people_xy + count * joints * 2, std::nan(""));
        std::fill(joint_scores, joint_scores + count * joints, 0.0);
        std::vector<Index> row(peaks, -1);
        Index next_row = 0;
        for (const Index i : by_score(kept_scores)) {
            people_scores[next_row] = kept_scores[i];
            row[kept[i]] = next_row++;
        }
        for (Index peak = 0; peak < peaks; ++peak) {
            if (row[people.of(peak)] < 0) continue;
            const Index at = row[people.of(peak)] * joints + joint[peak];
            people_xy[2 * at] = xy[2 * peak];
            people_xy[2 * at + 1] = xy[2 * peak + 1];
            joint_scores[at] = peak_score[peak];
        }
        return count;
    });
}
