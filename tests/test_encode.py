"""The target maps, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ltsh_deploy.encode import encode_fields
from ltsh_deploy.skeletons import Skeleton

LINE = Skeleton("line", ("a", "b"), ((0, 1),), (), (0.1, 0.1))


def test_a_heat_map_is_a_gaussian_around_the_joint_at_the_cells_centres() -> None:
    # Cell (2, 1) has its centre at pixel (19.5, 11.5); its right neighbour lies 8 pixels away.
    fields = encode_fields(np.array([[[19.5, 11.5], [np.nan, np.nan]]]), LINE, (4, 6))
    assert fields.heatmaps.shape == (3, 4, 6)
    assert fields.heatmaps[0, 1, 2] == 1
    assert fields.heatmaps[0, 1, 3] == pytest.approx(np.exp(-64 / 98))
    assert fields.heatmaps[0, 2, 3] == pytest.approx(np.exp(-128 / 98))
    # Three cells away the Gaussian is exp(-576 / 98), below one hundredth.
    assert fields.heatmaps[0, 1, 5] == 0
    assert not fields.heatmaps[1].any()
    np.testing.assert_allclose(fields.heatmaps[2], 1 - fields.heatmaps[:2].max(axis=0))


def test_heat_maps_of_several_people_are_their_greatest_not_their_sum() -> None:
    xy = np.array([[[19.5, 11.5], [0, 0]], [[27.5, 11.5], [0, 0]]])
    fields = encode_fields(xy, LINE, (4, 6))
    assert fields.heatmaps[0, 1, 2] == fields.heatmaps[0, 1, 3] == 1


def test_a_paf_is_the_unit_vector_within_a_limbs_width_of_the_segment() -> None:
    # From the centre of cell (1, 1) to that of (4, 1): along x.
    fields = encode_fields(np.array([[[11.5, 11.5], [35.5, 11.5]]]), LINE, (4, 7))
    covered = np.zeros((4, 7))
    covered[1, 0:6] = 1  # 8 pixels beyond each end
    covered[0, 1:5] = covered[2, 1:5] = 1  # and 8 to each side
    np.testing.assert_array_equal(fields.pafs[0], covered)
    np.testing.assert_array_equal(fields.pafs[1], 0)


def test_pafs_of_limbs_that_overlap_are_their_mean() -> None:
    along, back = [[11.5, 11.5], [35.5, 11.5]], [[19.5, 19.5], [19.5, 3.5]]
    fields = encode_fields(np.array([along, back]), LINE, (4, 7))
    np.testing.assert_allclose(fields.pafs[:, 1, 2], [0.5, -0.5])


def test_a_limb_of_no_length_or_with_an_end_unlabelled_draws_nothing() -> None:
    for b in ([11.5, 11.5], [np.nan, np.nan]):
        assert not encode_fields(np.array([[[11.5, 11.5], b]]), LINE, (4, 4)).pafs.any()


def test_joints_off_the_map_draw_what_lies_on_it() -> None:
    fields = encode_fields(np.array([[[-3.0, 11.5], [300.0, 11.5]]]), LINE, (4, 4))
    assert 0 < fields.heatmaps[0].max() < 1
    assert (fields.pafs[0, 1] == 1).all()
    assert not encode_fields(np.zeros((0, 2, 2)), LINE, (4, 4)).heatmaps[:2].any()
