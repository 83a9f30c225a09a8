#include "threads.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <random>

#include "block.h"
#include "modules.h"

namespace stand_in {
namespace {

using Time = std::chrono::steady_clock;
using State = Thread::State;

/// In their own order, threads take turns only for the sake of those that wait for what another one writes.
constexpr unsigned kLongTurn = 1 << 18;
constexpr unsigned kMostOfRandomTurn = 40;

unsigned order = 0;
Time::duration patience = std::chrono::seconds(60);
std::minstd_rand random_numbers;
/// Over all launches.
Run latest_run = 0;

/// 0 and so on, in the order of the moment.
std::vector<unsigned> numbered(unsigned long long count) {
    std::vector<unsigned> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 0u);
    if (order) std::shuffle(numbers.begin(), numbers.end(), random_numbers);
    return numbers;
}

/// All that is known of a launch while it runs.
struct Grid {
    explicit Grid(const Launch& all) : launch(all), first_run(latest_run + 1), numbers(numbered(all.grid.count())) {}

    const Launch& launch;
    Run first_run;
    /// Of the blocks, in the order in which they run.
    std::vector<unsigned> numbers;
    Regions shared;
    std::vector<std::max_align_t> dynamic_memory;
    Time::time_point begin = Time::now();
    Block* block = nullptr;
    Thread* thread = nullptr;
    /// Accesses that are left of the current turn.
    unsigned turn = 0;
    std::string fault;
    const void* fault_place = nullptr;
};

Grid* grid = nullptr;

unsigned new_turn() { return order ? 1 + random_numbers() % kMostOfRandomTurn : kLongTurn; }

Size place_of(unsigned number, const Size& size) {
    return {number % size.x, number / size.x % size.y, number / size.x / size.y};
}

unsigned current_block() { return grid->numbers[latest_run - grid->first_run]; }

void run_thread() {
    grid->launch.kernel();
    grid->thread->state = State::kEnded;
    grid->thread->fiber.pause();
}

void give_turn(Thread& thread, bool is_first) {
    grid->thread = &thread;
    grid->turn = new_turn();
    if (is_first) {
        thread.fiber.begin(run_thread);
    } else {
        thread.fiber.resume();
    }
    grid->thread = nullptr;
    if (grid->fault.empty()) return;
    throw Fault((grid->fault_place ? line_of(current_module(), grid->fault_place) + ": " : "") + grid->fault);
}

/// A new block's shared variables hold nothing.
void empty_shared_memory() {
    for (const auto& region : grid->shared.all()) {
        if (region->is_touched) std::fill(region->is_written.begin(), region->is_written.end(), 0);
        region->is_touched = false;
    }
}

void check_size_of_shared_memory() {
    std::size_t sum = grid->launch.dynamic_shared;
    for (const auto& region : grid->shared.all()) {
        const bool is_dynamic = region->begin == reinterpret_cast<Address>(grid->dynamic_memory.data());
        if (region->is_touched && !is_dynamic) sum += region->size;
    }
    if (sum <= grid->launch.most_shared) return;
    throw Fault(
        "shared memory of " + std::to_string(sum) + " bytes, of which there are " +
        std::to_string(grid->launch.most_shared));
}

void run_block() {
    empty_shared_memory();
    Block block(static_cast<unsigned>(grid->launch.block.count()));
    grid->block = &block;
    for (bool is_first = true; is_first || block.release(); is_first = false) {
        for (const unsigned number : numbered(block.threads().size())) {
            Thread& thread = block.threads()[number];
            if (thread.state == State::kRuns) give_turn(thread, is_first);
        }
    }
    check_size_of_shared_memory();
}

void add_shared(Address address, std::size_t size, const std::string& name) {
    grid->shared.add(std::make_unique<Region>(address, size, name)).is_shared = true;
}

void add_shared_memory() {
    for (const Variable& variable : grid->launch.module->shared) {
        add_shared(variable.address, variable.size, "shared variable " + variable.name);
    }
    if (const std::size_t size = grid->launch.dynamic_shared) {
        grid->dynamic_memory.resize(size / sizeof(std::max_align_t) + 1);
        const Address address = reinterpret_cast<Address>(grid->dynamic_memory.data());
        add_shared(address, size, "shared memory of " + std::to_string(size) + " bytes");
    }
}

}  // namespace

