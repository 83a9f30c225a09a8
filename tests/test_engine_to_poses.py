"""From pictures to poses on one stream: a stand-in for TensorRT, and the real pycuda and kernels on one for CUDA."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ltsh_deploy import cuda_decode
from ltsh_deploy.cuda_kernels import decoder, preprocessor
from ltsh_deploy.cuda_preprocess import CudaPreprocessor
from ltsh_deploy.engine_files import Shapes
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.export.to_tensorrt import EngineOptions, export_engine
from ltsh_deploy.images import place
from ltsh_deploy.tensorrt_runtime import TensorRtRuntime
from tests import tensorrt_stand_in
from tests.colour_model import paint, write_colour_model
from tests.cuda_stand_in.fixtures import Gxx
from tests.cuda_stand_in.stand_in import StandIn


class _AtOnce:
    """A stream of the driver's stand-in, on which the engine runs when all before it is done."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.pending = self

    def append(self, work: Callable[[], None]) -> None:
        import pycuda.driver

        pycuda.driver.Context.synchronize()
        work()


class _View:
    """Bytes on the device, read and written by the driver, which knows who wrote what."""

    def __init__(self, address: int, size: int) -> None:
        self._address, self._size = address, size

    def view(self, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        import pycuda.driver

        content = np.empty(self._size, np.uint8)
        pycuda.driver.memcpy_dtoh(content, self._address)
        return content.view(dtype)

    def __setitem__(self, where: slice, content: npt.NDArray[np.uint8]) -> None:
        import pycuda.driver

        pycuda.driver.memcpy_htod(self._address, np.ascontiguousarray(content))


class DriverGpu:
    """The stand-in of the driver, as the engine's stand-in wants it."""

    def __init__(self) -> None:
        self.streams = self

    def check_current(self, what: str) -> None:
        import pycuda.driver

        assert pycuda.driver.Context.get_device() is not None, what

    def view(self, address: int, size: int, what: str) -> _View:
        return _View(address, size)

    def __contains__(self, handle: int) -> bool:
        return handle != 0

    def __getitem__(self, handle: int) -> _AtOnce:
        return _AtOnce(handle)


@dataclass(frozen=True)
class Arms:
    """A network that finds painted arms, its engine, and pictures of one arm, two and none."""

    onnx: Path
    engine: Path
    pictures: list[npt.NDArray[np.uint8]]


@pytest.fixture
def decoders(stand_in: StandIn, stand_in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """All CUDA decoders that are made; the kernels are compiled for the stand-in."""
    monkeypatch.setattr(decoder, "_THREADS", 64)
    monkeypatch.setattr(preprocessor, "_THREADS", 64)
    made: list[Any] = []

    class Decoder(cuda_decode.CudaDecoder):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, compiler=Gxx(stand_in_folder), cache_folder=stand_in_folder, **options)
            made.append(self)

    monkeypatch.setattr(cuda_decode, "CudaDecoder", Decoder)
    return made


@pytest.fixture
def arms(decoders: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Arms:
    world = tensorrt_stand_in.World(DriverGpu())  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_stand_in.make("10", world))
    model = write_colour_model(tmp_path / "arms.onnx")
    pictures = [paint(arms) for arms in ([(8, 8)], [(8, 8), (40, 56)], [])]
    shapes = Shapes.parse("1x16x16/1x160x120/4x160x160")
    export_engine(model, tmp_path / "arms.engine", EngineOptions(shapes=shapes), images=pictures)
    decoders.clear()
    return Arms(model, tmp_path / "arms.engine", pictures)


def test_pictures_become_poses_without_leaving_the_gpu(arms: Arms, decoders: list[Any]) -> None:
    with PoseEstimator.open(arms.onnx, device="cpu") as onnx, PoseEstimator.open(arms.engine) as estimator:
        for expected, found in zip(onnx(arms.pictures), estimator(arms.pictures), strict=True):
            np.testing.assert_allclose(found.xy, expected.xy, atol=1e-3)
            np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    assert len(decoders) == 1


def test_frames_of_any_size_become_poses_and_no_input_leaves_the_gpu(arms: Arms, stand_in_folder: Path) -> None:
    # Of two sizes, which become inputs of one.
    frames = [arms.pictures[0], *(image.repeat(3, axis=0).repeat(3, axis=1) for image in arms.pictures[1:])]
    with PoseEstimator.open(arms.onnx, device="cpu") as onnx:
        expected = onnx(arms.pictures)
    with (
        TensorRtRuntime(arms.engine) as runtime,
        CudaPreprocessor(
            session=runtime.session, compiler=Gxx(stand_in_folder), cache_folder=stand_in_folder
        ) as prepare,
        cuda_decode.CudaDecoder(runtime.description.skeleton, session=runtime.session) as decode,
    ):
        placements = [place((frame.shape[1], frame.shape[0]), (160, 120), 8) for frame in frames]
        found = decode.decode_fields(runtime.run_on_device(prepare.apply(frames, placements)))
    assert [len(poses) for poses in found] == [1, 2, 0]
    for want, poses in zip(expected, found, strict=True):
        # Colours that one pixel in three mixes with the grey beside them move a joint by little.
        np.testing.assert_allclose(poses.xy, want.xy, atol=0.1)
