// The threads of a grid: blocks run one after the other, and in a block the threads take turns, each as a fiber.

#ifndef STAND_IN_THREADS_H
#define STAND_IN_THREADS_H

#include <cstddef>
#include <functional>
#include <string>

#include "memory.h"

namespace stand_in {

struct Size {
    unsigned x, y, z;
    unsigned long long count() const { return 1ull * x * y * z; }
};

constexpr unsigned kMostThreads = 1024;

struct Module;

/// What runs, and with what.
struct Launch {
    const Module* module;
    Size grid, block;
    /// Bytes of shared memory that the launch asks for, beside the kernel's own shared variables.
    std::size_t dynamic_shared;
    /// What a block's shared memory may come to in all.
    std::size_t most_shared;
    std::function<void()> kernel;
};

/// Runs a kernel in every thread of every block. Throws the Fault of the first thread that has one.
void run_grid(const Launch& launch);

/// The order in which blocks run and threads take turns. 0: that of their numbers, and a turn lasts until the thread
/// must wait. Any other number begins another sequence of random orders, and of turns that may end at any access.
void set_order(unsigned seed);

/// How long a kernel may take before it is said not to end. One that touches no memory is never asked.
void set_patience(double seconds);

/// Whether a kernel runs; the functions below are for its threads.
bool is_running();
unsigned current_thread();
Moment current_moment(const void* place);
/// "thread 3 of block 0"
std::string name_of(const Access& access);
/// Memory that the threads of the current block share.
Regions& shared_memory();
/// The module of the kernel that runs.
const Module& current_module();
/// Lets other threads have a turn if that of the current one is over.
void take_turns();
/// A fault in the current thread, which does not go on; `place` is in its code.
[[noreturn]] void fail(const std::string& what, const void* place);

}  // namespace stand_in

#endif
