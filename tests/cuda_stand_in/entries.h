// How the driver calls a kernel with packed arguments; stand_in.py adds two functions for each kernel that use this.

#pragma once

#include <cstddef>
#include <cstring>
#include <utility>

namespace stand_in_entries {

// Arguments lie in the memory of the host, where kernels have no business: reading them is not checked.
#define STAND_IN_UNCHECKED __attribute__((no_sanitize("thread")))

/// Where the arguments begin, one after the other, and where the last one ends.
template <class... Arguments>
struct Places {
    std::size_t begin[sizeof...(Arguments) + 1] = {}, end = 0;

    constexpr Places() {
        std::size_t index = 0;
        ((begin[index] = (end + alignof(Arguments) - 1) / alignof(Arguments) * alignof(Arguments),
          end = begin[index++] + sizeof(Arguments)),
         ...);
    }
};

template <class... Arguments>
constexpr std::size_t packed_size(void (*)(Arguments...)) {
    return Places<Arguments...>().end;
}

template <class Argument>
STAND_IN_UNCHECKED Argument unpack(const unsigned char* place) {
    Argument argument;
    std::memcpy(&argument, place, sizeof argument);
    return argument;
}

template <class... Arguments, std::size_t... indices>
STAND_IN_UNCHECKED void call(
    void (*kernel)(Arguments...), const unsigned char* arguments, std::index_sequence<indices...>) {
    constexpr Places<Arguments...> places;
    kernel(unpack<Arguments>(arguments + places.begin[indices])...);
}

template <class... Arguments>
STAND_IN_UNCHECKED void call(void (*kernel)(Arguments...), const unsigned char* arguments) {
    call(kernel, arguments, std::index_sequence_for<Arguments...>());
}

}  // namespace stand_in_entries
