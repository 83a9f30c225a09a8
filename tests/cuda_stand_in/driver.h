// What the functions of libcuda.so.1 have in common: they hold one lock, and their mistakes become error codes.

#ifndef STAND_IN_DRIVER_H
#define STAND_IN_DRIVER_H

#include <mutex>
#include <new>
#include <string>

#include "fault.h"

#define STAND_IN_API extern "C" __attribute__((visibility("default")))

namespace stand_in {

/// Numbers of cuda.h.
enum Result {
    kOk = 0,
    kInvalidValue = 1,
    kNoMemory = 2,
    kNoDevice = 101,
    kBadImage = 200,
    kNoContext = 201,
    kBadHandle = 400,
    kNotFound = 500,
    kNotReady = 600,
    kLaunchFailed = 719,
    kNotWhileRecording = 900,
};

std::recursive_mutex& driver_lock();
/// What went wrong first; "" for nothing.
const std::string& noted_fault();
/// Notes a fault, unless another one came before, and forgets all work that waits.
void note_fault(const std::string& text);
/// Whether the calling thread has a context.
bool has_context();

/// Does something as the driver does. What it throws becomes an error that stays: after a fault of a kernel, a GPU's
/// context answers nothing else.
template <class Action>
int guarded(Action action) {
    const std::lock_guard<std::recursive_mutex> lock(driver_lock());
    if (!noted_fault().empty()) return kLaunchFailed;
    try {
        return action();
    } catch (const Fault& fault) {
        note_fault(fault.what());
        return kLaunchFailed;
    } catch (const std::bad_alloc&) {
        return kNoMemory;
    }
}

/// The same for what needs a context.
template <class Action>
int guarded_in_context(Action action) {
    return has_context() ? guarded(action) : kNoContext;
}

}  // namespace stand_in

#endif
