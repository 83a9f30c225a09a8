#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

namespace stand_in {
namespace {

/// One access to a byte; all zero for none.
struct Access {
    std::uint64_t is_set : 1, is_atomic : 1, block : 18, thread : 10, phase : 17, warp_phase : 17;
};

/// The accesses to a byte that a later one may race with. Of the readers, two different threads: whoever writes is not
/// both of them.
struct Record {
    Access writer, reader, other_reader;
};

/// Zeros until written to, and again when cleared; costs nothing until touched.
class Records {
  public:
    explicit Records(std::size_t count) : size_(count * sizeof(Record)) {
        void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        records_ = static_cast<Record*>(memory);
    }
    ~Records() { munmap(records_, size_); }
    Records(const Records&) = delete;
    Records& operator=(const Records&) = delete;

    Record& operator[](std::size_t index) { return records_[index]; }
    void clear() { madvise(records_, size_, MADV_DONTNEED); }

  private:
    std::size_t size_;
    Record* records_;
};

/// Most accesses are to whole words, so these have records of their own.
constexpr std::size_t kWord = 4;

struct Region {
    Address begin;
    std::size_t size;
    const char* name;
    std::vector<unsigned char> is_written;
    Records words, bytes;
    /// In this launch: touched at all, and touched by less than a word.
    bool was_touched = false, has_bytes = false;

