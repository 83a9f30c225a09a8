#include "streams.h"

#include <set>

namespace stand_in {
namespace {

std::set<Stream*> streams;

void do_next(Stream* stream) {
    const Work work = std::move(stream->work.front());
    stream->work.pop_front();
    work();
}

void reach(Event* event, unsigned long long pass) {
    while (event->passed < pass && event->stream && is_stream(event->stream) && !event->stream->work.empty()) {
        do_next(event->stream);
    }
}

}  // namespace

Stream* create_stream() {
    Stream* stream = new Stream;
    streams.insert(stream);
    return stream;
}

void destroy_stream(Stream* stream) {
    finish(stream);
    streams.erase(stream);
    delete stream;
}

bool is_stream(const Stream* stream) { return streams.count(const_cast<Stream*>(stream)) != 0; }

void submit(Stream* stream, Work work) {
    if (!stream) {
        finish_all();
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

void record(Event* event, Stream* stream) {
    event->stream = stream;
    const unsigned long long pass = ++event->recorded;
    submit(stream, [=] {
        event->passed = pass;
        event->time = std::chrono::steady_clock::now();
    });
}

void wait(Stream* stream, Event* event) {
    const unsigned long long pass = event->recorded;
    submit(stream, [=] { reach(event, pass); });
}

void finish(Event* event) { reach(event, event->recorded); }

void drop(Event* event) {
    event->recorded = event->passed;
    delete event;
}

void drop_all() {
    for (Stream* stream : streams) {
        stream->work.clear();
        stream->recording = nullptr;
    }
}

}  // namespace stand_in
