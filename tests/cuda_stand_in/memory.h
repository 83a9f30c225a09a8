// What memory there is: its bounds, whether it is still in use, and which of its bytes somebody has written.

#ifndef STAND_IN_MEMORY_H
#define STAND_IN_MEMORY_H

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "fault.h"
#include "races.h"

namespace stand_in {

/// Memory that was allocated in one piece, or one shared variable.
struct Region {
    Address begin;
    std::size_t size;
    /// How a message calls it: "memory of 256 bytes", "shared variable counts".
    std::string name;
    /// A byte each: whether somebody has written it.
    std::vector<unsigned char> is_written;
    Records records;
    bool is_shared = false, is_freed = false;
    /// In the block that runs.
    bool is_touched = false;

    Region(Address address, std::size_t bytes, std::string called);
    bool holds(Address address, std::size_t bytes) const {
        return address >= begin && address - begin < size && bytes <= size - (address - begin);
    }
};

/// Regions by address. Regions do not overlap; those that are close to each other are told apart exactly.
class Regions {
  public:
    /// Null where the bytes do not all lie in one region.
    Region* find(Address address, std::size_t bytes);
    Region& add(std::unique_ptr<Region> region);
    void clear();
    /// Where an address lies, in relation to the nearest region: "4 bytes behind the end of memory of 256 bytes". "" when
    /// none is near.
    std::string describe(Address address) const;
    const std::vector<std::unique_ptr<Region>>& all() const { return sorted_; }

  private:
    std::vector<std::unique_ptr<Region>> sorted_;
    Region* latest_ = nullptr;
};

/// Global memory, and the host's page-locked memory, which kernels may use too.
Regions& global_memory();

/// How many bytes the device has.
constexpr std::size_t kDeviceMemory = std::size_t{4} << 30;

/// As malloc and free. An address is never used again, so that memory is known to be freed ever after.
enum class Use { kDevice, kPageLocked };
Address allocate(std::size_t size, Use use);
/// False when nothing of this use is allocated there.
bool release(Address address, Use use);
/// Bytes, and pieces, that are allocated now.
std::size_t allocated_bytes(Use use);
std::size_t allocations(Use use);
/// Whether all of these bytes are allocated.
bool is_allocated(Address address, std::size_t size, Use use);

/// For copies and fills. `what` begins the message; throw a Fault when memory is not there, or nobody wrote it.
void require_allocated(Address address, std::size_t size, const std::string& what);
void require_written(Address address, std::size_t size, const std::string& what);
void note_written(Address address, std::size_t size);

}  // namespace stand_in

#endif
