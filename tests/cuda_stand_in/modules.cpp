#include "modules.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>

namespace stand_in {
namespace {

// stand_in.py begins an image with this. Then come the size of the list of shared variables and the list, a line each of
// offset, size and name; then the size of the library and the library.
constexpr char kMagic[16] = "LTSH STAND-IN 2";

std::map<std::pair<const Module*, std::string>, std::unique_ptr<Kernel>> kernels;

template <class Function>
Function find(void* library, const std::string& name) {
    return reinterpret_cast<Function>(dlsym(library, name.c_str()));
}

std::string take_part(const char*& bytes) {
    std::uint64_t size;
    std::memcpy(&size, bytes, sizeof size);
    const std::string part(bytes + sizeof size, size);
    bytes += sizeof size + size;
    return part;
}

std::vector<Variable> read_variables(const std::string& list, Address begin) {
    std::vector<Variable> variables;
    std::istringstream lines(list);
    std::size_t offset, size;
    for (std::string name; lines >> offset >> size && std::getline(lines >> std::ws, name);) {
        variables.push_back({begin + offset, size, name});
    }
    return variables;
}

/// A file of this process alone, with these contents.
std::string file_of(const std::string& contents) {
    const int file = memfd_create("module", 0);
    // It stays open: under the number of a file that was closed, the loader would take another library for this one.
    if (file < 0 || write(file, contents.data(), contents.size()) != static_cast<ssize_t>(contents.size())) {
        throw Fault("the module does not fit into memory");
    }
    return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(file);
}

Address end_of_constants(Address begin) {
    struct Search {
        Address begin, end;
    } search = {begin, begin};
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* data) {
            Search& wanted = *static_cast<Search*>(data);
            if (info->dlpi_addr != wanted.begin) return 0;
            for (int i = 0; i < info->dlpi_phnum; ++i) {
                const auto& part = info->dlpi_phdr[i];
                if (part.p_type != PT_LOAD || part.p_flags & PF_W) continue;
                wanted.end = std::max<Address>(wanted.end, wanted.begin + part.p_vaddr + part.p_memsz);
            }
            return 1;
        },
        &search);
    return search.end;
}

std::string output_of(const std::string& command) {
    std::string output;
    if (FILE* pipe = popen(command.c_str(), "r")) {
        for (int character; (character = std::fgetc(pipe)) != EOF;) output += static_cast<char>(character);
        pclose(pipe);
    }
    return output;
}

}  // namespace

Module* load_module(const void* image) {
    // Libraries stay: work that waits in streams may need them. So one that is loaded again is taken from here.
    static std::map<std::string, Module> known;
    const char* bytes = static_cast<const char*>(image);
    if (std::memcmp(bytes, kMagic, sizeof kMagic) != 0) return nullptr;
    bytes += sizeof kMagic;
    const std::string variables = take_part(bytes), contents = take_part(bytes);
    auto found = known.find(contents);
    if (found == known.end()) {
        const std::string path = file_of(contents);
        void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!library) throw Fault(std::string("the module cannot be loaded: ") + dlerror());
        const link_map* map = nullptr;
        dlinfo(library, RTLD_DI_LINKMAP, &map);
        const Address begin = map->l_addr;
        const Module module = {library, path, begin, end_of_constants(begin), read_variables(variables, begin)};
        found = known.emplace(contents, module).first;
    }
    return new Module(found->second);
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

std::string line_of(const Module& module, const void* place) {
    return line_of(module, static_cast<Place>(reinterpret_cast<Address>(place) - module.begin));
}

std::string line_of(const Module& module, Place place) {
    // What is known is where a call returns to: the call itself is before that.
    char offset[16];
    std::snprintf(offset, sizeof offset, "%x", place - 1);
    std::istringstream lines(output_of("addr2line -s -i -e " + module.path + " 0x" + offset + " 2>/dev/null"));
    // From the inside out, where functions were put into others.
    std::string innermost, outermost;
    for (std::string line; std::getline(lines, line);) {
        line = line.substr(0, line.find(" ("));
        if (line.empty() || line[0] == '?' || line.rfind("device.h:", 0) == 0) continue;
        if (innermost.empty()) innermost = line;
        outermost = line;
    }
    if (innermost.empty()) return "an unknown line";
    return innermost == outermost ? innermost : innermost + " (from " + outermost + ")";
}

std::function<void()> prepare_launch(
    const Kernel& kernel, Size grid, Size block, std::size_t dynamic_shared, const void* arguments, std::size_t size) {
    const std::string name = "kernel " + kernel.name + ": ";
    if (!grid.count() || !block.count()) throw Fault(name + "a grid or block of nothing");
    if (block.count() > kMostThreads || block.z > 64) throw Fault(name + "too many threads in a block");
    if (grid.x > 0x7fffffff || grid.y > 0xffff || grid.z > 0xffff) throw Fault(name + "too many blocks in a grid");
    if (dynamic_shared > kernel.most_dynamic_shared) throw Fault(name + "more shared memory than it may have");
    if (size != kernel.arguments_size) {
        throw Fault(
            name + "arguments of " + std::to_string(size) + " bytes, not " + std::to_string(kernel.arguments_size));
    }
    const auto* first = static_cast<const unsigned char*>(arguments);
    const std::vector<unsigned char> copy(first, first + size);
    const std::size_t most_shared = kernel.most_dynamic_shared > kUsualShared ? kMostShared : kUsualShared;
    return [=, &kernel] {
        try {
            run_grid({kernel.module, grid, block, dynamic_shared, most_shared, [&] { kernel.call(copy.data()); }});
        } catch (const Fault& fault) {
            throw Fault(name + fault.what());
        }
    };
}

}  // namespace stand_in
