"""How tall people are is read off their joints, whichever way they stand."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.datasets.bodies import complete_people, estimate_scales, joint_boxes, people_boxes
from ltsh_deploy.skeletons import COCO17, LSP14, LTSH15, MPII16, Skeleton
from tests.dataset_files import STANDING, person


@pytest.mark.parametrize("skeleton", [LSP14, LTSH15, MPII16])
def test_a_standing_person_is_as_tall_as_drawn(skeleton: Skeleton) -> None:
    scales = estimate_scales(skeleton, np.stack([person(skeleton), person(skeleton, size=3)]))
    np.testing.assert_allclose(scales, [0.9, 2.7], rtol=0.1)


def test_coco_needs_no_head() -> None:
    joints = np.zeros((1, 17, 3))
    joints[:, :, :2] = np.nan
    for name, xy in STANDING.items():
        if name in COCO17.joints:
            joints[0, COCO17.joints.index(name)] = *xy, 2
    np.testing.assert_allclose(estimate_scales(COCO17, joints), [0.9], rtol=0.1)


@given(
    factor=st.floats(0.05, 50),
    angle=st.floats(-math.pi, math.pi),
    x=st.floats(-3000, 3000),
    y=st.floats(-3000, 3000),
    missing=st.sets(st.integers(0, 13), max_size=9),
)
@settings(max_examples=60, deadline=None)
def test_scale_turns_and_grows_with_the_person(
    factor: float, angle: float, x: float, y: float, missing: set[int]
) -> None:
    joints = person(LSP14)[None]
    joints[:, list(missing)] = np.nan, np.nan, 0
    turned = joints.copy()
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned[:, :, :2] = factor * joints[:, :, :2] @ rotation.T + [x, y]
    plain, other = estimate_scales(LSP14, joints), estimate_scales(LSP14, turned)
    lengths_known = not np.allclose(plain * 200, _diagonal(joints))
    if lengths_known:
        np.testing.assert_allclose(other, factor * plain, rtol=1e-6)
    else:
        np.testing.assert_allclose(other, _diagonal(turned) / 200, rtol=1e-6)


def _diagonal(joints: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    boxes = joint_boxes(joints)
    return np.hypot(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def test_one_wrong_label_hardly_matters() -> None:
    joints = np.stack([person(LSP14)] * 14)
    for j in range(14):
        joints[j, j, :2] += [300, -200]
    scales = estimate_scales(LSP14, joints)
    assert (np.abs(np.log(scales / 0.9)) < 0.35).all(), scales


def test_a_bent_person_is_not_smaller() -> None:
    joints = person(LSP14)[None]
    names = list(LSP14.joints)
    # Both legs point at the camera.
    for side in ("left", "right"):
        joints[0, names.index(f"{side}_knee"), 1] = 96
        joints[0, names.index(f"{side}_ankle"), 1] = 100
    np.testing.assert_allclose(estimate_scales(LSP14, joints), [0.9], rtol=0.15)


def test_too_few_joints_say_nothing() -> None:
    joints = np.full((3, 14, 3), np.nan)
    joints[:, :, 2] = 0
    joints[1, 0] = 5, 5, 2
    joints[2, 0], joints[2, 13] = (0, 30, 2), (40, 0, 1)
    scales = estimate_scales(LSP14, joints)
    assert np.isnan(scales[:2]).all()
    assert scales[2] == 50 / 200
    assert estimate_scales(LSP14, joints[:0]).shape == (0,)
    assert joint_boxes(joints[:0]).shape == (0, 4)
    centres, scales = complete_people(LSP14, joints)
    np.testing.assert_array_equal(centres[2], [20, 15])
    assert np.isnan(centres[0]).all()


def test_boxes_of_people_are_enlarged_about_their_centres() -> None:
    joints = np.stack([person(LSP14), person(LSP14)])
    joints[1, 1:] = np.nan, np.nan, 0
    (standing, one) = people_boxes(joints, np.array([0.9, 0.9]), 2.0)
    np.testing.assert_allclose(standing, [100 - 2 * 27, 110 - 180, 100 + 2 * 27, 110 + 180])
    # One ankle: 0.3 times the height of 180, twice.
    np.testing.assert_allclose(one, [89 - 54, 200 - 54, 89 + 54, 200 + 54])
    joints[1] = np.nan, np.nan, 0
    assert len(people_boxes(joints, np.array([0.9, 0.9]), 1.0)) == 1
