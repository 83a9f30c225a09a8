// Fibers: functions that run on stacks of their own and hand the processor to each other, so that one thread of the
// operating system can play all threads of a CUDA block.

#ifndef STAND_IN_FIBERS_H
#define STAND_IN_FIBERS_H

#include <csetjmp>
#include <cstddef>

#include "fault.h"

namespace stand_in {

class Fiber {
  public:
    /// The fiber of this number, whose stack is always the same; nothing runs yet.
    explicit Fiber(unsigned number) : number_(number) {}

    /// Runs `function` from its beginning, until it pauses or ends.
    void begin(void (*function)());
    /// Goes on where the fiber paused, until it pauses again or ends.
    void resume();
    /// To be called by the fiber: returns to whoever began or resumed it.
    void pause();

  private:
    unsigned number_;
    std::jmp_buf inside_, outside_;
};

/// How many fibers there can be.
constexpr unsigned kMostFibers = 1024;
/// Bytes of a fiber's stack.
constexpr std::size_t kStackSize = 64 * 1024;

/// The number of the fiber on whose stack an address lies; -1 for an address elsewhere.
int fiber_with(Address address);

/// Whether a fiber has used up its stack, of which the last part is kept for the stand-in's own functions.
bool is_stack_exhausted(Address address_on_stack);

}  // namespace stand_in

#endif
