"""The weights of several steps of scaling, against steps that are taken one after another."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.cuda_kernels.resize_weights import AxisWeights, Step, combine

Line = np.ndarray[Any, Any]
lengths = st.integers(1, 60)
steps = st.lists(st.builds(Step, lengths, st.booleans()), max_size=4)


def apply(axis: AxisWeights, line: Line) -> Line:
    return sum(weights * line[axis.firsts + tap] for tap, weights in enumerate(axis.weights.astype(np.float64)))


def taken_slowly(line: Line, taken: list[Step]) -> Line:
    """Sample by sample, by the definition: the centre of sample i of n lies at (i + 0.5) / n of the whole length."""
    for step in taken:
        after = []
        for i in range(step.length):
            position = (i + 0.5) / step.length * len(line) - 0.5
            begin = int(np.floor(position))
            value = 0.0
            for j in range(begin - 1, begin + 3):
                value += kernel(abs(position - j), step.cubic) * line[min(max(j, 0), len(line) - 1)]
            after.append(value)
        line = np.array(after)
    return line


def kernel(x: float, cubic: bool) -> float:
    """The triangle, or Keys's cubic convolution with a = -0.75."""
    if not cubic:
        return max(0.0, 1 - x)
    a = -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


@settings(max_examples=150, deadline=None)
@given(length=lengths, taken=steps, seed=st.integers(0, 9))
def test_they_come_to_the_same_as_the_steps(length: int, taken: list[Step], seed: int) -> None:
    line = np.random.default_rng(seed).uniform(0, 255, length)
    # Single precision keeps 24 bits of each weight, and cubics after cubics make sums of greater ones.
    np.testing.assert_allclose(apply(combine(length, taken), line), taken_slowly(line, taken), atol=1e-3)


@settings(max_examples=150, deadline=None)
@given(length=lengths, taken=steps)
def test_they_sum_to_one_and_all_that_they_take_exists(length: int, taken: list[Step]) -> None:
    axis = combine(length, taken)
    taps, after = axis.weights.shape
    assert (axis.firsts.dtype, axis.weights.dtype) == (np.int32, np.float32)
    assert axis.firsts.shape == (after,) == ((taken[-1].length if taken else length),)
    np.testing.assert_allclose(axis.weights.sum(axis=0), 1, atol=1e-5)
    assert axis.firsts.min() >= 0
    assert axis.firsts.max() + taps <= length


def test_no_step_takes_each_as_it_is() -> None:
    for taken in ([], [Step(5, cubic=True)], [Step(5, cubic=False)] * 2):
        axis = combine(5, taken)
        assert axis.firsts.tolist() == [0, 1, 2, 3, 4]
        assert axis.weights.tolist() == [[1.0] * 5]


@pytest.mark.parametrize(("method", "cubic"), [(cv2.INTER_LINEAR, False), (cv2.INTER_CUBIC, True)])
@pytest.mark.parametrize(("before", "after"), [(7, 18), (40, 33), (40, 41), (1, 5), (2, 3)])
def test_a_step_is_opencvs(before: int, after: int, method: int, cubic: bool) -> None:
    line = np.random.default_rng(0).uniform(0, 255, before)
    # OpenCV computes positions, and so weights, in single precision.
    want = cv2.resize(line[None], (after, 1), interpolation=method)[0]
    np.testing.assert_allclose(apply(combine(before, [Step(after, cubic)]), line), want, atol=0.01)


def test_reversed_takes_the_same_from_the_other_end() -> None:
    axis = combine(30, [Step(17, cubic=False)])
    line = np.random.default_rng(1).uniform(0, 255, 30)
    np.testing.assert_array_equal(apply(axis.reversed(), line), apply(axis, line)[::-1])
