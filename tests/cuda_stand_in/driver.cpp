// The functions of libcuda.so.1 that pycuda and this project call. stand_in.py adds those that pycuda only names: they
// answer "not supported".

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "memory.h"
#include "modules.h"
#include "streams.h"

using namespace stand_in;

namespace {

// Numbers of cuda.h.
enum Result { kOk = 0, kInvalid = 1, kNoMemory = 2, kNoDevice = 101, kBadImage = 200, kNotFound = 500, kNotReady = 600, kFault = 719 };
enum Attribute { kMaxThreads = 1, kMaxShared = 8, kWarpSize = 10, kMultiprocessors = 16, kMajor = 75, kMinor = 76, kOptInShared = 97 };
constexpr int kMaxDynamicShared = 8;
constexpr std::size_t kMemory = std::size_t{1} << 32;

std::recursive_mutex mutex;
std::string fault;
int context;
std::map<Address, std::size_t> pinned;

/// Does something as the driver; what it throws becomes an error that stays, as a GPU's does.
template <class Action>
int guarded(Action action) {
    const std::lock_guard<std::recursive_mutex> lock(mutex);
    if (!fault.empty()) return kFault;
    try {
        return action();
    } catch (const Fault& caught) {
        fault = caught.what();
        drop_all();
        return kFault;
    } catch (const std::bad_alloc&) {
        return kNoMemory;
    }
}

bool is_pinned(const void* place, std::size_t size) {
    const Address address = reinterpret_cast<Address>(place);
    auto after = pinned.upper_bound(address);
    if (after == pinned.begin()) return false;
    --after;
    return address + size <= after->first + after->second;
}

void check(Address device, std::size_t size, const char* what) {
    if (!is_allocated(device, size)) throw Fault(std::string(what) + " out of bounds of what is allocated");
}

int upload(Address to, const void* from, std::size_t size, Stream* stream) {
    return guarded([&] {
        check(to, size, "a copy to the GPU");
        const auto copy = [=](const void* source) {
            check(to, size, "a copy to the GPU");
            std::memcpy(reinterpret_cast<void*>(to), source, size);
            note_written(to, size);
        };
        if (stream && is_pinned(from, size)) {
            submit(stream, [=] { copy(from); });
        } else {
            // The driver takes its own copy of other memory before it returns.
            const std::string bytes(static_cast<const char*>(from), size);
            submit(stream, [=] { copy(bytes.data()); });
        }
        return kOk;
    });
}

int download(void* to, Address from, std::size_t size, Stream* stream) {
    return guarded([&] {
        check(from, size, "a copy from the GPU");
        submit(stream, [=] {
            check(from, size, "a copy from the GPU");
            require_written(from, size, "a copy from the GPU");
            std::memcpy(to, reinterpret_cast<const void*>(from), size);
        });
        return kOk;
    });
}

int copy_within(Address to, Address from, std::size_t size, Stream* stream) {
    return guarded([&] {
        submit(stream, [=] {
            check(from, size, "a copy on the GPU");
            check(to, size, "a copy on the GPU");
            require_written(from, size, "a copy on the GPU");
            std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), size);
            note_written(to, size);
        });
        return kOk;
    });
}

template <class Value>
int fill(Address to, Value value, std::size_t count, Stream* stream) {
    return guarded([&] {
        submit(stream, [=] {
            check(to, count * sizeof value, "a memset");
            Value* first = reinterpret_cast<Value*>(to);
            for (std::size_t i = 0; i < count; ++i) first[i] = value;
            note_written(to, count * sizeof value);
        });
        return kOk;
    });
}

}  // namespace

#define API extern "C" __attribute__((visibility("default"))) int

// For tests: what went wrong, if anything, and a fresh start.
extern "C" __attribute__((visibility("default"))) const char* stand_in_fault() { return fault.c_str(); }
extern "C" __attribute__((visibility("default"))) void stand_in_forgive() {
    drop_all();
    fault.clear();
}
extern "C" __attribute__((visibility("default"))) std::size_t stand_in_allocations() { return allocations(); }

API cuInit(unsigned) { return kOk; }
API cuDriverGetVersion(int* version) {
    *version = 13000;
    return kOk;
}
API cuGetErrorString(int code, const char** text) {
    *text = code == kFault && !fault.empty() ? fault.c_str() : "refused by the CUDA stand-in";
    return kOk;
}
API cuGetErrorName(int, const char** text) { return cuGetErrorString(kFault, text); }

/// NVRTC asks for functions that are documented nowhere, and does without them.
API cuGetExportTable(const void** table, const void*) {
    *table = nullptr;
    return kNotFound;
}