void run_grid(const Launch& launch) {
    Grid here(launch);
    grid = &here;
    struct Ended {
        ~Ended() { grid = nullptr; }
    } ended;
    add_shared_memory();
    for (std::size_t i = 0; i < here.numbers.size(); ++i) {
        ++latest_run;
        run_block();
    }
}

void set_order(unsigned seed) {
    order = seed;
    random_numbers.seed(seed);
}

void set_patience(double seconds) {
    patience = std::chrono::duration_cast<Time::duration>(std::chrono::duration<double>(seconds));
}

bool is_running() { return grid && grid->thread; }
unsigned current_thread() { return grid->thread->number; }
Regions& shared_memory() { return grid->shared; }
const Module& current_module() { return *grid->launch.module; }

Moment current_moment(const void* place) {
    const Thread& thread = *grid->thread;
    const Place offset = static_cast<Place>(reinterpret_cast<Address>(place) - current_module().begin);
    const Access access = {latest_run, thread.number, grid->block->clocks().now(thread.number), offset};
    return {access, grid->first_run, &grid->block->clocks()};
}

std::string name_of(const Access& access) {
    const auto text = [](unsigned number, const Size& size) {
        if (size.y == 1 && size.z == 1) return std::to_string(number);
        const Size place = place_of(number, size);
        const std::string last = size.z == 1 ? "" : ", " + std::to_string(place.z);
        return "(" + std::to_string(place.x) + ", " + std::to_string(place.y) + last + ")";
    };
    const unsigned block = grid->numbers[access.run - grid->first_run];
    return "thread " + text(access.thread, grid->launch.block) + " of block " + text(block, grid->launch.grid);
}

void take_turns() {
    if (--grid->turn) return;
    if (Time::now() - grid->begin > patience) {
        fail("the kernel does not end: " + name_of(current_moment(nullptr).access) + " is still at work", nullptr);
    }
    grid->thread->fiber.pause();
}

void fail(const std::string& what, const void* place) {
    grid->fault = what;
    grid->fault_place = place;
    for (;;) grid->thread->fiber.pause();
}

}  // namespace stand_in

// What device.h declares.

using stand_in::grid;
using stand_in::Line;
using stand_in::Size;

// Seen by kernels; everything else keeps to itself.
#pragma GCC visibility push(default)

extern "C" {

Size stand_in_thread_index() { return stand_in::place_of(grid->thread->number, grid->launch.block); }
Size stand_in_block_index() { return stand_in::place_of(stand_in::current_block(), grid->launch.grid); }
Size stand_in_block_size() { return grid->launch.block; }
Size stand_in_grid_size() { return grid->launch.grid; }
unsigned stand_in_lane() { return grid->thread->number % stand_in::kWarp; }
void* stand_in_dynamic_shared() { return grid->dynamic_memory.data(); }

unsigned stand_in_block_barrier(int vote, const char* file, int line) {
    stand_in::Thread& thread = *grid->thread;
    thread.line = Line{file, line};
    thread.brought = vote != 0;
    thread.state = stand_in::State::kAtBlockBarrier;
    thread.fiber.pause();
    return grid->block->votes();
}

void stand_in_warp_barrier(unsigned mask, std::uint64_t brought, std::uint64_t* received, const char* file, int line) {
    stand_in::Thread& thread = *grid->thread;
    thread.line = Line{file, line};
    if (!(mask >> thread.number % stand_in::kWarp & 1)) {
        const std::string who = stand_in::name_of(stand_in::current_moment(nullptr).access);
        stand_in::fail(thread.line.text() + ": " + who + " takes part, whose lane the mask leaves out", nullptr);
    }
    thread.mask = mask;
    thread.brought = brought;
    thread.received = received;
    thread.state = stand_in::State::kAtWarpBarrier;
    thread.fiber.pause();
}

void stand_in_fail(const char* what, const char* file, int line) {
    const std::string who = stand_in::name_of(stand_in::current_moment(nullptr).access);
    stand_in::fail(Line{file, line}.text() + ": " + who + " " + what, nullptr);
}
}

#pragma GCC visibility pop
