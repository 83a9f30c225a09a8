// Step one of the decoder for the CPU: peaks of heat maps.


#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu_decoder.h"
#include "peaks.h"

using ltsh::Index;

namespace {

/// A top of one heat map.
struct Top {
    int cell;
    float value;
    /// The centre of its plateau, where that is wide; else NaN.
    double centre_x, centre_y;
};

constexpr double kNotWide = std::numeric_limits<double>::quiet_NaN();

/// Finds the peaks of one heat map at a time; its memory serves all of them.
class PeakFinder {
  public:
    PeakFinder(int h, int w, float threshold) : h_(h), w_(w), threshold_(threshold), may_be_top_(static_cast<std::size_t>(h) * w + 8, 0) {}

    /// The map's peaks in the order of rows and columns; valid until the next call.
    std::vector<Top>& find(const float* map) {
        tops_.clear();
        tied_.clear();
        mark(map);
        const int cells = h_ * w_;
        for (int begin = 0; begin < cells; begin += 8) {
            std::uint64_t eight;
            std::memcpy(&eight, may_be_top_.data() + begin, 8);
            if (!eight) continue;
            for (int cell = begin; cell < begin + 8; ++cell) {
                if (may_be_top_[cell]) look_at(map, cell);
            }
        }
        if (!tied_.empty()) {
            merge_plateaus(map);
            std::sort(tops_.begin(), tops_.end(), [](const Top& a, const Top& b) { return a.cell < b.cell; });
        }
        return tops_;
    }

  private:
    /// Marks what is worth a closer look: cells over the threshold that no neighbour beside, above or below exceeds; on
    /// the border, all over the threshold. Compilers turn this into a few instructions for many cells.
    void mark(const float* map) {
        // With indices as wide as an address, compilers need not ask whether these sums overflow.
        const Index h = h_, w = w_, cells = h * w;
        const float threshold = threshold_;
        unsigned char* marks = may_be_top_.data();
        for (Index i = w; i < cells - w; ++i) {
            const float value = map[i];
            marks[i] = (value > threshold) & (value >= map[i - 1]) & (value >= map[i + 1]) & (value >= map[i - w]) &
                       (value >= map[i + w]);
        }
        for (Index i = 0; i < w; ++i) {
            marks[i] = map[i] > threshold;
            marks[cells - w + i] = map[cells - w + i] > threshold;
        }
        for (Index row = 0; row < h; ++row) {
            marks[row * w] = map[row * w] > threshold;
            marks[row * w + w - 1] = map[row * w + w - 1] > threshold;
        }
    }

    void look_at(const float* map, int cell) {
        const ltsh::Patch patch = ltsh::read_patch(map, h_, w_, cell / w_, cell % w_);
        if (!ltsh::is_top(patch, threshold_)) return;
        if (ltsh::is_tied(patch)) {
            tied_.push_back(cell);
        } else {
            tops_.push_back({cell, patch.value[4], kNotWide, kNotWide});
        }
    }

    void merge_plateaus(const float* map) {
        parent_.assign(static_cast<std::size_t>(h_) * w_, ltsh::kNoTop);
        plateau_.resize(static_cast<std::size_t>(h_) * w_);
        for (const int cell : tied_) {
            parent_[cell] = cell;
            plateau_[cell] = {0, 0, 0, w_, -1, h_, -1, 0};
        }
        for (const int cell : tied_) {
            for_equal_neighbours(map, cell, [&](int other) {
                if (other < cell && parent_[other] != ltsh::kNoTop) ltsh::join_plateaus(parent_.data(), cell, other);
            });
        }
        for (const int cell : tied_) {
            ltsh::Plateau& plateau = plateau_[ltsh::plateau_of(parent_.data(), cell)];
            const int row = cell / w_, column = cell % w_;
            plateau.cells += 1;
            plateau.sum_of_columns += column;
            plateau.sum_of_rows += row;
            plateau.first_column = std::min(plateau.first_column, column);
            plateau.last_column = std::max(plateau.last_column, column);
            plateau.first_row = std::min(plateau.first_row, row);
            plateau.last_row = std::max(plateau.last_row, row);
            for_equal_neighbours(map, cell, [&](int other) { plateau.is_step |= parent_[other] == ltsh::kNoTop; });
        }
        for (const int cell : tied_) {
            const ltsh::Plateau& plateau = plateau_[cell];
            if (parent_[cell] != cell || plateau.is_step) continue;
            Top top = {cell, map[cell], kNotWide, kNotWide};
            if (ltsh::is_wide(plateau)) {
                top.centre_x = static_cast<double>(plateau.sum_of_columns) / plateau.cells;
                top.centre_y = static_cast<double>(plateau.sum_of_rows) / plateau.cells;
            }
            tops_.push_back(top);
        }
    }

    template <class Visit>
    void for_equal_neighbours(const float* map, int cell, Visit visit) const {
        const int row = cell / w_, column = cell % w_;
        for (int r = std::max(row - 1, 0); r <= std::min(row + 1, h_ - 1); ++r) {
            for (int c = std::max(column - 1, 0); c <= std::min(column + 1, w_ - 1); ++c) {
                const int other = r * w_ + c;
                if (other != cell && map[other] == map[cell]) visit(other);
            }
        }
    }

    const int h_, w_;
    const float threshold_;
    /// A mark a cell, and eight more that are always 0.
    std::vector<unsigned char> may_be_top_;
    std::vector<Top> tops_;
    std::vector<int> tied_, parent_;
    std::vector<ltsh::Plateau> plateau_;
};

/// Leaves the strongest tops, on ties the first, in the order of cells.
void keep_strongest(std::vector<Top>& tops, std::size_t most) {
    std::nth_element(tops.begin(), tops.begin() + most, tops.end(), [](const Top& a, const Top& b) {
        return a.value != b.value ? a.value > b.value : a.cell < b.cell;
    });
    tops.resize(most);
    std::sort(tops.begin(), tops.end(), [](const Top& a, const Top& b) { return a.cell < b.cell; });
}

}  // namespace

Index ltsh_find_peaks(
    const float* heatmaps, Index joints, Index h, Index w, float threshold, Index max_peaks, Index capacity,
    Index* joint, double* xy, double* score, Index* starts, Index* dropped) {
    if (!ltsh::is_size(joints, h, w) || max_peaks < 0 || !(threshold >= 0)) return ltsh::kBadArgument;
    return ltsh::guarded([&]() -> Index {
        PeakFinder finder(static_cast<int>(h), static_cast<int>(w), threshold);
        Index count = 0;
        starts[0] = 0;
        for (Index j = 0; j < joints; ++j) {
            const float* map = heatmaps + j * h * w;
            std::vector<Top>& tops = finder.find(map);
            const Index found = static_cast<Index>(tops.size());
            dropped[j] = std::max<Index>(found - max_peaks, 0);
            if (dropped[j]) keep_strongest(tops, static_cast<std::size_t>(max_peaks));
            if (static_cast<Index>(tops.size()) > capacity - count) return ltsh::kBadArgument;
            for (const Top& top : tops) {
                const int row = top.cell / static_cast<int>(w), column = top.cell % static_cast<int>(w);
                const ltsh::Summit summit = ltsh::refine(
                    ltsh::read_patch(map, static_cast<int>(h), static_cast<int>(w), row, column));
                const bool wide = !std::isnan(top.centre_x);
                joint[count] = j;
                xy[2 * count] = wide ? top.centre_x : column + summit.x;
                xy[2 * count + 1] = wide ? top.centre_y : row + summit.y;
                score[count] = summit.score;
                ++count;
            }
            starts[j + 1] = count;
        }
        return count;
    });
}
