// The driver itself, its one device, and contexts. stand_in.py adds the functions that pycuda names and nobody here
// needs: they answer "not supported".

#include "driver.h"

#include <cstdio>
#include <vector>

#include "memory.h"
#include "modules.h"
#include "streams.h"

namespace stand_in {
namespace {

/// CU_DEVICE_ATTRIBUTE_...
enum Attribute {
    kThreadsOfABlock = 1,
    kSharedOfABlock = 8,
    kWarpSize = 10,
    kMultiprocessors = 16,
    kMajor = 75,
    kMinor = 76,
    kSharedOfABlockAtMost = 97,
};
constexpr int kCudaVersion = 13000;

std::string fault;

struct Context {
    bool is_primary;
};
Context primary{true};
/// Of the calling thread, the current one last.
thread_local std::vector<Context*> contexts;

}  // namespace

std::recursive_mutex& driver_lock() {
    static std::recursive_mutex lock;
    return lock;
}

const std::string& noted_fault() { return fault; }

void note_fault(const std::string& text) {
    if (fault.empty()) fault = text;
    forget_all_work();
}

bool has_context() { return !contexts.empty(); }

}  // namespace stand_in

using namespace stand_in;

// For tests; see stand_in.py.
STAND_IN_API const char* stand_in_fault() { return fault.c_str(); }
STAND_IN_API void stand_in_forgive() {
    forget_all_work();
    fault.clear();
}
STAND_IN_API void stand_in_order(unsigned seed) { set_order(seed); }
STAND_IN_API void stand_in_patience(double seconds) { set_patience(seconds); }
STAND_IN_API std::size_t stand_in_memory() { return allocations(Use::kDevice); }
STAND_IN_API std::size_t stand_in_page_locked() { return allocations(Use::kPageLocked); }
STAND_IN_API std::size_t stand_in_streams() { return count_streams(); }
STAND_IN_API std::size_t stand_in_events() { return count_events(); }
STAND_IN_API std::size_t stand_in_graphs() { return count_graphs(); }

STAND_IN_API int cuInit(unsigned) { return kOk; }
STAND_IN_API int cuDriverGetVersion(int* version) {
    *version = kCudaVersion;
    return kOk;
}
STAND_IN_API int cuGetErrorString(int code, const char** text) {
    switch (code) {
        case kLaunchFailed: *text = fault.empty() ? "a kernel failed" : fault.c_str(); break;
        case kNoContext: *text = "no context is current in this thread"; break;
        case kNoMemory: *text = "out of memory"; break;
        case kBadHandle: *text = "there is no such stream, event or graph"; break;
        case kNotWhileRecording: *text = "a stream that records a graph cannot be waited for"; break;
        case kNotReady: *text = "not ready"; break;
        default: *text = "refused by the CUDA stand-in";
    }
    return kOk;
}
STAND_IN_API int cuGetErrorName(int code, const char** text) { return cuGetErrorString(code, text); }

/// NVRTC asks for functions that are documented nowhere, and does without them.
STAND_IN_API int cuGetExportTable(const void** table, const void*) {
    *table = nullptr;
    return kNotFound;
}

STAND_IN_API int cuDeviceGetCount(int* count) {
    *count = 1;
    return kOk;
}
STAND_IN_API int cuDeviceGet(int* device, int index) {
    *device = index;
    return index == 0 ? kOk : kNoDevice;
}
STAND_IN_API int cuDeviceGetName(char* name, int size, int) {
    std::snprintf(name, size, "CPU standing in for a GPU");
    return kOk;
}
STAND_IN_API int cuDeviceTotalMem_v2(std::size_t* size, int) {
    *size = kDeviceMemory;
    return kOk;
}
STAND_IN_API int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case kThreadsOfABlock: *value = kMostThreads; break;
        case kSharedOfABlock: *value = kUsualShared; break;
        case kSharedOfABlockAtMost: *value = kMostShared; break;
        case kWarpSize: *value = kWarp; break;
        case kMultiprocessors: *value = 1; break;
        case kMajor: *value = 9; break;
        default: *value = 0;
    }
    return kOk;
}
STAND_IN_API int cuDeviceComputeCapability(int* major, int* minor, int device) {
    cuDeviceGetAttribute(major, kMajor, device);
    return cuDeviceGetAttribute(minor, kMinor, device);
}

STAND_IN_API int cuDevicePrimaryCtxRetain(Context** made, int) {
    *made = &primary;
    return kOk;
}
STAND_IN_API int cuDevicePrimaryCtxRelease_v2(int) { return kOk; }
STAND_IN_API int cuCtxPushCurrent_v2(Context* context) {
    if (!context) return kNoContext;
    contexts.push_back(context);
    return kOk;
}
STAND_IN_API int cuCtxPopCurrent_v2(Context** popped) {
    if (contexts.empty()) return kNoContext;
    if (popped) *popped = contexts.back();
    contexts.pop_back();
    return kOk;
}
STAND_IN_API int cuCtxGetCurrent(Context** current) {
    *current = contexts.empty() ? nullptr : contexts.back();
    return kOk;
}
STAND_IN_API int cuCtxCreate_v4(Context** made, void*, unsigned, int) {
    *made = new Context{false};
    return cuCtxPushCurrent_v2(*made);
}
/// What pycuda calls when it was built with the headers of CUDA 12.
STAND_IN_API int cuCtxCreate_v2(Context** made, unsigned flags, int device) {
    return cuCtxCreate_v4(made, nullptr, flags, device);
}
STAND_IN_API int cuCtxAttach(Context** current, unsigned) {
    if (contexts.empty()) return kNoContext;
    return cuCtxGetCurrent(current);
}
STAND_IN_API int cuCtxDetach(Context* context) {
    if (!contexts.empty() && contexts.back() == context) contexts.pop_back();
    if (!context->is_primary) delete context;
    return kOk;
}
STAND_IN_API int cuCtxGetDevice(int* device) {
    *device = 0;
    return contexts.empty() ? kNoContext : kOk;
}
STAND_IN_API int cuCtxGetApiVersion(Context*, unsigned* version) {
    *version = kCudaVersion;
    return kOk;
}
STAND_IN_API int cuCtxSynchronize() {
    return guarded_in_context([] {
        if (is_recording()) return kNotWhileRecording;
        finish_all();
        return kOk;
    });
}
