// Limbs: line integrals of the part affinity fields between pairs of peaks.
//
// What is computed and why is said in ltsh_deploy/limbs.py; the arithmetic here is that one, operation by operation.
// It is written for a type `Real`: float for one pair of peaks, or a type of several floats, with which the same
// operations serve as many pairs side by side. What differs between the two are `whole`, `real` and `root` below, and
// how a `Paf` looks up the values of cells: `paf.read(cells, x, y)`.

#ifndef LTSH_LIMBS_H
#define LTSH_LIMBS_H

#include "host_device.h"

namespace ltsh {

/// Cells. Closer than this, the direction from one peak to the other is an accident of rounding.
constexpr float kMinLength = 1e-3f;

/// The whole part of a number that is not negative.
LTSH_HOST_DEVICE int whole(float number) { return static_cast<int>(number); }
LTSH_HOST_DEVICE float real(int number) { return static_cast<float>(number); }
LTSH_HOST_DEVICE float root(float number) { return sqrtf(number); }

/// The two maps of a limb.
template <class Value>
struct Paf {
    const Value *x_map, *y_map;

    LTSH_HOST_DEVICE void read(int cell, float& x, float& y) const {
        x = static_cast<float>(x_map[cell]);
        y = static_cast<float>(y_map[cell]);
    }
};

/// What makes a pair of peaks one that may be joined, from DecodeConfig.
struct LimbCriteria {
    /// Parts of a line's length at which the fields are read, in the order of reading.
    const float* positions;
    int samples, min_samples;
    float sample_threshold;
    /// Cells; from this length on the score is lowered.
    float max_length;
};

/// The line from one peak to another, held to the map, and the direction between the peaks themselves.
template <class Real>
struct Line {
    Real x, y, extent_x, extent_y;
    Real direction_x, direction_y, length;
};

/// The line between two peaks, which may lie off the map.
template <class Real>
LTSH_HOST_DEVICE Line<Real> line_between(Real x1, Real y1, Real x2, Real y2, int h, int w) {
    const Real zero = {}, last_column = zero + static_cast<float>(w - 1), last_row = zero + static_cast<float>(h - 1);
    const Real dx = x2 - x1, dy = y2 - y1;
    Line<Real> line;
    line.length = root(dx * dx + dy * dy);
    line.x = clamped(x1, zero, last_column);
    line.y = clamped(y1, zero, last_row);
    line.extent_x = clamped(x2, zero, last_column) - line.x;
    line.extent_y = clamped(y2, zero, last_row) - line.y;
    line.direction_x = dx / line.length;
    line.direction_y = dy / line.length;
    return line;
}

/// Whether a line has a direction; a line with a coordinate that is NaN has none. Others must not be read along.
template <class Real>
LTSH_HOST_DEVICE auto has_direction(const Line<Real>& line) -> decltype(line.length > line.length) {
    return line.length > Real{} + kMinLength;
}

/// A point between four cells, and how far it lies from the first of them.
template <class Real, class Cell>
struct Spot {
    /// Column and row of the upper left cell.
    Cell column, row;
    Real right, below;
};

/// The point at this part of a line's length. Never off the map, not even by rounding: both ends are on it, and rounding
/// keeps order.
template <class Real>
LTSH_HOST_DEVICE auto spot_at(const Line<Real>& line, float position) -> Spot<Real, decltype(whole(line.x))> {
    const Real x = position * line.extent_x + line.x;
    const Real y = position * line.extent_y + line.y;
    const auto column = whole(x), row = whole(y);
    return {column, row, x - real(column), y - real(row)};
}

/// The component along a line of the field in some cell.
template <class Real, class Fields, class Cell>
LTSH_HOST_DEVICE Real component(const Fields& paf, Cell cell, const Line<Real>& line) {
    Real x, y;
    paf.read(cell, x, y);
    return x * line.direction_x + y * line.direction_y;
}

/// The bilinear sample, at this part of a line's length, of the field's component along the line.
template <class Real, class Fields>
LTSH_HOST_DEVICE Real sample(const Fields& paf, int h, int w, const Line<Real>& line, float position) {
    const auto spot = spot_at(line, position);
    // On the last column or row, the neighbour beyond has no weight: the cell itself stands in.
    const auto next = least(spot.column + 1, spot.column * 0 + (w - 1));
    const auto row = spot.row * w, under = least(spot.row + 1, spot.row * 0 + (h - 1)) * w;
    const Real nw = component(paf, row + spot.column, line), ne = component(paf, row + next, line);
    const Real sw = component(paf, under + spot.column, line), se = component(paf, under + next, line);
    const Real upper = nw + (ne - nw) * spot.right;
    const Real lower = sw + (se - sw) * spot.right;
    return upper + (lower - upper) * spot.below;
}

/// The line integral from the sum of a line's samples, less the length penalty. It counts if it is positive and enough
/// samples exceed their threshold.
template <class Real>
LTSH_HOST_DEVICE Real integral(Real total, const Line<Real>& line, const LimbCriteria& criteria) {
    const Real zero = {};
    const Real penalty = least((zero + criteria.max_length) / line.length - 1.0f, zero);
    return total / static_cast<float>(criteria.samples) + penalty;
}

/// The line integral of one pair of peaks; 0 if they may not be joined.
template <class Fields>
LTSH_HOST_DEVICE float line_integral(
    const Fields& paf, int h, int w, const Line<float>& line, const LimbCriteria& criteria) {
    if (!has_direction(line)) return 0;
    float total = 0;
    int good = 0;
    for (int i = 0; i < criteria.samples; ++i) {
        const float along = sample(paf, h, w, line, criteria.positions[i]);
        total += along;
        good += along > criteria.sample_threshold;
        // It can no longer reach the number of good samples it needs.
        if (good + criteria.samples - 1 - i < criteria.min_samples) return 0;
    }
    return greatest(integral(total, line, criteria), 0.0f);
}

/// How sure a peak of this score is, from 0 to 1.
LTSH_HOST_DEVICE double sureness(double peak_score, double sure_peak) {
    return least(peak_score / sure_peak, 1.0);
}

}  // namespace ltsh

#endif
