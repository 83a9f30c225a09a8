#include "streams.h"

#include <algorithm>
#include <set>

namespace stand_in {
namespace {

std::set<Stream*> streams;
std::set<Event*> events;

void do_next(Stream* stream) {
    const Work work = std::move(stream->work.front());
    stream->work.pop_front();
    work();
}

/// Does the work before an event was recorded for the so manieth time.
void reach(Event* event, unsigned long long recorded) {
    while (event->passed < recorded && event->stream && is_stream(event->stream) && !event->stream->work.empty()) {
        do_next(event->stream);
    }
}

}  // namespace

Stream* create_stream(bool is_blocking) {
    Stream* stream = new Stream;
    stream->is_blocking = is_blocking;
    streams.insert(stream);
    return stream;
}

void destroy_stream(Stream* stream) {
    finish(stream);
    streams.erase(stream);
    delete stream->recording;
    delete stream;
}

bool is_stream(const Stream* stream) { return streams.count(const_cast<Stream*>(stream)) != 0; }
std::size_t count_streams() { return streams.size(); }

bool is_recording() {
    return std::any_of(streams.begin(), streams.end(), [](const Stream* stream) { return stream->recording; });
}

void submit(Stream* stream, Work work) {
    if (!stream) {
        for (Stream* other : streams) {
            if (other->is_blocking) finish(other);
        }
        work();
    } else if (stream->recording) {
        stream->recording->work.push_back(std::move(work));
    } else {
        stream->work.push_back(std::move(work));
    }
}

void finish(Stream* stream) {
    while (!stream->work.empty()) do_next(stream);
}

void finish_all() {
    for (Stream* stream : streams) finish(stream);
}

void forget_all_work() {
    for (Stream* stream : streams) {
        stream->work.clear();
        delete stream->recording;
        stream->recording = nullptr;
    }
    for (Event* event : events) event->passed = event->recorded;
}

Event* create_event() { return *events.insert(new Event).first; }

void destroy_event(Event* event) {
    finish(event);
    events.erase(event);
    delete event;
}

bool is_event(const Event* event) { return events.count(const_cast<Event*>(event)) != 0; }
std::size_t count_events() { return events.size(); }

void record(Event* event, Stream* stream) {
    event->stream = stream;
    const unsigned long long recorded = ++event->recorded;
    submit(stream, [=] {
        // A graph that is started again records it again; it may have been destroyed by then.
        if (!is_event(event)) return;
        event->passed = std::max(event->passed, recorded);
        event->time = std::chrono::steady_clock::now();
    });
}

void wait(Stream* stream, Event* event) {
    const unsigned long long recorded = event->recorded;
    submit(stream, [=] {
        if (is_event(event)) reach(event, recorded);
    });
}

void finish(Event* event) { reach(event, event->recorded); }

}  // namespace stand_in
