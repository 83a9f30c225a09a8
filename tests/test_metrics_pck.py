"""PCK, PCKh and its curve."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.metrics import (
    MPII_JOINTS,
    PCKH_THRESHOLDS,
    head_sizes,
    joint_rates,
    pck,
    pckh,
    torso_lengths,
)

HIP, SHOULDER = MPII_JOINTS.index("right_hip"), MPII_JOINTS.index("left_shoulder")
places = st.tuples(st.integers(0, 8).map(lambda i: 3 * i), st.integers(0, 8).map(lambda i: 4 * i))
joints = st.none() | places


@st.composite
def people(draw: Any) -> list[tuple[list[Any], list[Any], int]]:
    """(found, true, head) of some people of three joints."""
    three = st.lists(joints, min_size=3, max_size=3)
    return draw(st.lists(st.tuples(three, three, st.sampled_from([0, 10, 50, 100])), min_size=1, max_size=5))


def array(rows: list[list[Any]]) -> Any:
    return np.array([[(np.nan, np.nan) if joint is None else joint for joint in row] for row in rows], np.float64)


def is_hit(found: Any, true: Any, head: int, per_cent: int) -> bool:
    """In whole numbers."""
    if not found or not head:
        return False
    squared = (found[0] - true[0]) ** 2 + (found[1] - true[1]) ** 2
    return bool(100**2 * squared <= (per_cent * head) ** 2)


@settings(max_examples=150, deadline=None)
@given(people())
def test_pckh_equals_a_slow_count(some: list[tuple[list[Any], list[Any], int]]) -> None:
    score = pckh(array([f for f, _, _ in some]), array([t for _, t, _ in some]), np.array([s for *_, s in some]))
    pairs = [[(f[k], t[k], head) for f, t, head in some if t[k]] for k in range(3)]
    rates = []
    for per_cent in range(51):
        rates.append([sum(is_hit(*each, per_cent) for each in some_pairs) for some_pairs in pairs])
    counts = [len(each) for each in pairs]
    assert score.at_half.n_annotated.tolist() == counts
    assert score.at_half.n_hits.tolist() == rates[-1]
    if not sum(counts):
        assert np.isnan([score.auc, score.at_half.pooled, score.at_half.mean]).all()
        return
    curve = [100 * sum(each) / sum(counts) for each in rates]
    assert score.curve == pytest.approx(curve)
    assert score.at_half.pooled == pytest.approx(curve[-1])
    assert score.auc == pytest.approx(sum((a + b) / 2 for a, b in itertools.pairwise(curve)) / 50)
    known = [100 * hits / count for hits, count in zip(rates[-1], counts, strict=True) if count]
    assert score.at_half.mean == pytest.approx(sum(known) / len(known))


def test_the_area_under_the_curve_of_a_straight_line_is_half() -> None:
    # A joint at every hundredth of a head: each threshold finds one more.
    truth = np.zeros((1, 50, 2))
    found = np.stack([np.arange(1, 51.0), np.zeros(50)], axis=1)[None]
    score = pckh(found, truth, np.array([100.0]))
    np.testing.assert_allclose(score.curve, np.linspace(0, 100, 51))
    assert score.auc == pytest.approx(50)
    assert pckh(truth, truth, np.array([100.0])).auc == pytest.approx(100)
    assert (PCKH_THRESHOLDS[0], PCKH_THRESHOLDS[-1], len(PCKH_THRESHOLDS)) == (0, 0.5, 51)


def test_pckh_pools_joints_and_pck_means_them() -> None:
    # One joint of three people, of whom one is found; another joint of one person, found.
    truth = np.array([[[0.0, 0], [0, 0]], [[0, 0], [np.nan, 0]], [[0, 0], [np.nan, 0]]])
    found = np.array([[[0.0, 0], [0, 0]], [[99, 0], [0, 0]], [[np.nan, 0], [0, 0]]])
    rates = pck(found, truth, np.full(3, 10.0))
    assert rates.rates.tolist() == [pytest.approx(100 / 3), 100]
    assert rates.mean == pytest.approx((100 + 100 / 3) / 2)
    assert rates.pooled == pytest.approx(50)


def test_pck_is_within_a_fifth_of_the_torso_and_a_size_of_nothing_is_a_miss() -> None:
    truth = np.zeros((1, 3, 2))
    found = np.array([[[12.0, 16], [0, np.nextafter(20, 30)], [0, 0]]])
    assert pck(found, truth, np.array([100.0])).n_hits.tolist() == [1, 0, 1]
    for size in (0.0, np.nan):
        score = pck(found, truth, np.array([size]))
        assert (score.n_hits.tolist(), score.n_annotated.tolist()) == ([0, 0, 0], [1, 1, 1])


def test_what_is_not_annotated_does_not_count_as_found() -> None:
    hits = np.ones((2, 3), np.bool_)
    annotated = np.array([[True, False, False], [True, True, False]])
    score = joint_rates(hits, annotated)
    assert (score.n_hits.tolist(), score.n_annotated.tolist()) == ([2, 1, 0], [2, 1, 0])
    assert np.isnan(score.rates[2])
    assert score.mean == 100


def test_torso_lengths_reach_from_the_right_hip_to_the_left_shoulder() -> None:
    people = np.random.default_rng(0).uniform(0, 99, (4, 14, 2))
    people[0, HIP], people[0, SHOULDER] = (10, 20), (13, 24)
    people[1, HIP] = np.nan
    people[2, SHOULDER] = np.nan
    people[3, HIP] = people[3, SHOULDER]
    np.testing.assert_array_equal(torso_lengths(people, MPII_JOINTS), [5, np.nan, np.nan, np.nan])
    assert np.isnan(torso_lengths(people[:, :2], ["left_eye", "right_hip"])).all()


def test_numbers_at_the_end_of_their_range_raise_nothing() -> None:
    with np.errstate(all="raise", under="ignore"):
        ends = np.array([[[1e308, 1e308], [-1e308, -1e308]]])
        assert np.isnan(torso_lengths(ends, ["right_hip", "left_shoulder"])).all()
        assert head_sizes(np.array([[-1e308, 0, 1e308, 1e308]]), np.ones(1)).tolist() == [np.inf]
        assert head_sizes(np.full((1, 4), np.nan), np.array([1e308])).tolist() == [np.inf]
