// Modules: a module is a shared library that stand_in.py made of a .cu file, with a list of its shared variables.

#ifndef STAND_IN_MODULES_H
#define STAND_IN_MODULES_H

#include <cstddef>
#include <string>
#include <vector>

#include "threads.h"

namespace stand_in {

struct Variable {
    Address address;
    std::size_t size;
    std::string name;
};

struct Module {
    void* library;
    /// Where it is to be read as a file.
    std::string path;
    /// Where its code and constants lie, which kernels may read; variables lie behind.
    Address begin, end_of_constants;
    std::vector<Variable> shared;
};

struct Kernel {
    std::string name;
    const Module* module;
    std::size_t arguments_size;
    void (*call)(const unsigned char* arguments);
    /// Dynamic shared memory that a launch may ask for.
    std::size_t most_dynamic_shared;
};

/// Null when the image is none of stand_in.py's.
Module* load_module(const void* image);
/// Null when there is no such kernel.
Kernel* find_kernel(const Module* module, const std::string& name);

/// The line of the source that an address in a module's code was made from: "peaks.cu:12".
std::string line_of(const Module& module, const void* place);
std::string line_of(const Module& module, Place place);

/// The shared memory that any kernel may have, and one that asks for more.
constexpr std::size_t kUsualShared = 48 * 1024, kMostShared = 227 * 1024;

/// The work of a launch, which names the kernel in its faults. Throws a Fault when the launch cannot be.
std::function<void()> prepare_launch(
    const Kernel& kernel, Size grid, Size block, std::size_t dynamic_shared, const void* arguments, std::size_t size);

}  // namespace stand_in

#endif
