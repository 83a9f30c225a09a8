// Step two of the decoder for the CPU: connections between peaks.

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu_decoder.h"
#include "cpu_lanes.h"
#include "limbs.h"

using ltsh::Floats;
using ltsh::Index;
using ltsh::Ints;
using ltsh::kLanes;

namespace {

/// A pair of peaks that may be joined.
struct Candidate {
    double score;
    int first, second;
};

bool better(const Candidate& a, const Candidate& b) {
    if (a.score != b.score) return a.score > b.score;
    return a.first != b.first ? a.first < b.first : a.second < b.second;
}

/// A joint's peaks among all peaks.
struct Range {
    int begin, end;
};

/// Scores the pairs of peaks of one limb at a time, several pairs side by side; its memory serves all limbs.
class PairScorer {
  public:
    PairScorer(int h, int w, const ltsh::LimbCriteria& criteria, Index peaks, const double* xy, const double* score,
               double sure_peak)
        : h_(h), w_(w), criteria_(criteria), x_(peaks + kLanes), y_(peaks + kLanes), sure_(peaks) {
        for (Index i = 0; i < peaks; ++i) {
            x_[i] = static_cast<float>(xy[2 * i]);
            y_[i] = static_cast<float>(xy[2 * i + 1]);
            sure_[i] = ltsh::sureness(score[i], sure_peak);
        }
    }

    /// The pairs that may be joined; valid until the next call.
    std::vector<Candidate>& score(const float* paf_x, const float* paf_y, Range firsts, Range seconds) {
        candidates_.clear();
        paf_ = {paf_x, paf_y};
        score_all(firsts, seconds);
        return candidates_;
    }

  private:
    /// So many pairs are looked at together: few enough to stay in the processor's cache.
    static constexpr int kBlock = 1024;
    /// Where there are more cells to each pair than this, it does not pay to find out first where a field is too weak.
    static constexpr double kWorthAMap = 16;
    /// Below this, rounding has no relation to the size of a number.
    static constexpr float kLeastThreshold = 1e-30f;

    LTSH_FOR_EACH_PROCESSOR void score_all(Range firsts, Range seconds) {
        const bool has_map = is_worth_a_map(firsts, seconds) && map_out();
        for (int first = firsts.begin; first < firsts.end; ++first) {
            for (int second = seconds.begin; second < seconds.end; second += kLanes) {
                add(first, second, std::min(kLanes, seconds.end - second), has_map);
                if (pairs_ > kBlock - kLanes) score_block(has_map);
            }
        }
        score_block(has_map);
    }

    /// Adds the pairs of one peak and some consecutive ones; with a map, those whose decisive samples leave hope. Most
    /// pairs fail by these.
    void add(int first, int second, int lanes, bool has_map) {
        Ints good = {};
        Ints hope = Ints{} - 1;
        if (has_map) {
            const auto line = ltsh::line_between(
                Floats{} + x_[first], Floats{} + y_[first], ltsh::load(&x_[second]), ltsh::load(&y_[second]), h_, w_);
            good = outlook(line, good, 0, decisive());
            hope = good + (criteria_.samples - decisive()) >= criteria_.min_samples;
        }
        // Without branches, here and below, since which pairs are kept cannot be foreseen.
        for (int lane = 0; lane < lanes; ++lane) {
            first_[pairs_] = first;
            second_[pairs_] = second + lane;
            good_[pairs_] = good[lane];
            pairs_ -= hope[lane];
        }
    }

    void score_block(bool has_map) {
        if (has_map) keep_hopeful();
        for (int at = 0; at < pairs_; at += kLanes) read_along(at);
        pairs_ = 0;
    }

    /// If so many first samples fail, the pair has failed.
    int decisive() const { return criteria_.samples - criteria_.min_samples + 1; }

    bool is_worth_a_map(Range firsts, Range seconds) const {
        const double pairs = static_cast<double>(firsts.end - firsts.begin) * (seconds.end - seconds.begin);
        return pairs * kWorthAMap > static_cast<double>(h_) * w_ && criteria_.sample_threshold > kLeastThreshold;
    }

    /// Notes for every cell whether a sample between it and its next neighbours might exceed the threshold: whether
    /// |x| + |y|, which no component exceeds, does so in one of the four, with a margin for rounding. False if that rules
    /// out too little to be of use.
    bool map_out() {
        const Index w = w_, cells = h_ * w;
        strong_.resize(cells + w + 1);
        may_count_.resize(cells);
        const float *x = paf_.x_map, *y = paf_.y_map, least = 0.999f * criteria_.sample_threshold;
        unsigned char *strong = strong_.data(), *may_count = may_count_.data();
        int many = 0;
        for (Index i = 0; i < cells; ++i) {
            const bool is_strong = std::fabs(x[i]) + std::fabs(y[i]) > least;
            strong[i] = is_strong;
            many += is_strong;
        }
        // The last cell of a row is not next to the first of the following one; that it counts as such does no harm.
        for (Index i = 0; i < cells; ++i) may_count[i] = strong[i] | strong[i + 1] | strong[i + w] | strong[i + w + 1];
        return many < cells / 4;
    }

    ltsh::Line<Floats> line(int at) const {
        const Ints a = ltsh::load(first_ + at), b = ltsh::load(second_ + at);
        return ltsh::line_between(
            ltsh::gather(x_.data(), a), ltsh::gather(y_.data(), a), ltsh::gather(x_.data(), b),
            ltsh::gather(y_.data(), b), h_, w_);
    }

