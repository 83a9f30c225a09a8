// Kernels: a module is a shared library that stand_in.py made of a .cu file.

#ifndef STAND_IN_MODULES_H
#define STAND_IN_MODULES_H

#include <cstddef>
#include <string>

#include "streams.h"
#include "threads.h"

namespace stand_in {

struct Module {
    void* library;
    char *shared_begin, *shared_end;
};

struct Kernel {
    std::string name;
    const Module* module;
    std::size_t arguments_size;
    void (*call)(const unsigned char* arguments);
    /// Dynamic shared memory that a launch may ask for.
    std::size_t most_shared;
};

/// Null when the image is none of stand_in.py's.
Module* load_module(const void* image);
/// Null when there is no such kernel.
Kernel* find_kernel(const Module* module, const std::string& name);

/// What a GPU gives any kernel, and one that asked for more.
constexpr std::size_t kUsualShared = 48 * 1024, kMostShared = 227 * 1024;

/// The work of a launch. Throws a Fault when the launch cannot be.
Work prepare_launch(const Kernel& kernel, Size grid, Size block, std::size_t shared, const void* arguments, std::size_t size);

}  // namespace stand_in

#endif
