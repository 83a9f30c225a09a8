"""Peaks and limbs of a batch of maps on a GPU: two launches, one copy back.

    maps --peaks.cu--> peaks --limbs.cu--> connections        all on the GPU
      |                  |                     |
      +-> not finite? ---+---------------------+--one copy--> host

Everything is allocated when a batch is larger than any before, and used again. Once a batch of the same place and shape
comes again, as it does in a video, the three steps are recorded as a CUDA graph and started by one call of the driver;
other places may have come between, as from a source that fills several buffers in turn.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.cuda_kernels.buffers import (
    MOST_PEAKS,
    SHARED,
    Buffers,
    Found,
    IntArray,
    Layout,
    buffer_sizes,
    score_bytes,
)
from ltsh_deploy.cuda_kernels.graphs import Graph, record

__all__ = ["DeviceDecoder", "Settings"]

#: Threads of a block: peaks are looked for in whole maps, limbs scored pair by pair.
_THREADS = 512
#: Places and shapes that are remembered, with their graphs. A source of one size needs one, or one for each buffer.
_GRAPHS = 8


@dataclass(frozen=True)
class Settings:
    """The part of ``DecodeConfig`` that the kernels need, with the positions in the order of reading."""

    peak_threshold: float
    max_peaks: int
    sure_peak: float
    positions: npt.NDArray[np.float32]
    min_samples: int
    sample_threshold: float
    max_limb: float


class DeviceDecoder:
    """Runs the kernels on one stream. Everything happens in the current CUDA context; not for several threads at once.

    Args:
        cuda: the module ``pycuda.driver``.
        programs: of ``peaks.cu`` and ``limbs.cu`` for the GPU.
        stream: pycuda's.
        limb_ends: [L, 2] joints.
        settings: thresholds.
    """

    def __init__(
        self, cuda: Any, programs: tuple[bytes, bytes], stream: Any, limb_ends: IntArray, settings: Settings
    ) -> None:
        assert 1 <= settings.max_peaks <= MOST_PEAKS
        self._cuda, self._stream, self._settings = cuda, stream, settings
        peaks, limbs = (cuda.module_from_buffer(program) for program in programs)
        self._find_peaks, self._score_limbs = {}, {}
        for half, name in ((False, "float"), (True, "half")):
            self._find_peaks[half] = peaks.get_function(f"find_peaks_{name}").prepare("PiPiiiifiPPPPPPP")
            self._score_limbs[half] = limbs.get_function(f"score_limbs_{name}").prepare("PiiPiiPPPiiffdPPP")
        self._limb_ends = self._uploaded(np.ascontiguousarray(limb_ends, np.int32))
        self._positions = self._uploaded(np.ascontiguousarray(settings.positions, np.float32))
        self._buffers: Buffers | None = None
        # None for what came once, or has no graph. What was used last is last.
        self._graphs: OrderedDict[tuple[int, int, Layout], Graph | None] = OrderedDict()

    def decode(self, heatmaps: int, pafs: int, layout: Layout) -> Found:
        """Peaks and connections of maps at these addresses; returns when they are there.

        The stream must see the maps written: they were written on it, or it waits for whoever writes them.
        """
        buffers = self._room_for(layout)
        key = heatmaps, pafs, layout
        graph = self._graphs.get(key)
        if graph is None and key in self._graphs:
            graph = record(self._stream, lambda: self._enqueue(heatmaps, pafs, layout, buffers))
        self._remember(key, graph)
        if graph is None:
            self._enqueue(heatmaps, pafs, layout, buffers)
        else:
            graph.launch(self._stream)
        self._stream.synchronize()
        return buffers.found(layout)

    def find_peaks(self, heatmaps: int, layout: Layout) -> Found:
        """The first step alone; ``layout`` has no limbs."""
        buffers = self._room_for(layout)
        self._enqueue_peaks(heatmaps, 0, layout, buffers)
        return self._fetched(layout, buffers)

    def score_limbs(self, pafs: int, kept: IntArray, peaks: npt.NDArray[Any], layout: Layout) -> Found:
        """The second step alone.

        Args:
            pafs: their address.
            kept: [N, J] how many peaks joints have.
            peaks: [N, J, K] as :class:`Found` has them.
            layout: of the maps.
        """
        buffers = self._room_for(layout)
        places = buffers.places(layout)
        for name, array in (("kept", kept), ("peaks", peaks)):
            self._cuda.memcpy_htod_async(places[name], np.ascontiguousarray(array), self._stream)
        self._enqueue_limbs(pafs, layout, buffers)
        return self._fetched(layout, buffers)

    def close(self) -> None:
        """Free what was allocated."""
        self._forget()
        self._limb_ends.free()
        self._positions.free()

    def _remember(self, key: tuple[int, int, Layout], graph: Graph | None) -> None:
        self._graphs[key] = graph
        self._graphs.move_to_end(key)
        if len(self._graphs) > _GRAPHS:
            _, oldest = self._graphs.popitem(last=False)
            if oldest is not None:
                oldest.close()

    def _forget(self) -> None:
        for graph in self._graphs.values():
            if graph is not None:
                graph.close()
        self._graphs.clear()
        if self._buffers is not None:
            self._buffers.free()
            self._buffers = None

    def _uploaded(self, array: npt.NDArray[Any]) -> Any:
        memory = self._cuda.mem_alloc(array.nbytes)
        self._cuda.memcpy_htod(memory, array)
        return memory

    def _room_for(self, layout: Layout) -> Buffers:
        sizes = buffer_sizes(layout, self._settings.max_peaks)
        if self._buffers is None or not self._buffers.suffice(sizes):
            before = self._buffers.sizes if self._buffers else {}
            # Graphs have the places of buffers in them.
            self._forget()
            sizes = {name: max(size, before.get(name, 0)) for name, size in sizes.items()}
            self._buffers = Buffers(self._cuda, sizes, self._settings.max_peaks)
        return self._buffers

    def _enqueue(self, heatmaps: int, pafs: int, layout: Layout, buffers: Buffers) -> None:
        self._enqueue_peaks(heatmaps, pafs, layout, buffers)
        self._enqueue_limbs(pafs, layout, buffers)
        self._enqueue_copy(layout, buffers)

    def _enqueue_peaks(self, heatmaps: int, pafs: int, layout: Layout, buffers: Buffers) -> None:
        settings, places, memory = self._settings, buffers.places(layout), buffers.memory
        self._find_peaks[layout.half].prepared_async_call(
            *((layout.channels, layout.images), (_THREADS, 1, 1), self._stream),
            *(heatmaps, layout.heatmaps, pafs, 2 * layout.limbs, layout.joints, layout.h, layout.w),
            *(settings.peak_threshold, settings.max_peaks),
            *(memory[name] for name in ("marks", "parents", "plateaus")),
            *(places[name] for name in ("not_finite", "kept", "tops", "peaks")),
        )

    def _enqueue_limbs(self, pafs: int, layout: Layout, buffers: Buffers) -> None:
        if not layout.limbs:
            return
        settings, places = self._settings, buffers.places(layout)
        shared = score_bytes(settings.max_peaks)
        fits = shared <= SHARED
        self._score_limbs[layout.half].prepared_async_call(
            *((layout.limbs, layout.images), (_THREADS, 1, 1), self._stream),
            *(pafs, layout.h, layout.w, self._limb_ends, layout.joints, settings.max_peaks),
            *(places["kept"], places["peaks"], self._positions, len(settings.positions), settings.min_samples),
            *(settings.sample_threshold, settings.max_limb * layout.h, settings.sure_peak),
            *(0 if fits else buffers.memory["scores"], places["links"], places["limbs"]),
            shared_size=shared if fits else 0,
        )

    def _enqueue_copy(self, layout: Layout, buffers: Buffers) -> None:
        results = buffers.memory["results"]
        size = buffers.places(layout)["end"] - int(results)
        self._cuda.memcpy_dtoh_async(buffers.host[:size], results, self._stream)

    def _fetched(self, layout: Layout, buffers: Buffers) -> Found:
        self._enqueue_copy(layout, buffers)
        self._stream.synchronize()
        return buffers.found(layout)
