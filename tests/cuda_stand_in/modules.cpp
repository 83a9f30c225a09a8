#include "modules.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

namespace stand_in {
namespace {

// stand_in.py puts this and the library's size before the library.
constexpr char kMagic[] = "LTSH STAND-IN 1";

std::map<std::pair<const Module*, std::string>, std::unique_ptr<Kernel>> kernels;

template <class Function>
Function find(void* library, const std::string& name) {
    return reinterpret_cast<Function>(dlsym(library, name.c_str()));
}

}  // namespace

Module* load_module(const void* image) {
    const char* bytes = static_cast<const char*>(image);
    if (std::memcmp(bytes, kMagic, sizeof kMagic) != 0) return nullptr;
    std::uint64_t size;
    std::memcpy(&size, bytes + sizeof kMagic, sizeof size);
    const int file = memfd_create("module", 0);
    const bool written = write(file, bytes + sizeof kMagic + sizeof size, size) == static_cast<ssize_t>(size);
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    // The file stays open: under the number of a file that was closed, the loader would take another library for this.
    void* library = written ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (!library) throw Fault(std::string("the module cannot be loaded: ") + dlerror());
    Module* module = new Module{library, nullptr, nullptr};
    find<void (*)(char**, char**)>(library, "stand_in_shared")(&module->shared_begin, &module->shared_end);
    return module;
}

Kernel* find_kernel(const Module* module, const std::string& name) {
    std::unique_ptr<Kernel>& kernel = kernels[{module, name}];
    if (!kernel) {
        const auto size = find<std::size_t (*)()>(module->library, "stand_in_size_" + name);
        const auto call = find<void (*)(const unsigned char*)>(module->library, "stand_in_call_" + name);
        if (!size || !call) return nullptr;
        kernel = std::make_unique<Kernel>(Kernel{name, module, size(), call, kUsualShared});
    }
    return kernel.get();
}

Work prepare_launch(
    const Kernel& kernel, Size grid, Size block, std::size_t shared, const void* arguments, std::size_t size) {
    const std::string name = "kernel " + kernel.name + ": ";
    if (!grid.count() || !block.count()) throw Fault(name + "a grid or block of nothing");
    if (block.count() > kMostThreads || block.z > 64) throw Fault(name + "too many threads in a block");
    if (grid.x > 0x7fffffff || grid.y > 0xffff || grid.z > 0xffff) throw Fault(name + "too many blocks in a grid");
    const std::size_t fixed = kernel.module->shared_end - kernel.module->shared_begin;
    if (shared > kernel.most_shared) throw Fault(name + "more shared memory than it may have");
    if (size != kernel.arguments_size) {
        throw Fault(
            name + "arguments of " + std::to_string(size) + " bytes, not " + std::to_string(kernel.arguments_size));
    }
    const auto* first = static_cast<const unsigned char*>(arguments);
    const std::vector<unsigned char> copy(first, first + size);
    return [&kernel, name, grid, block, shared, fixed, copy] {
        try {
            run_grid(
                grid, block, shared, reinterpret_cast<Address>(kernel.module->shared_begin), fixed,
                [&] { kernel.call(copy.data()); });
        } catch (const Fault& fault) {
            throw Fault(name + fault.what());
        }
    };
}

}  // namespace stand_in