    /// How many samples, of those in this range and so many before, might exceed the threshold, going by the map.
    Ints outlook(const ltsh::Line<Floats>& line, Ints good, int begin, int end) const {
        for (int i = begin; i < end; ++i) {
            const auto spot = ltsh::spot_at(line, criteria_.positions[i]);
            good += ltsh::gather_bytes(may_count_.data(), spot.row * w_ + spot.column);
        }
        return good;
    }

    /// Drops the pairs for which too few samples might exceed the threshold, and closes up the others.
    void keep_hopeful() {
        int kept = 0;
        for (int at = 0; at < pairs_; at += kLanes) {
            const auto line = this->line(at);
            const int middle = (decisive() + criteria_.samples) / 2;
            Ints good = outlook(line, ltsh::load(good_ + at), decisive(), middle);
            // Most pairs have failed by now, often all of these.
            if (!ltsh::any(good + (criteria_.samples - middle) >= criteria_.min_samples)) continue;
            good = outlook(line, good, middle, criteria_.samples);
            for (int lane = 0; lane < std::min(kLanes, pairs_ - at); ++lane) {
                first_[kept] = first_[at + lane];
                second_[kept] = second_[at + lane];
                kept += good[lane] >= criteria_.min_samples;
            }
        }
        pairs_ = kept;
    }

    /// Reads along the lines of some pairs side by side, and notes those that may be joined.
    void read_along(int at) {
        const auto line = this->line(at);
        Floats total = {};
        Ints good = {};
        for (int i = 0; i < criteria_.samples; ++i) {
            const Floats along = ltsh::sample(paf_, h_, w_, line, criteria_.positions[i]);
            total += along;
            good -= along > criteria_.sample_threshold;
            if (!ltsh::any(good + (criteria_.samples - 1 - i) >= criteria_.min_samples)) return;
        }
        const Floats integral = ltsh::integral(total, line, criteria_);
        const Ints joins = ltsh::has_direction(line) & (good >= criteria_.min_samples) & (integral > 0.0f);
        for (int lane = 0; lane < std::min(kLanes, pairs_ - at); ++lane) {
            const int first = first_[at + lane], second = second_[at + lane];
            const double weighted = integral[lane] * (sure_[first] * sure_[second]);
            // NaN, which the scores of peaks may bring, has no place in an order.
            if (joins[lane] && !std::isnan(weighted)) candidates_.push_back({weighted, first, second});
        }
    }

    const int h_, w_;
    const ltsh::LimbCriteria criteria_;
    /// The peaks, and as many more that are never used as a load may read beyond them.
    std::vector<float> x_, y_;
    std::vector<double> sure_;
    ltsh::PafLanes paf_ = {};
    std::vector<unsigned char> strong_, may_count_;
    /// Pairs that are looked at. What follows the last of them are indices of peaks too, from earlier pairs or 0.
    int first_[kBlock + kLanes] = {}, second_[kBlock + kLanes] = {}, good_[kBlock + kLanes] = {}, pairs_ = 0;
    std::vector<Candidate> candidates_;
};

bool are_ranges(const Index* starts, Index joints, Index peaks) {
    return starts[0] >= 0 && starts[joints] <= peaks && std::is_sorted(starts, starts + joints + 1);
}

}  // namespace

Index ltsh_score_limbs(
    const float* pafs, Index limbs, Index h, Index w, const Index* limb_ends, const double* xy, const double* peak_score,
    const Index* starts, Index joints, Index peaks, const float* positions, Index samples, Index min_samples,
    float sample_threshold, float max_length, double sure_peak, Index capacity, Index* limb, Index* first,
    Index* second, double* score) {
    constexpr Index kMost = std::numeric_limits<int>::max() / 2;
    if (!ltsh::is_size(2 * limbs, h, w) || joints < 0 || !are_ranges(starts, joints, peaks)) return ltsh::kBadArgument;
    if (peaks > kMost || samples < 1 || samples > kMost || min_samples < 1) return ltsh::kBadArgument;
    if (!std::all_of(limb_ends, limb_ends + 2 * limbs, [=](Index j) { return 0 <= j && j < joints; })) {
        return ltsh::kBadArgument;
    }
    return ltsh::guarded([&]() -> Index {
        const ltsh::LimbCriteria criteria = {
            positions, static_cast<int>(samples), static_cast<int>(std::min(min_samples, kMost)), sample_threshold,
            max_length};
        PairScorer scorer(static_cast<int>(h), static_cast<int>(w), criteria, peaks, xy, peak_score, sure_peak);
        std::vector<Candidate> partner(peaks);
        std::vector<char> is_taken(peaks);
        const auto range = [=](Index joint) {
            return Range{static_cast<int>(starts[joint]), static_cast<int>(starts[joint + 1])};
        };
        Index count = 0;
        for (Index l = 0; l < limbs; ++l) {
            const Range firsts = range(limb_ends[2 * l]), seconds = range(limb_ends[2 * l + 1]);
            const float* paf = pafs + 2 * l * h * w;
            std::vector<Candidate>& candidates = scorer.score(paf, paf + h * w, firsts, seconds);
            std::sort(candidates.begin(), candidates.end(), better);
            for (int i = firsts.begin; i < firsts.end; ++i) partner[i].second = -1;
            for (int i = seconds.begin; i < seconds.end; ++i) is_taken[i] = false;
            for (const Candidate& candidate : candidates) {
                if (partner[candidate.first].second >= 0 || is_taken[candidate.second]) continue;
                partner[candidate.first] = candidate;
                is_taken[candidate.second] = true;
            }
            for (int i = firsts.begin; i < firsts.end; ++i) {
                if (partner[i].second < 0) continue;
                if (count == capacity) return ltsh::kBadArgument;
                limb[count] = l;
                first[count] = i;
                second[count] = partner[i].second;
                score[count] = partner[i].score;
                ++count;
            }
        }
        return count;
    });
}
