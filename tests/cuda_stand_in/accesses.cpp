// Every load and store of a kernel: what g++ calls before it, as for its own detector of data races.

#include <cstring>

#include "fibers.h"
#include "modules.h"

namespace stand_in {
namespace {

/// Where an access lies that is allowed; throws a Fault for one that is not. Null for memory without records.
Region* region_of(Address address, std::size_t size, Kind kind) {
    Regions& shared = shared_memory();
    if (Region* region = shared.find(address, size)) return region;
    if (Region* region = global_memory().find(address, size)) {
        if (region->is_freed) throw Fault("touches " + region->name + " after it was freed");
        return region;
    }
    const Module& module = current_module();
    if (address >= module.begin && address + size <= module.end_of_constants && !is_writing(kind)) return nullptr;
    const std::string in_shared = shared.describe(address), in_global = global_memory().describe(address);
    throw Fault(
        (is_writing(kind) ? "writes " : "reads ") + std::to_string(size) + " bytes out of bounds, " +
        (!in_shared.empty() ? in_shared : !in_global.empty() ? in_global : "at an address that is none of the GPU's"));
}

void check_initialised(Region& region, std::size_t offset, std::size_t size, Kind kind) {
    unsigned char* written = region.is_written.data() + offset;
    if (is_reading(kind) && std::memchr(written, 0, size)) {
        throw Fault("reads " + region.name + ", at byte " + std::to_string(offset) + ", which nobody wrote");
    }
    if (is_writing(kind)) std::memset(written, 1, size);
}

void check_race(Region& region, std::size_t offset, std::size_t size, Kind kind, const Moment& moment) {
    Rival rival;
    if (!region.records.has_race(offset, size, kind, moment, rival)) return;
    const bool same_block = rival.access.run == moment.access.run;
    throw Fault(
        std::string(is_writing(kind) ? "writes" : "reads") + " what " + name_of(rival.access) +
        (rival.is_writing ? " wrote" : " read") + " at " + line_of(current_module(), rival.access.place) +
        (same_block ? ", with no barrier between" : " in the same launch") + ": a race in " + region.name);
}

void check(Address address, std::size_t size, Kind kind, const void* place) {
    if (const int owner = fiber_with(address); owner >= 0) {
        throw Fault("touches a local variable of thread " + std::to_string(owner));
    }
    Region* region = region_of(address, size, kind);
    if (!region) return;
    region->is_touched = true;
    const std::size_t offset = address - region->begin;
    check_initialised(*region, offset, size, kind);
    Moment moment = current_moment(place);
    // Every block has shared memory of its own, if at the same place.
    if (region->is_shared) moment.first_run = moment.access.run;
    check_race(*region, offset, size, kind, moment);
}

void access(void* address, std::size_t size, Kind kind, const void* place) {
    const Address begin = reinterpret_cast<Address>(address);
    // A thread's own variables are nobody else's business. A turn must not end at them, since an atomic operation has
    // local variables too.
    if (!is_running() || fiber_with(begin) == static_cast<int>(current_thread())) return;
    take_turns();
    std::string fault;
    try {
        check(begin, size, kind, place);
        return;
    } catch (const Fault& caught) {
        fault = name_of(current_moment(place).access) + " " + caught.what();
    }
    // Out of the handler first: an exception that is being handled belongs to the fiber that handles it.
    fail(fault, place);
}

}  // namespace
}  // namespace stand_in

using stand_in::Kind;

// Seen by kernels; everything else keeps to itself.
#pragma GCC visibility push(default)

extern "C" {

// What device.h declares.
void stand_in_atomic_access(void* address, std::size_t size, const void* place) {
    stand_in::access(address, size, Kind::kAtomic, place);
}

void __tsan_init() {}

void __tsan_func_entry(void*) {
    const int here = 0;
    if (!stand_in::is_running() || !stand_in::is_stack_exhausted(reinterpret_cast<stand_in::Address>(&here))) return;
    stand_in::fail("a thread's stack is exhausted, by recursion or large local variables", __builtin_return_address(0));
}
void __tsan_func_exit() {}

#define STAND_IN_ACCESS(NAME, BYTES, KIND) \
    void NAME##BYTES(void* address) { stand_in::access(address, BYTES, KIND, __builtin_return_address(0)); }

#define STAND_IN_ACCESSES(BYTES)                                     \
    STAND_IN_ACCESS(__tsan_read, BYTES, Kind::kRead)                 \
    STAND_IN_ACCESS(__tsan_write, BYTES, Kind::kWrite)               \
    STAND_IN_ACCESS(__tsan_unaligned_read, BYTES, Kind::kRead)       \
    STAND_IN_ACCESS(__tsan_unaligned_write, BYTES, Kind::kWrite)     \
    STAND_IN_ACCESS(__tsan_volatile_read, BYTES, Kind::kAtomicRead)  \
    STAND_IN_ACCESS(__tsan_volatile_write, BYTES, Kind::kAtomicWrite)

STAND_IN_ACCESSES(1)
STAND_IN_ACCESSES(2)
STAND_IN_ACCESSES(4)
STAND_IN_ACCESSES(8)
STAND_IN_ACCESSES(16)

void __tsan_read_range(void* address, std::size_t size) {
    stand_in::access(address, size, Kind::kRead, __builtin_return_address(0));
}
void __tsan_write_range(void* address, std::size_t size) {
    stand_in::access(address, size, Kind::kWrite, __builtin_return_address(0));
}

// memcpy and memset, also where g++ makes them of assignments; the linker has kernels call these in their place.
void* __wrap_memcpy(void* to, const void* from, std::size_t size) {
    const void* place = __builtin_return_address(0);
    if (size) stand_in::access(const_cast<void*>(from), size, Kind::kRead, place);
    if (size) stand_in::access(to, size, Kind::kWrite, place);
    return std::memcpy(to, from, size);
}
void* __wrap_memset(void* to, int value, std::size_t size) {
    if (size) stand_in::access(to, size, Kind::kWrite, __builtin_return_address(0));
    return std::memset(to, value, size);
}
}

#pragma GCC visibility pop
