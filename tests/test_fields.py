from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ltsh_deploy.errors import FieldsError
from ltsh_deploy.fields import Fields, cells_to_pixels, pixels_to_cells

strides = st.sampled_from([1, 2, 4, 8, 16, 32])
coordinates = hnp.arrays(
    np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-1e5, 1e5, allow_subnormal=False)
)


@given(coordinates, strides)
def test_cells_and_pixels_are_each_others_inverse(values: np.ndarray, stride: int) -> None:
    np.testing.assert_allclose(pixels_to_cells(cells_to_pixels(values, stride), stride), values, rtol=0, atol=1e-9)
    np.testing.assert_allclose(cells_to_pixels(pixels_to_cells(values, stride), stride), values, rtol=0, atol=1e-9)


@given(st.integers(0, 10_000), strides)
def test_a_cells_centre_is_the_mean_of_the_pixels_it_covers(cell: int, stride: int) -> None:
    covered = np.arange(cell * stride, (cell + 1) * stride)
    assert cells_to_pixels(float(cell), stride) == covered.mean()


@given(st.integers(1, 1000), strides)
def test_the_edges_of_the_map_are_the_edges_of_the_image(cells: int, stride: int) -> None:
    """Half a cell beyond the outermost cells' centres, half a pixel beyond the outermost pixels'."""
    assert cells_to_pixels(-0.5, stride) == -0.5
    assert cells_to_pixels(cells - 0.5, stride) == cells * stride - 0.5


@given(st.integers(1, 50), strides)
def test_mirroring_cells_mirrors_pixels(width: int, stride: int) -> None:
    cells = np.arange(width, dtype=np.float64)
    mirrored = cells_to_pixels(width - 1 - cells, stride)
    np.testing.assert_array_equal(mirrored, width * stride - 1 - cells_to_pixels(cells, stride))


def maps(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def test_fields_know_their_size() -> None:
    assert Fields(maps(19, 46, 54), maps(38, 46, 54), 8).size == (46, 54)


@pytest.mark.parametrize(
    ("heatmaps", "pafs"),
    [
        (maps(19, 46, 54), maps(38, 54, 46)),
        (maps(1, 19, 46, 54), maps(38, 46, 54)),
        (maps(46, 54), maps(38, 46, 54)),
        (maps(19, 46, 54), maps(46, 54)),
    ],
)
def test_maps_of_different_shapes_are_refused(heatmaps: np.ndarray, pafs: np.ndarray) -> None:
    with pytest.raises(FieldsError, match="one size"):
        Fields(heatmaps, pafs, 8)
