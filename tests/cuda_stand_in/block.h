// The block of threads that runs, and how its threads wait for each other.

#ifndef STAND_IN_BLOCK_H
#define STAND_IN_BLOCK_H

#include <string>
#include <vector>

#include "clocks.h"
#include "fibers.h"

namespace stand_in {

/// Where in the kernel's source a thread waits.
struct Line {
    const char* file;
    int number;
    std::string text() const;
};

struct Thread {
    enum class State { kRuns, kAtBlockBarrier, kAtWarpBarrier, kEnded };

    Fiber fiber;
    unsigned number;
    State state = State::kRuns;
    Line line = {};
    /// For a warp barrier: the lanes that it waits for.
    unsigned mask = 0;
    /// What it brings to a vote or a shuffle, and where what all lanes bring shall be put; null for a mere barrier.
    std::uint64_t brought = 0, *received = nullptr;

    explicit Thread(unsigned index) : fiber(index), number(index) {}
};

class Block {
  public:
    explicit Block(unsigned threads);

    std::vector<Thread>& threads() { return threads_; }
    const Clocks& clocks() const { return clocks_; }
    /// How many threads said yes at the latest barrier of the block.
    unsigned votes() const { return votes_; }
    /// Lets threads go on that have waited for long enough. False when none can, since all have ended; throws a Fault
    /// when none can and some wait in vain.
    bool release();

  private:
    bool release_warps();
    bool release_warp(Thread& first);
    void release_all();
    [[noreturn]] void complain_of_warp(const Thread& thread);

    std::vector<Thread> threads_;
    Clocks clocks_;
    unsigned votes_ = 0;
};

}  // namespace stand_in

#endif
