"""Groups of synthetic people: the published boundaries, and no group for what is unknown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.train.groups import Grouping, create_grouping, linear_boundaries
from ltsh_deploy.train.teacher import usable_groups
from ltsh_deploy.train.teacher_config import GroupingConfig

PUBLISHED = [3.68161, 6.93389, 10.18616, 13.43844, 16.69071, 19.94299, 23.19526, 26.44754, 29.69981]


def test_camera_pitch_has_the_published_boundaries() -> None:
    pitches = np.array([0.0228, 12.5, np.nan, 36.6109])
    grouping = create_grouping(GroupingConfig(), {"camera_pitch": pitches})
    np.testing.assert_allclose(grouping.boundaries, PUBLISHED, atol=6e-6)
    assert grouping.assign(pitches).tolist() == [0, 3, -1, 9]


def test_minimal_distance_has_ten_equal_groups_the_last_open_above() -> None:
    config = GroupingConfig(characteristic="min_distance")
    grouping = create_grouping(config, {"min_distance": np.array([5.0, 900.0])})
    assert grouping.boundaries == (64, 128, 192, 256, 320, 384, 448, 512, 576)
    values = np.array([0, 63.99, 64, 575.9, 576, 640, 5000])
    assert grouping.assign(values).tolist() == [0, 0, 1, 8, 9, 9, 9]


def test_the_unknown_is_in_no_group() -> None:
    grouping = Grouping("x", (1.0, 2.0))
    assert grouping.assign(np.array([np.nan, np.inf, -np.inf, 5.0])).tolist() == [-1, -1, -1, 2]
    assert grouping.count(np.array([np.nan, np.inf, 0.0, 5.0, 5.0])).tolist() == [1, 0, 2]
    assert grouping.count(np.zeros(0)).tolist() == [0, 0, 0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40, unique=True), st.integers(2, 12))
def test_a_group_is_the_number_of_boundaries_up_to_the_value(values: list[float], count: int) -> None:
    array = np.array(values)
    if array.max() - array.min() < 1e-3:
        return
    boundaries = linear_boundaries(array, count)
    grouping = Grouping("x", boundaries)
    assert grouping.num_groups == count
    assert grouping.assign(array).tolist() == [sum(b <= v for b in boundaries) for v in values]
    assert grouping.assign(array).min() == 0
    assert grouping.assign(array).max() == count - 1


def test_quantiles_make_groups_of_one_size() -> None:
    values = np.random.default_rng(0).exponential(size=1000)
    grouping = create_grouping(GroupingConfig(characteristic="x", count=8, boundaries="quantile"), {"x": values})
    assert grouping.count(values).tolist() == [125] * 8


def test_boundaries_may_be_given() -> None:
    config = GroupingConfig(characteristic="visibility", boundaries=(0.25, 0.5))
    grouping = create_grouping(config, {"visibility": np.array([0.1, 0.25, 0.9])})
    assert config.count == grouping.num_groups == 3
    assert grouping.assign(np.array([0.1, 0.25, 0.9])).tolist() == [0, 1, 2]
    assert grouping.names == ("below 0.25", "0.25 to 0.5", "0.5 and above")


@pytest.mark.parametrize("boundaries", [(), (2.0, 1.0), (1.0, 1.0), (1.0, float("nan")), (float("inf"),)])
def test_boundaries_that_cannot_be_are_refused(boundaries: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="each larger than the one before"):
        Grouping("x", boundaries)


def test_a_characteristic_that_nobody_has_names_those_there_are() -> None:
    known = {"camera_pitch": np.array([np.nan, np.nan]), "visibility": np.array([0.5, np.nan])}
    for name in ("camera_pitch", "camera_pich"):
        with pytest.raises(InputError, match=f"'{name}'.*\nGroup by what it says: visibility"):
            create_grouping(GroupingConfig(characteristic=name), known)
    with pytest.raises(InputError, match="use teacher: random"):
        create_grouping(GroupingConfig(), {})


@pytest.mark.parametrize("rule", ["linear", "quantile"])
def test_values_that_are_all_equal_make_no_groups(rule: str) -> None:
    with pytest.raises(InputError, match="cannot be parted into 4 groups"):
        create_grouping(
            GroupingConfig.model_validate({"characteristic": "x", "count": 4, "boundaries": rule}), {"x": np.ones(50)}
        )


def test_a_group_with_less_than_a_batch_cannot_be_chosen() -> None:
    assert usable_groups([31, 32, 0, 1000], 32) == (False, True, False, True)
