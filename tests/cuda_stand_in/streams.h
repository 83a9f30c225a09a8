// Work that was put into streams, and waits there until somebody waits for it.

#ifndef STAND_IN_STREAMS_H
#define STAND_IN_STREAMS_H

#include <chrono>
#include <cstddef>
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
    /// Whether the default stream waits for it, and it for that.
    bool is_blocking;
    /// Where work goes while it is only recorded; else null.
    Graph* recording = nullptr;
};

struct Event {
    /// The stream in which it was recorded last; null for none, or the default one.
    Stream* stream = nullptr;
    /// How often it was recorded, and how often that has come to pass.
    unsigned long long recorded = 0, passed = 0;
    std::chrono::steady_clock::time_point time;
};

Stream* create_stream(bool is_blocking);
/// Does what is left, and forgets the stream.
void destroy_stream(Stream* stream);
bool is_stream(const Stream* stream);
std::size_t count_streams();
/// Whether any stream records a graph.
bool is_recording();

/// Puts work into a stream. Null is the default stream, which waits for all blocking ones and does the work at once.
void submit(Stream* stream, Work work);
void finish(Stream* stream);
void finish_all();
/// Forgets all work, as after a fault.
void forget_all_work();

Event* create_event();
/// Those who wait for it are served first.
void destroy_event(Event* event);
bool is_event(const Event* event);
std::size_t count_events();
void record(Event* event, Stream* stream);
/// Lets a stream's later work wait for an event.
void wait(Stream* stream, Event* event);
void finish(Event* event);

/// Of graphs and what was made executable of them.
std::size_t count_graphs();

}  // namespace stand_in

#endif
