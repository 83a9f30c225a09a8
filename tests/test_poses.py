from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ltsh_deploy.decode import Connections, Peaks
from ltsh_deploy.errors import SkeletonError
from ltsh_deploy.estimator import View
from ltsh_deploy.fields import Fields
from ltsh_deploy.images import place
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO17, COCO18, LTSH15, MPII16, SKELETONS, Skeleton

built_in = st.sampled_from(list(SKELETONS.values()))


@st.composite
def poses(draw: st.DrawFn, skeleton: st.SearchStrategy[Skeleton] = built_in) -> Poses:
    chosen = draw(skeleton)
    people = draw(st.integers(0, 4))
    shape = (people, chosen.num_joints)
    present = draw(hnp.arrays(np.bool_, shape))
    xy = draw(hnp.arrays(np.float64, (*shape, 2), elements=st.floats(-1e4, 1e4)))
    scores = draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1)))
    ids = np.arange(people) if draw(st.booleans()) else None
    person_scores = draw(hnp.arrays(np.float64, people, elements=st.floats(0, 1)))
    return Poses(chosen, np.where(present[..., None], xy, np.nan), scores * present, person_scores, ids)


def test_nobody_is_a_valid_answer() -> None:
    nobody = Poses.empty(COCO18)
    assert len(nobody) == 0
    assert nobody.present.shape == (0, 18)
    assert len(nobody.to_skeleton(LTSH15)) == 0


@given(poses())
def test_converting_to_the_same_skeleton_changes_nothing(people: Poses) -> None:
    assert people.to_skeleton(people.skeleton) is people


@given(poses(), built_in)
def test_conversion_keeps_joints_of_the_same_name(people: Poses, target: Skeleton) -> None:
    converted = people.to_skeleton(target)
    assert converted.skeleton == target
    assert converted.ids is people.ids
    np.testing.assert_array_equal(converted.scores, people.scores)
    for j, name in enumerate(target.joints):
        if name in people.skeleton.joints:
            i = people.skeleton.joints.index(name)
            np.testing.assert_array_equal(converted.xy[:, j], people.xy[:, i])
            np.testing.assert_array_equal(converted.joint_scores[:, j], people.joint_scores[:, i])


@given(poses(st.just(COCO17)))
def test_a_derived_joint_needs_all_of_its_parts(people: Poses) -> None:
    left, right = (COCO17.joints.index(f"{side}_shoulder") for side in ("left", "right"))
    neck = COCO18.joints.index("neck")
    converted = people.to_skeleton(COCO18)
    both = people.present[:, left] & people.present[:, right]
    np.testing.assert_array_equal(converted.present[:, neck], both)
    middle = (people.xy[both, left] + people.xy[both, right]) / 2
    np.testing.assert_allclose(converted.xy[both, neck], middle, atol=1e-9)
    lowest = np.minimum(people.joint_scores[:, left], people.joint_scores[:, right])
    np.testing.assert_array_equal(converted.joint_scores[:, neck], np.where(both, lowest, 0))


@given(poses(), built_in)
def test_absent_joints_have_no_place_and_no_score(people: Poses, target: Skeleton) -> None:
    converted = people.to_skeleton(target)
    assert np.isnan(converted.xy[~converted.present]).all()
    assert (converted.joint_scores[~converted.present] == 0).all()


@given(poses(), built_in)
def test_conversion_does_not_depend_on_the_other_people(people: Poses, target: Skeleton) -> None:
    for p in range(len(people)):
        one = slice(p, p + 1)
        assert people.select(one).to_skeleton(target) == people.to_skeleton(target).select(one)


@given(poses(st.just(LTSH15)), st.data())
def test_select_takes_people_in_the_given_order(people: Poses, data: Any) -> None:
    order = np.array(data.draw(st.permutations(range(len(people)))), dtype=np.int64)
    chosen = people.select(order)
    np.testing.assert_array_equal(chosen.xy, people.xy[order])
    assert (chosen.ids is None) == (people.ids is None)
    assert chosen.select(np.argsort(order)) == people
    mask = people.scores > 0.5
    assert len(people.select(mask)) == mask.sum()


def changed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One number more than it was; a joint that is absent is there."""
    array = array.copy()
    array.flat[-1] = np.nan_to_num(array.flat[-1]) + 1
    return array


@given(poses())
def test_poses_are_equal_when_every_number_is(people: Poses) -> None:
    arrays = {"xy": people.xy, "joint_scores": people.joint_scores, "scores": people.scores}
    assert people == replace(people, dropped_peaks=9, **{name: array.copy() for name, array in arrays.items()})
    assert people != "people"
    for name, array in arrays.items():
        assert (people == replace(people, **{name: changed(array) if array.size else array})) is (not array.size)
    ids = np.arange(len(people))
    assert (replace(people, ids=ids) == replace(people, ids=ids + 1)) is (not len(people))
    assert replace(people, ids=ids) != replace(people, ids=None)
    assert replace(people, ids=None) != replace(people, ids=ids)
    renamed = replace(people.skeleton, name="another")
    assert people != replace(people, skeleton=renamed)
    with pytest.raises(TypeError, match="unhashable type: 'Poses'"):
        hash(people)


def test_what_else_holds_arrays_is_equal_to_itself_alone() -> None:
    """Arrays do not say whether they are equal with one truth value."""
    maps, none, numbers = np.zeros((2, 1, 1), np.float32), np.zeros(0, np.intp), np.zeros(0)
    picture, placement = np.zeros((8, 8, 3), np.uint8), place((8, 8), (8, 8), 8)
    for make in (
        lambda: Fields(maps, maps, 8),
        lambda: Peaks(none, numbers.reshape(0, 2), numbers, none, none),
        lambda: Connections(none, none, none, numbers),
        lambda: View(0, picture, placement, False),
    ):
        one: object = make()
        assert one == one
        assert one != make()
        assert one in {one}


def test_skeletons_without_a_common_joint_are_refused() -> None:
    with pytest.raises(SkeletonError, match="share no joint"):
        Poses.empty(MPII16).to_skeleton(Skeleton("snail", ("horn",), (), (), (0.1,)))


@pytest.mark.parametrize(
    "arrays",
    [
        {"xy": np.zeros((2, 17, 2))},
        {"xy": np.zeros((2, 18, 3))},
        {"joint_scores": np.zeros((2, 17))},
        {"scores": np.zeros(3)},
        {"ids": np.zeros(3, np.int64)},
    ],
)
def test_arrays_that_contradict_each_other_are_refused(arrays: dict[str, Any]) -> None:
    whole: dict[str, Any] = {"xy": np.zeros((2, 18, 2)), "joint_scores": np.zeros((2, 18)), "scores": np.zeros(2)}
    with pytest.raises(ValueError, match="people"):
        Poses(COCO18, **(whole | arrays))
