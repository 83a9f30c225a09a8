"""Who comes when."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.errors import InputError, SkeletonError
from ltsh_deploy.skeletons import LTSH15, Skeleton
from ltsh_deploy.train.pools import Pool, find_people
from ltsh_deploy.train.sampling import Sampler, _floor_sum
from ltsh_deploy.train.teacher import Choice
from tests.training_data import make_samples


def pool(name: str, people: int, *, synthetic: bool = False) -> Pool:
    characteristics = {"camera_pitch": np.arange(people, dtype=np.float64)}
    indices = np.arange(people)
    data = make_samples(1)
    return Pool(name, data, LTSH15, indices, 0 * indices, np.full(people, synthetic), characteristics)


def drawn(sampler: Sampler, step: int, batch: int, choice: Choice | None = None) -> list[tuple[str, int]]:
    found = [sampler.draw(step, slot, choice, np.random.default_rng([step, slot])) for slot in range(batch)]
    return [(of.name, row) for of, row in found]


def group(number: int | None) -> Choice:
    return Choice(number, (), explored=False, window=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(2, 12), st.integers(0, 5), st.integers(1, 3))
def test_everybody_comes_once_an_epoch(people: int, batch: int, seed: int, epochs: int) -> None:
    sampler = Sampler([pool("a", people)], [1.0], batch, seed)
    rows = [row for step in range(-(-people * epochs // batch)) for _, row in drawn(sampler, step, batch)]
    for epoch in range(epochs):
        assert sorted(rows[epoch * people : (epoch + 1) * people]) == list(range(people))


def test_epochs_and_seeds_differ() -> None:
    def rows(seed: int, step: int) -> list[tuple[str, int]]:
        return drawn(Sampler([pool("a", 20)], [1.0], 20, seed), step, 20)

    assert rows(0, 0) != rows(0, 1)
    assert rows(0, 0) != rows(1, 0)
    assert rows(0, 1) == rows(0, 1)


def test_a_half_is_half_of_every_even_batch() -> None:
    sampler = Sampler([pool("a", 50), pool("b", 30)], [0.5, 0.5], 8, 0)
    for step in range(20):
        assert Counter(name for name, _ in drawn(sampler, step, 8)) == {"a": 4, "b": 4}


def test_other_parts_are_right_on_average_and_never_off_by_more_than_one() -> None:
    parts = [0.57, 0.33, 0.1]
    sampler = Sampler([pool(name, 50) for name in "abc"], parts, 7, 3)
    counts = np.array([[Counter(n for n, _ in drawn(sampler, step, 7))[name] for name in "abc"] for step in range(400)])
    np.testing.assert_allclose(counts.mean(axis=0) / 7, parts, atol=0.01)
    assert (np.abs(counts - 7 * np.array(parts)) < 1).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=4),
    st.lists(st.integers(1, 30), min_size=4, max_size=4),
    st.integers(1, 9),
    st.integers(0, 5),
)
def test_everybody_comes_once_an_epoch_whatever_the_parts(
    weights: list[float], sizes: list[int], batch: int, seed: int
) -> None:
    parts = [weight / sum(weights) for weight in weights]
    pools = [pool(name, size) for name, size in zip("abcd", sizes, strict=False)][: len(parts)]
    sampler = Sampler(pools, parts, batch, seed)
    steps = [drawn(sampler, step, batch) for step in range(40)]
    for one, part in zip(pools, parts, strict=True):
        rows = [row for people in steps for name, row in people if name == one.name]
        # Rests of the others are shared too, so 1 more or less than the part of all.
        assert abs(len(rows) - 40 * batch * part) < 4
        counts = [sum(name == one.name for name, _ in people) for people in steps]
        assert all(abs(count - batch * part) < 1 + 1e-6 for count in counts)
        for begin in range(0, len(rows) - len(one) + 1, len(one)):
            assert sorted(rows[begin : begin + len(one)]) == list(range(len(one)))


def test_three_tenths_of_a_batch_of_four_are_everybody_in_as_many_draws() -> None:
    sampler = Sampler([pool("a", 60), pool("b", 60)], [0.3, 0.7], 4, 0)
    rows = [row for step in range(52) for name, row in drawn(sampler, step, 4) if name == "a"]
    assert len(rows) > 60
    assert len(set(rows[:60])) == 60


def test_a_step_far_on_is_found_at_once_and_follows_on_the_one_before() -> None:
    sampler = Sampler([pool("a", 1000), pool("b", 7)], [0.57, 0.43], 5, 1)
    far, epoch = 10_000_100, range(28_500_000, 28_501_000)
    turn_of = {sampler.pools[0].permuted(1, turn): turn for turn in epoch}
    rows = [row for step in range(far, far + 30) for name, row in drawn(sampler, step, 5) if name == "a"]
    turns = [turn_of[row] for row in rows]
    assert abs(turns[0] - far * 5 * 0.57) < 5
    assert turns == list(range(turns[0], turns[0] + len(rows)))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 90), st.integers(0, 90))
def test_sums_of_floors(count: int, divisor: int, slope: int, first: int) -> None:
    assert _floor_sum(count, divisor, slope, first) == sum((first + i * slope) // divisor for i in range(count))


def test_synthetic_people_come_from_the_chosen_group_of_all_synthetic_pools() -> None:
    pools = [pool("real", 30), pool("s", 30, synthetic=True), pool("t", 20, synthetic=True)]
    groups = [np.full(30, -1), np.arange(30) % 3, np.full(20, 1)]
    groups[1][:3] = -1
    sampler = Sampler(pools, [0.5, 0.25, 0.25], 8, 0, groups)
    seen: Counter[str] = Counter()
    for step in range(60):
        for name, row in drawn(sampler, step, 8, group(1)):
            seen[name] += 1
            if name == "s":
                assert groups[1][row] == 1
    assert seen["real"] == 240
    # Uniformly over the group's people: 9 of them are in s, 20 in t.
    assert 0.2 < seen["s"] / (seen["s"] + seen["t"]) < 0.42
    with pytest.raises(InputError, match="group 7"):
        drawn(sampler, 0, 8, group(7))


@pytest.mark.parametrize("choice", [None, group(None)])
def test_without_a_group_synthetic_people_come_in_turn(choice: Choice | None) -> None:
    sampler = Sampler([pool("s", 12, synthetic=True)], [1.0], 4, 0, [np.zeros(12, np.int64)])
    assert sorted(row for step in range(3) for _, row in drawn(sampler, step, 4, choice)) == list(range(12))


def test_the_teachers_choice_leaves_real_people_alone() -> None:
    pools = [pool("real", 30), pool("s", 30, synthetic=True)]
    sampler = Sampler(pools, [0.5, 0.5], 8, 0, [np.full(30, -1), np.arange(30) % 2])

    def real(choice: Choice) -> list[Any]:
        return [entry for entry in drawn(sampler, 4, 8, choice) if entry[0] == "real"]

    assert real(group(0)) == real(group(1)) == real(group(None))


def test_people_of_the_split_with_a_labelled_joint_are_found() -> None:
    data = make_samples(10, val=3)
    assert find_people("x", data, LTSH15, "train").samples.tolist() == list(range(7))
    assert find_people("x", data, LTSH15, "val").samples.tolist() == [7, 8, 9]
    with pytest.raises(InputError, match="nobody to validate with"):
        find_people("x", make_samples(10), LTSH15, "val")
    other = Skeleton("other", ("antenna", "wing"), ((0, 1),), (), (0.1, 0.1))
    with pytest.raises(SkeletonError, match="data set 'x'"):
        find_people("x", data, other, "train")
