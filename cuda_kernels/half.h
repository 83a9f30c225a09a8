// Half precision as maps have it: IEEE 754's binary16, which converts to float and does nothing else.
//
// CUDA's own header is not used, since the compiler that pip installs comes without it.

#ifndef LTSH_HALF_H
#define LTSH_HALF_H

#include "host_device.h"

namespace ltsh {

struct Half {
    unsigned short bits;

    LTSH_HOST_DEVICE operator float() const {
        union {
            unsigned bits;
            float value;
        } number;
        const unsigned sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
        // Numbers too small to be normal are whole multiples of 2^-24.
        if (exponent == 0) return (sign ? -5.9604644775390625e-8f : 5.9604644775390625e-8f) * static_cast<float>(fraction);
        // The bias is 15 there and 127 here; infinity and NaN have the greatest exponent of each.
        number.bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13;
        return number.value;
    }
};

}  // namespace ltsh

#endif
