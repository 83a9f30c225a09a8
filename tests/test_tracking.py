from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.poses import FloatArray, Poses
from ltsh_deploy.skeletons import LTSH15, SKELETONS, Skeleton
from ltsh_deploy.tracking import OneEuroFilter, Tracker, TrackerConfig, oks, pose_areas

SIGMAS = np.array(LTSH15.sigmas)

# A standing person of height 1, in LTSH15's order.
STANDING = np.array([
    [0, 0], [0, 0.15], [-0.1, 0.17], [-0.13, 0.33], [-0.14, 0.48], [0.1, 0.17], [0.13, 0.33], [0.14, 0.48],
    [-0.06, 0.52], [-0.07, 0.75], [-0.07, 0.97], [0.06, 0.52], [0.07, 0.75], [0.07, 0.97], [0, 0.34],
])  # fmt: skip


def crowd(*people: FloatArray, scores: list[float] | None = None) -> Poses:
    xy = np.stack(people) if people else np.zeros((0, 15, 2))
    return Poses(
        LTSH15, xy, np.where(np.isfinite(xy[:, :, 0]), 0.8, 0.0), np.array(scores or [0.5] * len(people), dtype=float)
    )


def at(x: float, y: float = 100.0, height: float = 200.0) -> FloatArray:
    return STANDING * height + [x, y]


def ids(poses: Poses) -> list[int]:
    assert poses.ids is not None
    return poses.ids.tolist()


def test_oks_is_cocos_formula() -> None:
    a, b = at(0)[None], np.stack([at(0), at(6)])
    area = 40_000.0
    expected = np.exp(-(6**2) / (2 * area * (2 * SIGMAS) ** 2)).mean()
    np.testing.assert_allclose(oks(a, b, area, SIGMAS), [[1.0, expected]])


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))
def test_oks_against_the_plain_loop(skeleton: Skeleton) -> None:
    sigmas = np.array(skeleton.sigmas)
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 30, (4, len(sigmas), 2)), rng.normal(0, 30, (5, len(sigmas), 2))
    a[rng.random((4, len(sigmas))) < 0.3] = np.nan
    b[rng.random((5, len(sigmas))) < 0.3] = np.nan
    area = rng.uniform(100, 10_000, (4, 1))
    expected = np.zeros((4, 5))
    for i in range(4):
        for j in range(5):
            both = [k for k in range(len(sigmas)) if not np.isnan([a[i, k, 0], b[j, k, 0]]).any()]
            terms = [np.exp(-((a[i, k] - b[j, k]) ** 2).sum() / (2 * area[i, 0] * (2 * sigmas[k]) ** 2)) for k in both]
            expected[i, j] = np.mean(terms) if terms else 0
    np.testing.assert_allclose(oks(a, b, area, sigmas), expected)


