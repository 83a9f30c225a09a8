"""What tests ask for when they need a GPU, and take the stand-in for one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ltsh_deploy.cuda_decode import CudaDecoder
from ltsh_deploy.cuda_kernels import compile as kernels
from ltsh_deploy.cuda_kernels import decoder
from tests.cuda_stand_in.stand_in import StandIn, compile_kernels, load, why_not
from tests.cuda_steps import CudaSteps

__all__ = ["FOLDER", "Gxx", "cuda_steps", "stand_in", "stand_in_folder"]

FOLDER = Path(kernels.__file__).parent


class Gxx:
    """g++ as a compiler for the stand-in; see ``ltsh_deploy.cuda_kernels.compile.Compiler``."""

    name = "g++ for the CUDA stand-in"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def compile(self, kernel: str, architecture: str) -> bytes:
        return compile_kernels((FOLDER / f"{kernel}.cu").read_text(), FOLDER, self._folder)


@pytest.fixture(scope="session")
def stand_in_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cuda")


@pytest.fixture(scope="session")
def _loaded(stand_in_folder: Path) -> StandIn:
    if why_not():
        pytest.skip(why_not())
    return load(stand_in_folder)


@pytest.fixture(scope="module")
def cuda_steps(_loaded: StandIn, stand_in_folder: Path) -> Iterator[CudaSteps]:
    """The CUDA decoder on the stand-in, with few threads a block, which it runs one by one."""
    held = _loaded.allocations
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "_THREADS", 64)
        compiler, cache = Gxx(stand_in_folder), stand_in_folder / "cache"
        steps = CudaSteps(partial(CudaDecoder, compiler=compiler, cache_folder=cache))
        yield steps
        steps.close()
    assert (_loaded.fault, _loaded.allocations) == ("", held)


@pytest.fixture
def stand_in(_loaded: StandIn) -> Iterator[StandIn]:
    """The stand-in, which must be without fault and without allocations afterwards."""
    held = _loaded.allocations
    yield _loaded
    fault, allocations = _loaded.fault, _loaded.allocations
    _loaded.forgive()
    assert (fault, allocations) == ("", held)
