"""Who is taken for the labelled person. How sure and how near weigh is tested with the validation in training."""

from __future__ import annotations

import numpy as np

from ltsh_deploy.evaluation.choosing import choose_person
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import LSP14


def test_somebody_without_a_joint_is_nobody() -> None:
    xy = np.full((2, 14, 2), np.nan)
    nobody = Poses(LSP14, xy[:1], np.zeros((1, 14)), np.ones(1))
    assert choose_person(nobody, np.zeros(2), (10, 10)) is None
    xy[1, 0] = (3, 4)
    scores = np.zeros((2, 14))
    scores[1, 0] = 0.1
    found = choose_person(Poses(LSP14, xy, scores, np.ones(2)), np.zeros(2), (10, 10))
    np.testing.assert_array_equal(found, xy[1])


def somebody(x: float, score: float) -> Poses:
    """A person of one joint at (x, 50)."""
    xy, scores = np.full((1, 14, 2), np.nan), np.zeros((1, 14))
    xy[0, 0], scores[0, 0] = (x, 50), score
    return Poses(LSP14, xy, scores, np.ones(1))


def test_near_is_by_the_shorter_side_of_the_picture() -> None:
    near, far = somebody(500, 0.4), somebody(600, 0.9)
    poses = Poses(
        LSP14, *(np.concatenate([getattr(p, name) for p in (near, far)]) for name in ("xy", "joint_scores", "scores"))
    )
    for size in ((1000, 100), (100, 1000)):
        np.testing.assert_array_equal(choose_person(poses, np.array([500.0, 50.0]), size), near.xy[0])
    np.testing.assert_array_equal(choose_person(poses, np.array([500.0, 50.0]), (1000, 1000)), far.xy[0])


def test_numbers_at_the_end_of_their_range_raise_nothing() -> None:
    poses = Poses(LSP14, np.full((1, 14, 2), 1e308), np.ones((1, 14)), np.ones(1))
    with np.errstate(all="raise", under="ignore"):
        for sign in (1, -1):
            signed = Poses(LSP14, poses.xy, sign * poses.joint_scores, poses.scores)
            assert choose_person(signed, np.zeros(2), (10, 10)) is not None


def test_of_equally_unsure_people_the_nearer_is_meant() -> None:
    for score in (-1.5, 1.5):
        near, far = somebody(500, score), somebody(560, score)
        for first, second in ((near, far), (far, near)):
            both = Poses(
                LSP14,
                np.concatenate([first.xy, second.xy]),
                np.concatenate([first.joint_scores, second.joint_scores]),
                np.ones(2),
            )
            np.testing.assert_array_equal(choose_person(both, np.array([500.0, 50.0]), (400, 400)), near.xy[0])
