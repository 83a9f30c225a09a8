// Allocations, copies and fills.

#include <cstring>

#include "driver.h"
#include "memory.h"
#include "streams.h"

using namespace stand_in;

namespace {

const std::string kUpload = "a copy to the GPU", kDownload = "a copy from the GPU", kCopy = "a copy on the GPU";
const std::string kFill = "a memset";

bool is_page_locked(const void* place, std::size_t size) {
    return is_allocated(reinterpret_cast<Address>(place), size, Use::kPageLocked);
}

/// Only page-locked memory is copied while the host goes on. Of other memory the driver takes a copy of its own first;
/// but a graph reads it when it is started.
int upload(Address to, const void* from, std::size_t size, Stream* stream) {
    return guarded_in_context([&] {
        require_allocated(to, size, kUpload);
        const auto copy = [=](const void* source) {
            require_allocated(to, size, kUpload);
            std::memcpy(reinterpret_cast<void*>(to), source, size);
            note_written(to, size);
        };
        if (stream && (stream->recording || is_page_locked(from, size))) {
            submit(stream, [=] { copy(from); });
        } else {
            const std::string bytes(static_cast<const char*>(from), size);
            submit(stream, [=] { copy(bytes.data()); });
        }
        return kOk;
    });
}

/// To memory that is not page-locked the driver returns when the copy is done.
int download(void* to, Address from, std::size_t size, Stream* stream) {
    return guarded_in_context([&] {
        require_allocated(from, size, kDownload);
        submit(stream, [=] {
            require_allocated(from, size, kDownload);
            require_written(from, size, kDownload);
            std::memcpy(to, reinterpret_cast<const void*>(from), size);
        });
        if (stream && !stream->recording && !is_page_locked(to, size)) finish(stream);
        return kOk;
    });
}

int copy_within(Address to, Address from, std::size_t size, Stream* stream) {
    return guarded_in_context([&] {
        submit(stream, [=] {
            require_allocated(from, size, kCopy);
            require_allocated(to, size, kCopy);
            require_written(from, size, kCopy);
            std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), size);
            note_written(to, size);
        });
        return kOk;
    });
}

template <class Value>
int fill(Address to, Value value, std::size_t count, Stream* stream) {
    if (to % sizeof value) return kInvalidValue;
    return guarded_in_context([&] {
        submit(stream, [=] {
            require_allocated(to, count * sizeof value, kFill);
            Value* first = reinterpret_cast<Value*>(to);
            for (std::size_t i = 0; i < count; ++i) first[i] = value;
            note_written(to, count * sizeof value);
        });
        return kOk;
    });
}

int give(Address* place, std::size_t size, Use use) {
    return guarded_in_context([&] {
        if (!size) return kInvalidValue;
        if (use == Use::kDevice && size > kDeviceMemory - allocated_bytes(use)) return kNoMemory;
        *place = allocate(size, use);
        return kOk;
    });
}

/// Waits for all work first; memory is given back after a fault, too.
int take_back(Address place, Use use) {
    const std::lock_guard<std::recursive_mutex> lock(driver_lock());
    const int finished = guarded([] {
        finish_all();
        return kOk;
    });
    return release(place, use) ? finished : kInvalidValue;
}

}  // namespace

STAND_IN_API int cuMemAlloc_v2(Address* place, std::size_t size) {
    return give(place, size, Use::kDevice);
}
STAND_IN_API int cuMemFree_v2(Address place) { return take_back(place, Use::kDevice); }
STAND_IN_API int cuMemHostAlloc(Address* place, std::size_t size, unsigned) { return give(place, size, Use::kPageLocked); }
STAND_IN_API int cuMemFreeHost(void* place) {
    return take_back(reinterpret_cast<Address>(place), Use::kPageLocked);
}
/// Page-locked memory has the same address for the GPU as for the host.
STAND_IN_API int cuMemHostGetDevicePointer_v2(Address* device, void* host, unsigned) {
    *device = reinterpret_cast<Address>(host);
    return is_page_locked(host, 1) ? kOk : kInvalidValue;
}

STAND_IN_API int cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
    return guarded_in_context([&] {
        *free = kDeviceMemory - allocated_bytes(Use::kDevice);
        *total = kDeviceMemory;
        return kOk;
    });
}

STAND_IN_API int cuMemcpyHtoD_v2(Address to, const void* from, std::size_t size) {
    return upload(to, from, size, nullptr);
}
STAND_IN_API int cuMemcpyHtoDAsync_v2(Address to, const void* from, std::size_t size, Stream* stream) {
    return upload(to, from, size, stream);
}
STAND_IN_API int cuMemcpyDtoH_v2(void* to, Address from, std::size_t size) { return download(to, from, size, nullptr); }
STAND_IN_API int cuMemcpyDtoHAsync_v2(void* to, Address from, std::size_t size, Stream* stream) {
    return download(to, from, size, stream);
}
STAND_IN_API int cuMemcpyDtoD_v2(Address to, Address from, std::size_t size) {
    return copy_within(to, from, size, nullptr);
}
STAND_IN_API int cuMemcpyDtoDAsync_v2(Address to, Address from, std::size_t size, Stream* stream) {
    return copy_within(to, from, size, stream);
}

#define STAND_IN_FILL(BITS, VALUE)                                                                      \
    STAND_IN_API int cuMemsetD##BITS##_v2(Address to, VALUE value, std::size_t count) {                 \
        return fill(to, value, count, nullptr);                                                         \
    }                                                                                                   \
    STAND_IN_API int cuMemsetD##BITS##Async(Address to, VALUE value, std::size_t count, Stream* stream) { \
        return fill(to, value, count, stream);                                                          \
    }

STAND_IN_FILL(8, unsigned char)
STAND_IN_FILL(16, unsigned short)
STAND_IN_FILL(32, unsigned)
