// The threads of a block: a fiber each, run one after the other, of one block after the other.

#ifndef STAND_IN_THREADS_H
#define STAND_IN_THREADS_H

#include <cstddef>
#include <functional>

#include "memory.h"

namespace stand_in {

struct Size {
    unsigned x, y, z;
    unsigned long long count() const { return 1ull * x * y * z; }
};

constexpr unsigned kWarp = 32, kMostThreads = 1024;

/// Runs `body` in every thread of every block. Throws the Fault of the first thread that has one.
/// `static_shared` is where the kernel's own shared variables lie.
void run_grid(
    Size grid, Size block, std::size_t dynamic_shared, Address static_shared, std::size_t static_size,
    const std::function<void()>& body);

/// Who is running; not to be asked when nobody is.
bool is_running();
Toucher current_thread();
/// Whether an address lies on the stack of the thread that is running.
bool is_on_stack(Address address);

/// A fault in the thread that is running, which does not go on.
[[noreturn]] void fail(const std::string& what);

}  // namespace stand_in

#endif
