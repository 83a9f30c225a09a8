// What the CUDA kernels hand on, to each other and to the host; decoder.py reads it by the same fields.

#ifndef LTSH_CUDA_RESULTS_H
#define LTSH_CUDA_RESULTS_H

namespace ltsh {

/// A joint has at most so many peaks, whatever its limit: what the kernels keep in shared memory is sized for that.
constexpr int kMostPeaks = 1024;

/// A peak, in cells.
struct FoundPeak {
    double x, y, score;
};

/// A connection: the numbers of the two peaks among those of their joints.
struct FoundLimb {
    double score;
    int first, second;
};

}  // namespace ltsh

#endif
