"""Preprocessing by CUDA on a real GPU, against the CPU's: run ``python -m pytest tests/gpu`` where there is one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ltsh_deploy.cuda_preprocess import CudaPreprocessor
from ltsh_deploy.images import place
from tests.preprocessing import PLACEMENTS, assert_as_on_cpu, on_host, picture, prepare


@pytest.fixture(scope="module")
def preprocessor(gpu: str) -> Iterator[CudaPreprocessor]:
    with CudaPreprocessor() as preprocessor:
        yield preprocessor


@pytest.mark.parametrize("mirror", [False, True], ids=["", "mirrored"])
@pytest.mark.parametrize("name", PLACEMENTS)
def test_inputs_are_those_of_the_cpu(name: str, mirror: bool, preprocessor: CudaPreprocessor) -> None:
    placement = PLACEMENTS[name]
    image = picture(placement.image_size)
    (got,) = prepare(preprocessor, [image], [placement], mirror)
    assert_as_on_cpu(got, image, placement, mirror)


@pytest.mark.parametrize("size", [(640, 480), (656, 368), (1280, 720), (1920, 1080), (3840, 2160), (1080, 1920)])
@pytest.mark.parametrize("box", [(656, 368), (256, 192), (1024, 1024)])
def test_frames_of_cameras(size: tuple[int, int], box: tuple[int, int], preprocessor: CudaPreprocessor) -> None:
    placement = place(size, box, 8)
    images = [picture(size, seed) for seed in range(3)]
    for got, image in zip(prepare(preprocessor, images, [placement] * 3), images, strict=True):
        assert_as_on_cpu(got, image, placement)


def test_results_are_the_same_every_time(preprocessor: CudaPreprocessor) -> None:
    image = picture((1280, 720))
    placement = place((1280, 720), (656, 368), 8)
    first = prepare(preprocessor, [image], [placement])
    for _ in range(50):
        np.testing.assert_array_equal(prepare(preprocessor, [image], [placement]), first)


def test_batches_follow_each_other_without_waiting(preprocessor: CudaPreprocessor) -> None:
    placements = [place(size, (656, 368), 8) for size in ((640, 360), (1920, 1080), (320, 180), (1280, 720))] * 5
    images = [picture(placement.image_size, seed) for seed, placement in enumerate(placements)]
    batches = []
    for image, placement in zip(images, placements, strict=True):
        changed = image.copy()
        batches.append(preprocessor.apply([changed], [placement]))
        changed[...] = 0
    for batch, image, placement in zip(batches, images, placements, strict=True):
        assert_as_on_cpu(on_host(preprocessor.session, batch)[0], image, placement)
