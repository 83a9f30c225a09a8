"""The CUDA decoder on a real GPU, against NumPy's: run ``python -m pytest tests/gpu`` where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.people import random_people
from ltsh_deploy import decode
from ltsh_deploy.decode import DecodeConfig, decode_fields
from ltsh_deploy.device_fields import DeviceFields
from ltsh_deploy.encode import encode_fields
from ltsh_deploy.errors import FieldsError
from ltsh_deploy.fields import Fields
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO18, LTSH15, Skeleton
from tests.cuda_steps import CudaSteps
from tests.test_decode import CASES, assert_same_connections, assert_same_peaks, maps

Maps = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def _numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTSH_DECODER", "numpy")


def scene(seed: int, people: int, skeleton: Skeleton, size: tuple[int, int], noise: float) -> tuple[Maps, Maps]:
    rng = np.random.default_rng([seed, people])
    xy = random_people(rng, people, skeleton, (size[1] * 8, size[0] * 8), apart=0, inside=False)
    fields = encode_fields(xy, skeleton, size)
    heatmaps, pafs = ((m + rng.normal(0, noise, m.shape)).astype(np.float32) for m in (fields.heatmaps, fields.pafs))
    return heatmaps, pafs


def assert_same(got: Poses, want: Poses) -> None:
    assert len(got) == len(want)
    assert got.dropped_peaks == want.dropped_peaks
    # A GPU's logarithms and exponentials differ from NumPy's in their last bits.
    np.testing.assert_allclose(got.xy, want.xy, atol=1e-6)
    np.testing.assert_allclose(got.scores, want.scores, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_each_step_agrees_with_numpy(name: str, steps: CudaSteps) -> None:
    heatmaps, pafs, skeleton = maps(name)
    want = decode.find_peaks(heatmaps)
    assert_same_peaks(steps.find_peaks(heatmaps), want)
    assert_same_connections(steps.score_limbs(pafs, want, skeleton), decode.score_limbs(pafs, want, skeleton))


@pytest.mark.parametrize("skeleton", [LTSH15, COCO18], ids=lambda skeleton: skeleton.name)
@pytest.mark.parametrize("size", [(46, 54), (46, 82), (92, 164), (184, 216), (7, 5)])
@pytest.mark.parametrize("people", [0, 1, 10, 60])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_people_are_the_same_as_numpys(
    skeleton: Skeleton, size: tuple[int, int], people: int, noise: float, steps: CudaSteps
) -> None:
    scenes = [scene(seed, people, skeleton, size, noise) for seed in range(3)]
    heatmaps, pafs = (np.stack(part) for part in zip(*scenes, strict=True))
    decoder = steps.decoder(skeleton)
    # The third time, a graph does it.
    for _ in range(3):
        for got, (heat, paf) in zip(decoder.decode(heatmaps, pafs, 8), scenes, strict=True):
            assert_same(got, decode_fields(Fields(heat, paf, 8), skeleton))


def test_white_noise_is_the_same(steps: CudaSteps) -> None:
    rng = np.random.default_rng(0)
    heatmaps = np.round(rng.random((2, 19, 184, 216)) * 50).astype(np.float32) / 50
    pafs = rng.uniform(-1, 1, (2, 38, 184, 216)).astype(np.float32)
    for most in (60, 1024):
        config = DecodeConfig(max_peaks=most)
        for i, got in enumerate(steps.decoder(COCO18, config).decode(heatmaps, pafs, 8)):
            assert_same(got, decode_fields(Fields(heatmaps[i], pafs[i], 8), COCO18, config))


def test_half_precision(steps: CudaSteps) -> None:
    heatmaps, pafs = (m.astype(np.float16) for m in scene(0, 10, LTSH15, (46, 82), 0.02))
    want = decode_fields(Fields(heatmaps.astype(np.float32), pafs.astype(np.float32), 8), LTSH15)
    assert_same(steps.decoder(LTSH15).decode(heatmaps[None], pafs[None], 8)[0], want)


def test_results_are_the_same_every_time(steps: CudaSteps) -> None:
    heatmaps, pafs = scene(1, 60, COCO18, (46, 82), 0.05)
    decoder = steps.decoder(COCO18)
    first = decoder.decode(heatmaps[None], pafs[None], 8)[0]
    for _ in range(200):
        again = decoder.decode(heatmaps[None], pafs[None], 8)[0]
        np.testing.assert_array_equal(again.xy, first.xy)
        np.testing.assert_array_equal(again.scores, first.scores)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_maps_that_are_not_finite_are_an_error(value: float, steps: CudaSteps) -> None:
    heatmaps, pafs = scene(2, 3, LTSH15, (46, 82), 0)
    pafs[27, 45, 81] = value
    with pytest.raises(FieldsError, match="PAFs hold NaN or infinity"):
        steps.decoder(LTSH15).decode(heatmaps[None], pafs[None], 8)


def test_tensors_of_torch_are_read_where_they_are(steps: CudaSteps) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a torch that sees the GPU")
    heatmaps, pafs = scene(3, 10, LTSH15, (46, 82), 0.02)
    want = decode_fields(Fields(heatmaps, pafs, 8), LTSH15)
    decoder = steps.decoder(LTSH15)
    # It has its memory from now on: to allocate some may wait for all streams. So may a copy from the host.
    decoder.decode(heatmaps[None], pafs[None], stride=8)
    sources = [torch.from_numpy(m)[None].cuda() for m in (heatmaps, pafs)]
    torch.cuda.synchronize()
    # Kept, so that none has the memory of an earlier one, in which its maps would lie already.
    written: list[Any] = []

    def write() -> list[Any]:
        """Written after a while: whoever does not wait reads something else."""
        busy = torch.randn(4096, 4096, device="cuda")
        for _ in range(20):
            busy = busy @ busy / 64
        written.append([source + busy[0, 0].isnan() * 0 for source in sources])
        return list(written[-1])

    for stream in (torch.cuda.current_stream(), torch.cuda.Stream()):
        with torch.cuda.stream(stream):
            assert_same(decoder.decode(*write(), stride=8)[0], want)
            tensors = write()
        # Here torch's current stream is not theirs.
        assert_same(decoder.decode_fields(DeviceFields(*tensors, 8, stream.cuda_stream, 0))[0], want)
