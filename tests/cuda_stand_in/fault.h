// What a kernel, or a program that uses the GPU, did wrong.

#ifndef STAND_IN_FAULT_H
#define STAND_IN_FAULT_H

#include <cstdint>
#include <stdexcept>
#include <string>

namespace stand_in {

using Address = std::uintptr_t;

/// A mistake, in the words that the user shall read.
struct Fault : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace stand_in

#endif
