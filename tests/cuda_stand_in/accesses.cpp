// Every load and store of a kernel: what g++ calls before it, as for its own detector of data races.

#include <cstddef>

#include "memory.h"
#include "threads.h"

// Seen by kernels; everything else keeps to itself.
#pragma GCC visibility push(default)

extern "C" {
void stand_in_check(void* address, std::size_t size, int kind, bool is_aligned_by_type) {
    using namespace stand_in;
    const Address place = reinterpret_cast<Address>(address);
    if (!is_running() || is_on_stack(place)) return;
    std::string fault;
    try {
        touch(place, size, static_cast<Kind>(kind), is_aligned_by_type, current_thread());
        return;
    } catch (const Fault& caught) {
        fault = caught.what();
    }
    // Out of the handler first: an exception that is being handled belongs to the fiber that handles it.
    fail(fault);
}

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

void __tsan_read_range(void* address, std::size_t size) { stand_in_check(address, size, 0, false); }
void __tsan_write_range(void* address, std::size_t size) { stand_in_check(address, size, 1, false); }

#define STAND_IN_ACCESSES(BYTES)                                                                          \
    void __tsan_read##BYTES(void* address) { stand_in_check(address, BYTES, 0, true); }                   \
    void __tsan_write##BYTES(void* address) { stand_in_check(address, BYTES, 1, true); }                  \
    void __tsan_unaligned_read##BYTES(void* address) { stand_in_check(address, BYTES, 0, false); }        \
    void __tsan_unaligned_write##BYTES(void* address) { stand_in_check(address, BYTES, 1, false); }       \
    /* CUDA reads and writes volatile variables in one piece each, as atomic operations do. */           \
    void __tsan_volatile_read##BYTES(void* address) { stand_in_check(address, BYTES, 3, true); }          \
    void __tsan_volatile_write##BYTES(void* address) { stand_in_check(address, BYTES, 2, true); }

STAND_IN_ACCESSES(1)
STAND_IN_ACCESSES(2)
STAND_IN_ACCESSES(4)
STAND_IN_ACCESSES(8)
STAND_IN_ACCESSES(16)
}

#pragma GCC visibility pop
