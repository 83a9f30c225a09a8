"""A network's input made on an NVIDIA GPU: what :func:`ltsh_deploy.images.apply` makes, from frames of any size.

A level of the result may differ from the CPU's, which rounds after each of its steps: docs/kernels.md says by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.cuda_kernels.compile import Compiler
from ltsh_deploy.cuda_kernels.preprocessor import MOST_PICTURES, DevicePreprocessor, Picture
from ltsh_deploy.cuda_kernels.resize_weights import AxisWeights, Step, combine
from ltsh_deploy.cuda_session import CudaSession
from ltsh_deploy.cuda_work import KernelUser, architecture_of, programs
from ltsh_deploy.device_fields import DeviceArray
from ltsh_deploy.errors import ImageError, UsageError
from ltsh_deploy.images import MAX_PIXELS, PADDING, Placement, scaling_steps
from ltsh_deploy.parts import import_part

__all__ = ["CudaPreprocessor"]

_WHAT = "preprocessing by CUDA"


class CudaPreprocessor(KernelUser):
    """Scales and pads on one GPU and one stream. A context manager; several threads may use it, one at a time runs.

    Args:
        device: index of the GPU.
        session: the GPU's context and stream, shared with whoever takes the input; by default one of its own.
        compiler: makes the kernel's program; by default NVRTC or nvcc.
        cache_folder: where it is kept; by default, the user's cache.

    Raises:
        DeviceError: when there is no driver or no such GPU.
        MissingPartError: when pycuda, or a compiler for the kernel, is not installed.
    """

    def __init__(
        self,
        device: int = 0,
        *,
        session: CudaSession | None = None,
        compiler: Compiler | None = None,
        cache_folder: Path | None = None,
    ) -> None:
        super().__init__(_WHAT, device, session)
        with self._opening():
            (program,) = programs(("preprocess",), architecture_of(self._session.gpu, compiler), compiler, cache_folder)
            with self._session.current(), self._session.named_errors(_WHAT):
                cuda: Any = import_part("pycuda.driver", _WHAT, "cuda")
                self._preprocessor = DevicePreprocessor(cuda, program, self._session.stream)

    @property
    def session(self) -> CudaSession:
        """The GPU's context and the stream on which inputs are written."""
        return self._session

    def apply(
        self, images: Sequence[npt.NDArray[np.uint8]], placements: Sequence[Placement], mirror: bool = False
    ) -> DeviceArray:
        """A batch for the network, one picture each; the call returns before it is made.

        The pictures may be changed at once; the batch is the caller's, and is to be given up before the session is
        closed.

        Args:
            images: [H, W, 3] uint8 RGB, each of its own size, with any strides.
            placements: of each image; all of the same ``input_size``.
            mirror: as :func:`ltsh_deploy.images.apply` has it, for all of them.

        Returns:
            [N, H', W', 3] uint8 RGB on the GPU, for whoever takes ``__cuda_array_interface__``.

        Raises:
            ImageError: for an array that is no such image, or not of its placement's size.
            UsageError: when the placements do not fit the images or each other, or this was closed.
            LtshError: when the GPU fails, for want of memory mostly.
        """
        size = _checked(images, placements)
        pictures = [
            Picture(image, *_axes(placement, mirror)) for image, placement in zip(images, placements, strict=True)
        ]
        with self._lock:
            if self._closed:
                raise UsageError("this preprocessor was closed", "Open another one.")
            session = self._session
            with session.current(), session.named_errors(_WHAT):
                shape = (len(images), size[1], size[0], 3)
                memory = session.allocate(int(np.prod(shape)))
                self._preprocessor.resize(pictures, size, PADDING, int(memory))
                return DeviceArray(memory, shape, np.uint8, int(session.stream.handle))

    def _free(self) -> None:
        self._session.finish()
        self._preprocessor.close()
        # With it goes its hold on the stream, which can only be destroyed while the session has its context.
        del self._preprocessor


@lru_cache(maxsize=64)
def _axes(placement: Placement, mirror: bool) -> tuple[AxisWeights, AxisWeights]:
    """How the content's columns and rows are made."""
    steps = scaling_steps(placement)
    across, down = (
        combine(length, [Step(size[axis], method == cv2.INTER_CUBIC) for size, method in steps])
        for axis, length in enumerate(placement.image_size)
    )
    return across.reversed() if mirror else across, down


def _checked(images: Sequence[Any], placements: Sequence[Placement]) -> tuple[int, int]:
    """The size of the input."""
    if not 0 < len(images) <= MOST_PICTURES or len(images) != len(placements):
        raise UsageError(
            f"{len(images)} images and {len(placements)} placements are no batch",
            f"Give 1 to {MOST_PICTURES} images, and a placement for each.",
        )
    for number, (image, placement) in enumerate(zip(images, placements, strict=True)):
        shape: tuple[int, ...] = image.shape if isinstance(image, np.ndarray) and image.dtype == np.uint8 else ()
        if len(shape) != 3 or shape[2] != 3 or 0 in shape:
            kind = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__qualname__
            raise ImageError(
                f"image {number} of the batch must be uint8 [H, W, 3], got {kind}",
                "ltsh_deploy.images.check_image makes grey pictures so, and says what to do about others",
            )
        if shape[0] * shape[1] > MAX_PIXELS:
            raise ImageError(f"image {number} of the batch has {shape[1]} x {shape[0]} pixels, which is too many")
        if (shape[1], shape[0]) != placement.image_size:
            raise ImageError(
                f"a placement for {placement.image_size} pixels cannot be applied to {(shape[1], shape[0])} pixels"
            )
    sizes = sorted({placement.input_size for placement in placements})
    if len(sizes) > 1:
        raise UsageError(
            f"placements of different input sizes, {sizes[0]} and {sizes[1]}, are no batch",
            "Prepare those of each size by themselves.",
        )
    if sizes[0][0] * sizes[0][1] > MAX_PIXELS:
        raise UsageError(f"an input of {sizes[0][0]} x {sizes[0][1]} pixels is too large", "Use a smaller size.")
    return sizes[0]
