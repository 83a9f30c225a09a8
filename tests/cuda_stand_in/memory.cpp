#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace stand_in {
namespace {

/// Address space that is set aside for allocations, and given out from its beginning to its end.
constexpr std::size_t kArena = std::size_t{1} << 38;
/// Allocations begin at pages, and behind each lie as many bytes that belong to nobody as it has, but at least so many.
constexpr std::size_t kPage = 4096;
/// What memory holds that nobody has written: as floating point numbers huge or NaN, as indices out of any bounds.
constexpr int kGarbage = 0x7f;

std::size_t whole_pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

Address take_addresses(std::size_t size) {
    static const Address arena = [] {
        void* memory = mmap(nullptr, kArena, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        return reinterpret_cast<Address>(memory);
    }();
    static std::size_t taken = kPage;
    const std::size_t room = 2 * whole_pages(size);
    if (size > kArena / 4 || taken + room > kArena) throw std::bad_alloc();
    const Address address = arena + taken;
    taken += room;
    if (mprotect(reinterpret_cast<void*>(address), whole_pages(size), PROT_READ | PROT_WRITE)) throw std::bad_alloc();
    return address;
}

struct Counts {
    std::size_t pieces = 0, bytes = 0;
};
Counts counts[2];

Counts& counts_of(Use use) { return counts[use == Use::kPageLocked]; }

/// Page-locked memory is told from the device's by its name.
constexpr char kPageLockedName[] = "page-locked memory";

bool is_of(const Region& region, Use use) {
    return (region.name.rfind(kPageLockedName, 0) == 0) == (use == Use::kPageLocked);
}

}  // namespace

Region::Region(Address address, std::size_t bytes, std::string called)
    : begin(address), size(bytes), name(std::move(called)), is_written(bytes), records(bytes) {}

Region* Regions::find(Address address, std::size_t bytes) {
    if (latest_ && latest_->holds(address, bytes)) return latest_;
    auto after = std::upper_bound(
        sorted_.begin(), sorted_.end(), address, [](Address a, const auto& region) { return a < region->begin; });
    if (after == sorted_.begin() || !(*--after)->holds(address, bytes)) return nullptr;
    return latest_ = after->get();
}

Region& Regions::add(std::unique_ptr<Region> region) {
    const auto place = std::upper_bound(
        sorted_.begin(), sorted_.end(), region->begin, [](Address a, const auto& other) { return a < other->begin; });
    return **sorted_.insert(place, std::move(region));
}

void Regions::clear() {
    sorted_.clear();
    latest_ = nullptr;
}

std::string Regions::describe(Address address) const {
    const auto after = std::upper_bound(
        sorted_.begin(), sorted_.end(), address, [](Address a, const auto& region) { return a < region->begin; });
    const Region* before = after == sorted_.begin() ? nullptr : std::prev(after)->get();
    const Region* next = after == sorted_.end() ? nullptr : after->get();
    if (before && before->holds(address, 1)) return "at byte " + std::to_string(address - before->begin) + " of " + before->name;
    const Address behind = before ? address - (before->begin + before->size) : ~Address{0};
    const Address ahead = next ? next->begin - address : ~Address{0};
    // Farther away than that, an address has nothing to do with the region.
    constexpr Address kNear = Address{1} << 24;
    if (std::min(behind, ahead) > kNear) return "";
    if (ahead < behind) return std::to_string(ahead) + " bytes before " + next->name;
    return (behind ? std::to_string(behind) + " bytes behind the end of " : "right behind ") + before->name;
}

Regions& global_memory() {
    static Regions regions;
    return regions;
}

Address allocate(std::size_t size, Use use) {
    const Address address = take_addresses(size);
    std::memset(reinterpret_cast<void*>(address), kGarbage, size);
    const char* kind = use == Use::kPageLocked ? kPageLockedName : "memory";
    auto region = std::make_unique<Region>(address, size, kind + (" of " + std::to_string(size) + " bytes"));
    // The host writes page-locked memory by itself, which is not seen.
    if (use == Use::kPageLocked) std::fill(region->is_written.begin(), region->is_written.end(), 1);
    global_memory().add(std::move(region));
    ++counts_of(use).pieces;
    counts_of(use).bytes += size;
    return address;
}

bool release(Address address, Use use) {
    Region* region = global_memory().find(address, 1);
    if (!region || region->begin != address || region->is_freed || !is_of(*region, use)) return false;
    region->is_freed = true;
    region->is_written = {};
    region->records.discard();
    --counts_of(use).pieces;
    counts_of(use).bytes -= region->size;
    // Nobody can touch it from now on, not even the host; its place in memory is given back.
    mmap(
        reinterpret_cast<void*>(address), whole_pages(region->size), PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return true;
}

std::size_t allocated_bytes(Use use) { return counts_of(use).bytes; }
std::size_t allocations(Use use) { return counts_of(use).pieces; }

bool is_allocated(Address address, std::size_t size, Use use) {
    const Region* region = global_memory().find(address, size);
    return region && !region->is_freed && is_of(*region, use);
}

void require_allocated(Address address, std::size_t size, const std::string& what) {
    if (!size) return;
    const Region* region = global_memory().find(address, size);
    if (!region) {
        const std::string where = global_memory().describe(address);
        throw Fault(
            what + " of " + std::to_string(size) + " bytes out of bounds, " +
            (where.empty() ? "at an address that is none of the GPU's" : where));
    }
    if (region->is_freed) throw Fault(what + " touches " + region->name + " after it was freed");
}

void require_written(Address address, std::size_t size, const std::string& what) {
    if (!size) return;
    const Region* region = global_memory().find(address, size);
    const std::size_t offset = address - region->begin;
    const void* bad = std::memchr(region->is_written.data() + offset, 0, size);
    if (!bad) return;
    const std::size_t place = static_cast<const unsigned char*>(bad) - region->is_written.data();
    throw Fault(what + " reads byte " + std::to_string(place) + " of " + region->name + ", which nobody wrote");
}

void note_written(Address address, std::size_t size) {
    if (!size) return;
    Region* region = global_memory().find(address, size);
    std::memset(region->is_written.data() + (address - region->begin), 1, size);
}

}  // namespace stand_in
