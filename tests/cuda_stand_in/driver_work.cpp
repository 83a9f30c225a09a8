// Streams, events, modules and launches.

#include "driver.h"
#include "modules.h"
#include "streams.h"

using namespace stand_in;

namespace {

/// CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
constexpr int kMostDynamicShared = 8;

/// Null is the default stream; 1 and 2 are the default one of the process and of the thread, by another name.
Stream* named(Stream* stream) { return reinterpret_cast<Address>(stream) <= 2 ? nullptr : stream; }
bool is_known(Stream* stream) { return !stream || is_stream(stream); }

}  // namespace

STAND_IN_API int cuStreamCreate(Stream** stream, unsigned flags) {
    return guarded_in_context([&] {
        *stream = create_stream(flags == 0);
        return kOk;
    });
}
STAND_IN_API int cuStreamDestroy_v2(Stream* stream) {
    const std::lock_guard<std::recursive_mutex> lock(driver_lock());
    if (!is_stream(stream)) return kBadHandle;
    const int finished = guarded([&] {
        finish(stream);
        return kOk;
    });
    // After a fault nothing is left to be done.
    destroy_stream(stream);
    return finished;
}
STAND_IN_API int cuStreamSynchronize(Stream* stream) {
    return guarded([&] {
        if (!is_known(stream = named(stream))) return kBadHandle;
        if (stream ? stream->recording != nullptr : is_recording()) return kNotWhileRecording;
        if (stream) {
            finish(stream);
        } else {
            submit(nullptr, [] {});
        }
        return kOk;
    });
}
STAND_IN_API int cuStreamQuery(Stream* stream) {
    return guarded([&] {
        if (!is_known(stream = named(stream))) return kBadHandle;
        return !stream || stream->work.empty() ? kOk : kNotReady;
    });
}
STAND_IN_API int cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
    return guarded([&] {
        if (!is_known(stream = named(stream)) || !is_event(event)) return kBadHandle;
        wait(stream, event);
        return kOk;
    });
}

STAND_IN_API int cuEventCreate(Event** event, unsigned) {
    return guarded_in_context([&] {
        *event = create_event();
        return kOk;
    });
}
STAND_IN_API int cuEventDestroy_v2(Event* event) {
    const std::lock_guard<std::recursive_mutex> lock(driver_lock());
    if (!is_event(event)) return kBadHandle;
    const int finished = guarded([&] {
        finish(event);
        return kOk;
    });
    destroy_event(event);
    return finished;
}
STAND_IN_API int cuEventRecord(Event* event, Stream* stream) {
    return guarded([&] {
        if (!is_known(stream = named(stream)) || !is_event(event)) return kBadHandle;
        record(event, stream);
        return kOk;
    });
}
STAND_IN_API int cuEventSynchronize(Event* event) {
    return guarded([&] {
        if (!is_event(event)) return kBadHandle;
        finish(event);
        return kOk;
    });
}
STAND_IN_API int cuEventQuery(Event* event) {
    return guarded([&] {
        if (!is_event(event)) return kBadHandle;
        return event->passed == event->recorded ? kOk : kNotReady;
    });
}
STAND_IN_API int cuEventElapsedTime_v2(float* milliseconds, Event* begin, Event* end) {
    return guarded([&] {
        if (!is_event(begin) || !is_event(end) || !begin->recorded || !end->recorded) return kBadHandle;
        if (begin->passed != begin->recorded || end->passed != end->recorded) return kNotReady;
        *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
        return kOk;
    });
}
/// What pycuda calls when it was built with the headers of CUDA 12.
STAND_IN_API int cuEventElapsedTime(float* milliseconds, Event* begin, Event* end) {
    return cuEventElapsedTime_v2(milliseconds, begin, end);
}

STAND_IN_API int cuModuleLoadDataEx(Module** module, const void* image, unsigned, void*, void*) {
    return guarded_in_context([&] {
        *module = load_module(image);
        return *module ? kOk : kBadImage;
    });
}
STAND_IN_API int cuModuleLoadData(Module** module, const void* image) {
    return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}
/// The module stays: work that waits in streams may still need it.
STAND_IN_API int cuModuleUnload(Module*) { return kOk; }
STAND_IN_API int cuModuleGetFunction(Kernel** kernel, Module* module, const char* name) {
    return guarded([&] {
        *kernel = find_kernel(module, name);
        return *kernel ? kOk : kNotFound;
    });
}

STAND_IN_API int cuFuncGetAttribute(int* value, int attribute, Kernel* kernel) {
    *value = attribute == kMostDynamicShared ? static_cast<int>(kernel->most_dynamic_shared) : 0;
    return kOk;
}
STAND_IN_API int cuFuncSetAttribute(Kernel* kernel, int attribute, int value) {
    return guarded([&] {
        if (attribute != kMostDynamicShared) return kOk;
        if (value < 0 || static_cast<std::size_t>(value) > kMostShared) return kInvalidValue;
        kernel->most_dynamic_shared = value;
        return kOk;
    });
}
STAND_IN_API int cuFuncSetCacheConfig(Kernel*, int) { return kOk; }
STAND_IN_API int cuFuncSetBlockShape(Kernel*, int, int, int) { return kOk; }

STAND_IN_API int cuLaunchKernel(
    Kernel* kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
    unsigned block_z, unsigned dynamic_shared, Stream* stream, void** separate, void** packed) {
    return guarded_in_context([&] {
        if (!is_known(stream = named(stream))) return kBadHandle;
        // Arguments come as one buffer, as pycuda gives them: a list of keys (1 the buffer, 2 its size) and values, up
        // to the key 0.
        if (separate) return kInvalidValue;
        const void* buffer = "";
        std::size_t size = 0;
        for (; packed && *packed; packed += 2) {
            if (packed[0] == reinterpret_cast<void*>(1)) buffer = packed[1];
            if (packed[0] == reinterpret_cast<void*>(2)) size = *static_cast<std::size_t*>(packed[1]);
        }
        const Size grid = {grid_x, grid_y, grid_z}, block = {block_x, block_y, block_z};
        submit(stream, prepare_launch(*kernel, grid, block, dynamic_shared, buffer, size));
        return kOk;
    });
}