API cuDeviceGetCount(int* count) {
    *count = 1;
    return kOk;
}
API cuDeviceGet(int* device, int index) {
    *device = index;
    return index ? kNoDevice : kOk;
}
API cuDeviceGetName(char* name, int size, int) {
    std::snprintf(name, size, "CPU standing in for a GPU");
    return kOk;
}
API cuDeviceComputeCapability(int* major, int* minor, int) {
    *major = 9;
    *minor = 0;
    return kOk;
}
API cuDeviceTotalMem_v2(std::size_t* size, int) {
    *size = kMemory;
    return kOk;
}
API cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case kMaxThreads: *value = kMostThreads; break;
        case kMaxShared: *value = kUsualShared; break;
        case kWarpSize: *value = kWarp; break;
        case kMultiprocessors: *value = 1; break;
        case kMajor: *value = 9; break;
        case kMinor: *value = 0; break;
        case kOptInShared: *value = kMostShared; break;
        default: *value = 0;
    }
    return kOk;
}

API cuDevicePrimaryCtxRetain(void** made, int) {
    *made = &context;
    return kOk;
}
API cuDevicePrimaryCtxRelease_v2(int) { return kOk; }
API cuCtxCreate_v4(void** made, void*, unsigned, int) {
    *made = &context;
    return kOk;
}
API cuCtxAttach(void** made, unsigned) {
    *made = &context;
    return kOk;
}
API cuCtxDetach(void*) { return kOk; }
API cuCtxPushCurrent_v2(void*) { return kOk; }
API cuCtxPopCurrent_v2(void** popped) {
    if (popped) *popped = &context;
    return kOk;
}
API cuCtxGetDevice(int* device) {
    *device = 0;
    return kOk;
}
API cuCtxGetApiVersion(void*, unsigned* version) {
    *version = 13000;
    return kOk;
}
API cuCtxSynchronize() {
    return guarded([] {
        finish_all();
        return kOk;
    });
}

API cuMemAlloc_v2(Address* address, std::size_t size) {
    return guarded([&] {
        if (!size) return kInvalid;
        if (size > kMemory) return kNoMemory;
        *address = allocate(size);
        return kOk;
    });
}
API cuMemFree_v2(Address address) {
    const std::lock_guard<std::recursive_mutex> lock(mutex);
    // Freeing waits for all work, and is done after a fault too.
    const int finished = guarded([] {
        finish_all();
        return kOk;
    });
    return release(address) ? finished : kInvalid;
}
API cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
    *free = kMemory - allocated_bytes();
    *total = kMemory;
    return kOk;
}
API cuMemHostAlloc(void** place, std::size_t size, unsigned) {
    return guarded([&] {
        *place = std::malloc(size);
        if (!*place) return kNoMemory;
        pinned[reinterpret_cast<Address>(*place)] = size;
        return kOk;
    });
}
API cuMemFreeHost(void* place) {
    const std::lock_guard<std::recursive_mutex> lock(mutex);
    guarded([] {
        finish_all();
        return kOk;
    });
    if (!pinned.erase(reinterpret_cast<Address>(place))) return kInvalid;
    std::free(place);
    return kOk;
}

API cuMemcpyHtoD_v2(Address to, const void* from, std::size_t size) { return upload(to, from, size, nullptr); }
API cuMemcpyHtoDAsync_v2(Address to, const void* from, std::size_t size, Stream* stream) { return upload(to, from, size, stream); }
API cuMemcpyDtoH_v2(void* to, Address from, std::size_t size) { return download(to, from, size, nullptr); }
API cuMemcpyDtoHAsync_v2(void* to, Address from, std::size_t size, Stream* stream) { return download(to, from, size, stream); }
API cuMemcpyDtoD_v2(Address to, Address from, std::size_t size) { return copy_within(to, from, size, nullptr); }
API cuMemcpyDtoDAsync_v2(Address to, Address from, std::size_t size, Stream* stream) { return copy_within(to, from, size, stream); }
API cuMemsetD8_v2(Address to, unsigned char value, std::size_t count) { return fill(to, value, count, nullptr); }
API cuMemsetD8Async(Address to, unsigned char value, std::size_t count, Stream* stream) { return fill(to, value, count, stream); }
API cuMemsetD32_v2(Address to, unsigned value, std::size_t count) { return fill(to, value, count, nullptr); }
API cuMemsetD32Async(Address to, unsigned value, std::size_t count, Stream* stream) { return fill(to, value, count, stream); }

