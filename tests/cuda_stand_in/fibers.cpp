#include "fibers.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <new>

namespace stand_in {
namespace {

/// For the functions of this library that a fiber calls; they are not deep.
constexpr std::size_t kReserve = 16 * 1024;

/// All stacks, one after the other. Memory that is not touched costs nothing.
char* stacks() {
    static char* const all = [] {
        void* memory = mmap(
            nullptr, kStackSize * kMostFibers, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
            0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        return static_cast<char*>(memory);
    }();
    return all;
}

}  // namespace

// ucontext, which every Linux has, is slow since it asks the system for signal masks. So it only puts a fiber onto its
// stack; from then on, setjmp and longjmp switch.

void Fiber::begin(void (*function)()) {
    ucontext_t start, here;
    getcontext(&start);
    start.uc_stack.ss_sp = stacks() + kStackSize * number_;
    start.uc_stack.ss_size = kStackSize;
    start.uc_link = nullptr;
    makecontext(&start, function, 0);
    if (_setjmp(outside_) == 0) swapcontext(&here, &start);
}

void Fiber::resume() {
    if (_setjmp(outside_) == 0) _longjmp(inside_, 1);
}

void Fiber::pause() {
    if (_setjmp(inside_) == 0) _longjmp(outside_, 1);
}

int fiber_with(Address address) {
    const Address offset = address - reinterpret_cast<Address>(stacks());
    return offset < kStackSize * kMostFibers ? static_cast<int>(offset / kStackSize) : -1;
}

bool is_stack_exhausted(Address address_on_stack) {
    return (address_on_stack - reinterpret_cast<Address>(stacks())) % kStackSize < kReserve;
}

}  // namespace stand_in
