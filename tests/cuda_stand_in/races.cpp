#include "races.h"

#include <sys/mman.h>

#include <new>

namespace stand_in {
namespace {

constexpr std::size_t kWord = 4;

bool is_same_thread(const Access& a, const Access& b) { return a.run == b.run && a.thread == b.thread; }

/// Whether the present access is sure to come after an earlier one; or there was none in this launch.
bool is_after(const Access& earlier, const Moment& moment) {
    if (earlier.run < moment.first_run || is_same_thread(earlier, moment.access)) return true;
    if (earlier.run != moment.access.run) return false;
    return moment.clocks->has_seen(moment.access.thread, earlier.thread, earlier.time);
}

int distance(const Access& a, const Access& b) {
    if (a.run != b.run) return 3;
    return a.thread / kWarp != b.thread / kWarp ? 2 : a.thread != b.thread;
}

const Access* first_unordered(const Access (&accesses)[2], const Moment& moment) {
    for (const Access& earlier : accesses) {
        if (!is_after(earlier, moment)) return &earlier;
    }
    return nullptr;
}

void keep(Access (&accesses)[2], const Moment& moment) {
    const Access& latest = moment.access;
    // Whatever comes after the latest comes after what the latest is after.
    for (Access& earlier : accesses) {
        if (is_after(earlier, moment)) {
            earlier = latest;
            return;
        }
    }
    accesses[distance(accesses[0], latest) < distance(accesses[1], latest) ? 0 : 1] = latest;
}

Record* zeros(std::size_t count) {
    void* memory = mmap(
        nullptr, count * sizeof(Record), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return static_cast<Record*>(memory);
}

std::size_t words_in(std::size_t bytes) { return bytes / kWord + 1; }

}  // namespace

const Access* Record::rival(Kind kind, const Moment& moment, bool& rival_is_writing) const {
    rival_is_writing = true;
    if (!is_after(write, moment)) return &write;
    const Access* found = is_plain(kind) ? first_unordered(atomics, moment) : nullptr;
    if (found || !is_writing(kind)) return found;
    rival_is_writing = false;
    found = first_unordered(reads, moment);
    return found || !is_plain(kind) ? found : first_unordered(atomic_reads, moment);
}

void Record::note(Kind kind, const Moment& moment) {
    switch (kind) {
        case Kind::kRead: keep(reads, moment); break;
        case Kind::kAtomic:
        case Kind::kAtomicWrite: keep(atomics, moment); break;
        case Kind::kAtomicRead: keep(atomic_reads, moment); break;
        case Kind::kWrite: *this = Record{moment.access, {}, {}, {}}; break;
    }
}

Records::Records(std::size_t bytes) : bytes_(bytes) {}

bool Records::has_race(std::size_t offset, std::size_t size, Kind kind, const Moment& moment, Rival& rival) {
    const auto is_racing = [&](const Record& record) {
        bool is_writing = false;
        const Access* found = record.rival(kind, moment, is_writing);
        if (found) rival = {*found, is_writing};
        return found != nullptr;
    };
    const bool in_words = offset % kWord == 0 && size % kWord == 0;
    if (!of_words_) of_words_ = zeros(words_in(bytes_));
    if (!in_words && !of_bytes_) of_bytes_ = zeros(bytes_);
    const std::size_t end = offset + size;
    for (std::size_t word = offset / kWord; word <= (end - 1) / kWord; ++word) {
        if (is_racing(of_words_[word])) return true;
        if (in_words) of_words_[word].note(kind, moment);
    }
    for (std::size_t byte = offset; of_bytes_ && byte < end; ++byte) {
        if (is_racing(of_bytes_[byte])) return true;
        if (!in_words) of_bytes_[byte].note(kind, moment);
    }
    return false;
}

void Records::discard() {
    if (of_words_) munmap(of_words_, words_in(bytes_) * sizeof(Record));
    if (of_bytes_) munmap(of_bytes_, bytes_ * sizeof(Record));
    of_words_ = of_bytes_ = nullptr;
}

}  // namespace stand_in
