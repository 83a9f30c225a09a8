// Races: two accesses to the same byte, one of them writing, that nothing keeps in their order.

#ifndef STAND_IN_RACES_H
#define STAND_IN_RACES_H

#include <cstddef>
#include <cstdint>

#include "clocks.h"
#include "fault.h"

namespace stand_in {

/// Kernels read and write volatile variables in one piece each, as atomic operations do: these are the last two.
enum class Kind { kRead, kWrite, kAtomic, kAtomicRead, kAtomicWrite };
inline bool is_writing(Kind kind) { return kind != Kind::kRead && kind != Kind::kAtomicRead; }
inline bool is_reading(Kind kind) { return kind != Kind::kWrite && kind != Kind::kAtomicWrite; }
inline bool is_plain(Kind kind) { return kind == Kind::kRead || kind == Kind::kWrite; }

/// A place in the code of the kernel's module.
using Place = std::uint32_t;
/// Blocks are numbered in the order in which they run, on and on over all launches; 0 is none.
using Run = std::uint32_t;
constexpr Clock kLatestTime = (1u << 22) - 1;

/// One access to a byte or word.
struct Access {
    Run run;
    std::uint32_t thread : 10, time : 22;
    Place place;
};

/// Who touches memory, and when.
struct Moment {
    Access access;
    /// Of the first block of this launch: what happened before that has no bearing.
    Run first_run;
    /// Of the access's block.
    const Clocks* clocks;
};

/// An earlier access that the present one races with.
struct Rival {
    Access access;
    bool is_writing;
};

/// The accesses to a byte or word that a later one may race with.
///
/// Of the accesses of a kind there are two, as far from each other as any were: of different blocks, else of different
/// warps, else of different threads. Then whoever comes next is far from one of the two. A plain write comes after all
/// that was before it, or races with it: with what comes after both, only the write can race.
struct Record {
    Access write, reads[2], atomics[2], atomic_reads[2];

    /// Null where there is no race.
    const Access* rival(Kind kind, const Moment& moment, bool& rival_is_writing) const;
    void note(Kind kind, const Moment& moment);
};

/// The records of a region, which cost nothing until they are used. Most accesses are to whole words, so that words have
/// records of their own; those of bytes are for accesses to less.
class Records {
  public:
    explicit Records(std::size_t bytes);
    ~Records() { discard(); }
    Records(const Records&) = delete;
    Records& operator=(const Records&) = delete;

    /// Whether an access races with an earlier one; if not, it is noted.
    bool has_race(std::size_t offset, std::size_t size, Kind kind, const Moment& moment, Rival& rival);
    void discard();

  private:
    std::size_t bytes_;
    Record *of_words_ = nullptr, *of_bytes_ = nullptr;
};

}  // namespace stand_in

#endif
