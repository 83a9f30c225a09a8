#include "threads.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#if !defined(__x86_64__)
#error "The switch from one fiber to another is written for x86-64."
#endif

// Leaves a fiber, whose registers are kept on its stack, for another.
extern "C" void stand_in_switch(void** left, void* entered);
asm(R"(
.text
.globl stand_in_switch
stand_in_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

namespace stand_in {
namespace {

enum class State { kRuns, kAtBlockBarrier, kAtWarpBarrier, kEnded };

constexpr std::size_t kStack = 64 * 1024;
constexpr int kSavedRegisters = 6;

struct Thread {
    void* stack_pointer;
    unsigned x, y, z;
    State state;
    /// Where it waits: the place in the code, and for a warp the lanes that it waits for.
    const void* place;
    unsigned mask;
    /// What it brings to a vote or a shuffle.
    std::uint64_t brought;
    unsigned warp_phase;
};

struct Block {
    std::vector<Thread> threads;
    unsigned phase = 0;
    /// How many said yes at the latest barrier.
    unsigned votes = 0;
};

char* stacks = nullptr;
Block block;
Size block_size, grid_size, block_index;
unsigned block_number;
std::vector<std::uint64_t> dynamic_memory;
Thread* running = nullptr;
void* scheduler = nullptr;
const std::function<void()>* kernel = nullptr;
std::string fault;

void leave() { stand_in_switch(&running->stack_pointer, scheduler); }

void begin_thread() {
    (*kernel)();
    running->state = State::kEnded;
    leave();
}

void prepare(unsigned index) {
    Thread& thread = block.threads[index];
    thread = {};
    thread.x = index % block_size.x;
    thread.y = index / block_size.x % block_size.y;
    thread.z = index / block_size.x / block_size.y;
    // As after a call: the stack is 16 bytes aligned before the return address.
    void** top = reinterpret_cast<void**>(stacks + kStack * (index + 1)) - 1;
    *--top = reinterpret_cast<void*>(begin_thread);
    top -= kSavedRegisters;
    std::fill_n(top, kSavedRegisters, nullptr);
    thread.stack_pointer = top;
}

void run(Thread& thread) {
    running = &thread;
    stand_in_switch(&scheduler, thread.stack_pointer);
    running = nullptr;
    if (!fault.empty()) throw Fault(fault);
}

/// Lets the lanes go on for which all lanes that they wait for wait too, at the same place.
bool release_lanes(Thread* lanes, unsigned count) {
    bool released = false;
    for (unsigned i = 0; i < count; ++i) {
        if (lanes[i].state != State::kAtWarpBarrier) continue;
        const unsigned mask = lanes[i].mask;
        if (!(mask >> i & 1)) throw Fault("a lane takes part in a vote or shuffle whose mask leaves it out");
        bool complete = true;
        for (unsigned other = 0; other < kWarp; ++other) {
            if (!(mask >> other & 1)) continue;
            if (other >= count || lanes[other].state == State::kEnded) {
                throw Fault("a vote or shuffle waits for a lane that is not there");
            }
            complete &= lanes[other].state == State::kAtWarpBarrier && lanes[other].mask == mask &&
                        lanes[other].place == lanes[i].place;
        }
        if (!complete) continue;
        for (unsigned other = 0; other < count; ++other) {
            if (!(mask >> other & 1)) continue;
            lanes[other].state = State::kRuns;
            ++lanes[other].warp_phase;
        }
        released = true;
    }
    return released;
}

void run_warp(Thread* lanes, unsigned count) {
    do {
        for (unsigned i = 0; i < count; ++i) {
            if (lanes[i].state == State::kRuns) run(lanes[i]);
        }
    } while (release_lanes(lanes, count));
}

void run_block() {
    const unsigned count = static_cast<unsigned>(block.threads.size());
    block.phase = 0;
    for (unsigned i = 0; i < count; ++i) prepare(i);
    for (;;) {
        for (unsigned first = 0; first < count; first += kWarp) {
            run_warp(&block.threads[first], std::min(kWarp, count - first));
        }
        const void* place = nullptr;
        unsigned waiting = 0, votes = 0;
        for (const Thread& thread : block.threads) {
            if (thread.state == State::kEnded) continue;
            if (thread.state == State::kAtWarpBarrier) {
                throw Fault("a vote or shuffle waits for lanes that wait elsewhere: on a GPU this never ends");
            }
            if (waiting++ && thread.place != place) throw Fault("threads of a block wait at different barriers");
            place = thread.place;
            votes += thread.brought != 0;
        }
        if (!waiting) return;
        if (waiting != count) throw Fault("a barrier is not reached by all threads of the block");
        block.votes = votes;
        ++block.phase;
        for (Thread& thread : block.threads) thread.state = State::kRuns;
    }
}

}  // namespace

void run_grid(
    Size grid, Size size, std::size_t shared, Address static_shared, std::size_t static_size,
    const std::function<void()>& body) {
    if (!stacks) {
        void* memory = mmap(
            nullptr, kStack * kMostThreads, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        stacks = static_cast<char*>(memory);
    }
    grid_size = grid;
    block_size = size;
    kernel = &body;
    block.threads.resize(size.count());
    dynamic_memory.resize((shared + 7) / 8);
    fault.clear();
    begin_launch();
    block_number = 0;
    for (unsigned z = 0; z < grid.z; ++z) {
        for (unsigned y = 0; y < grid.y; ++y) {
            for (unsigned x = 0; x < grid.x; ++x, ++block_number) {
                block_index = {x, y, z};
                begin_shared(reinterpret_cast<Address>(dynamic_memory.data()), shared, false);
                begin_shared(static_shared, static_size, true);
                run_block();
            }
        }
    }
}

bool is_running() { return running != nullptr; }

Toucher current_thread() {
    const unsigned index = static_cast<unsigned>(running - block.threads.data());
    return {block_number, index, block.phase, running->warp_phase};
}

bool is_on_stack(Address address) {
    const Address begin = reinterpret_cast<Address>(stacks) + kStack * (running - block.threads.data());
    return address - begin < kStack;
}

void fail(const std::string& what) {
    fault = what;
    for (;;) leave();
}

}  // namespace stand_in

using stand_in::block;
using stand_in::running;
using stand_in::State;

// What device.h declares.

// Seen by kernels; everything else keeps to itself.
#pragma GCC visibility push(default)

extern "C" {

void stand_in_thread_index(unsigned* xyz) {
    xyz[0] = running->x;
    xyz[1] = running->y;
    xyz[2] = running->z;
}

void stand_in_block_index(unsigned* xyz) { std::memcpy(xyz, &stand_in::block_index, sizeof stand_in::block_index); }
void stand_in_block_size(unsigned* xyz) { std::memcpy(xyz, &stand_in::block_size, sizeof stand_in::block_size); }
void stand_in_grid_size(unsigned* xyz) { std::memcpy(xyz, &stand_in::grid_size, sizeof stand_in::grid_size); }
void* stand_in_dynamic_shared() { return stand_in::dynamic_memory.data(); }

unsigned stand_in_block_barrier(bool vote) {
    running->state = State::kAtBlockBarrier;
    running->place = __builtin_return_address(0);
    running->brought = vote;
    stand_in::leave();
    return block.votes;
}

void stand_in_warp_barrier(unsigned mask, std::uint64_t brought, std::uint64_t* all) {
    const std::size_t index = running - block.threads.data(), first = index / stand_in::kWarp * stand_in::kWarp;
    running->state = State::kAtWarpBarrier;
    running->place = __builtin_return_address(0);
    running->mask = mask;
    running->brought = brought;
    stand_in::leave();
    for (unsigned lane = 0; all && lane < stand_in::kWarp && first + lane < block.threads.size(); ++lane) {
        all[lane] = block.threads[first + lane].brought;
    }
    // Nobody may bring something new before everybody has taken.
    running->state = State::kAtWarpBarrier;
    running->place = __builtin_return_address(0);
    stand_in::leave();
}
}

#pragma GCC visibility pop
