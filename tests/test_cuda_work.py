"""What the CUDA kernels are compiled for, GPU by GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ltsh_deploy.cuda_kernels.compile import ARCHITECTURES
from ltsh_deploy.cuda_work import architecture_of
from ltsh_deploy.errors import MissingPartError, UsageError
from ltsh_deploy.nvidia_driver import Gpu


def compiler(*architectures: str) -> Any:
    """One that is asked for nothing else."""
    return SimpleNamespace(architectures=architectures)


@pytest.mark.parametrize(
    ("capability", "architecture"),
    [
        ((7, 5), "sm_75"),
        ((8, 0), "sm_80"),
        ((8, 7), "sm_87"),
        ((8, 9), "sm_89"),
        ((9, 0), "sm_90"),
        ((10, 3), "sm_103"),
        ((11, 0), "sm_110"),
        ((12, 1), "sm_121"),
        ((13, 0), "sm_130"),
    ],
)
def test_kernels_are_compiled_for_the_very_gpu(capability: tuple[int, int], architecture: str) -> None:
    assert architecture_of(Gpu("a GPU", capability), compiler(*ARCHITECTURES)) == architecture


@pytest.mark.parametrize(
    ("known", "capability", "architecture"),
    [
        ("sm_80 sm_86 sm_87 sm_90", (8, 9), "sm_86"),
        ("sm_80 sm_86 sm_87 sm_89 sm_90", (8, 8), "sm_86"),
        ("sm_90 sm_100 sm_101 sm_120", (10, 3), "sm_100"),
        ("sm_90 sm_100 sm_101 sm_120", (12, 1), "sm_120"),
        # A Jetson runs nothing but its own; the compiler will say that it does not know it.
        ("sm_80 sm_86 sm_90", (8, 7), "sm_87"),
        ("sm_90 sm_100 sm_103 sm_110", (10, 1), "sm_101"),
        ("sm_80 sm_86 sm_90", (10, 0), "sm_100"),
    ],
)
def test_where_the_compiler_does_not_know_a_gpu_it_gets_the_latest_architecture_that_it_runs(
    known: str, capability: tuple[int, int], architecture: str
) -> None:
    assert architecture_of(Gpu("a GPU", capability), compiler(*known.split())) == architecture


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_no_architecture_can_be_chosen() -> None:
    with pytest.raises(MissingPartError, match="cannot be compiled: there is no nvcc"):
        architecture_of(Gpu("a GPU", (9, 0)))


def test_a_gpu_too_old_for_the_compiler_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a GPU \(compute capability 7\.0\) is older"):
        architecture_of(Gpu("a GPU", (7, 0)), compiler("sm_70", "sm_75"))
