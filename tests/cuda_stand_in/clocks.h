// Time in a block: which accesses of other threads a thread can be sure to come after.
//
// Every thread has a clock, which a barrier advances. A thread has seen all that another one did before a barrier of the
// whole block, and all that a lane of its warp did before a __syncwarp of both. Votes and shuffles are no barriers: CUDA
// promises for them no order of memory. This is the vector clock of Lamport's "happens before" (Mattern, "Virtual time
// and global states of distributed systems", 1989), of which only the part within a warp must be kept for each thread.

#ifndef STAND_IN_CLOCKS_H
#define STAND_IN_CLOCKS_H

#include <array>
#include <cstdint>
#include <vector>

namespace stand_in {

using Clock = std::uint32_t;
constexpr unsigned kWarp = 32;

class Clocks {
  public:
    /// All threads of a new block.
    void reset(unsigned threads);
    /// The time of a thread.
    Clock now(unsigned thread) const { return threads_[thread].own; }
    /// Whether what `other` did at this time, of its own clock, is sure to come before what `thread` does now.
    bool has_seen(unsigned thread, unsigned other, Clock time) const {
        if (time < threads_[other].at_block_barrier) return true;
        return thread / kWarp == other / kWarp && time < threads_[thread].seen_of_lane[other % kWarp];
    }
    void pass_block_barrier();
    /// The lanes in `mask` of the warp that begins with thread `first` wait for each other.
    void pass_warp_barrier(unsigned first, unsigned mask);

  private:
    struct Thread {
        /// `at_block_barrier` is the thread's own time right after the latest barrier of the block.
        Clock own, at_block_barrier;
        std::array<Clock, kWarp> seen_of_lane;
    };
    std::vector<Thread> threads_;
};

}  // namespace stand_in

#endif