    Region(Address address, std::size_t count, const char* kind)
        : begin(address), size(count), name(kind), is_written(count), words(count / kWord + 1), bytes(count) {}
    void forget_accesses() {
        words.clear();
        if (has_bytes) bytes.clear();
        was_touched = has_bytes = false;
    }
    bool holds(Address address, std::size_t bytes) const {
        return address >= begin && address - begin < size && bytes <= size - (address - begin);
    }
};

/// Between allocations, and of pages that nobody may touch.
constexpr std::size_t kGap = 256;

std::map<Address, std::unique_ptr<Region>> regions;
std::unique_ptr<Region> static_shared, dynamic_shared;
Region* latest = nullptr;

Region* region_of(Address address, std::size_t size) {
    if (latest && latest->holds(address, size)) return latest;
    for (const auto* shared : {&static_shared, &dynamic_shared}) {
        if (*shared && (*shared)->holds(address, size)) return latest = shared->get();
    }
    auto after = regions.upper_bound(address);
    if (after == regions.begin()) return nullptr;
    Region* region = std::prev(after)->second.get();
    return region->holds(address, size) ? latest = region : nullptr;
}

std::string thread_name(unsigned block, unsigned thread) {
    return "thread " + std::to_string(thread) + " of block " + std::to_string(block);
}

std::string name_of(const Toucher& who, bool writes) {
    return thread_name(who.block, who.thread) + (writes ? " writes " : " reads ");
}

Access access_of(const Toucher& who, Kind kind) {
    Access access{};
    access.is_set = 1;
    access.is_atomic = kind == Kind::kAtomic || kind == Kind::kVolatileRead;
    access.block = who.block;
    access.thread = who.thread;
    access.phase = who.phase;
    access.warp_phase = who.warp_phase;
    return access;
}

bool is_same_thread(const Access& a, const Access& b) { return a.block == b.block && a.thread == b.thread; }

/// Whether nothing keeps these two accesses in their order. The first happened before the second here, but need not have.
bool may_race(const Access& earlier, const Access& later) {
    if (!earlier.is_set || is_same_thread(earlier, later) || (earlier.is_atomic && later.is_atomic)) return false;
    if (earlier.block != later.block) return true;
    const bool same_warp = earlier.thread / 32 == later.thread / 32;
    return earlier.phase == later.phase && !(same_warp && earlier.warp_phase != later.warp_phase);
}

void check_races(Record& record, const Access& access, bool writes, const Region& region) {
    const Access* rival = nullptr;
    if (may_race(record.writer, access)) rival = &record.writer;
    for (const Access* reader : {&record.reader, &record.other_reader}) {
        if (writes && may_race(*reader, access)) rival = reader;
    }
    if (!rival) return;
    throw Fault(
        std::string("race in ") + region.name + ": " + thread_name(access.block, access.thread) +
        (writes ? " writes" : " reads") + " what " + thread_name(rival->block, rival->thread) +
        (rival == &record.writer ? " wrote" : " read") +
        (rival->block == access.block ? ", with no barrier between" : " in the same launch"));
}

void note(Record& record, const Access& access, bool writes) {
    if (writes) {
        record.writer = access;
    } else if (!record.reader.is_set || is_same_thread(record.reader, access)) {
        record.reader = access;
    } else {
        record.other_reader = record.reader;
        record.reader = access;
    }
}

}  // namespace

Address allocate(std::size_t size) {
    void* memory = std::aligned_alloc(kGap, (size + 2 * kGap - 1) / kGap * kGap);
    if (!memory) throw std::bad_alloc();
    const Address address = reinterpret_cast<Address>(memory);
    std::memset(memory, 0xCD, size);
    regions[address] = std::make_unique<Region>(address, size, "global memory");
    return address;
}

bool release(Address address) {
    latest = nullptr;
    if (!regions.erase(address)) return false;
    std::free(reinterpret_cast<void*>(address));
    return true;
}

std::size_t allocated_bytes() {
    std::size_t sum = 0;
    for (const auto& entry : regions) sum += entry.second->size;
    return sum;
}

std::size_t allocations() { return regions.size(); }

bool is_allocated(Address address, std::size_t size) {
    const Region* region = region_of(address, size);
    return region && region != static_shared.get() && region != dynamic_shared.get();
}

void note_written(Address address, std::size_t size) {
    Region* region = region_of(address, size);
    std::fill_n(region->is_written.begin() + (address - region->begin), size, 1);
}

void require_written(Address address, std::size_t size, const char* what) {
    const Region* region = region_of(address, size);
    const auto first = region->is_written.begin() + (address - region->begin);
    if (std::find(first, first + size, 0) != first + size) {
        throw Fault(std::string(what) + " reads memory that nobody wrote");
    }
}

void begin_shared(Address address, std::size_t size, bool is_static) {
    auto& region = is_static ? static_shared : dynamic_shared;
    latest = nullptr;
    if (region && region->begin == address && region->size == size) {
        std::fill(region->is_written.begin(), region->is_written.end(), 0);
        region->forget_accesses();
    } else {
        region = size ? std::make_unique<Region>(address, size, "shared memory") : nullptr;
    }
}

void begin_launch() {
    for (auto& entry : regions) {
        if (entry.second->was_touched) entry.second->forget_accesses();
    }
}

void touch(Address address, std::size_t size, Kind kind, bool is_aligned_by_type, const Toucher& who) {
    const bool writes = kind == Kind::kWrite || kind == Kind::kAtomic;
    Region* region = region_of(address, size);
    if (!region) throw Fault(name_of(who, writes) + std::to_string(size) + " bytes out of bounds");
    if (is_aligned_by_type && address % size) throw Fault(name_of(who, writes) + "at an address that is not aligned");
    region->was_touched = true;
    const std::size_t offset = address - region->begin, end = offset + size;
    unsigned char* written = region->is_written.data();
    if (kind != Kind::kWrite && std::memchr(written + offset, 0, size)) {
        throw Fault(name_of(who, writes) + region->name + " that nobody wrote");
    }
    if (writes) std::memset(written + offset, 1, size);
    const Access access = access_of(who, kind);
    const bool in_words = offset % kWord == 0 && size % kWord == 0;
    region->has_bytes |= !in_words;
    for (std::size_t word = offset / kWord; word <= (end - 1) / kWord; ++word) {
        check_races(region->words[word], access, writes, *region);
        if (in_words) note(region->words[word], access, writes);
    }
    if (!region->has_bytes) return;
    for (std::size_t i = offset; i < end; ++i) {
        check_races(region->bytes[i], access, writes, *region);
        if (!in_words) note(region->bytes[i], access, writes);
    }
}

}  // namespace stand_in
