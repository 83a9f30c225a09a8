"""Multi-person average precision against a slow reference, and by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.errors import InputError
from ltsh_deploy.metrics import (
    MPII_JOINTS,
    MultiPersonPrediction,
    MultiPersonTruth,
    UnitMatches,
    head_sizes,
    mpii_table,
    multi_person_ap,
    multi_person_ap_draws,
    multi_person_matches,
    precision_recall,
    relative_distances,
)
from ltsh_deploy.skeletons import MPII16
from tests import reference_metrics as slow

Array = npt.NDArray[Any]
JOINTS = 3
# Coarse places, so that distances of exactly half a head, ties and duplicates are common.
joints = st.none() | st.tuples(st.integers(0, 5).map(lambda i: 3 * i), st.integers(0, 5).map(lambda i: 4 * i))
people = st.lists(joints, min_size=JOINTS, max_size=JOINTS)
heads = st.sampled_from([None, 0, 6, 8, 10, 10, 20, 20])
scores = st.lists(st.sampled_from([-1.5, 0.0, 0.25, 0.5, 0.5, 1.0, 7.0]), min_size=JOINTS, max_size=JOINTS)


@st.composite
def units(draw: Any) -> slow.Unit:
    truth = draw(st.lists(people, max_size=4))
    # Some predictions are near the truth, and some copies of one another.
    found = draw(st.lists(people | st.sampled_from(truth) if truth else people, max_size=4))
    found += draw(st.lists(st.sampled_from(found), max_size=2)) if found else []
    return slow.Unit(truth, [draw(heads) for _ in truth], found, [draw(scores) for _ in found])


def array(group: list[list[slow.Joint]]) -> Array:
    rows = [[(np.nan, np.nan) if joint is None else joint for joint in person] for person in group]
    return np.array(rows, np.float64).reshape(-1, JOINTS, 2)


def fast(unit: slow.Unit) -> UnitMatches:
    sizes = np.array([np.nan if head is None else head for head in unit.heads], np.float64)
    found = MultiPersonPrediction(array(unit.prediction), np.array(unit.scores, np.float64).reshape(-1, JOINTS))
    return multi_person_matches(MultiPersonTruth(array(unit.truth), sizes), found)


@settings(max_examples=400, deadline=None)
@given(st.lists(units(), min_size=1, max_size=5))
def test_it_equals_the_slow_reference(some: list[slow.Unit]) -> None:
    matches = [fast(unit) for unit in some]
    for unit, match in zip(some, matches, strict=True):
        assert match.truth_of.tolist() == slow.match(unit)
    measured = multi_person_ap(matches)
    for joint in range(JOINTS):
        expected = slow.joint_counts(some, joint)
        ap = expected.pop("ap")
        assert {name: getattr(measured, name)[joint] for name in expected} == expected
        assert measured.ap[joint] == pytest.approx(np.nan if ap is None else ap, abs=1e-9, nan_ok=True)
        assert (joint in measured.left_out) is (ap is None)
        curve = precision_recall(matches, joint)
        area = 100 * np.sum(np.diff(curve.recall, prepend=0) * curve.envelope)
        assert area == pytest.approx(measured.ap[joint], abs=1e-9, nan_ok=True) or not len(curve.scores)
        assert curve.scores.tolist() == [each.score for each in slow.detections(some, joint)]
    known = measured.ap[~np.isnan(measured.ap)]
    assert measured.mean_ap == pytest.approx(known.mean() if len(known) else np.nan, nan_ok=True)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.lists(units(), min_size=1, max_size=4))
def test_draws_count_a_unit_as_often_as_it_was_drawn(data: Any, some: list[slow.Unit]) -> None:
    draw = st.lists(st.integers(0, 3), min_size=len(some), max_size=len(some))
    counts = data.draw(st.lists(draw, min_size=1, max_size=4))
    ap = multi_person_ap_draws([fast(unit) for unit in some], np.array(counts))
    for row, drawn in zip(ap, counts, strict=True):
        for joint, value in enumerate(row):
            ranked, n_gt = slow.detections(some, joint, drawn), slow.annotated(some, joint, drawn)
            expected = slow.average_precision(ranked, n_gt)
            assert value == pytest.approx(np.nan if expected is None else expected, abs=1e-9, nan_ok=True)


def random_unit(rng: np.random.Generator, labelled: int = 4, found: int = 7) -> tuple[Any, Any]:
    truth = rng.uniform(0, 500, (labelled, 14, 2))
    guesses = np.concatenate([truth + rng.normal(0, 15, truth.shape), rng.uniform(0, 500, (found - labelled, 14, 2))])
    guesses[rng.random(guesses.shape[:2]) < 0.2] = np.nan
    truth[rng.random(truth.shape[:2]) < 0.2] = np.nan
    prediction = MultiPersonPrediction(guesses, rng.random((found, 14)))
    return MultiPersonTruth(truth, rng.uniform(30, 60, labelled)), prediction


def test_many_draws_are_computed_in_parts_and_equal_evaluations_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from ltsh_deploy import metrics_ap

    rng = np.random.default_rng(0)
    matches = [multi_person_matches(*random_unit(rng)) for _ in range(6)]
    drawn = rng.integers(0, 6, (9, 6))
    counts = np.array([np.bincount(row, minlength=6) for row in drawn])
    monkeypatch.setattr(metrics_ap, "_BLOCK", 100)
    ap = multi_person_ap_draws(matches, counts)
    for row, units_drawn in zip(ap, drawn, strict=True):
        np.testing.assert_allclose(row, multi_person_ap([matches[u] for u in units_drawn]).ap, atol=1e-9)
    assert 0 < np.ptp(ap) < 100


def one(truth: Array, found: Array, surest: Array | None = None, size: float = 10.0) -> UnitMatches:
    surest = np.ones(found.shape[:2]) if surest is None else surest
    labelled = MultiPersonTruth(truth, np.full(len(truth), size))
    return multi_person_matches(labelled, MultiPersonPrediction(found, surest))


def test_half_a_head_is_a_hit_and_a_hair_more_is_not() -> None:
    truth = np.zeros((1, 3, 2))
    found = np.array([[[3.0, 4.0], [5.0, 0.0], [np.nextafter(5.0, 6.0), 0.0]]])
    assert one(truth, found).hits.tolist() == [[True, True, False]]
    near = one(truth, found, size=0.0)
    assert not near.hits.any()
    assert near.annotated.sum() == 3
    assert near.truth_of.tolist() == [-1]


def test_nobody_has_a_second_choice() -> None:
    truth = np.array([[[0.0, 0], [0, 50]], [[0, 0], [0, 100]]])
    # Both are nearer to the first person; the second prediction would do for the second person too.
    found = np.array([[[0.0, 0], [0, 50]], [[0, 0], [0, 51]], [[900, 900], [0, 100]]])
    match = one(truth, found)
    assert match.truth_of.tolist() == [0, -1, 1]
    # Wanted by a better one too, the one with half the joints right stays without.
    assert one(truth, found[:2]).truth_of.tolist() == [0, -1]


def test_a_joint_of_a_matched_person_that_is_not_annotated_is_a_false_positive() -> None:
    truth = np.array([[[0.0, 0], [np.nan, np.nan]]])
    match = one(truth, np.zeros((1, 2, 2)))
    assert (match.hits.tolist(), match.present.tolist()) == ([[True, False]], [[True, True]])
    measured = multi_person_ap([match])
    assert (measured.n_detections.tolist(), measured.n_gt.tolist()) == ([1, 1], [1, 0])
    assert measured.left_out == (1,)
    assert measured.mean_ap == 100


def test_units_without_predictions_count_and_the_surest_false_one_hurts_most() -> None:
    truth, nobody = np.zeros((1, 1, 2)), np.zeros((0, 1, 2))
    hit, miss = one(truth, truth, np.array([[0.5]])), one(nobody, truth, np.array([[0.9]]))
    assert multi_person_ap([hit]).ap.tolist() == [100]
    assert multi_person_ap([hit, one(truth, nobody)]).ap.tolist() == [50]
    assert multi_person_ap([hit, miss]).ap.tolist() == [50]
    assert multi_person_ap([hit, one(nobody, truth, np.array([[0.1]]))]).ap.tolist() == [100]
    assert multi_person_ap([one(truth, nobody)]).ap.tolist() == [0]
    # Of equal scores, the first unit's detection comes first.
    tie = one(nobody, truth, np.array([[0.5]]))
    assert multi_person_ap([hit, tie]).ap.tolist() == [100]
    assert multi_person_ap([tie, hit]).ap.tolist() == [50]


def test_units_with_nobody_at_all_have_no_average() -> None:
    measured = multi_person_ap([one(np.zeros((0, 2, 2)), np.zeros((0, 2, 2)))])
    assert np.isnan(measured.ap).all()
    assert np.isnan(measured.mean_ap)
    assert measured.left_out == (0, 1)
    curve = precision_recall([one(np.zeros((0, 2, 2)), np.zeros((1, 2, 2)))], 1)
    assert (curve.precision.tolist(), np.isnan(curve.recall).tolist()) == ([0], [True])


def test_of_some_people_only_they_and_who_is_matched_to_nobody_else_count() -> None:
    truth = np.array([[[0.0, 0]], [[100, 0]], [[200, 0]]])
    found = np.array([[[200.0, 0]], [[0, 0]], [[500, 500]], [[100, 0]]])
    part = one(truth, found).of_people(np.array([True, False, False]))
    measured = multi_person_ap([part])
    assert (measured.n_gt[0], measured.n_detections[0], measured.n_true_positives[0]) == (1, 2, 1)
    everybody = one(truth, found).of_people(np.ones(3, np.bool_))
    assert multi_person_ap([everybody]).ap == multi_person_ap([one(truth, found)]).ap


def test_the_order_of_units_does_not_matter_without_ties() -> None:
    rng = np.random.default_rng(1)
    matches = [multi_person_matches(*random_unit(rng)) for _ in range(8)]
    np.testing.assert_allclose(multi_person_ap(matches).ap, multi_person_ap(matches[::-1]).ap, atol=1e-9)


def test_whole_numbers_and_huge_ones_do_no_harm() -> None:
    # Unsigned 656 - 746 would wrap round.
    truth = np.array([[[746, 10]]], np.uint16)
    prediction = MultiPersonPrediction(np.array([[[656, 10]]], np.uint16), np.array([[1]]))  # type: ignore[arg-type]
    match = multi_person_matches(MultiPersonTruth(truth, np.array([180])), prediction)  # type: ignore[arg-type]
    assert match.hits.all()
    with np.errstate(all="raise"):
        assert not one(np.full((1, 1, 2), 1e300), np.full((1, 1, 2), -1e300)).hits.any()
    # Infinity is no place: the joint is absent.
    assert not one(np.zeros((1, 1, 2)), np.full((1, 1, 2), np.inf)).present.any()


def test_head_sizes_are_of_the_box_or_else_of_the_scale() -> None:
    boxes = np.array([[0.0, 0, 30, 40], [5, 5, 5, 5], [np.nan] * 4, [np.nan] * 4])
    np.testing.assert_array_equal(head_sizes(boxes, np.array([9.0, 9, 2, np.nan])), [30, 0, 50, np.nan])


def test_relative_distances_are_broadcast() -> None:
    found = np.array([[[0.0, 0], [np.nan, 0]], [[6, 8], [0, 0]]])
    truth = np.array([[[0.0, 0], [0, 0]]])
    distances = relative_distances(found[:, None], truth[None], np.array([5.0]))
    assert distances.shape == (2, 1, 2)
    np.testing.assert_array_equal(distances[:, 0], [[0, np.nan], [2, 0]])
    assert np.isinf(relative_distances(found, truth, np.zeros(1))).sum() == 3
    assert np.isinf(relative_distances(found, truth, np.array([np.nan]))).sum() == 3


def test_the_table_is_made_of_means_of_pairs() -> None:
    ap = np.arange(14.0)
    table = mpii_table(ap, MPII_JOINTS)
    assert list(table) == ["Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "mAP"]
    assert list(table.values()) == [12.5, 8.5, 8.5, 8.5, 2.5, 2.5, 2.5, 6.5]
    ids = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 8, 9]
    assert tuple(MPII16.joints[i] for i in ids) == MPII_JOINTS
    # In any order, and with joints that do not count.
    full = np.full(16, 1000.0)
    full[ids] = ap
    assert mpii_table(full, MPII16.joints) == table
    ap[[0, 12, 13]] = np.nan
    part = mpii_table(ap, MPII_JOINTS)
    assert (part["Ankle"], part["mAP"]) == (5, np.mean(np.arange(1, 12)))
    assert np.isnan(part["Head"])
    with pytest.raises(ValueError, match="head_top"):
        mpii_table(ap[:-1], MPII_JOINTS[:-1])


def test_what_cannot_be_measured_is_refused() -> None:
    truth = MultiPersonTruth(np.zeros((1, 2, 2)), np.ones(1))
    with pytest.raises(InputError, match="no unit"):
        multi_person_ap([])
    with pytest.raises(InputError, match="score NaN"):
        MultiPersonPrediction(np.zeros((1, 2, 2)), np.array([[1.0, np.nan]]))
    absent = np.full((1, 1, 2), np.nan)
    assert not MultiPersonPrediction(absent, np.full((1, 1), np.nan)).present.any()
    for size in (-1.0, np.inf):
        with pytest.raises(InputError, match="head sizes"):
            MultiPersonTruth(np.zeros((1, 2, 2)), np.array([size]))
    with pytest.raises(ValueError, match="joints"):
        multi_person_matches(truth, MultiPersonPrediction(np.zeros((1, 3, 2)), np.zeros((1, 3))))
    with pytest.raises(ValueError, match="truth needs"):
        MultiPersonTruth(np.zeros((1, 2, 3)), np.ones(1))
    with pytest.raises(ValueError, match="prediction needs"):
        MultiPersonPrediction(np.zeros((2, 2, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="counts"):
        multi_person_ap_draws([one(np.zeros((1, 1, 2)), np.zeros((1, 1, 2)))], np.ones((3, 2), np.int64))
