// Peaks of heat maps: which cells are regional maxima, and where between the cells a peak lies.
//
// What is computed and why is said in ltsh_deploy/peaks.py; the arithmetic here is that one, operation by operation.

#ifndef LTSH_PEAKS_H
#define LTSH_PEAKS_H

#include "host_device.h"

namespace ltsh {

/// Less than any value on a map.
constexpr float kOffMap = -3.402823466e38f;

/// The 3 x 3 cells around a cell, row by row: that cell is number 4. Cells off the map hold kOffMap.
struct Patch {
    float value[9];
    bool has_left, has_right, has_above, has_below;
};

template <class Value>
LTSH_HOST_DEVICE Patch read_patch(const Value* map, int h, int w, int row, int column) {
    Patch patch;
    patch.has_left = column > 0;
    patch.has_right = column + 1 < w;
    patch.has_above = row > 0;
    patch.has_below = row + 1 < h;
    const Value* centre = map + row * w + column;
    for (int dy = -1; dy <= 1; ++dy) {
        const bool has_row = dy < 0 ? patch.has_above : dy > 0 ? patch.has_below : true;
        float* values = patch.value + 3 * (dy + 1);
        values[0] = has_row && patch.has_left ? static_cast<float>(centre[dy * w - 1]) : kOffMap;
        values[1] = has_row ? static_cast<float>(centre[dy * w]) : kOffMap;
        values[2] = has_row && patch.has_right ? static_cast<float>(centre[dy * w + 1]) : kOffMap;
    }
    return patch;
}

/// Whether no neighbour is greater and the cell exceeds the threshold, which is not negative. Never true of NaN.
LTSH_HOST_DEVICE bool is_top(const Patch& patch, float threshold) {
    bool top = patch.value[4] > threshold;
    for (int i = 0; i < 9; ++i) top &= patch.value[4] >= patch.value[i];
    return top;
}

/// Whether a neighbour is equal, so that the cell is part of a plateau.
LTSH_HOST_DEVICE bool is_tied(const Patch& patch) {
    int equal = 0;
    for (int i = 0; i < 9; ++i) equal += patch.value[i] == patch.value[4];
    return equal > 1;
}

// Plateaus. Touching tops are equal; all that hang together are one plateau, known by its first cell. It is a peak
// unless one of its tops has an equal neighbour that is no top: then the plateau is a step up to a higher cell.
//
// `parent` has an element a cell: kNoTop where the cell is no top, at first the cell itself where it is one. Joining
// every top to its equal neighbours, in any order or at once from many threads, makes the parents lead to the first
// cell of the plateau.

constexpr int kNoTop = -1;

/// Stores the lesser of the two and returns what was there before.
LTSH_HOST_DEVICE int lower(int* place, int value) {
#if defined(__CUDA_ARCH__)
    return atomicMin(place, value);
#else
    const int before = *place;
    if (value < before) *place = value;
    return before;
#endif
}

/// The first cell, so far, of the plateau that a top belongs to.
LTSH_HOST_DEVICE int plateau_of(const volatile int* parent, int cell) {
    for (int above = parent[cell]; above != cell; above = parent[cell]) cell = above;
    return cell;
}

LTSH_HOST_DEVICE void join_plateaus(int* parent, int a, int b) {
    // If another thread has meanwhile hung the greater of the two somewhere, what it hung it on must be joined too.
    for (;;) {
        a = plateau_of(parent, a);
        b = plateau_of(parent, b);
        if (a == b) return;
        const int before = lower(parent + greatest(a, b), least(a, b));
        if (before == greatest(a, b)) return;
        b = least(a, b);
        a = before;
    }
}

/// What is summed up over a plateau's cells to know its centre.
struct Plateau {
    int cells, sum_of_columns, sum_of_rows;
    int first_column, last_column, first_row, last_row;
    /// Whether one of its cells has an equal neighbour that is no top; not bool, so that threads can set it at once.
    int is_step;
};

/// Whether it is more than two cells wide or high. Then the fit sees no slope, and the centre is the best guess.
LTSH_HOST_DEVICE bool is_wide(const Plateau& plateau) {
    return plateau.last_column - plateau.first_column > 1 || plateau.last_row - plateau.first_row > 1;
}

// Cells below this part of the peak's value say nothing of its place.
constexpr double kFloor = 0.05;
// A cell that exceeds the fit by this part of the peak's value belongs to something else: its weight falls by this
// factor, and the fit is repeated at most so often.
constexpr double kExcess = 0.05, kDiscount = 0.05;
constexpr int kRefits = 2;
// What the cells leave open, this decides: no slope, and the curvature of this project's own targets at stride 8.
constexpr double kPriorWeight = 1e-12, kPriorWeightOfCurvature = 1e-6;
constexpr double kPriorCurvature = 0.5 / (7.0 / 8.0 * (7.0 / 8.0));
constexpr double kMinCurvature = 1e-3;
constexpr double kLogOf2 = 0.6931471805599453;

/// A weighted sum over the neighbourhood of (1, x, y, x^2 + y^2); what mirrors into each other is added first.
struct Moments {
    double one, x, y, q, xx, yy, xy, xq, yq, qq;
};

LTSH_HOST_DEVICE Moments moments(const double v[9]) {
    const double nw = v[0], n = v[1], ne = v[2], w = v[3], c = v[4], e = v[5], sw = v[6], s = v[7], se = v[8];
    const double left = (nw + sw) + w, right = (ne + se) + e, above = (nw + ne) + n, below = (sw + se) + s;
    Moments m;
    m.one = (left + right) + ((n + s) + c);
    m.x = right - left;
    m.y = below - above;
    m.xx = left + right;
    m.yy = above + below;
    m.q = m.xx + m.yy;
    m.xy = (nw + se) - (ne + sw);
    m.xq = m.x + ((ne + se) - (nw + sw));
    m.yq = m.y + ((sw + se) - (nw + ne));
    m.qq = m.q + 2 * ((nw + se) + (ne + sw));
    return m;
}

/// Logarithm of a Gaussian: height + slope_x x + slope_y y - curvature (x^2 + y^2).
struct Gaussian {
    double height, slope_x, slope_y, curvature;
};

/// Weighted least squares over the neighbourhood, by elimination without a choice of pivots.
LTSH_HOST_DEVICE Gaussian solve(const double weights[9], const double logs[9]) {
    double weighted[9];
    for (int i = 0; i < 9; ++i) weighted[i] = weights[i] * logs[i];
    const Moments m = moments(weights), r = moments(weighted);
    double system[4][5] = {
        {m.one + kPriorWeight, m.x, m.y, -m.q, r.one},
        {m.x, m.xx + kPriorWeight, m.xy, -m.xq, r.x},
        {m.y, m.xy, m.yy + kPriorWeight, -m.yq, r.y},
        {-m.q, -m.xq, -m.yq, m.qq + kPriorWeightOfCurvature, kPriorWeightOfCurvature * kPriorCurvature - r.q},
    };
    double inverse[4];
    for (int k = 0; k < 4; ++k) {
        inverse[k] = 1 / system[k][k];
        for (int i = k + 1; i < 4; ++i) {
            const double factor = system[i][k] * inverse[k];
            for (int j = k + 1; j < 5; ++j) system[i][j] -= factor * system[k][j];
        }
    }
    for (int k = 3; k >= 0; --k) {
        system[k][4] *= inverse[k];
        for (int i = 0; i < k; ++i) system[i][4] -= system[i][k] * system[k][4];
    }
    return {system[0][4], system[1][4], system[2][4], system[3][4]};
}

/// Where a peak lies from the centre of its cell, in cells, and its height.
struct Summit {
    double x, y, score;
};

/// Fits a Gaussian to the neighbourhood of a top.
LTSH_HOST_DEVICE Summit refine(const Patch& patch) {
    const double top = patch.value[4];
    double values[9], logs[9], weights[9];
    for (int i = 0; i < 9; ++i) {
        values[i] = greatest(patch.value[i] / top, 0.0);
        const bool counts = !(values[i] < kFloor);
        weights[i] = counts ? values[i] * values[i] : 0.0;
        // The logarithm of a cell without weight is multiplied by 0: any number will do.
        logs[i] = counts && i != 4 ? log(values[i]) : 0.0;
    }
    Gaussian fit = solve(weights, logs);
    for (int refit = 0; refit < kRefits; ++refit) {
        bool touched = false;
        for (int i = 0; i < 9; ++i) {
            const double x = i % 3 - 1, y = i / 3 - 1;
            const double fitted = fit.height + fit.slope_x * x + fit.slope_y * y - fit.curvature * (x * x + y * y);
            // exp(t) is never below 1 + t: so most cells need no exponential.
            if (values[i] - (1 + fitted) <= kExcess - 1e-9) continue;
            if (values[i] - exp(least(fitted, 1.0)) > kExcess) {
                weights[i] *= kDiscount;
                touched = true;
            }
        }
        if (!touched) break;
        fit = solve(weights, logs);
    }
    const double curvature = greatest(fit.curvature, kMinCurvature);
    // A summit lies nearer to the greatest cell than to any other; off the map there is no other.
    Summit summit;
    summit.x = clamped(fit.slope_x / (2 * curvature), patch.has_left ? -0.5 : -1.0, patch.has_right ? 0.5 : 1.0);
    summit.y = clamped(fit.slope_y / (2 * curvature), patch.has_above ? -0.5 : -1.0, patch.has_below ? 0.5 : 1.0);
    const double rise = exp(least(curvature * (summit.x * summit.x + summit.y * summit.y), kLogOf2));
    summit.score = least(top * rise, greatest(top, 1.0));
    return summit;
}

}  // namespace ltsh

#endif
