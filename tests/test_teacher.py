"""The teacher protocol and its controls; that a learning teacher finds what is hard is in test_group_teacher.py."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.train.group_teacher import GroupTeacher
from ltsh_deploy.train.teacher import (
    Choice,
    FixedTeacher,
    Outcome,
    RandomTeacher,
    Teacher,
    UniformTeacher,
    create_teacher,
    draw_group,
    window_generator,
)
from ltsh_deploy.train.teacher_config import (
    FixedTeacherConfig,
    GroupTeacherConfig,
    RandomTeacherConfig,
    TeacherNetworkConfig,
    UniformTeacherConfig,
)

SMALL = TeacherNetworkConfig(
    input_size=32, trunk_channels=(2, 2, 2, 2), feature_channels=(2, 2), head_channels=(2, 2), hidden=(4, 4)
)


def outcome(choice: Choice, signal: float = 1.0) -> Outcome:
    return Outcome(choice, signal, 1.0, torch.zeros(1, 3, 32, 32))


def choices(teacher: Teacher, windows: int) -> list[Choice]:
    made = []
    for _ in range(windows):
        made.append(teacher.propose())
        teacher.observe(outcome(made[-1]))
    return made


def shares(made: list[Choice], groups: int) -> list[float]:
    """How often each group was chosen, as a part of all windows."""
    return [sum(choice.group == group for choice in made) / len(made) for group in range(groups)]


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


CONTROLS = {
    "random": lambda seed: RandomTeacher(seed),
    "uniform": lambda seed: UniformTeacher((True, False, True, True), seed),
    "fixed": lambda seed: FixedTeacher((0.5, 0.25, 0.0, 0.25), (True, True, False, True), seed),
}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=12).filter(any), st.integers(0, 2**32))
def test_what_has_no_weight_is_never_drawn(weights: list[float], seed: int) -> None:
    assert weights[draw_group(np.random.default_rng(seed), np.array(weights))] > 0


def test_groups_are_drawn_as_often_as_they_weigh() -> None:
    generator = np.random.default_rng(0)
    drawn = [draw_group(generator, np.array([1.0, 0.0, 3.0, 6.0])) for _ in range(20_000)]
    np.testing.assert_allclose(np.bincount(drawn) / 20_000, [0.1, 0, 0.3, 0.6], atol=0.012)


def test_draws_of_windows_and_seeds_are_apart() -> None:
    draws = {window_generator(seed, window).random() for seed in range(20) for window in range(20)}
    assert len(draws) == 400


def test_random_leaves_the_group_open() -> None:
    assert {(c.group, c.probabilities, c.explored) for c in choices(RandomTeacher(3), 5)} == {(None, (), False)}


def test_uniform_is_uniform_over_the_groups_that_may_be_chosen() -> None:
    made = choices(UniformTeacher((True, False, True, True), 1), 3000)
    np.testing.assert_allclose(shares(made, 4), [1 / 3, 0, 1 / 3, 1 / 3], atol=0.03)
    assert made[0].probabilities == (1 / 3, 0, 1 / 3, 1 / 3)


def test_fixed_follows_its_distribution() -> None:
    made = choices(FixedTeacher((0.5, 0.25, 0.0, 0.25), (True, True, False, True), 1), 3000)
    np.testing.assert_allclose(shares(made, 4), [0.5, 0.25, 0, 0.25], atol=0.03)


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_are_functions_of_the_seed_and_go_on_from_a_file(name: str) -> None:
    create = CONTROLS[name]
    whole = choices(create(7), 12)
    assert choices(create(7), 12) == whole
    begun = create(7)
    choices(begun, 5)
    resumed = create(7)
    resumed.load_state_dict(through_a_file(begun.state_dict()))
    assert choices(resumed, 7) == whole[5:]
    assert [c.window for c in whole] == list(range(12))


@pytest.mark.parametrize("name", ["uniform", "fixed"])
def test_another_seed_makes_other_choices(name: str) -> None:
    create = CONTROLS[name]
    assert [c.group for c in choices(create(7), 40)] != [c.group for c in choices(create(8), 40)]


@pytest.mark.parametrize("name", CONTROLS)
def test_a_choice_stands_until_its_outcome_is_observed(name: str) -> None:
    teacher = CONTROLS[name](0)
    choice = teacher.propose()
    assert teacher.propose() == choice
    assert teacher.observe(outcome(choice, 4.0)) == {"signal": 4.0}
    with pytest.raises(ValueError, match="window 1 was proposed, window 0 observed"):
        teacher.observe(outcome(choice))


def test_states_of_other_teachers_are_refused() -> None:
    with pytest.raises(InputError, match="'random', the configuration asks for 'uniform'"):
        UniformTeacher((True, True)).load_state_dict(RandomTeacher().state_dict())
    with pytest.raises(InputError, match="lacks window"):
        RandomTeacher().load_state_dict({"kind": "random", "seed": 1})


@pytest.mark.parametrize("probabilities", [(0.5, 0.4), (1.5, -0.5), (float("nan"), 1.0), (1.0,)])
def test_a_fixed_distribution_must_be_one(probabilities: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="probabilities"):
        FixedTeacher(probabilities, (True, True))


def test_a_fixed_distribution_must_leave_out_what_cannot_be_chosen() -> None:
    with pytest.raises(InputError, match=r"groups \[1\] have fewer samples than one batch"):
        FixedTeacher((0.5, 0.5), (True, False))


def test_a_configuration_makes_its_teacher() -> None:
    assert create_teacher(None, [], 0) is None
    assert isinstance(create_teacher(RandomTeacherConfig(), [], 0), RandomTeacher)
    assert isinstance(create_teacher(UniformTeacherConfig(), [40, 40], 0), UniformTeacher)
    assert isinstance(create_teacher(FixedTeacherConfig(probabilities=(0.5, 0.5)), [40, 40], 0), FixedTeacher)
    assert isinstance(create_teacher(GroupTeacherConfig(network=SMALL), [40, 40], 0), GroupTeacher)


def test_groups_without_a_batch_of_samples_are_an_error_that_counts_them() -> None:
    for config in (UniformTeacherConfig(), GroupTeacherConfig(network=SMALL)):
        with pytest.raises(
            InputError, match=r"of 2 groups with \[31, 31\] samples, 0 have as many as one batch \(32\)"
        ):
            create_teacher(config, [31, 31], 0)
        # One group is no choice.
        with pytest.raises(InputError, match=r"of 3 groups with \[40, 3, 0\] samples, 1 have"):
            create_teacher(config, [40, 3, 0], 0)
        assert create_teacher(config, [40, 3, 0], 0, batch_size=3) is not None


def test_what_is_logged_of_a_choice_is_plain() -> None:
    choice = Choice(1, (0.25, 0.75), explored=True, window=4)
    assert choice.record() == {"window": 4, "group": 1, "explored": True, "probabilities": [0.25, 0.75]}
