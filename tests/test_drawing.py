from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.drawing import draw_poses, joint_colours, limb_colours
from ltsh_deploy.errors import ImageError
from ltsh_deploy.poses import FloatArray, Poses
from ltsh_deploy.skeletons import COCO17, LTSH15, SKELETONS, Skeleton

# A standing person of height 1, in LTSH15's order.
STANDING = np.array([
    [0, 0], [0, 0.15], [-0.1, 0.17], [-0.13, 0.33], [-0.14, 0.48], [0.1, 0.17], [0.13, 0.33], [0.14, 0.48],
    [-0.06, 0.52], [-0.07, 0.75], [-0.07, 0.97], [0.06, 0.52], [0.07, 0.75], [0.07, 0.97], [0, 0.34],
])  # fmt: skip


def person(xy: FloatArray, score: float = 1.0, number: int | None = None) -> Poses:
    ids = None if number is None else np.array([number])
    return Poses(LTSH15, xy[None], np.full((1, 15), score), np.array([score]), ids)


def standing(x: float, y: float, height: float, score: float = 1.0) -> Poses:
    return person(STANDING * height + [x, y], score)


def grey(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), 128, np.uint8)


def changed(image: npt.NDArray[np.uint8], drawn: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    difference: npt.NDArray[np.bool_] = (image != drawn).any(axis=2)
    return difference


def test_the_input_is_not_changed_and_nobody_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    before = image.copy()
    assert changed(image, draw_poses(image, standing(60, 10, 70))).any()
    np.testing.assert_array_equal(image, before)
    drawn = draw_poses(image, Poses.empty(COCO17))
    np.testing.assert_array_equal(drawn, image)
    assert drawn is not image


def test_limbs_have_their_colours_where_the_network_is_sure() -> None:
    poses = standing(150, 20, 260)
    drawn = draw_poses(grey(300, 300), poses, labels=False)
    for (a, b), colour in zip(LTSH15.limbs, limb_colours(LTSH15), strict=True):
        x, y = np.rint(poses.xy[0, [a, b]].mean(axis=0)).astype(int)
        assert np.abs(drawn[y, x].astype(int) - colour).max() <= 2


def test_the_less_sure_the_fainter() -> None:
    image = grey(300, 300)
    strength = [
        np.abs(draw_poses(image, standing(150, 20, 260, s), labels=False).astype(int) - 128).sum()
        for s in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert strength[0] > 0.2 * strength[-1], "never too faint to see"
    assert (np.diff(strength) > 0.1 * strength[-1]).all()
    beyond = draw_poses(image, standing(150, 20, 260, 7.0), labels=False)
    np.testing.assert_array_equal(beyond, draw_poses(image, standing(150, 20, 260), labels=False))


def test_overlapping_limbs_are_not_darker_than_one() -> None:
    xy = np.full((15, 2), np.nan)
    xy[[0, 1]] = [[20, 100], [180, 100]]
    once = draw_poses(grey(200, 200), person(xy, 0.3), labels=False)
    xy[2] = xy[0]
    twice = draw_poses(grey(200, 200), person(xy, 0.3), labels=False)
    dark = [np.abs(d[100, 100].astype(int) - 128).sum() for d in (once, twice)]
    assert dark[1] <= 1.6 * dark[0]


@pytest.mark.parametrize("scale", [0.1, 0.3, 1.0, 5.0])
def test_readable_at_any_size(scale: float) -> None:
    height, width = round(480 * scale), round(640 * scale)
    drawn = draw_poses(grey(height, width), standing(320 * scale, 60 * scale, 360 * scale), labels=False)
    seen = (np.abs(drawn.astype(int) - 128).max(axis=2) > 60).mean()
    assert 0.1 < seen * (640 * 480) / (360 * 120) < 0.6, "of the person's box"


def test_small_people_in_large_pictures_get_finer_lines() -> None:
    image = grey(1500, 2000)
    large, small = (changed(image, draw_poses(image, standing(900, 50, h), labels=False)).sum() for h in (1300, 60))
    assert 4 < large / small < (1300 / 60) ** 2
    assert small < 60 * 60 * 0.5


def test_a_picture_cut_out_has_the_drawing_cut_out() -> None:
    image = np.random.default_rng(1).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    poses = standing(250, 130, 160)
    whole = draw_poses(image, poses, labels=False)
    for x, y in ((230, 200), (258, 133), (100, 60)):
        part = draw_poses(image[y:, x:], standing(250 - x, 130 - y, 160), labels=False)
        # A limb that is cut ends elsewhere by a fraction of a pixel, so its edges may differ a little.
        assert np.abs(part.astype(int) - whole[y:, x:]).max() <= 64
        assert np.abs(part.astype(int) - whole[y:, x:]).mean() < 0.01


def test_limbs_reach_in_from_far_off_the_picture() -> None:
    xy = np.full((15, 2), np.nan)
    for far in (300.0, 1e5, 1e9):
        xy[[0, 1]] = [[-far, 50], [far, 50]]
        drawn = draw_poses(grey(100, 100), person(xy), labels=False)
        assert changed(grey(100, 100), drawn)[50].all()
        assert not changed(grey(100, 100), drawn)[:40].any()


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_coordinate_breaks_it(data: st.DataObject) -> None:
    odd = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, -1e300, 2.0**31, -(2.0**31), 1e-300, 0.5, 63.0])
    numbers = st.one_of(odd, st.floats(-200, 200), st.floats(-1e12, 1e12))
    xy = np.array(data.draw(st.lists(numbers, min_size=60, max_size=60))).reshape(2, 15, 2)
    scores = np.array(data.draw(st.lists(st.floats(0, 1), min_size=30, max_size=30))).reshape(2, 15)
    height, width = data.draw(st.sampled_from([(1, 1), (1, 200), (64, 64), (170, 200)]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = draw_poses(grey(height, width), Poses(LTSH15, xy, scores, np.array([0.5, 0.6]), np.array([1, 2**40])))
    assert drawn.shape == (height, width, 3)


def test_people_off_the_picture_leave_no_trace() -> None:
    image = grey(200, 200)
    for x, y in ((-500, 0), (900, 0), (100, -900), (100, 900)):
        np.testing.assert_array_equal(draw_poses(image, standing(x, y, 150)), image)


def test_absent_joints_are_left_out() -> None:
    poses = standing(100, 20, 160)
    poses.xy[0, 2:] = np.nan
    drawn = changed(grey(200, 200), draw_poses(grey(200, 200), poses, labels=False))
    assert drawn[20:45].any()
    assert not drawn[70:].any()
    poses.xy[:] = np.nan
    assert not changed(grey(200, 200), draw_poses(grey(200, 200), poses)).any()


def test_labels_stay_in_the_picture_and_off_small_ones() -> None:
    image = grey(200, 300)
    for x, y in ((150, 60), (2, 0), (299, 0), (150, -30)):
        xy = STANDING * 120 + [x, y]
        plain, labelled = (draw_poses(image, person(xy, number=12), labels=on) for on in (False, True))
        assert changed(plain, labelled).sum() > 200
    small = grey(64, 64)
    plain, labelled = (draw_poses(small, person(STANDING * 50 + [32, 5]), labels=on) for on in (False, True))
    np.testing.assert_array_equal(plain, labelled)


def test_the_first_person_is_on_top() -> None:
    both = Poses(LTSH15, np.stack([STANDING * 200 + [150, 30]] * 2), np.ones((2, 15)), np.ones(2))
    both.xy[1, :, 0] = 300 - both.xy[1, :, 0]
    drawn = draw_poses(grey(260, 300), both, labels=False)
    x, y = np.rint(both.xy[0, [2, 3]].mean(axis=0)).astype(int)
    assert np.abs(drawn[y, x].astype(int) - limb_colours(LTSH15)[LTSH15.limbs.index((2, 3))]).max() <= 2


def test_any_layout_of_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 150, 3), dtype=np.uint8)
    expected = draw_poses(image, standing(70, 20, 150))
    np.testing.assert_array_equal(draw_poses(np.asfortranarray(image), standing(70, 20, 150)), expected)
    np.testing.assert_array_equal(draw_poses(image[:, :, ::-1][:, :, ::-1], standing(70, 20, 150)), expected)
    image.flags.writeable = False
    draw_poses(image, standing(70, 20, 150))


