"""Maps that lie on the GPU already: where they are read, who is waited for, and graphs that repeat the work.

It runs on the stand-in for a GPU.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ltsh_deploy import cuda_decode
from ltsh_deploy.cuda_decode import CudaDecoder
from ltsh_deploy.cuda_kernels import decoder as device_decoder
from ltsh_deploy.cuda_kernels import graphs
from ltsh_deploy.cuda_session import CudaSession
from ltsh_deploy.device_fields import DeviceArray, DeviceFields
from ltsh_deploy.device_looks import DeviceBatch
from ltsh_deploy.errors import FieldsError, LtshError, UsageError
from tests.cuda_stand_in.fixtures import Open, Upload
from tests.cuda_stand_in.stand_in import StandIn
from tests.test_cuda_decode import assert_same, batch, on_host, scene


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An item for each graph that is started."""
    launches: list[int] = []
    launch = graphs.Graph.launch
    monkeypatch.setattr(graphs.Graph, "launch", lambda *args: (launches.append(1), launch(*args))[1])
    return launches


def test_maps_on_the_device_are_read_where_they_are_and_a_graph_repeats_them(
    open_decoder: Open, upload: Upload, launches: list[int]
) -> None:
    session = CudaSession(0, "a test")
    decoder = open_decoder(session=session)
    heatmaps, pafs = batch(scene(9), scene(10))
    fields = DeviceFields(upload(session, heatmaps), upload(session, pafs), 8, int(session.stream.handle), 0)
    want = [on_host(*maps) for maps in zip(heatmaps, pafs, strict=True)]
    for _ in range(4):
        for got, each in zip(decoder.decode_fields(fields), want, strict=True):
            assert_same(got, each)
    assert len(launches) == 3
    decoder.close()


@pytest.fixture
def ready(open_decoder: Open) -> CudaDecoder:
    """A decoder that has its memory: while that is prepared, the GPU waits for all streams."""
    decoder = open_decoder()
    decoder.decode(*batch(scene(11)), stride=8)
    return decoder


def test_maps_that_another_stream_still_writes_are_waited_for(ready: CudaDecoder, upload: Upload) -> None:
    other = CudaSession(0, "a test")
    heatmaps, pafs = batch(scene(11))
    # Nothing of this is done before somebody waits for the other stream.
    maps = [upload(other, array) for array in (heatmaps, pafs)]
    assert_same(ready.decode(*maps, stride=8)[0], on_host(heatmaps[0], pafs[0]))


