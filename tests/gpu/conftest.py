"""What tests on a real GPU need; elsewhere they skip."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ltsh_deploy.cuda_decode import CudaDecoder
from ltsh_deploy.errors import LtshError
from ltsh_deploy.nvidia_driver import list_gpus
from tests.cuda_steps import CudaSteps

#: As ``tests/conftest.py`` allows it to be given in CI, whose machines have none.
WITHOUT_GPU = "needs an NVIDIA GPU"


@pytest.fixture(scope="session", autouse=True)
def gpu() -> str:
    """The first GPU's name."""
    try:
        found = list_gpus()
    except LtshError as error:
        pytest.skip(f"{WITHOUT_GPU}: {error.message}")
    if not found or "standing in" in found[0].name:
        pytest.skip(WITHOUT_GPU)
    return found[0].name


@pytest.fixture(scope="session")
def steps(gpu: str) -> Iterator[CudaSteps]:
    """The CUDA decoder with decode.py's signatures."""
    steps = CudaSteps(CudaDecoder)
    yield steps
    steps.close()
