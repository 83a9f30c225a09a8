"""Pictures and placements for the preprocessing on GPUs, and how its results are held against the CPU's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.cuda_preprocess import CudaPreprocessor
from ltsh_deploy.cuda_session import CudaSession
from ltsh_deploy.device_fields import DeviceArray
from ltsh_deploy.images import PADDING, Placement, apply, place, scaling_steps

__all__ = ["PLACEMENTS", "assert_as_on_cpu", "on_host", "picture", "prepare"]

#: Steps of scaling that there may be, by the picture's size, the content's and the stride.
PLACEMENTS = {
    "as it is": Placement((16, 9), (16, 9), 8),
    "as it is, no padding": Placement((16, 8), (16, 8), 8),
    "one pixel": Placement((1, 1), (1, 1), 1),
    "one pixel, padded": Placement((1, 1), (1, 1), 8),
    "one pixel, enlarged": Placement((1, 1), (7, 5), 8),
    "two pixels, enlarged": Placement((2, 1), (19, 9), 8),
    "enlarged by two": Placement((9, 7), (18, 14), 8),
    "enlarged by little": Placement((20, 11), (21, 12), 4),
    "enlarged in one direction": Placement((9, 14), (17, 14), 8),
    "enlarged and shrunk": Placement((9, 31), (17, 14), 8),
    "shrunk by little": Placement((25, 17), (24, 16), 8),
    "shrunk by two": Placement((48, 32), (24, 16), 8),
    "shrunk by two, odd": Placement((49, 33), (24, 16), 8),
    "shrunk by four": Placement((96, 64), (24, 16), 8),
    "shrunk by five": Placement((121, 83), (24, 17), 8),
    "shrunk by 17.3": Placement((415, 277), (24, 16), 8),
    "shrunk in one direction": Placement((300, 16), (24, 16), 8),
    "wide": place((999, 1), (24, 16), 8),
    "high": place((3, 1200), (24, 16), 8),
    "one pixel left": Placement((77, 300), (1, 1), 8),
}


def picture(size: tuple[int, int], seed: int = 0) -> npt.NDArray[np.uint8]:
    """Noise, but black and white in the upper half, where the sums of a cubic go beyond what a byte holds."""
    rng = np.random.default_rng([seed, *size])
    pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    upper = pixels[: (size[1] + 1) // 2]
    upper[...] = np.where(upper < 128, 0, 255)
    return pixels


def prepare(
    preprocessor: CudaPreprocessor, images: Sequence[Any], placements: Sequence[Placement], mirror: bool = False
) -> npt.NDArray[np.uint8]:
    """A batch, brought to the host."""
    return on_host(preprocessor.session, preprocessor.apply(images, placements, mirror))


def on_host(session: CudaSession, batch: DeviceArray) -> npt.NDArray[np.uint8]:
    """A copy of an array that the session's stream writes."""
    import pycuda.driver

    array = np.empty(batch.shape, batch.dtype)
    with session.current():
        session.stream.synchronize()
        pycuda.driver.memcpy_dtoh(array, int(batch.memory))
    return array


def assert_as_on_cpu(
    got: npt.NDArray[np.uint8], image: npt.NDArray[np.uint8], placement: Placement, mirror: bool = False
) -> None:
    """Hold an input against :func:`ltsh_deploy.images.apply`: they may differ by a level for each step of scaling.

    OpenCV's step between two samples is off by less than 1 from the exact sum: rounding takes up to 0.5, the two lost
    bits before it 0.25, weights of 11 bits 255 / 4096 in each direction, and positions of 24 bits little. Later steps
    are means, which do not add to it. The kernel rounds once, by up to 0.5. So n steps make less than n + 0.5.
    A cubic is always the only step; its four weights in each direction are off by 255 / 4096 and, since sums of a row
    may be 1.4 times as large, 1.4 times 255 / 4096: with both roundings, 1.7.
    """
    want = apply(image, placement, mirror)
    width, height = placement.content_size
    assert got.shape == want.shape
    levels = len(scaling_steps(placement))
    assert np.abs(got.astype(int) - want)[:height, :width].max() <= levels
    assert (got[height:] == PADDING).all()
    assert (got[:, width:] == PADDING).all()
