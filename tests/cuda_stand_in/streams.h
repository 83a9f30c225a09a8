// Work that was put into streams, and waits there until somebody waits for it.

#ifndef STAND_IN_STREAMS_H
#define STAND_IN_STREAMS_H

#include <chrono>
#include <deque>
#include <functional>
#include <vector>

namespace stand_in {

using Work = std::function<void()>;

struct Graph {
    std::vector<Work> work;
};

struct Stream {
    std::deque<Work> work;
    /// Where work goes while it is only recorded; else null.
    Graph* recording = nullptr;
};

struct Event {
    Stream* stream = nullptr;
    /// How often it was recorded, and how often that has come to pass.
    unsigned long long recorded = 0, passed = 0;
    std::chrono::steady_clock::time_point time;
};

Stream* create_stream();
/// Does what is left, and forgets the stream.
void destroy_stream(Stream* stream);
bool is_stream(const Stream* stream);

/// Puts work into a stream; into none: does all work that waits anywhere, and then this.
void submit(Stream* stream, Work work);
void finish(Stream* stream);
void finish_all();
void record(Event* event, Stream* stream);
/// Lets a stream's later work wait for an event.
void wait(Stream* stream, Event* event);
void finish(Event* event);
void drop(Event* event);
/// Forgets all work, as after a fault.
void drop_all();

}  // namespace stand_in

#endif