class Unnamed:
    """An array on the GPU that does not say on which stream it is written, as torch's tensors do not."""

    device = "cuda:0"

    def __init__(self, array: DeviceArray, **changes: Any) -> None:
        named = array.__cuda_array_interface__
        self.__cuda_array_interface__ = {key: named[key] for key in named if key != "stream"} | {"version": 2} | changes


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The streams that are waited for."""
    waits: list[int] = []

    def wait(stream: Any, other: int) -> None:
        waits.append(other)
        graphs.wait_for(stream, other)

    monkeypatch.setattr(cuda_decode, "wait_for", wait)
    return waits


def test_maps_of_an_unnamed_stream_are_waited_for(ready: CudaDecoder, upload: Upload) -> None:
    other = CudaSession(0, "a test")
    heatmaps, pafs = batch(scene(11))
    maps = [Unnamed(upload(other, array)) for array in (heatmaps, pafs)]
    assert_same(ready.decode(*maps, stride=8)[0], on_host(heatmaps[0], pafs[0]))


def test_torchs_tensors_are_waited_for_on_its_current_stream(
    ready: CudaDecoder, upload: Upload, waits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = CudaSession(0, "a test")
    stream = SimpleNamespace(cuda_stream=int(other.stream.handle))
    streams = {"cuda:0": stream}
    torch = SimpleNamespace(Tensor=Unnamed, cuda=SimpleNamespace(current_stream=streams.__getitem__))
    monkeypatch.setitem(sys.modules, "torch", torch)
    heatmaps, pafs = batch(scene(11))
    maps = [Unnamed(upload(other, array)) for array in (heatmaps, pafs)]
    assert_same(ready.decode(*maps, stride=8)[0], on_host(heatmaps[0], pafs[0]))
    assert set(waits) == {stream.cuda_stream}


def test_the_stream_of_fields_is_waited_for(ready: CudaDecoder, upload: Upload, waits: list[int]) -> None:
    other = CudaSession(0, "a test")
    handle = int(other.stream.handle)
    heatmaps, pafs = batch(scene(11))
    fields = DeviceFields(*(Unnamed(upload(other, array)) for array in (heatmaps, pafs)), 8, handle, 0)
    assert_same(ready.decode_fields(fields)[0], on_host(heatmaps[0], pafs[0]))
    assert set(waits) == {handle}


def test_a_stream_that_is_none_is_a_named_error(open_decoder: Open, upload: Upload) -> None:
    maps = [replace(upload(CudaSession(0, "a test"), array), stream=12345) for array in batch(scene(11))]
    with pytest.raises(LtshError, match=r"decoding by CUDA: the GPU failed .*cuEventRecord fails with error 400"):
        open_decoder().decode(*maps, stride=8)


def test_one_image_that_is_not_finite_takes_no_other_along(open_decoder: Open, upload: Upload) -> None:
    session = CudaSession(0, "a test")
    scenes = scene(9), scene(10)
    heatmaps, pafs = batch(*scenes)
    pafs[1, 3, 2, 1] = np.nan
    maps = [Unnamed(upload(session, array)) for array in (heatmaps, pafs)]
    found = DeviceBatch(DeviceFields(*maps, 8, int(session.stream.handle), 0), open_decoder())
    assert_same(found.poses(0), on_host(*scenes[0]))
    with pytest.raises(FieldsError, match="PAFs hold NaN or infinity"):
        found.poses(1)


def test_arrays_of_pycuda_are_read_where_they_are(open_decoder: Open) -> None:
    session = CudaSession(0, "a test")
    decoder = open_decoder(session=session)
    heatmaps, pafs = batch(scene(11))
    with session.current():
        from pycuda.gpuarray import to_gpu

        maps = [to_gpu(array) for array in (heatmaps, pafs)]
        assert maps[0].__cuda_array_interface__["strides"] is not None
        assert_same(decoder.decode(*maps, stride=8)[0], on_host(heatmaps[0], pafs[0]))
        for array in maps:
            array.gpudata.free()
    decoder.close()
    session.close()


@pytest.mark.parametrize(
    ("shape", "strides", "contiguous"),
    [
        ((1, 16, 4, 5), (1280, 80, 20, 4), True),
        ((1, 16, 4, 5), (7, 80, 20, 4), True),
        ((2, 16, 4, 5), (1280, 80, 20, 4), True),
        ((2, 16, 4, 5), (2560, 80, 20, 4), False),
        ((2, 16, 4, 5), (1280, 4, 320, 64), False),
        ((2, 16, 4, 5), (1280, 80, 20, 8), False),
        ((2, 16, 4, 5), (1280, 80, -20, 4), False),
        ((2, 16, 4, 5), (0, 80, 20, 4), False),
    ],
)
def test_only_arrays_with_gaps_are_refused(
    shape: tuple[int, ...], strides: tuple[int, ...], contiguous: bool, open_decoder: Open
) -> None:
    array = Unnamed(DeviceArray(4096, shape, np.float32, 0), strides=strides)
    # Of one type and contiguous, they are looked at further, and then do not fit each other.
    with pytest.raises(UsageError, match="do not belong together" if contiguous else "are no contiguous"):
        open_decoder().decode(array, np.zeros((3, 28, 4, 5), np.float32), stride=8)


def test_batches_that_lie_in_several_places_in_turn_are_repeated_by_graphs(
    open_decoder: Open, upload: Upload, launches: list[int]
) -> None:
    session = CudaSession(0, "a test")
    decoder = open_decoder(session=session)
    scenes = [scene(9, size=(6, 7)), scene(10, size=(6, 7)), scene(11, size=(6, 7))]
    places = [[upload(session, array) for array in batch(maps)] for maps in scenes]
    for _ in range(3):
        for place, maps in zip(places, scenes, strict=True):
            assert_same(decoder.decode(*place, stride=8)[0], on_host(*maps))
    assert len(launches) == 6
    decoder.close()


def test_few_places_are_remembered(
    open_decoder: Open,
    upload: Upload,
    launches: list[int],
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_decoder, "_GRAPHS", 2)
    session = CudaSession(0, "a test")
    decoder = open_decoder(session=session)
    places = [[upload(session, array) for array in batch(scene(9, size=(6, 7)))] for _ in range(4)]
    started = []
    for turn in (0, 0, 1, 0, 2, 0, 3, 1, 0, 0):
        decoder.decode(*places[turn], stride=8)
        started.append(len(launches))
        assert stand_in.open["graphs"] <= 1
    # The first one's graph outlives others that came in between, one by one, but not two of them.
    assert started == [0, 1, 1, 2, 2, 3, 3, 3, 3, 4]
    decoder.close()
