#include "clocks.h"

#include <algorithm>

#include "races.h"

namespace stand_in {
namespace {

void advance(Clock& clock) {
    if (++clock > kLatestTime) throw Fault("too many barriers in one block for the stand-in to count");
}

}  // namespace

void Clocks::reset(unsigned threads) { threads_.assign(threads, Thread{}); }

void Clocks::pass_block_barrier() {
    for (Thread& thread : threads_) {
        advance(thread.own);
        thread.at_block_barrier = thread.own;
    }
}

void Clocks::pass_warp_barrier(unsigned first, unsigned mask) {
    std::array<Clock, kWarp> seen = {};
    for (unsigned lane = 0; lane < kWarp && first + lane < threads_.size(); ++lane) {
        if (!(mask >> lane & 1)) continue;
        Thread& thread = threads_[first + lane];
        advance(thread.own);
        for (unsigned other = 0; other < kWarp; ++other) seen[other] = std::max(seen[other], thread.seen_of_lane[other]);
        seen[lane] = thread.own;
    }
    for (unsigned lane = 0; lane < kWarp && first + lane < threads_.size(); ++lane) {
        if (mask >> lane & 1) threads_[first + lane].seen_of_lane = seen;
    }
}

}  // namespace stand_in
