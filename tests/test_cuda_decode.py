"""The CUDA decoder beyond what every decoder does: batches, half precision, errors.

It runs on the stand-in for a GPU; ``tests/gpu`` has what can only be seen on a real one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.people import random_people
from ltsh_deploy.cuda_decode import CudaDecoder
from ltsh_deploy.cuda_kernels import decoder as device_decoder
from ltsh_deploy.cuda_kernels import graphs
from ltsh_deploy.decode import DecodeConfig, decode_fields, find_peaks
from ltsh_deploy.encode import encode_fields
from ltsh_deploy.errors import DeviceError, FieldsError, LtshError, MissingPartError, UsageError
from ltsh_deploy.fields import Fields
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import LTSH15, Skeleton
from tests.cuda_stand_in.fixtures import Open
from tests.cuda_stand_in.stand_in import StandIn

Maps = np.ndarray[Any, Any]
PAIR = Skeleton("pair", ("a", "b"), ((0, 1),), (), (0.1,) * 2)


def scene(seed: int, people: int = 4, size: tuple[int, int] = (14, 19), noise: float = 0.02) -> tuple[Maps, Maps]:
    rng = np.random.default_rng(seed)
    xy = random_people(rng, people, LTSH15, (size[1] * 8, size[0] * 8), apart=0, inside=False)
    fields = encode_fields(xy, LTSH15, size)
    return tuple((m + rng.normal(0, noise, m.shape)).astype(np.float32) for m in (fields.heatmaps, fields.pafs))


def batch(*scenes: tuple[Maps, Maps], dtype: Any = np.float32) -> tuple[Maps, Maps]:
    heatmaps, pafs = (np.stack(maps).astype(dtype) for maps in zip(*scenes, strict=True))
    return heatmaps, pafs


def on_host(heatmaps: Maps, pafs: Maps, skeleton: Skeleton = LTSH15, **config: Any) -> Poses:
    fields = Fields(heatmaps.astype(np.float32), pafs.astype(np.float32), 8)
    return decode_fields(fields, skeleton, DecodeConfig(**config))


def assert_same(got: Poses, want: Poses) -> None:
    assert len(got) == len(want)
    assert got.dropped_peaks == want.dropped_peaks
    # The decoders' logarithms and exponentials may differ in their last bit, from one library to another.
    np.testing.assert_allclose(got.xy, want.xy, atol=1e-9)
    np.testing.assert_allclose(got.scores, want.scores, atol=1e-12)
    np.testing.assert_allclose(got.joint_scores, want.joint_scores, atol=1e-12)


def test_each_picture_of_a_batch_is_decoded_as_if_alone(open_decoder: Open) -> None:
    scenes = [scene(seed, people) for seed, people in ((0, 4), (1, 0), (2, 7))]
    for got, maps in zip(open_decoder().decode(*batch(*scenes), stride=8), scenes, strict=True):
        assert_same(got, on_host(*maps))


def test_maps_without_a_background_are_decoded_too(open_decoder: Open) -> None:
    heatmaps, pafs = batch(scene(3))
    assert_same(open_decoder().decode(heatmaps[:, :-1], pafs, 8)[0], on_host(heatmaps[0], pafs[0]))


def test_half_precision_is_read_as_what_it_holds(open_decoder: Open) -> None:
    heatmaps, pafs = batch(scene(4), scene(5), dtype=np.float16)
    # Numbers too small to be normal, and zeros of both signs.
    heatmaps[:, 0, :2, :4] = [3e-6, -3e-6, 0.0, -0.0]
    for i, got in enumerate(open_decoder().decode(heatmaps, pafs, 8)):
        assert_same(got, on_host(heatmaps[i], pafs[i]))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("which", "channel"), [("heat maps", 2), ("heat maps", 15), ("PAFs", 0), ("PAFs", 27)])
def test_maps_that_are_not_finite_are_an_error(
    which: str, channel: int, value: float, dtype: Any, open_decoder: Open
) -> None:
    maps = dict(
        zip(("heat maps", "PAFs"), batch(scene(6, size=(6, 7)), scene(7, size=(6, 7)), dtype=dtype), strict=True)
    )
    maps[which][1, channel, 5, 6] = value
    decoder = open_decoder()
    with pytest.raises(FieldsError, match=f"{which} hold NaN or infinity"):
        decoder.decode(maps["heat maps"], maps["PAFs"], 8)
    maps[which][1, channel, 5, 6] = 0
    assert len(decoder.decode(maps["heat maps"], maps["PAFs"], 8)) == 2


@pytest.mark.parametrize("most", [1, 3, 200, 1024])
def test_a_joint_keeps_its_strongest_peaks_and_the_rest_are_counted(most: int, open_decoder: Open) -> None:
    rng = np.random.default_rng(8)
    # Few different values: which of the equal ones are kept matters too.
    heatmaps = np.round(rng.random((2, 2, 40, 40)) * 9).astype(np.float32) / 9
    pafs = rng.uniform(-1, 1, (2, 2, 40, 40)).astype(np.float32)
    decoder = open_decoder(PAIR, DecodeConfig(max_peaks=most, min_joints=2))
    for i, got in enumerate(decoder.decode(heatmaps, pafs, 8)):
        assert_same(got, on_host(heatmaps[i], pafs[i], PAIR, max_peaks=most, min_joints=2))


def test_later_batches_may_be_larger_or_smaller(open_decoder: Open) -> None:
    decoder = open_decoder()
    for size, count in (((10, 12), 1), ((20, 9), 3), ((5, 5), 2), ((10, 12), 1)):
        scenes = [scene(seed, size=size) for seed in range(count)]
        for got, maps in zip(decoder.decode(*batch(*scenes), stride=8), scenes, strict=True):
            assert_same(got, on_host(*maps))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_in_which_threads_run_has_no_bearing(open_decoder: Open, stand_in: StandIn, seed: int) -> None:
    """On maps full of plateaus too, whose cells are joined by many threads at once."""
    decoder = open_decoder(config=DecodeConfig(max_peaks=5))
    heatmaps, pafs = scene(seed, noise=0.1)
    heatmaps = np.round(heatmaps * 4) / 4
    with stand_in.order(seed):
        (got,) = decoder.decode(*batch((heatmaps, pafs)), stride=8)
    assert got.dropped_peaks > 0
    assert_same(got, on_host(heatmaps, pafs, max_peaks=5))


def test_memory_that_runs_out_is_told_and_does_no_harm(open_decoder: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    import pycuda.driver

    decoder = open_decoder()
    maps, larger = batch(scene(12, size=(5, 6))), batch(scene(12, size=(10, 12)))

    def full(size: int) -> None:
        raise pycuda.driver.MemoryError("cuMemAlloc failed: out of memory")

    assert_same(decoder.decode(*maps, stride=8)[0], on_host(*(part[0] for part in maps)))
    with monkeypatch.context() as patch:
        patch.setattr(pycuda.driver, "mem_alloc", full)
        with pytest.raises(LtshError, match="out of memory"):
            decoder.decode(*larger, stride=8)
    for each in (maps, larger):
        assert_same(decoder.decode(*each, stride=8)[0], on_host(*(part[0] for part in each)))


def test_a_decoder_that_cannot_free_its_memory_closes_its_session(
    open_decoder: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = open_decoder()
    closed = []

    def fail() -> None:
        raise LtshError("a test")

    with monkeypatch.context() as patch:
        patch.setattr(decoder, "_free", fail)
        patch.setattr(decoder._session, "close", lambda: closed.append(1))
        with pytest.raises(LtshError, match="a test"):
            decoder.close()
    assert closed == [1]
    decoder._closed = False


@pytest.mark.parametrize("joints", [(15, 18), (18, 18), (15,), (15, 15, 15)])
def test_peaks_of_other_images_or_skeletons_are_refused(joints: tuple[int, ...], open_decoder: Open) -> None:
    peaks = [find_peaks(np.zeros((count, 4, 5), np.float32)) for count in joints]
    with pytest.raises(UsageError, match="are not those of the PAFs' images") as error:
        open_decoder().score_limbs(np.zeros((2, 28, 4, 5), np.float32), peaks)
    assert "Images here: 2; joints of each: 15; peaks of a joint: at most 60." in error.value.remedy


def test_a_driver_without_graphs_does_without(open_decoder: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "_GRAPH_FUNCTIONS", ("cuNoSuchFunction",))
    heatmaps, pafs = batch(scene(12))
    decoder = open_decoder()
    for _ in range(3):
        assert_same(decoder.decode(heatmaps, pafs, 8)[0], on_host(heatmaps[0], pafs[0]))


@pytest.mark.parametrize(
    ("heatmaps", "pafs", "error", "message"),
    [
        ((1, 16, 4, 4), (1, 28, 4, 5), UsageError, "do not belong together"),
        ((2, 16, 4, 4), (1, 28, 4, 4), UsageError, "do not belong together"),
        ((16, 4, 4), (1, 28, 4, 4), UsageError, "have the shape"),
        ((0, 16, 4, 4), (0, 28, 4, 4), UsageError, "have the shape"),
        ((1, 14, 4, 4), (1, 28, 4, 4), FieldsError, "do not fit skeleton"),
        ((1, 16, 4, 4), (1, 26, 4, 4), FieldsError, "do not fit skeleton"),
    ],
)
def test_maps_of_other_shapes_are_refused(
    heatmaps: tuple[int, ...], pafs: tuple[int, ...], error: type[LtshError], message: str, open_decoder: Open
) -> None:
    with pytest.raises(error, match=message):
        open_decoder().decode(np.zeros(heatmaps, np.float32), np.zeros(pafs, np.float32), 8)


def test_maps_of_other_types_are_refused(open_decoder: Open) -> None:
    decoder = open_decoder()
    zeros = np.zeros((1, 16, 4, 4)), np.zeros((1, 28, 4, 4))
    with pytest.raises(UsageError, match="heat maps are float64"):
        decoder.decode(*zeros, stride=8)
    with pytest.raises(UsageError, match="do not belong together"):
        decoder.decode(zeros[0].astype(np.float32), zeros[1].astype(np.float16), 8)


def test_a_closed_decoder_says_so_and_may_be_closed_again(open_decoder: Open) -> None:
    decoder = open_decoder()
    decoder.close()
    decoder.close()
    with pytest.raises(UsageError, match="closed"):
        decoder.decode(*batch(scene(0)), stride=8)


def test_a_gpu_that_fails_is_a_named_error(
    open_decoder: Open, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = open_decoder()
    heatmaps, pafs = batch(scene(13, size=(5, 5)))
    monkeypatch.setattr(device_decoder, "_THREADS", 2048)
    with pytest.raises(LtshError, match=r"decoding by CUDA: the GPU failed .*too many threads in a block"):
        decoder.decode(heatmaps, pafs, 8)
    stand_in.forgive()


@pytest.mark.usefixtures("stand_in", "no_compiler")
def test_without_a_compiler_the_line_to_install_one_is_named() -> None:
    with pytest.raises(MissingPartError, match="cannot be compiled: there is no nvcc") as caught:
        CudaDecoder(LTSH15)
    assert "ltsh-deploy[cuda]" in caught.value.remedy


def test_a_gpu_that_is_not_there_is_named(stand_in: StandIn) -> None:
    with pytest.raises(DeviceError, match="there is no GPU 3"):
        CudaDecoder(LTSH15, device=3)
