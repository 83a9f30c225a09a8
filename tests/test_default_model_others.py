"""Of the people whom a network found in a picture, who is labelled already, who is to be, and who is not sure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy.datasets import Sample
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO18, LTSH15
from studies.default_model.others import Others, choose_others
from tests.training_data import person

FloatArray = npt.NDArray[np.float64]
LEFT_WRIST = LTSH15.joints.index("left_wrist")


def standing(x: float, y: float = 100, height: float = 150) -> FloatArray:
    return person(np.random.default_rng(1), (x, y), height)


def labelled(joints: FloatArray, height: float = 150) -> Sample:
    return Sample(
        id="a",
        image=b"",
        skeleton=LTSH15,
        joints=joints[None],
        centres=joints[None, 14, :2],
        scales=np.array([height / 200]),
        is_synthetic=np.array([False]),
        trainable=np.array([True]),
    )


def found(*people: tuple[FloatArray, float]) -> Poses:
    """People as a decoder gives them: joints without label are absent."""
    xy = np.array([np.where(joints[:, 2:] > 0, joints[:, :2], np.nan) for joints, _ in people]).reshape(-1, 15, 2)
    scores = np.array([score for _, score in people])
    return Poses(LTSH15, xy, np.isfinite(xy).all(axis=2) * scores[:, None], scores)


def only(joints: FloatArray, names: str) -> FloatArray:
    """Somebody of whom no other joints were found."""
    part = np.zeros_like(joints)
    rows = [LTSH15.joints.index(name) for name in names.split()]
    part[rows] = joints[rows]
    return part


def test_who_is_labelled_is_not_labelled_again() -> None:
    own = standing(100)
    arm = only(own, "right_shoulder right_elbow right_wrist neck head_top")
    others = choose_others(labelled(own), found((own + np.array([3, -3, 0]), 0.6), (arm, 0.9)))
    assert len(others.joints) == len(others.doubtful) == 0
    assert others.found.tolist() == [0.6]
    assert choose_others(labelled(own), found()).found.tolist() == [0.0]


def test_who_was_found_where_the_labelled_person_is_but_otherwise_is_the_same() -> None:
    own = standing(100)
    turned = own.copy()
    turned[:, :2] = 2 * own[14, :2] - own[:, :2]
    others = choose_others(labelled(own), found((turned, 0.5)))
    assert len(others.joints) == len(others.doubtful) == 0


def test_one_alone_is_found_otherwise() -> None:
    own = standing(100)
    turned = own.copy()
    turned[:, :2] = 2 * own[14, :2] - own[:, :2]
    beside = turned + np.array([30, 0, 0])
    others = choose_others(labelled(own), found((turned, 0.5), (beside, 0.4)))
    np.testing.assert_array_equal(others.joints, beside[None])
    assert others.found.tolist() == [0.5]


def test_somebody_close_behind_the_labelled_person_is_another_one() -> None:
    own = standing(100)
    behind = own + np.array([8, -20, 0])
    others = choose_others(labelled(own), found((own, 0.9), (behind, 0.6)))
    assert len(others.joints) == 0
    # Most of the joints are still near the labelled limbs, but none is where the labelled person's is.
    behind = own + np.array([0, 30, 0])
    others = choose_others(labelled(own), found((own, 0.9), (behind, 0.6)))
    np.testing.assert_array_equal(others.joints, behind[None])
    assert others.found.tolist() == [0.9]


def test_who_has_nothing_but_a_face_may_be_there() -> None:
    face = np.full((18, 2), np.nan)
    for name, place in (("nose", (300, 100)), ("left_eye", (304, 97)), ("right_eye", (296, 97))):
        face[COCO18.joints.index(name)] = place
    scores = np.array([0.9])
    poses = Poses(COCO18, face[None], np.isfinite(face).all(axis=1)[None] * 0.9, scores)
    others = choose_others(labelled(standing(100)), poses)
    assert len(others.joints) == 0
    assert len(others.doubtful) == 1
    x1, y1, x2, y2 = others.doubtful[0]
    assert x1 < 290 < 310 < x2
    assert y1 < 92 < 105 < y2
    # The labelled person's own face is not doubtful.
    assert len(choose_others(labelled(standing(300, 158)), poses).doubtful) == 0


def test_of_several_labelled_people_each_is_found() -> None:
    one, other = standing(100), standing(220)
    both = replace(
        labelled(one),
        joints=np.array([one, other]),
        centres=np.array([one[14, :2], other[14, :2]]),
        scales=np.full(2, 0.75),
        is_synthetic=np.zeros(2, bool),
        trainable=np.ones(2, bool),
    )
    others = choose_others(both, found((other, 0.7), (one, 0.5), (standing(400), 0.6)))
    assert others.found.tolist() == [0.5, 0.7]
    assert len(others.joints) == 1


def test_somebody_small_behind_the_labelled_person_is_another_one() -> None:
    own = standing(100, height=400)
    # An arm stretched out, and somebody below it.
    own[[LTSH15.joints.index("left_elbow"), LEFT_WRIST], :2] = [[200, 40], [300, 40]]
    others = choose_others(labelled(own, height=400), found((standing(230, 220, 70), 0.5)))
    assert len(others.joints) == 1
    assert others.found.tolist() == [0.0]


def test_people_beside_are_labelled_where_the_network_is_sure_and_ignored_where_not() -> None:
    sure, unsure, piece = standing(300), standing(500), only(standing(700), "neck head_top left_shoulder")
    others = choose_others(labelled(standing(100)), found((sure, 0.5), (unsure, 0.1), (piece, 0.8)))
    np.testing.assert_array_equal(others.joints, sure[None])
    assert others.trainable.tolist() == [True]
    for box, joints in zip(others.doubtful, (unsure, piece), strict=True):
        there = joints[joints[:, 2] > 0, :2]
        assert (box[:2] < there.min(axis=0)).all()
        assert (box[2:] > there.max(axis=0)).all()


@pytest.mark.parametrize(
    ("joints", "score"),
    [
        (standing(300), 0.25),
        (standing(300, height=50), 0.9),
        (only(standing(300), "neck right_shoulder left_shoulder right_hip left_hip torso_centre head_top"), 0.9),
    ],
)
def test_no_crop_is_centred_on_who_is_unsure_small_or_half_found(joints: FloatArray, score: float) -> None:
    others = choose_others(labelled(standing(100)), found((joints, score)))
    assert others.trainable.tolist() == [False]


def test_a_joint_that_was_not_found_is_not_labelled() -> None:
    part = standing(300)
    part[0] = 0
    others = choose_others(labelled(standing(100)), found((part, 0.5)))
    assert others.joints[0, 0, 2] == 0
    assert np.isnan(others.joints[0, 0, :2]).all()
    assert (others.joints[0, 1:, 2] == 2).all()


@given(st.floats(-500, 500), st.floats(-500, 500), st.permutations(range(4)))
def test_places_and_order_change_nothing(x: float, y: float, order: list[int]) -> None:
    own = standing(100)
    people = [(own, 0.4), (standing(180), 0.6), (standing(260, height=40), 0.3), (standing(60, 60, 65), 0.15)]
    moved = [(people[i][0] + np.array([x, y, 0]), people[i][1]) for i in order]
    before = choose_others(labelled(own), found(*people))
    after = choose_others(labelled(own + np.array([x, y, 0])), found(*moved))

    def ordered(others: Others) -> FloatArray:
        return np.array(sorted(others.joints[:, 14, 0]))

    np.testing.assert_allclose(ordered(after), ordered(before) + x, atol=1e-6)
    assert sorted(after.trainable) == sorted(before.trainable)
    assert len(after.doubtful) == len(before.doubtful)
    np.testing.assert_allclose(after.found, before.found)
