// What C++ leaves undefined, in kernels as elsewhere: what g++ calls after having found it, as for its own checks of
// -fsanitize=undefined.

#include <cstddef>
#include <cstdint>

#include "block.h"
#include "threads.h"

namespace {

/// What all of g++'s descriptions of a mistake begin with.
struct Description {
    const char* file;
    std::uint32_t line, column;
};

void complain(const Description* description, const char* what) {
    if (!stand_in::is_running()) return;
    const stand_in::Line line = {description->file, static_cast<int>(description->line)};
    const std::string who = stand_in::name_of(stand_in::current_moment(nullptr).access);
    stand_in::fail(line.text() + ": " + who + " " + what, nullptr);
}

}  // namespace

// Seen by kernels; everything else keeps to itself.
#pragma GCC visibility push(default)

extern "C" {

void __ubsan_handle_out_of_bounds(Description* description, void*) {
    complain(description, "uses an index out of an array's bounds");
}
void __ubsan_handle_type_mismatch_v1(Description* description, void*) {
    complain(description, "uses an address that is not aligned for its type");
}
void __ubsan_handle_shift_out_of_bounds(Description* description, void*, void*) {
    complain(description, "shifts by a number of bits that is negative or too large");
}
void __ubsan_handle_divrem_overflow(Description* description, void*, void*) {
    complain(description, "divides by zero");
}

#define STAND_IN_OVERFLOW(NAME) \
    void NAME(Description* description, void*, void*) { complain(description, "overflows an integer"); }

STAND_IN_OVERFLOW(__ubsan_handle_add_overflow)
STAND_IN_OVERFLOW(__ubsan_handle_sub_overflow)
STAND_IN_OVERFLOW(__ubsan_handle_mul_overflow)

void __ubsan_handle_negate_overflow(Description* description, void*) { complain(description, "overflows an integer"); }
}

#pragma GCC visibility pop
