"""Crops: joints and pixels go to the same place."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.augment import PADDING, Warp, centred_warp, draw_warp, ignored_cells, warp_image
from ltsh_deploy.train.colours import change_colours
from ltsh_deploy.train.config import ColourConfig, CropConfig

SIZE = (96, 80)


def blob(x: float, y: float, sigma: float, size: tuple[int, int] = (300, 260)) -> npt.NDArray[np.uint8]:
    """A bright round spot on black."""
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat(np.rint(spot).astype(np.uint8)[:, :, None], 3, axis=2)


def centroid(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    weights = image[:, :, 0].astype(np.float64)
    rows, columns = np.indices(weights.shape)
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.15, 6.0))
def test_a_joint_lies_where_its_pixels_lie(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    config = CropConfig(zoom=(0.6, 1.4), shift=20)
    centre = rng.uniform([120, 110], [180, 150])
    warp = draw_warp(rng, config, centre, scale, SIZE)
    # A spot three pixels wide in the crop, whatever the zoom; it is looked for in a window around it.
    spot = centre + rng.uniform(-8, 8, 2) / warp.zoom
    expected = warp.points(spot)
    column, row = (int(v) - 12 for v in expected)
    if not (0 <= column < SIZE[0] - 25 and 0 <= row < SIZE[1] - 25):
        return
    window = np.s_[row : row + 25, column : column + 25]
    if ignored_cells(warp, (300, 260), None, 1)[window].any():
        return
    found = centroid(warp_image(blob(*spot, 3 / warp.zoom), warp)[window]) + np.array([column, row])
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_the_drawn_warp_is_scale_rotation_shift_and_mirror_in_this_order() -> None:
    config = CropConfig(target_scale=1.25, zoom=(1, 1), rotation=0, shift=0, mirror=0)
    centre = np.array([50.0, 40.0])
    warp = draw_warp(np.random.default_rng(0), config, centre, 2.0, (368, 368))
    np.testing.assert_allclose(warp.points(centre), [183.5, 183.5])
    # 200 * scale pixels of person become 1.25 * 200.
    np.testing.assert_allclose(warp.points(centre + np.array([0, 400])) - warp.points(centre), [0, 250], atol=1e-9)
    assert warp.zoom == pytest.approx(0.625)
    mirrored = draw_warp(np.random.default_rng(0), config.model_copy(update={"mirror": 1}), centre, 2.0, (368, 368))
    assert mirrored.mirrored
    point = np.array([70.0, 90.0])
    np.testing.assert_allclose(mirrored.points(point), [367, 0] + [-1, 1] * warp.points(point))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_drawn_values_stay_within_the_configuration(seed: int) -> None:
    config = CropConfig()
    centre = np.array([50.0, 40.0])
    warp = draw_warp(np.random.default_rng(seed), config, centre, 1.0, (184, 184))
    assert 0.4 * 0.625 <= warp.zoom <= 1.6 * 0.625
    assert (np.abs(warp.points(centre) - 91.5) <= 25 + 1e-9).all()
    linear = warp.matrix[:, :2] @ (np.diag([-1, 1]) if warp.mirrored else np.eye(2))
    # Mirroring comes last, so it turns the sense of the rotation.
    assert abs(np.rad2deg(np.arctan2(linear[1, 0], linear[0, 0]))) <= 40 + 1e-9
    assert (np.linalg.det(warp.matrix[:, :2]) < 0) == warp.mirrored


def test_every_shift_and_both_directions_of_rotation_occur() -> None:
    config = CropConfig()
    offsets, angles, flips = [], [], []
    for seed in range(300):
        warp = draw_warp(np.random.default_rng(seed), config, np.zeros(2), 1.0, (368, 368))
        offsets.append(warp.points(np.zeros(2)) - 183.5)
        angles.append(np.arctan2(warp.matrix[1, 0], abs(warp.matrix[0, 0])))
        flips.append(warp.mirrored)
    assert np.abs(np.mean(offsets, axis=0)).max() < 6
    assert np.max(offsets) > 48
    assert np.min(offsets) < -48
    assert abs(np.mean(angles)) < np.deg2rad(4)
    assert 0.4 < np.mean(flips) < 0.6


def test_left_and_right_are_exchanged_only_by_a_mirror() -> None:
    joints = np.random.default_rng(0).uniform(0, 100, (2, 15, 3))
    joints[0, 3] = [np.nan, np.nan, 0]
    config = CropConfig(zoom=(1, 1), rotation=0, shift=0, mirror=0)
    plain = draw_warp(np.random.default_rng(0), config, np.array([50.0, 40.0]), 1.0, SIZE)
    mirrored = draw_warp(
        np.random.default_rng(0), config.model_copy(update={"mirror": 1.0}), np.array([50.0, 40.0]), 1.0, SIZE
    )
    straight, turned = plain.joints(joints, LTSH15), mirrored.joints(joints, LTSH15)
    for joint, other in enumerate(LTSH15.flip_joints):
        np.testing.assert_allclose(turned[:, other, 0], SIZE[0] - 1 - straight[:, joint, 0])
        np.testing.assert_allclose(turned[:, other, 1:], straight[:, joint, 1:])
    assert np.isnan(turned[0, LTSH15.flip_joints[3], 0])


def test_around_the_picture_it_is_grey_and_ignored() -> None:
    config = CropConfig(target_scale=0.5, zoom=(1, 1), rotation=0, shift=0, mirror=0)
    warp = centred_warp(config, np.array([14.5, 9.5]), 0.1, (96, 96))
    image = warp_image(np.full((20, 30, 3), 255, np.uint8), warp)
    assert (image[0] == PADDING).all()
    assert (image[48, 48] == 255).all()
    ignored = ignored_cells(warp, (30, 20), None, 8)
    assert ignored.shape == (12, 12)
    assert ignored[0].all()
    assert not ignored[5:7, 5:7].any()
    # A cell counts just where its centre is in the picture.
    for row in range(12):
        for column in range(12):
            x, y = warp.to_picture(np.array([column, row]) * 8 + 3.5)
            assert ignored[row, column] == (not (-0.5 <= x < 29.5 and -0.5 <= y < 19.5))


def test_a_mask_is_warped_with_its_picture() -> None:
    mask = np.zeros((80, 120), bool)
    mask[:, :60] = True
    config = CropConfig(target_scale=1, zoom=(1, 1), rotation=0, shift=0, mirror=1)
    warp = draw_warp(np.random.default_rng(0), config, np.array([59.5, 40.0]), 0.25, (96, 96))
    ignored = ignored_cells(warp, (120, 80), mask, 8)
    # Mirrored, the left half of the picture is the right half of the crop.
    assert ignored[:, 6:].all()
    assert not ignored[2:10, :6].any()


@pytest.mark.parametrize("factor", [2.0, 3.3, 8.0, 40.0])
def test_fine_detail_is_averaged_when_it_shrinks(factor: float) -> None:
    rows, columns = np.indices((1600, 1600))
    checks = np.repeat((((rows + columns) % 2) * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    warp = Warp(np.array([[1 / factor, 0, 20.0], [0, 1 / factor, 20.0]]), False, (38, 38))
    inner = warp_image(checks, warp)[22:36, 22:36]
    assert np.abs(inner.astype(float) - 127.5).max() < 20


def test_a_crop_beside_the_picture_is_all_padding() -> None:
    for factor in (1.0, 10.0):
        warp = Warp(np.array([[1 / factor, 0, 5000.0], [0, 1 / factor, 0]]), False, (32, 32))
        assert (warp_image(np.zeros((50, 50, 3), np.uint8), warp) == PADDING).all()


def test_colours_stay_as_they_are_unless_asked() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert change_colours(np.random.default_rng(1), ColourConfig(), image) is image


@pytest.mark.parametrize(
    "option",
    [
        {"brightness": 0.2},
        {"contrast": 0.5},
        {"saturation": 0.7},
        {"hue": 60},
        {"grey": 1},
        {"blur": 4},
        {"jpeg": 10},
    ],
    ids=lambda option: next(iter(option)),
)
def test_each_change_of_colour_changes_what_it_says(option: dict[str, Any]) -> None:
    image = np.random.default_rng(0).integers(60, 190, (24, 32, 3), dtype=np.uint8)
    changed = change_colours(np.random.default_rng(3), ColourConfig(**option), image)
    assert (changed.shape, changed.dtype) == (image.shape, image.dtype)
    assert (changed != image).any()
    again = change_colours(np.random.default_rng(3), ColourConfig(**option), image)
    np.testing.assert_array_equal(changed, again)
    difference = changed.astype(float) - image
    luma = difference @ [0.299, 0.587, 0.114]
    if "brightness" in option:
        assert np.ptp(difference) <= 1
    if "contrast" in option:
        assert abs(difference.mean()) < 1
    if "saturation" in option or "grey" in option:
        assert np.abs(luma).max() < 1.5
    if "grey" in option:
        assert np.ptp(changed, axis=2).max() == 0
    if "hue" in option:
        assert np.abs(difference.sum(axis=2)).max() < 3
    if "blur" in option:
        assert changed.std() < image.std()
