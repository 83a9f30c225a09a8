"""What tests ask for when they need a GPU, and take the stand-in for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest

from ltsh_deploy import nvidia_driver
from ltsh_deploy.cuda_decode import CudaDecoder
from ltsh_deploy.cuda_kernels import compile as kernels
from ltsh_deploy.cuda_kernels import decoder
from ltsh_deploy.cuda_kernels.compile import ARCHITECTURES
from ltsh_deploy.cuda_session import CudaSession
from ltsh_deploy.decode import DecodeConfig
from ltsh_deploy.device_fields import DeviceArray
from ltsh_deploy.errors import DeviceError
from ltsh_deploy.skeletons import LTSH15, Skeleton
from tests.cuda_stand_in.gpu import Gpu
from tests.cuda_stand_in.stand_in import StandIn, compile_kernels, fingerprint, load, why_not
from tests.cuda_steps import CudaSteps

__all__ = [
    "FOLDER",
    "Gxx",
    "Open",
    "Upload",
    "cuda_steps",
    "gpu",
    "loaded_stand_in",
    "no_compiler",
    "no_stand_in",
    "open_decoder",
    "stand_in",
    "stand_in_folder",
    "upload",
]

FOLDER = Path(kernels.__file__).parent
Open = Callable[..., CudaDecoder]
Upload = Callable[[CudaSession, npt.NDArray[Any]], DeviceArray]


class Gxx:
    """g++ as a compiler for the stand-in; see ``ltsh_deploy.cuda_kernels.compile.Compiler``."""

    architectures = ARCHITECTURES

    def __init__(self, folder: Path) -> None:
        # Caches tell programs apart by the name of their compiler.
        self.name, self._folder = f"g++ for the CUDA stand-in {fingerprint()}", folder

    def compile(self, kernel: str, architecture: str) -> bytes:
        return compile_kernels((FOLDER / f"{kernel}.cu").read_text(), FOLDER, self._folder, f"{kernel}.cu")


@pytest.fixture(scope="session")
def stand_in_folder() -> Path:
    """Where the stand-in and kernels compiled for it are kept, under names made of their sources."""
    return Path(__file__).parent.parent.parent / "build" / "cuda_stand_in"


@pytest.fixture(scope="session")
def loaded_stand_in(stand_in_folder: Path) -> StandIn:
    if why_not():
        pytest.skip(why_not())
    return load(stand_in_folder)


@pytest.fixture(scope="module")
def cuda_steps(loaded_stand_in: StandIn, stand_in_folder: Path) -> Iterator[CudaSteps]:
    """The CUDA decoder on the stand-in, with few threads a block, which it runs one by one."""
    before = loaded_stand_in.open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "_THREADS", 64)
        compiler, cache = Gxx(stand_in_folder), stand_in_folder / "cache"
        steps = CudaSteps(partial(CudaDecoder, compiler=compiler, cache_folder=cache))
        yield steps
        steps.close()
    assert (loaded_stand_in.fault, loaded_stand_in.open) == ("", before)


@pytest.fixture
def no_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the stand-in, which stays in its process once a test has loaded it: only real GPUs are found."""
    read_driver = nvidia_driver.read_driver

    def read_real_driver() -> nvidia_driver.Driver:
        driver = read_driver()
        if any("standing in" in gpu.name for gpu in driver.gpus):
            raise DeviceError("there is no NVIDIA driver on this machine", nvidia_driver.GET_DRIVER)
        return driver

    monkeypatch.setattr(nvidia_driver, "read_driver", read_real_driver)


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing can compile kernels."""

    def nothing() -> None:
        raise kernels.CompileError("there is no nvcc on the PATH")

    monkeypatch.setattr(kernels, "find_compiler", nothing)


@pytest.fixture
def stand_in(loaded_stand_in: StandIn) -> Iterator[StandIn]:
    """The stand-in, on which the test must leave no fault, and nothing that it has not given back."""
    before = loaded_stand_in.open
    yield loaded_stand_in
    fault, after = loaded_stand_in.fault, loaded_stand_in.open
    loaded_stand_in.forgive()
    assert (fault, after) == ("", before)


@pytest.fixture
def open_decoder(stand_in: StandIn, stand_in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens CUDA decoders on the stand-in, with few threads a block; they are closed after the test."""
    monkeypatch.setattr(decoder, "_THREADS", 64)
    opened: list[CudaDecoder] = []

    def open_(skeleton: Skeleton = LTSH15, config: DecodeConfig = DecodeConfig(), **more: Any) -> CudaDecoder:  # noqa: B008
        compiler, folder = Gxx(stand_in_folder), stand_in_folder / "cache"
        opened.append(CudaDecoder(skeleton, config, compiler=compiler, cache_folder=folder, **more))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


@pytest.fixture
def upload(stand_in: StandIn) -> Iterator[Upload]:
    """Begins to copy arrays to the GPU on a session's stream; memory and sessions are given back after the test."""
    held: list[tuple[CudaSession, Any]] = []
    sessions: list[CudaSession] = []

    def upload(session: CudaSession, array: npt.NDArray[Any]) -> DeviceArray:
        with session.current():
            import pycuda.driver

            memory = pycuda.driver.mem_alloc(array.nbytes)
            pinned = session.pinned(array.shape, array.dtype)
            pinned[...] = array
            session.upload(memory, pinned)
        held.append((session, (memory, pinned)))
        if session not in sessions:
            sessions.append(session)
        return DeviceArray(memory, array.shape, array.dtype, int(session.stream.handle))

    yield upload
    for session, (memory, pinned) in held:
        with session.current():
            memory.free()
            pinned.base.free()
    for session in sessions:
        session.close()


@pytest.fixture
def gpu(stand_in: StandIn, stand_in_folder: Path) -> Iterator[Gpu]:
    """The stand-in through pycuda, with its context current."""
    gpu = Gpu(stand_in, stand_in_folder)
    yield gpu
    stand_in.forgive()
    gpu.close()