def test_oks_of_nothing_and_of_the_absurd() -> None:
    nobody = np.zeros((0, 15, 2))
    assert oks(nobody, at(0)[None], 1.0, SIGMAS).shape == (0, 1)
    assert oks(at(0)[None], nobody, 1.0, SIGMAS).shape == (1, 0)
    absent = np.full((1, 15, 2), np.nan)
    huge = np.full((1, 15, 2), 1e300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert oks(absent, at(0)[None], 1.0, SIGMAS) == 0
        assert oks(huge, -huge, 1.0, SIGMAS) == 0
        assert oks(np.full((1, 15, 2), np.inf), huge, 1.0, SIGMAS) == 0
        assert np.isfinite(pose_areas(np.concatenate([absent, huge, -huge, at(0)[None]]))).all()


def test_areas() -> None:
    one, line = np.full((15, 2), np.nan), np.full((15, 2), np.nan)
    one[3] = 5, 5
    line[[0, 1]] = [[0, 0], [0, 30]]
    np.testing.assert_allclose(pose_areas(np.stack([one, line, at(0)])), [1, 300, 194 * 194 / 3])


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_ids_do_not_depend_on_the_order_of_people(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    people = data.draw(st.integers(1, 6))
    plain, shuffled = Tracker(), Tracker()
    # Few places, so that people overlap, coincide and tie.
    places = rng.integers(0, 4, people) * 30.0
    for i in range(4):
        places += rng.integers(-1, 2, people) * 10
        here = rng.random(people) < 0.8
        poses = crowd(*(at(x) for x in places[here]), scores=list(rng.integers(1, 3, here.sum()) / 2) or None)
        order = data.draw(st.permutations(range(len(poses))))
        first, second = plain.update(poses, i / 10), shuffled.update(poses.select(np.array(order, dtype=int)), i / 10)
        by_place = [
            sorted(zip(p.xy[:, 0, 0].tolist(), p.scores.tolist(), ids(p), strict=True)) for p in (first, second)
        ]
        assert by_place[0] == by_place[1]
        assert len(set(ids(first))) == len(first)


def test_people_who_cross_keep_their_ids() -> None:
    # One tall, one bent and smaller, on one line: their places coincide half way, their shapes never.
    tracker = Tracker()
    bent = STANDING * [2.2, 0.6] * 200
    seen = [
        tuple(ids(tracker.update(crowd(at(10.0 * i), bent + np.array([400 - 10.0 * i, 180.0])), i / 25)))
        for i in range(41)
    ]
    assert len(set(seen)) == 1


def test_a_person_who_is_hidden_for_a_while_comes_back() -> None:
    tracker = Tracker(TrackerConfig(max_age=0.5))
    assert ids(tracker.update(crowd(at(0), at(500)), 0.0)) in ([1, 2], [2, 1])
    number = ids(tracker.update(crowd(at(0)), 0.1))
    assert ids(tracker.update(crowd(at(500), at(0)), 0.5))[1:] == number
    tracker.update(crowd(at(500)), 0.6)
    assert ids(tracker.update(crowd(at(500), at(0)), 1.2))[1] == 3, "after max_age it is somebody new"


def test_a_hidden_joint_does_not_end_a_track() -> None:
    tracker = Tracker()
    upper = at(2)
    upper[8:14] = np.nan
    first = ids(tracker.update(crowd(at(0)), 0.0))
    assert ids(tracker.update(crowd(upper), 0.04)) == first
    assert ids(tracker.update(crowd(at(4)), 0.08)) == first


def test_numbers_are_never_given_twice() -> None:
    tracker = Tracker(TrackerConfig(max_age=0.0))
    seen: list[int] = []
    for i in range(5):
        seen += ids(tracker.update(crowd(at(1000.0 * i), at(1000.0 * i + 400)), float(i)))
    assert sorted(seen) == list(range(1, 11))


def test_times_that_stand_still_or_go_back() -> None:
    tracker = Tracker(TrackerConfig(smooth=True, max_age=1.0))
    first = tracker.update(crowd(at(0)), 10.0)
    for time_s in (10.0, 9.9, 10.0):
        again = tracker.update(crowd(at(1)), time_s)
        assert ids(again) == ids(first)
        assert np.isfinite(again.xy).all()
    assert ids(tracker.update(crowd(at(0)), 0.0)) == [2], "a video that starts again is a new one"
    assert ids(tracker.update(crowd(at(0)), 0.1)) == [2]
    slipping = Tracker(TrackerConfig(max_age=1.0))
    seen = [ids(slipping.update(crowd(at(0)), time_s)) for time_s in (10.0, 9.5, 9.1, 8.9)]
    assert seen == [[1], [1], [1], [2]], "measured from the latest time there was"
    for time_s in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="time"):
            tracker.update(crowd(at(0)), time_s)


def test_nobody_and_people_without_joints() -> None:
    tracker = Tracker(TrackerConfig(smooth=True))
    assert ids(tracker.update(crowd(), 0.0)) == []
    ghost = np.full((15, 2), np.nan)
    assert sorted(ids(tracker.update(crowd(ghost, ghost, at(0)), 0.1))) == [1, 2, 3]


def test_without_smoothing_joints_are_not_touched() -> None:
    tracker, rng = Tracker(), np.random.default_rng(0)
    for i in range(5):
        poses = crowd(at(0) + rng.normal(0, 3, (15, 2)), at(300))
        tracked = tracker.update(poses, i / 25)
        np.testing.assert_array_equal(tracked.xy, poses.xy)
        assert dataclasses.replace(tracked, ids=None).scores is poses.scores


@pytest.mark.parametrize("height", [40.0, 200.0, 3000.0])
def test_someone_at_rest_gets_steadier_whatever_the_size(height: float) -> None:
    tracker, rng = Tracker(TrackerConfig(smooth=True)), np.random.default_rng(0)
    truth = at(50, height=height)
    noisy = [truth + rng.normal(0, 0.005 * height, (15, 2)) for _ in range(90)]
    smooth = np.stack([tracker.update(crowd(xy), i / 30).xy[0] for i, xy in enumerate(noisy)])
    jitter = np.abs(np.diff(noisy, axis=0)).mean() / np.abs(np.diff(smooth, axis=0)).mean()
    error = np.abs(np.array(noisy[30:]) - truth).mean() / np.abs(smooth[30:] - truth).mean()
    assert jitter > 3
    assert error > 1.7


@settings(deadline=None, max_examples=30)
@given(st.floats(0.1, 5.0), st.sampled_from([10, 25, 30, 60]), st.floats(0, 2 * np.pi))
def test_someone_in_steady_motion_lags_by_a_bounded_time(speed: float, rate: int, direction: float) -> None:
    # At a steady speed v the lag is v / (2 pi f) with f = min_cutoff + beta * |speed|, at most 1 / (2 pi beta) units.
    smoother = OneEuroFilter(min_cutoff=1.0, beta=5.0, d_cutoff=1.0)
    step = np.array([np.cos(direction), np.sin(direction)]) * speed / rate
    for i in range(10 * rate):
        truth = np.zeros((1, 2)) + i * step
        lag = np.linalg.norm(smoother(truth, i / rate) - truth)
    assert lag <= 1 / (2 * np.pi * 5.0) + 1e-9
    assert lag > 0


def test_the_filter_is_the_papers() -> None:
    smoother = OneEuroFilter(min_cutoff=1.5, beta=0.3, d_cutoff=0.8)
    rng = np.random.default_rng(1)
    x_hat, dx_hat, last = 0.0, 0.0, 0.0
    time_s = 0.0
    for i in range(20):
        x = float(rng.normal())
        result = smoother(np.array([[x, 7.0]]), time_s)[0]
        if i == 0:
            x_hat = x
        else:
            t = time_s - last
            a = 1 / (1 + 1 / (2 * np.pi * 0.8 * t))
            dx_hat = a * (x - x_hat) / t + (1 - a) * dx_hat
            a = 1 / (1 + 1 / (2 * np.pi * (1.5 + 0.3 * abs(dx_hat)) * t))
            x_hat = a * x + (1 - a) * x_hat
        np.testing.assert_allclose(result, [x_hat, 7.0])
        last, time_s = time_s, time_s + float(rng.uniform(0.01, 0.2))


def test_the_filter_does_not_depend_on_the_axes() -> None:
    rng = np.random.default_rng(2)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    a, b = OneEuroFilter(), OneEuroFilter()
    for i in range(20):
        xy = rng.normal(size=(4, 2))
        np.testing.assert_allclose(a(xy, i / 25) @ turn.T, b(xy @ turn.T, i / 25))


def test_a_joint_that_comes_back_starts_where_it_is() -> None:
    smoother = OneEuroFilter()
    xy = np.zeros((2, 2))
    for i in range(5):
        smoother(xy, i / 25)
    gone = np.array([[np.nan, np.nan], [0.0, 0.0]])
    assert np.isnan(smoother(gone, 0.2)[0]).all()
    back = np.array([[100.0, 50.0], [1.0, 0.0]])
    result = smoother(back, 0.24)
    np.testing.assert_array_equal(result[0], [100, 50])
    assert 0 < result[1, 0] < 1


@pytest.mark.parametrize(
    "values", [{"min_oks": 0}, {"min_oks": np.nan}, {"max_age": -1}, {"beta": np.nan}, {"d_cutoff": 0}]
)
def test_configs_that_make_no_sense(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values)).split("_")[0]):
        TrackerConfig(**values)  # type: ignore[arg-type]
