"""What an evaluation is made of: measures, kinds of mistakes, bins of people, and how sure the figures are."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ltsh_deploy.errors import UsageError
from ltsh_deploy.evaluation.analysis import break_down
from ltsh_deploy.evaluation.comparison import compare, unit_draws, value_interval
from ltsh_deploy.evaluation.error_kinds import (
    EXTRA_KINDS,
    KINDS,
    NONE,
    UnitErrors,
    ap_without,
    count_kinds,
    unit_errors,
)
from ltsh_deploy.evaluation.measures import ApMeasure, Measure, RateMeasure
from ltsh_deploy.evaluation.measures_oks import OksMeasure
from ltsh_deploy.metrics import (
    MultiPersonPrediction,
    MultiPersonTruth,
    OksPrediction,
    OksTruth,
    UnitMatches,
    multi_person_ap,
    multi_person_matches,
    oks_ap,
    oks_matches,
)

Array = npt.NDArray[np.float64]
# Three joints: a middle one, and two that are each other's mirror image.
MIRROR = (0, 2, 1)
HEAD = 10.0
NAN2 = (np.nan, np.nan)


def errors_of(truth: Any, found: Any, heads: Any = None) -> tuple[UnitErrors, UnitMatches]:
    there, placed = np.array(truth, np.float64).reshape(-1, 3, 2), np.array(found, np.float64).reshape(-1, 3, 2)
    sizes = np.full(len(there), HEAD) if heads is None else np.array(heads)
    matches = multi_person_matches(
        MultiPersonTruth(there, sizes), MultiPersonPrediction(placed, np.full(placed.shape[:2], 0.5))
    )
    reach = np.repeat(0.5 * sizes[:, None], 3, axis=1)
    return unit_errors(matches, there, placed, reach, MIRROR), matches


def kinds_of(errors: UnitErrors) -> list[list[str]]:
    return [["-" if kind == NONE else KINDS[kind] for kind in row] for row in errors.kinds.tolist()]


def extra_of(errors: UnitErrors) -> list[list[str]]:
    return [["-" if kind == NONE else EXTRA_KINDS[kind] for kind in row] for row in errors.extra.tolist()]


PERSON = [(0, 0), (30, 0), (60, 0)]
OTHER = [(0, 100), (30, 100), (60, 100)]


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ((30, 5), "found"),
        ((30, 5.001), "jitter"),
        ((30, 10), "jitter"),
        ((30, 10.001), "background"),
        ((60, 5), "swap"),
        ((60, 5.001), "background"),
        ((30, 105), "other_person"),
        ((60, 95), "other_person"),
        ((0, 100), "background"),  # another joint of the other person is no explanation
        ((30, 500), "background"),
        (NAN2, "missed"),
    ],
)
def test_where_a_joint_was_put_says_what_kind_of_mistake_it_is(place: tuple[float, float], kind: str) -> None:
    errors, _ = errors_of([PERSON, OTHER], [[PERSON[0], place, PERSON[2]], OTHER])
    assert kinds_of(errors) == [["found", kind, "found"], ["found"] * 3]
    assert (errors.extra == NONE).all()


def test_a_swap_is_told_from_jitter_where_both_sides_are_close() -> None:
    # The hips are 8 pixels apart, so a joint on the wrong one is within two reaches of its own.
    errors, _ = errors_of([[(0, 0), (30, 0), (38, 0)]], [[(0, 0), (38, 0), (30, 0)]])
    assert kinds_of(errors) == [["found", "swap", "swap"]]


def test_each_joint_has_a_reach_of_its_own() -> None:
    truth, found = np.array([PERSON], np.float64), np.array([[PERSON[0], (60, 15), (30, 15)]], np.float64)
    _, matches = errors_of(truth, found)
    errors = unit_errors(matches, truth, found, np.array([[5.0, 5.0, 20.0]]), MIRROR)
    assert kinds_of(errors) == [["found", "swap", "jitter"]]


def test_other_people_have_a_reach_of_their_own() -> None:
    found = [[PERSON[0], (30, 90), PERSON[2]], OTHER]
    assert kinds_of(errors_of([PERSON, OTHER], found, [10, 10])[0])[0][1] == "background"
    assert kinds_of(errors_of([PERSON, OTHER], found, [10, 20])[0])[0][1] == "other_person"


def test_people_matched_to_nobody_are_duplicates_or_nobody() -> None:
    # The second one hits fewer joints, so the first is matched.
    second = [PERSON[0], (60, 0), (60, 300)]
    errors, matches = errors_of([PERSON], [PERSON, second])
    assert matches.truth_of.tolist() == [0, -1]
    assert extra_of(errors) == [["-"] * 3, ["duplicate", "duplicate", "nobody"]]


def test_a_joint_that_the_labels_lack_is_no_mistake_of_the_labelled_ones() -> None:
    errors, _ = errors_of([[PERSON[0], NAN2, PERSON[2]]], [PERSON])
    assert kinds_of(errors) == [["found", "-", "found"]]
    assert extra_of(errors) == [["-", "unlabelled", "-"]]


@pytest.mark.parametrize("size", [0.0, np.nan])
def test_nothing_is_near_a_person_whose_size_is_unknown(size: float) -> None:
    errors, _ = errors_of([PERSON], [PERSON], [size])
    assert kinds_of(errors) == [["missed"] * 3]
    assert extra_of(errors) == [["nobody"] * 3]


def test_units_of_nobody_have_no_kinds() -> None:
    errors, _ = errors_of([], [])
    assert errors.kinds.shape == errors.extra.shape == (0, 3)
    assert extra_of(errors_of([], [PERSON])[0]) == [["nobody"] * 3]
    assert kinds_of(errors_of([PERSON], [])[0]) == [["missed"] * 3]


def positions(people: int) -> st.SearchStrategy[Array]:
    # Few places, so that people coincide, and joints lie exactly at a reach's end.
    values = st.sampled_from([0.0, 5.0, 8.0, 10.0, 16.0, 20.0, np.nan])
    return arrays(np.float64, (people, 3, 2), elements=values)


@st.composite
def units(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    truth, found = draw(positions(draw(st.integers(0, 3)))), draw(positions(draw(st.integers(0, 3))))
    sizes = draw(arrays(np.float64, len(truth), elements=st.sampled_from([0.0, 10.0, 16.0, np.nan])))
    return truth, found, sizes


@given(units())
def test_kinds_add_up_to_the_joints_that_the_metric_counts(unit: tuple[Array, Array, Array]) -> None:
    errors, matches = errors_of(*unit)
    kinds, extra = count_kinds([errors], 3)
    score = multi_person_ap([matches])
    assert kinds.sum(axis=0).tolist() == score.n_gt.tolist()
    assert (kinds[:-1].sum(axis=0) + extra.sum(axis=0)).tolist() == score.n_detections.tolist()
    assert kinds[KINDS.index("found")].tolist() == score.n_true_positives.tolist()
    # Seen from the predictions it is the same, one by one.
    for kind in range(len(KINDS) - 1):
        assert ((errors.predicted == kind).sum(axis=0) == (errors.kinds == kind).sum(axis=0)).all()


@given(st.lists(units(), min_size=1, max_size=3))
def test_mending_a_kind_of_mistake_never_costs_anything(drawn: list[tuple[Array, Array, Array]]) -> None:
    pairs = [errors_of(*unit) for unit in drawn]
    errors, matches = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    before = multi_person_ap(matches)
    for kind, after in ap_without(matches, errors).items():
        if before.left_out or math.isnan(after) or kind == "missed":
            continue  # a joint that is no longer annotated drops out of the mean
        assert after >= before.mean_ap - 1e-9, kind


def test_what_each_kind_costs() -> None:
    found = [[PERSON[0], (60, 0), NAN2], [(0, 100), (30, 107), (60, 300)]]
    errors, matches = errors_of([PERSON, OTHER], found)
    # The joints' AP is 100, 0 and 0; all scores are equal, so the first unit's first person ranks first.
    assert multi_person_ap([matches]).ap.tolist() == [100, 0, 0]
    costs = ap_without([matches], [errors])
    assert costs["swap"] == pytest.approx((100 + 50 + 0) / 3)
    assert costs["jitter"] == pytest.approx((100 + 25 + 0) / 3)
    assert costs["background"] == pytest.approx((100 + 0 + 50) / 3)
    assert costs["missed"] == costs["other_person"] == costs["duplicate"] == pytest.approx(100 / 3)


def random_unit(rng: np.random.Generator, people: int = 3, spread: float = 4.0) -> UnitMatches:
    truth = rng.uniform(0, 300, (people, 3, 2))
    found = truth + rng.normal(0, spread, truth.shape)
    scores = rng.uniform(0, 1, (people, 3))
    return multi_person_matches(MultiPersonTruth(truth, np.full(people, HEAD)), MultiPersonPrediction(found, scores))


def ap_measure(seed: int = 0, count: int = 20, spread: float = 4.0) -> ApMeasure:
    rng = np.random.default_rng(seed)
    return ApMeasure(tuple(random_unit(rng, 1 + n % 4, spread) for n in range(count)), ("mAP", "a", "b", "c"))


def test_the_figures_of_multi_person_ap_are_those_of_the_metric() -> None:
    measure = ap_measure()
    score = multi_person_ap(measure.matches)
    np.testing.assert_allclose(measure.figures(), [score.mean_ap, *score.ap], atol=1e-12)


def test_the_curve_has_the_area_that_it_claims() -> None:
    for curve in ap_measure(count=60).curves():
        assert (np.diff(curve.precisions) <= 1e-12).all()
        assert curve.area == pytest.approx(100 * np.trapezoid(curve.precisions, curve.recalls), abs=1.0)


def test_the_curve_of_a_joint_that_nobody_has_is_flat_and_undefined() -> None:
    measure = ap_measure(count=2)
    gone = tuple(replace(m, annotated=m.annotated & [True, False, True], hits=m.hits & [True, False, True])
                 for m in measure.matches)  # fmt: skip
    curves = replace(measure, matches=gone).curves()
    assert math.isnan(curves[1].area)
    assert (curves[1].precisions == 0).all()
    assert curves[0].area > 0


def rate_measure(pooled: bool) -> RateMeasure:
    hits = (np.array([[True, False]]), np.array([[True, False]]), np.array([[True, True]]))
    there = (np.array([[True, True]]), np.array([[True, False]]), np.array([[True, True]]))
    return RateMeasure(hits, there, ("headline", "a", "b"), pooled)


def test_pck_is_the_mean_of_the_rates_and_pckh_the_rate_of_all() -> None:
    assert rate_measure(pooled=False).figures().tolist() == [75, 100, 50]
    assert rate_measure(pooled=True).figures().tolist() == [80, 100, 50]
    one = rate_measure(pooled=False).of_people([np.array([False]), np.array([True]), np.array([False])])
    assert one is not None
    assert one.figures()[:2].tolist() == [100, 100]
    assert np.isnan(one.figures()[2])
    assert rate_measure(pooled=True).of_people([np.array([False])] * 3) is None


def oks_measure(seed: int = 0, count: int = 6) -> OksMeasure:
    rng = np.random.default_rng(seed)
    truths, predictions = [], []
    for _ in range(count):
        joints = rng.uniform(0, 200, (3, 3, 2))
        boxes = np.tile([0.0, 0.0, 200.0, 200.0], (3, 1))
        no = np.zeros(3, np.bool_)
        truths.append(OksTruth(joints, rng.uniform(500, 20000, 3), boxes, no, no))
        found = joints + rng.normal(0, 8, joints.shape)
        predictions.append(OksPrediction(found[:2], rng.uniform(0, 1, 2)))
    return OksMeasure(tuple(truths), tuple(predictions), (0.1, 0.1, 0.1))


def test_cocos_figures_are_those_of_the_metric_in_percent() -> None:
    measure = oks_measure()
    pairs = zip(measure.truths, measure.predictions, strict=True)
    stats = oks_ap([oks_matches(truth, found, measure.sigmas) for truth, found in pairs]).stats
    expected = {name: 100 * value for name, value in stats.items()}
    assert dict(zip(measure.names, measure.figures().tolist(), strict=True)) == pytest.approx(expected, nan_ok=True)
    assert [curve.name for curve in measure.curves()] == ["OKS .50", "OKS .75", "OKS .95"]
    assert measure.curves()[0].area == pytest.approx(expected["AP50"])


def test_people_who_are_not_kept_need_not_be_found() -> None:
    measure = oks_measure()
    # Two of three people are predicted; the third alone is missed in every picture.
    missed = measure.of_people([np.array([False, False, True])] * 6)
    kept = measure.of_people([np.array([True, True, False])] * 6)
    assert missed is not None
    assert kept is not None
    assert missed.figures()[0] == 0
    assert kept.figures()[0] > measure.figures()[0] > 0


@pytest.mark.parametrize("measure", [ap_measure(count=6), rate_measure(True), rate_measure(False), oks_measure()])
def test_a_draw_is_measured_as_if_its_units_were_all_there_are(measure: Measure) -> None:
    rng = np.random.default_rng(3)
    counts = rng.multinomial(len(measure), np.full(len(measure), 1 / len(measure)), size=4)
    drawn = measure.draws(counts)
    for row, count in zip(drawn, counts, strict=True):
        chosen = [u for u, n in enumerate(count.tolist()) for _ in range(n)]
        names = [name for name in ("matches", "hits", "annotated", "truths", "predictions") if hasattr(measure, name)]
        repeated = replace(measure, **{name: tuple(getattr(measure, name)[u] for u in chosen) for name in names})  # type: ignore[type-var]
        np.testing.assert_allclose(row, repeated.figures(), atol=1e-9)


def test_draws_have_as_many_units_as_there_are_and_follow_the_seed() -> None:
    blocks = list(unit_draws(7, 100, seed=4))
    counts = np.concatenate(blocks)
    assert counts.shape == (100, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert (counts == np.concatenate(list(unit_draws(7, 100, seed=4)))).all()
    assert (counts != np.concatenate(list(unit_draws(7, 100, seed=5)))).any()


def test_draws_of_many_units_come_in_blocks_that_hold_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ltsh_deploy.evaluation.comparison._BLOCK", 20)
    assert [len(block) for block in unit_draws(7, 5, seed=0)] == [2, 2, 1]
    assert [len(block) for block in unit_draws(50, 2, seed=0)] == [1, 1]


def test_the_interval_of_a_rate_is_that_of_a_binomial() -> None:
    # 400 people with one joint each, 300 of them found: the standard error is 100 * sqrt(0.75 * 0.25 / 400) = 2.165.
    hits = tuple(np.array([[n < 300]]) for n in range(400))
    measure = RateMeasure(hits, tuple(np.array([[True]]) for _ in range(400)), ("PCKh", "a"), pooled=True)
    interval = value_interval(measure, 4000, seed=1)
    assert interval.value == 75
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * 2.165, rel=0.06)


def test_a_model_compared_with_itself_differs_in_nothing() -> None:
    found = compare(ap_measure(), ap_measure(), draws=50)
    assert all(d.change.value == d.change.low == d.change.high == 0 for d in found.differences)
    assert all(d.p_value == 1 for d in found.differences)
    assert (found.units, found.draws, found.differences[0].name) == (20, 50, "mAP")


def test_a_better_model_is_better_beyond_doubt_and_a_worse_one_worse() -> None:
    worse, better = ap_measure(spread=5.0), ap_measure(spread=2.0)
    up, down = compare(worse, better, draws=200), compare(better, worse, draws=200)
    headline = up.differences[0]
    assert headline.change.value == headline.second - headline.first > 20
    assert 0 < headline.change.low < headline.change.value < headline.change.high
    assert headline.p_value == pytest.approx(2 / 201)
    # Both directions see the same draws.
    assert down.differences[0].change.low == pytest.approx(-headline.change.high)


def test_pairing_cancels_what_is_hard_for_both() -> None:
    # Of 40 people half are hard for both; the second model finds one person more.
    first = tuple(np.array([[n % 2 == 0]]) for n in range(40))
    second = tuple(np.array([[n % 2 == 0 or n == 1]]) for n in range(40))
    there = tuple(np.array([[True]]) for _ in range(40))
    a, b = (RateMeasure(hits, there, ("PCKh", "a"), pooled=True) for hits in (first, second))
    change = compare(a, b, draws=1000).differences[0].change
    alone = value_interval(a, 1000)
    assert change.value == pytest.approx(2.5)
    assert change.high - change.low < (alone.high - alone.low) / 2


def test_chance_is_not_taken_for_a_difference() -> None:
    # Two models that differ by luck alone: p is below 0.05 about one time in twenty.
    rng = np.random.default_rng(7)
    there = tuple(np.array([[True]]) for _ in range(100))
    p_values = []
    for _ in range(60):
        a, b = (
            RateMeasure(tuple(rng.random(100)[:, None, None] < 0.6), there, ("PCKh", "a"), pooled=True)
            for _ in range(2)
        )
        p_values.append(compare(a, b, draws=200).differences[0].p_value)
    assert sum(p < 0.05 for p in p_values) <= 8
    assert 0.3 < float(np.mean(p_values)) < 0.75


def test_only_the_same_units_and_figures_can_be_compared() -> None:
    with pytest.raises(UsageError, match="same units"):
        compare(ap_measure(count=3), ap_measure(count=4))
    with pytest.raises(UsageError, match="same units"):
        compare(rate_measure(True), replace(rate_measure(True), names=("headline", "a", "c")))
    with pytest.raises(UsageError, match="1 draw at least, got 0"):
        compare(ap_measure(), ap_measure(), draws=0)


def test_each_bin_is_measured_as_if_its_people_alone_were_labelled() -> None:
    measure = ap_measure(count=8)
    values = [np.linspace(0, 1, len(m.annotated)) for m in measure.matches]
    there = [np.ones(len(v), np.bool_) for v in values]
    found = break_down("visible_joints", values, there, (0.0, 0.5, 1.0), [measure], draws=20)
    low, high = found.bins
    # Units have 1, 2, 3, 4 people and again; the values of four are 0, 1/3, 2/3, 1; 1 itself is in the last bin.
    assert (low.people, high.people, found.unknown) == (2 * (1 + 1 + 1 + 2), 2 * (0 + 1 + 2 + 2), 0)
    assert (low.units, high.units) == (8, 6)
    kept = [m.of_people(v >= 0.5) for m, v in zip(measure.matches, values, strict=True) if (v >= 0.5).any()]
    assert high.values[0].value == pytest.approx(multi_person_ap(kept).mean_ap)
    assert high.values[0].low <= high.values[0].value <= high.values[0].high


def test_predictions_of_nobody_count_in_the_bins_of_their_unit_alone() -> None:
    truth = MultiPersonTruth(np.array([PERSON], np.float64), np.array([HEAD]))
    placed = np.array([PERSON, [(900, 900)] * 3], np.float64)
    # The person who is not there is the surer one.
    both = multi_person_matches(truth, MultiPersonPrediction(placed, np.array([[0.4] * 3, [0.9] * 3])))
    right = multi_person_matches(truth, MultiPersonPrediction(placed[:1], np.full((1, 3), 0.4)))
    measure = ApMeasure((both, right), ("mAP", "a", "b", "c"))
    values, there = [np.array([0.0]), np.array([1.0])], [np.array([True])] * 2
    found = break_down("visible_joints", values, there, (0.0, 0.5, 1.0), [measure], draws=5)
    assert [own.values[0].value for own in found.bins] == [50, 100]


def test_bins_without_people_and_people_without_a_value() -> None:
    measure = ap_measure(count=2)
    values = [np.array([np.nan]), np.array([0.9, np.inf])]
    there = [np.array([True]), np.array([True, True])]
    found = break_down("min_distance", values, there, (0.0, 0.5, 1.0), [measure, measure], draws=5)
    assert found.unknown == 2
    assert [own.people for own in found.bins] == [0, 1]
    assert all(math.isnan(v.value) and math.isnan(v.low) for v in found.bins[0].values)
    # One value alone is a bin by itself.
    alone = break_down("min_distance", values, there, (0.9,), [measure], draws=5)
    assert [(own.low, own.high, own.people) for own in alone.bins] == [(0.9, 0.9, 1)]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_everybody_is_in_one_bin(shares: list[float]) -> None:
    measure = ap_measure(count=4)
    there = [np.ones(len(m.annotated), np.bool_) for m in measure.matches]
    values = [np.array((shares + shares)[: len(own)]) for own in there]
    found = break_down("visible_joints", values, there, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), [measure], draws=2)
    assert sum(own.people for own in found.bins) == 10


def test_a_recall_that_is_reached_exactly_is_reached() -> None:
    one = np.zeros((1, 3, 2))
    found = multi_person_matches(MultiPersonTruth(one, np.ones(1)), MultiPersonPrediction(one, np.ones((1, 3))))
    nobody = MultiPersonPrediction(np.zeros((0, 3, 2)), np.zeros((0, 3)))
    missed = multi_person_matches(MultiPersonTruth(one, np.ones(1)), nobody)
    for right in range(1, 100):
        measure = ApMeasure((found,) * right + (missed,) * (100 - right), ("mAP", "a", "b", "c"))
        assert measure.curves()[0].precisions.tolist() == [1.0] * (right + 1) + [0.0] * (100 - right)


@pytest.mark.parametrize("measure", [ap_measure(count=1), rate_measure(pooled=True), oks_measure(count=1)])
def test_one_unit_tells_no_interval(measure: Measure) -> None:
    alone = measure.of_people([np.array([True])] + [np.array([False])] * 2) if len(measure) > 1 else measure
    assert alone is not None
    assert len(alone) == 1
    interval = value_interval(alone, draws=20)
    assert np.isfinite(interval.value)
    assert np.isnan([interval.low, interval.high]).all()
    comparison = compare(alone, alone, draws=20)
    assert all(np.isnan([d.change.low, d.change.high, d.p_value]).all() for d in comparison.differences)