API cuStreamCreate(Stream** stream, unsigned) {
    return guarded([&] {
        *stream = create_stream();
        return kOk;
    });
}
API cuStreamDestroy_v2(Stream* stream) {
    return guarded([&] {
        destroy_stream(stream);
        return kOk;
    });
}
API cuStreamSynchronize(Stream* stream) {
    return guarded([&] {
        if (stream) {
            if (!is_stream(stream)) return kInvalid;
            finish(stream);
        } else {
            finish_all();
        }
        return kOk;
    });
}
API cuStreamQuery(Stream* stream) {
    return guarded([&] { return !stream || stream->work.empty() ? kOk : kNotReady; });
}
API cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
    return guarded([&] {
        wait(stream, event);
        return kOk;
    });
}

API cuEventCreate(Event** event, unsigned) {
    *event = new Event;
    return kOk;
}
API cuEventDestroy_v2(Event* event) {
    return guarded([&] {
        // Somebody may still wait for it.
        finish(event);
        drop(event);
        return kOk;
    });
}
API cuEventRecord(Event* event, Stream* stream) {
    return guarded([&] {
        // 1 and 2 stand for the default stream of the process and of the thread.
        record(event, is_stream(stream) ? stream : nullptr);
        return kOk;
    });
}
API cuEventSynchronize(Event* event) {
    return guarded([&] {
        finish(event);
        return kOk;
    });
}
API cuEventQuery(Event* event) {
    return guarded([&] { return event->passed == event->recorded ? kOk : kNotReady; });
}
API cuEventElapsedTime_v2(float* ms, Event* begin, Event* end) {
    return guarded([&] {
        if (begin->passed != begin->recorded || end->passed != end->recorded) return kNotReady;
        *ms = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
        return kOk;
    });
}

API cuModuleLoadDataEx(Module** module, const void* image, unsigned, void*, void*) {
    return guarded([&] {
        *module = load_module(image);
        return *module ? kOk : kBadImage;
    });
}
API cuModuleLoadData(Module** module, const void* image) { return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr); }
API cuModuleUnload(Module*) { return kOk; }
API cuModuleGetFunction(Kernel** kernel, Module* module, const char* name) {
    return guarded([&] {
        *kernel = find_kernel(module, name);
        return *kernel ? kOk : kNotFound;
    });
}
API cuFuncGetAttribute(int* value, int, Kernel*) {
    *value = 0;
    return kOk;
}
API cuFuncSetAttribute(Kernel* kernel, int attribute, int value) {
    return guarded([&] {
        if (attribute != kMaxDynamicShared) return kOk;
        if (value < 0 || static_cast<std::size_t>(value) > kMostShared) return kInvalid;
        kernel->most_shared = value;
        return kOk;
    });
}
API cuFuncSetCacheConfig(Kernel*, int) { return kOk; }
API cuFuncSetBlockShape(Kernel*, int, int, int) { return kOk; }

API cuLaunchKernel(
    Kernel* kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
    unsigned block_z, unsigned shared, Stream* stream, void** separate, void** packed) {
    return guarded([&] {
        // Arguments come as one buffer: a list of keys (1 the buffer, 2 its size) and values, up to the key 0.
        const void* buffer = "";
        std::size_t size = 0;
        if (separate) return kInvalid;
        for (; packed && *packed; packed += 2) {
            if (packed[0] == reinterpret_cast<void*>(1)) buffer = packed[1];
            if (packed[0] == reinterpret_cast<void*>(2)) size = *static_cast<std::size_t*>(packed[1]);
        }
        const Size grid = {grid_x, grid_y, grid_z}, block = {block_x, block_y, block_z};
        submit(stream, prepare_launch(*kernel, grid, block, shared, buffer, size));
        return kOk;
    });
}

API cuStreamBeginCapture_v2(Stream* stream, int) {
    return guarded([&] {
        if (!stream || stream->recording) return kInvalid;
        stream->recording = new Graph;
        return kOk;
    });
}
API cuStreamEndCapture(Stream* stream, Graph** graph) {
    return guarded([&] {
        *graph = stream->recording;
        stream->recording = nullptr;
        return *graph ? kOk : kInvalid;
    });
}
API cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long) {
    *executable = new Graph(*graph);
    return kOk;
}
API cuGraphDestroy(Graph* graph) {
    delete graph;
    return kOk;
}
API cuGraphExecDestroy(Graph* graph) { return cuGraphDestroy(graph); }
API cuGraphLaunch(Graph* graph, Stream* stream) {
    return guarded([&] {
        for (const Work& work : graph->work) submit(stream, work);
        return kOk;
    });
}
