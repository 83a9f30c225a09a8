// Memory of the device, and what is known of each of its bytes.

#ifndef STAND_IN_MEMORY_H
#define STAND_IN_MEMORY_H

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace stand_in {

using Address = std::uintptr_t;

/// A fault of a kernel, or of how it is used, as the user shall read it.
struct Fault : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The last is that of a volatile variable: in one piece, as an atomic operation, and changes nothing.
enum class Kind { kRead, kWrite, kAtomic, kVolatileRead };

/// Who touches memory, and between which barriers of their block and of their warp.
struct Toucher {
    unsigned block, thread, phase, warp_phase;
};

/// Global memory: as malloc and free.
Address allocate(std::size_t size);
/// False when nothing was allocated there.
bool release(Address address);
/// Bytes that are allocated now, and how many times.
std::size_t allocated_bytes();
std::size_t allocations();

/// Whether all of these bytes are allocated.
bool is_allocated(Address address, std::size_t size);
/// Somebody other than a kernel wrote these bytes, or needs them to have been written.
void note_written(Address address, std::size_t size);
void require_written(Address address, std::size_t size, const char* what);

/// Memory that one block's threads share, until the next block begins: nobody has written it yet.
void begin_shared(Address address, std::size_t size, bool is_static);
/// What was touched in an earlier launch has no bearing on this one.
void begin_launch();

/// Checks and notes an access of a kernel. Throws a Fault.
void touch(Address address, std::size_t size, Kind kind, bool is_aligned_by_type, const Toucher& who);

}  // namespace stand_in

#endif