def test_what_is_no_picture_and_no_thickness() -> None:
    for shape in ((4, 4, 4), (0, 4, 3), (1, 4, 4, 3)):
        with pytest.raises(ImageError):
            draw_poses(np.zeros(shape, np.uint8), Poses.empty(LTSH15))
    with pytest.raises(ImageError, match="uint8"):
        draw_poses(np.zeros((4, 4, 3), np.float32), Poses.empty(LTSH15))  # type: ignore[arg-type]
    for thickness in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="thickness"):
            draw_poses(grey(9, 9), Poses.empty(LTSH15), thickness=thickness)
    assert draw_poses(grey(90, 90), standing(40, 5, 80), thickness=50).shape == (90, 90, 3)


def oklab(colours: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Linear RGB [..., 3] to a space where distance is what the eye sees."""
    to_lms = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
    to_lab = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
    return np.asarray(np.cbrt(np.clip(colours, 0, 1) @ to_lms.T) @ to_lab.T)


# Vienot, Brettel, Mollon (1999): what linear RGB looks like without the first or second kind of cone.
PROTAN = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
DEUTAN = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))
@pytest.mark.parametrize("eye", [np.eye(3), PROTAN, DEUTAN], ids=["common", "protan", "deutan"])
def test_left_and_right_look_different_to_everybody(skeleton: Skeleton, eye: npt.NDArray[np.float64]) -> None:
    linear = (np.array(limb_colours(skeleton)) / 255.0) ** 2.2 @ eye.T
    sides = [{skeleton.joints[j].split("_")[0] for j in limb} & {"left", "right"} for limb in skeleton.limbs]
    lab = oklab(linear)
    left, right = (lab[[n for n, s in enumerate(sides) if s == {side}]] for side in ("left", "right"))
    assert len(left) == len(right) >= 5
    assert np.linalg.norm(left[:, None] - right[None], axis=2).min() > 0.15


def test_colours_are_fixed_and_each_limb_has_its_own() -> None:
    for skeleton in SKELETONS.values():
        sided = [c for c, limb in zip(limb_colours(skeleton), skeleton.limbs, strict=True) if skeleton.flip_pairs]
        assert len(set(sided)) == len(sided)
        assert len(joint_colours(skeleton)) == skeleton.num_joints
    unnamed = Skeleton("two", ("a", "b", "c"), ((0, 1), (0, 2)), ((1, 2),), (0.1, 0.1, 0.1))
    assert limb_colours(unnamed)[0][2] > limb_colours(unnamed)[0][0], "the first of a pair is the right: cool"
    assert draw_poses(grey(9, 9), Poses.empty(Skeleton("dot", ("a",), (), (), (0.1,)))).shape == (9, 9, 3)
    assert joint_colours(Skeleton("dot", ("a",), (), (), (0.1,))) == ((250, 250, 250),)
