// CUDA graphs: work that is put into a stream once, while the stream records, and then started as often as wanted.

#include <set>

#include "driver.h"
#include "streams.h"

using namespace stand_in;

namespace {

std::set<Graph*> graphs;

bool is_graph(Graph* graph) { return graphs.count(graph) != 0; }

}  // namespace

std::size_t stand_in::count_graphs() { return graphs.size(); }

STAND_IN_API int cuStreamBeginCapture_v2(Stream* stream, int) {
    return guarded_in_context([&] {
        if (!is_stream(stream)) return kBadHandle;
        if (stream->recording) return kInvalidValue;
        stream->recording = new Graph;
        return kOk;
    });
}
STAND_IN_API int cuStreamEndCapture(Stream* stream, Graph** graph) {
    return guarded([&] {
        if (!is_stream(stream) || !stream->recording) return kBadHandle;
        *graph = *graphs.insert(stream->recording).first;
        stream->recording = nullptr;
        return kOk;
    });
}
STAND_IN_API int cuStreamIsCapturing(Stream* stream, int* status) {
    return guarded([&] {
        *status = is_stream(stream) && stream->recording;
        return kOk;
    });
}
/// What can be started holds the work itself: the graph that it was made of may go.
STAND_IN_API int cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long) {
    return guarded([&] {
        if (!is_graph(graph)) return kBadHandle;
        *executable = *graphs.insert(new Graph(*graph)).first;
        return kOk;
    });
}
STAND_IN_API int cuGraphLaunch(Graph* executable, Stream* stream) {
    return guarded_in_context([&] {
        if (!is_graph(executable) || !is_stream(stream)) return kBadHandle;
        for (const Work& work : executable->work) submit(stream, work);
        return kOk;
    });
}
STAND_IN_API int cuGraphDestroy(Graph* graph) {
    const std::lock_guard<std::recursive_mutex> lock(driver_lock());
    if (!graphs.erase(graph)) return kBadHandle;
    delete graph;
    return kOk;
}
STAND_IN_API int cuGraphExecDestroy(Graph* executable) { return cuGraphDestroy(executable); }
