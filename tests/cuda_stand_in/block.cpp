#include "block.h"

#include <algorithm>
#include <cstring>

namespace stand_in {
namespace {

using State = Thread::State;

bool is_same(const Line& a, const Line& b) { return a.number == b.number && std::strcmp(a.file, b.file) == 0; }

std::string called(const Thread& thread) { return "thread " + std::to_string(thread.number); }

}  // namespace

std::string Line::text() const {
    const char* slash = std::strrchr(file, '/');
    return std::string(slash ? slash + 1 : file) + ":" + std::to_string(number);
}

Block::Block(unsigned threads) {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back(i);
    clocks_.reset(threads);
}

bool Block::release() {
    if (release_warps()) return true;
    const auto is_in = [](State state) { return [=](const Thread& thread) { return thread.state == state; }; };
    if (std::any_of(threads_.begin(), threads_.end(), is_in(State::kRuns))) return true;
    const auto stuck = std::find_if(threads_.begin(), threads_.end(), is_in(State::kAtWarpBarrier));
    if (stuck != threads_.end()) complain_of_warp(*stuck);
    const auto waiting = std::find_if(threads_.begin(), threads_.end(), is_in(State::kAtBlockBarrier));
    if (waiting == threads_.end()) return false;
    // CUDA wants that all threads of a block come to the same barrier, or none. GPUs forgive threads that have ended,
    // but whoever wrote them had most likely not that in mind.
    const auto ended = std::find_if(threads_.begin(), threads_.end(), is_in(State::kEnded));
    if (ended != threads_.end()) {
        throw Fault(
            "the barrier at " + waiting->line.text() + " is not reached by all threads of the block: " +
            called(*waiting) + " waits, " + called(*ended) + " has ended");
    }
    const auto other = std::find_if(
        threads_.begin(), threads_.end(), [&](const Thread& thread) { return !is_same(thread.line, waiting->line); });
    if (other != threads_.end()) {
        throw Fault(
            "threads of a block wait at different barriers: " + called(*waiting) + " at " + waiting->line.text() +
            ", " + called(*other) + " at " + other->line.text());
    }
    release_all();
    return true;
}

void Block::release_all() {
    clocks_.pass_block_barrier();
    votes_ = 0;
    for (Thread& thread : threads_) {
        votes_ += thread.brought != 0;
        thread.state = State::kRuns;
    }
}

bool Block::release_warps() {
    bool released = false;
    for (Thread& thread : threads_) {
        if (thread.state == State::kAtWarpBarrier) released |= release_warp(thread);
    }
    return released;
}

/// Lets the lanes go on that a thread waits for, if they all wait for each other at the same place.
bool Block::release_warp(Thread& thread) {
    const unsigned first = thread.number / kWarp * kWarp, mask = thread.mask;
    std::uint64_t brought[kWarp] = {};
    for (unsigned lane = 0; lane < kWarp; ++lane) {
        if (!(mask >> lane & 1)) continue;
        if (first + lane >= threads_.size()) return false;
        const Thread& other = threads_[first + lane];
        if (other.state != State::kAtWarpBarrier || other.mask != mask || !is_same(other.line, thread.line)) return false;
        if (!other.received != !thread.received) return false;
        brought[lane] = other.brought;
    }
    const bool is_barrier = thread.received == nullptr;
    for (unsigned lane = 0; lane < kWarp; ++lane) {
        if (!(mask >> lane & 1)) continue;
        Thread& other = threads_[first + lane];
        if (!is_barrier) std::copy(brought, brought + kWarp, other.received);
        other.state = State::kRuns;
    }
    if (is_barrier) clocks_.pass_warp_barrier(first, mask);
    return true;
}

void Block::complain_of_warp(const Thread& thread) {
    const unsigned first = thread.number / kWarp * kWarp;
    const std::string waits = called(thread) + " waits at " + thread.line.text() + " for lane ";
    for (unsigned lane = 0; lane < kWarp; ++lane) {
        if (!(thread.mask >> lane & 1)) continue;
        const std::string number = std::to_string(lane) + " of its warp, which ";
        if (first + lane >= threads_.size()) throw Fault(waits + number + "is not there");
        const Thread& other = threads_[first + lane];
        if (other.state == State::kEnded) throw Fault(waits + number + "has ended");
        if (other.state != State::kAtWarpBarrier || !is_same(other.line, thread.line)) {
            throw Fault(waits + number + "waits elsewhere, at " + other.line.text() + ": this never ends");
        }
        if (other.mask != thread.mask) throw Fault(waits + number + "waits there for other lanes");
    }
    throw Fault(waits + "none");
}

}  // namespace stand_in
