"""Which values count, which range is best, and which pictures are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.descriptions import ModelDescription
from ltsh_deploy.errors import ExportError
from ltsh_deploy.export.calibration import Values, choose_pictures, measure_values, network_inputs
from ltsh_deploy.outputs import write_image
from tests.arms_onnx import arms_values, write_arms
from tests.colour_model import paint

Floats = npt.NDArray[np.float32]


def counted(*arrays: Floats) -> Values:
    values = Values()
    for array in arrays:
        values.add(array)
    return values


def loss(array: Floats, low: float, high: float, levels: int) -> float:
    """The mean squared error of rounding to so many levels, with zero one of them."""
    step = (high - low) / (levels - 1)
    steps = np.rint(array.astype(np.float64) / step).clip(np.rint(low / step), np.rint(high / step))
    return float(np.square(steps * step - array).mean())


def test_every_value_is_counted_in_its_bin() -> None:
    array = np.array([[0.0, -0.0, 1.0, 1.004], [-2.0, 3.5, 1e-30, -1e30]], np.float32)
    values = counted(array, array[:1])
    assert (values.low, values.high) == (np.float32(-1e30), 3.5)
    assert values.positive.sum() + values.negative.sum() == 12
    # -0.0 has a sign, and is 0.
    assert values.negative.sum() == 4
    # 1.0 and 1.004 are less than 1.1 % apart.
    assert (values.positive == 4).sum() == 1
    assert values.is_finite
    assert values.largest == np.float32(1e30)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, -np.nan])
def test_what_is_not_finite_is_noticed(odd: float) -> None:
    assert not counted(np.array([1, odd, 2], np.float32)).is_finite


def test_merging_is_counting_together() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    together, merged = counted(first, second), counted(first)
    merged.merge(counted(second))
    assert (merged.low, merged.high) == (together.low, together.high)
    np.testing.assert_array_equal(merged.positive, together.positive)
    np.testing.assert_array_equal(merged.negative, together.negative)


@given(st.integers(0, 10_000), st.sampled_from(["normal", "relu", "tails", "uniform", "below"]), st.floats(1e-6, 1e6))
@settings(max_examples=60, deadline=None)
def test_the_best_range_is_nearly_the_best_there_is(seed: int, kind: str, size: float) -> None:
    random = np.random.default_rng(seed)
    array = {
        "normal": random.normal(size=4000),
        "relu": np.maximum(random.normal(size=4000), 0),
        "tails": random.standard_t(3, size=4000),
        "uniform": random.uniform(-0.5, 1, size=4000),
        "below": -np.abs(random.normal(size=4000)),
    }[kind]
    array = (size * array).astype(np.float32)
    values = counted(array)
    for symmetric, levels in ((False, 256), (True, 255)):
        low, high = values.best_range(levels, symmetric)
        assert low <= 0 <= high
        assert not symmetric or low == -high
        assert max(-low, high) <= values.largest * (1 + 1e-6)
        cuts = np.geomspace(1 / 16, 1, 60)
        ends = [
            (-values.largest * c, values.largest * c) if symmetric else (values.low * c, values.high * c) for c in cuts
        ]
        best = min(loss(array, a, b, levels) for a, b in ends)
        assert loss(array, low, high, levels) <= 1.25 * best


def test_a_tensor_of_zeros_has_a_range() -> None:
    values = counted(np.zeros(5, np.float32))
    for symmetric in (False, True):
        low, high = values.best_range(256, symmetric)
        assert low <= 0 < high


def test_a_rare_large_value_does_not_cost_all_others_their_steps() -> None:
    array = np.append(np.random.default_rng(0).normal(size=1_000_000), 60.0).astype(np.float32)
    low, high = counted(array).best_range(255, symmetric=True)
    # Rounding costs 10**6 * (2 * high / 254)**2 / 12, cutting (60 - high)**2: least of both where high is 9.7.
    assert 9 < high < 10.5
    assert low == -high


def test_values_are_those_of_the_network(tmp_path: Path) -> None:
    model = onnx.load(write_arms(tmp_path / "arms.onnx"))
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    seen: list[int] = []
    found = measure_values(model, ["means", "maps", "normal"], [image[None], image[None, ::-1]], seen.append)
    assert seen == [1, 1]
    means = arms_values(image)
    assert found["means"].high == pytest.approx(means.max(), rel=1e-5)
    assert found["normal"].high == pytest.approx(image.max() / 255)
    assert found["means"].positive.sum() == 2 * means.size
    np.testing.assert_allclose(found["means"].means, means.mean(axis=(1, 2)), rtol=1e-5)
    # The PAFs' bias is 1, and a model of which an output is asked for twice is sound.
    assert found["maps"].high >= 1
    with pytest.raises(ExportError, match="could not be run on the pictures"):
        measure_values(model, ["means"], [np.zeros((1, 120, 160, 4), np.uint8)])


def test_pictures_are_placed_as_in_use(tmp_path: Path) -> None:
    metadata = onnx.load(write_arms(tmp_path / "arms.onnx")).metadata_props
    description = ModelDescription.from_metadata({entry.key: entry.value for entry in metadata}, "arms")
    (pixels,) = network_inputs([np.zeros((100, 400, 3), np.uint8)], description)
    # Scaled to 160 x 40, which needs no padding.
    assert pixels.shape == (1, 40, 160, 3)


def test_a_draw_is_that_of_its_seed_in_the_folders_order(tmp_path: Path) -> None:
    image = paint([(16, 24)])
    for number in range(1, 21):
        write_image(tmp_path / f"{number}.png", image)
    names = {
        (count, seed): [Path(source.name).stem for source in choose_pictures(tmp_path, count, seed)]
        for count, seed in ((10, 0), (10, 1), (20, 0), (500, 0))
    }
    assert names[10, 0] != names[10, 1]
    for drawn in names.values():
        assert drawn == sorted(set(drawn), key=int)
    assert len(names[10, 0]) == 10
    assert len(names[20, 0]) == len(names[500, 0]) == 20
    assert names[10, 0] == [Path(source.name).stem for source in choose_pictures(tmp_path, 10, 0)]
