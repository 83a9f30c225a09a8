"""Preprocessing by CUDA against :func:`ltsh_deploy.images.apply`, on the stand-in for a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltsh_deploy import cuda_preprocess
from ltsh_deploy.cuda_kernels import preprocessor as device_preprocessor
from ltsh_deploy.cuda_preprocess import CudaPreprocessor
from ltsh_deploy.cuda_session import CudaSession
from ltsh_deploy.errors import DeviceError, ImageError, LtshError, MissingPartError, UsageError
from ltsh_deploy.images import Placement, place
from tests.cuda_stand_in.fixtures import Gxx
from tests.cuda_stand_in.stand_in import StandIn
from tests.preprocessing import PLACEMENTS, assert_as_on_cpu, on_host, picture, prepare

Open = Callable[..., CudaPreprocessor]


@pytest.fixture
def open_preprocessor(stand_in: StandIn, stand_in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    monkeypatch.setattr(device_preprocessor, "_THREADS", 32)
    opened = []

    def open_(**more: Any) -> CudaPreprocessor:
        compiler, folder = Gxx(stand_in_folder), stand_in_folder / "cache"
        opened.append(CudaPreprocessor(compiler=compiler, cache_folder=folder, **more))
        return opened[-1]

    yield open_
    for preprocessor in opened:
        preprocessor.close()


@pytest.mark.parametrize("mirror", [False, True], ids=["", "mirrored"])
@pytest.mark.parametrize("name", PLACEMENTS)
def test_inputs_are_those_of_the_cpu(name: str, mirror: bool, open_preprocessor: Open) -> None:
    placement = PLACEMENTS[name]
    image = picture(placement.image_size)
    (got,) = prepare(open_preprocessor(), [image], [placement], mirror)
    assert_as_on_cpu(got, image, placement, mirror)


def test_inputs_of_any_picture_are_those_of_the_cpu(open_preprocessor: Open) -> None:
    rng = np.random.default_rng(0)
    preprocessor = open_preprocessor()
    for seed in range(40):
        width, height = (int(side) for side in np.exp(rng.uniform(0, np.log(300), 2)))
        placement = place(
            (width, height), (int(rng.integers(1, 30)), int(rng.integers(1, 30))), int(rng.integers(1, 9))
        )
        image = picture((width, height), seed)
        (got,) = prepare(preprocessor, [image], [placement], mirror=seed % 2 == 1)
        assert_as_on_cpu(got, image, placement, mirror=seed % 2 == 1)


def test_pictures_of_different_sizes_are_a_batch_if_their_inputs_are(open_preprocessor: Open) -> None:
    sizes = (48, 32), (24, 16), (119, 83), (48, 32), (7, 5), (22, 16)
    placements = [place(size, (24, 16), 8) for size in sizes]
    images = [picture(size, seed) for seed, size in enumerate(sizes)]
    batch = prepare(open_preprocessor(), images, placements)
    assert batch.shape == (6, 16, 24, 3)
    for got, image, placement in zip(batch, images, placements, strict=True):
        assert_as_on_cpu(got, image, placement)


@pytest.mark.parametrize(
    "view",
    [
        lambda image: image[:, ::-1],
        lambda image: image[::-1],
        lambda image: image[..., ::-1],
        lambda image: image[3:40, 5:50],
        lambda image: image[::2, ::3],
        lambda image: image.transpose(1, 0, 2),
        np.asfortranarray,
        lambda image: np.broadcast_to(image[:1, :, :1], image.shape),
    ],
)
def test_views_of_other_arrays_are_pictures_too(view: Callable[[Any], Any], open_preprocessor: Open) -> None:
    image = view(picture((61, 47)))
    placement = place((image.shape[1], image.shape[0]), (24, 16), 8)
    (got,) = prepare(open_preprocessor(), [image], [placement])
    assert_as_on_cpu(got, np.ascontiguousarray(image), placement)


def test_pictures_may_be_changed_and_batches_follow_each_other_without_waiting(open_preprocessor: Open) -> None:
    """The batches become larger, smaller and larger again, and nobody waits for one before the next."""
    preprocessor = open_preprocessor()
    sizes = (30, 20), (90, 60), (12, 8), (120, 80)
    placements = [place(size, (24, 16), 8) for size in sizes]
    batches = []
    for seed, placement in enumerate(placements):
        image = picture(placement.image_size, seed)
        batches.append(preprocessor.apply([image], [placement]))
        image[...] = 0
    for seed, (batch, placement) in enumerate(zip(batches, placements, strict=True)):
        (got,) = on_host(preprocessor.session, batch)
        assert_as_on_cpu(got, picture(placement.image_size, seed), placement)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_in_which_threads_run_has_no_bearing(open_preprocessor: Open, stand_in: StandIn, seed: int) -> None:
    placement = PLACEMENTS["shrunk by five"]
    image = picture(placement.image_size)
    with stand_in.order(seed):
        (got,) = prepare(open_preprocessor(), [image], [placement])
    assert_as_on_cpu(got, image, placement)


FITTING = Placement((9, 7), (9, 7), 8)


@pytest.mark.parametrize(
    ("images", "placements", "error", "message"),
    [
        ([], [], UsageError, "0 images and 0 placements are no batch"),
        ([picture((9, 7))], [FITTING] * 2, UsageError, "1 images and 2 placements are no batch"),
        ([np.zeros((7, 9, 3), np.float32)], [FITTING], ImageError, r"image 0 .*got float32 \[7, 9, 3\]"),
        ([picture((9, 7)), np.zeros((7, 9), np.uint8)], [FITTING] * 2, ImageError, r"image 1 .*got uint8 \[7, 9\]"),
        ([np.zeros((7, 9, 4), np.uint8)], [FITTING], ImageError, r"got uint8 \[7, 9, 4\]"),
        ([np.zeros((0, 9, 3), np.uint8)], [FITTING], ImageError, r"got uint8 \[0, 9, 3\]"),
        (["a.jpg"], [FITTING], ImageError, "got str"),
        ([picture((7, 9))], [FITTING], ImageError, "placement for .* cannot be applied"),
        (
            [picture((9, 7))] * 2,
            [FITTING, Placement((9, 7), (17, 7), 8)],
            UsageError,
            r"different input sizes, \(16, 8\) and \(24, 8\)",
        ),
        ([picture((9, 7))], [Placement((9, 7), (1 << 20, 1 << 20), 8)], UsageError, "too large"),
        (
            [np.broadcast_to(np.uint8(0), (1 << 15, 1 << 14, 3))],
            [Placement((1 << 14, 1 << 15), (8, 16), 8)],
            ImageError,
            "too many",
        ),
    ],
)
def test_what_is_no_batch_is_refused(
    images: Any, placements: Any, error: type[LtshError], message: str, open_preprocessor: Open
) -> None:
    preprocessor = open_preprocessor()
    with pytest.raises(error, match=message):
        preprocessor.apply(images, placements)
    (got,) = prepare(preprocessor, [picture((9, 7))], [FITTING])
    assert_as_on_cpu(got, picture((9, 7)), FITTING)


def test_a_closed_preprocessor_says_so_and_may_be_closed_again(open_preprocessor: Open) -> None:
    with open_preprocessor() as preprocessor:
        prepare(preprocessor, [picture((9, 7))], [FITTING])
    preprocessor.close()
    with pytest.raises(UsageError, match="closed"):
        preprocessor.apply([picture((9, 7))], [FITTING])


def test_a_shared_session_outlives_it(open_preprocessor: Open) -> None:
    session = CudaSession(0, "a test")
    with open_preprocessor(session=session) as preprocessor:
        batch = preprocessor.apply([picture((9, 7))], [FITTING])
        assert batch.stream == int(session.stream.handle)
    assert_as_on_cpu(on_host(session, batch)[0], picture((9, 7)), FITTING)
    del batch
    session.close()


def test_closing_frees_what_a_batch_that_nobody_waits_for_needs(open_preprocessor: Open) -> None:
    preprocessor = open_preprocessor()
    preprocessor.apply([picture((90, 70))], [Placement((90, 70), (9, 7), 8)])
    preprocessor.close()


def test_a_gpu_that_fails_is_a_named_error(
    open_preprocessor: Open, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocessor = open_preprocessor()
    monkeypatch.setattr(device_preprocessor, "_THREADS", 2048)
    with pytest.raises(LtshError, match=r"preprocessing by CUDA: the GPU failed .*too many threads in a block"):
        preprocessor.apply([picture((9, 7))], [FITTING])
    stand_in.forgive()


@pytest.mark.usefixtures("stand_in", "no_compiler")
def test_without_a_compiler_the_line_to_install_one_is_named() -> None:
    with pytest.raises(MissingPartError, match="cannot be compiled: there is no nvcc") as caught:
        CudaPreprocessor()
    assert "ltsh-deploy[cuda]" in caught.value.remedy


def test_a_gpu_that_is_not_there_is_named(stand_in: StandIn) -> None:
    with pytest.raises(DeviceError, match=r"preprocessing by CUDA.*there is no GPU 3"):
        CudaPreprocessor(device=3)


def test_weights_are_computed_once_for_pictures_of_one_size(open_preprocessor: Open) -> None:
    cuda_preprocess._axes.cache_clear()
    preprocessor = open_preprocessor()
    for seed in range(3):
        prepare(preprocessor, [picture((48, 32), seed)] * 2, [place((48, 32), (24, 16), 8)] * 2)
    assert cuda_preprocess._axes.cache_info().misses == 1
