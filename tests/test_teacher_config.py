"""The teacher's part of a configuration."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ltsh_deploy.train.teacher_config import GroupTeacherConfig, TeacherConfig


class Run(BaseModel):
    teacher: TeacherConfig | None = None


@pytest.mark.parametrize(
    "teacher",
    [
        "group",
        "uniform",
        "random",
        {"kind": "fixed", "groups": {"boundaries": [1, 2]}, "probabilities": [0.2, 0.3, 0.5]},
        {"kind": "group", "groups": {"characteristic": "min_distance", "count": 4}, "network": {"features": "student"}},
    ],
)
def test_what_is_written_down_reads_back(teacher: Any) -> None:
    run = Run(teacher=teacher)
    assert Run.model_validate(run.model_dump(mode="json")) == run


def test_the_defaults_are_the_papers() -> None:
    config = GroupTeacherConfig()
    assert (config.window, config.history, config.epsilon, config.alpha) == (20, 10, 0.1, 0.01)
    assert (config.learning_rate, config.groups.count, config.network.input_size) == (5e-5, 10, 368)


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        ("grup", "'group', 'uniform', 'fixed', 'random'"),
        ({"alpha": 0.1}, "kind is missing"),
        ({"kind": "group", "alfa": 0.1}, "alfa"),
        ({"kind": "group", "alpha": 1.5}, "alpha"),
        ({"kind": "group", "alpha": float("nan")}, "alpha"),
        ({"kind": "group", "window": 0}, "window"),
        ({"kind": "group", "groups": {"count": 1}}, "count"),
        ({"kind": "group", "groups": {"count": 5, "boundaries": [1, 2]}}, "2 boundaries make 3 groups, not 5"),
        ({"kind": "group", "groups": {"boundaries": []}}, "count"),
        ({"kind": "group", "network": {"features": "student", "trunk_weights": "a.pth"}}, "there is no trunk"),
        ({"kind": "fixed"}, "probabilities"),
        ({"kind": "fixed", "probabilities": [0.5, 0.6]}, "the sum 1"),
        ({"kind": "fixed", "probabilities": [-0.5, 1.5]}, "probabilities"),
        (7, "teacher"),
    ],
)
def test_what_cannot_be_is_refused(teacher: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Run(teacher=teacher)
