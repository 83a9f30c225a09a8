"""Light that suits a photograph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.train.synth_camera import aim_camera
from ltsh_deploy.train.synth_light import LINEAR, light_from_background, open_ground, to_srgb

CAMERA = aim_camera((0, 0, 1), 5, 10, 100, (64, 48), yaw=70)


def test_linear_light_and_back() -> None:
    np.testing.assert_allclose(to_srgb(LINEAR), np.arange(256), atol=1e-3)
    assert to_srgb(np.array([-1.0, 0, 1, 7])).tolist() == [0, 0, 255, 255]
    assert LINEAR[188] == pytest.approx(0.5, abs=0.003)


@settings(max_examples=60, deadline=None)
@given(level=st.integers(0, 255), seed=st.integers(0, 10_000), height=st.integers(1, 50), width=st.integers(1, 50))
def test_any_photograph_gives_light_from_every_side(level: int, seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    photo = np.clip(rng.normal(level, 60, (height, width, 3)), 0, 255).astype(np.uint8)
    light = light_from_background(photo, CAMERA, rng)
    assert np.isfinite(light.ambient).all()
    assert np.linalg.norm(light.key_direction) == pytest.approx(1, abs=1e-5)
    assert 0.3 < light.key_direction[2] < 0.99
    assert (light.key_colour > 0).all()
    normals = rng.normal(size=(200, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert (light.ambient[0] + normals @ light.ambient[1:] > 0).all()


def test_light_comes_from_where_the_photograph_is_bright() -> None:
    photo = np.full((48, 64, 3), 40, np.uint8)
    photo[:, 40:] = 220
    for yaw in (0, 70, 200):
        camera = aim_camera((0, 0, 1), 5, 10, 100, (64, 48), yaw=yaw)
        right = camera.rotation[0]
        lights = [light_from_background(photo, camera, np.random.default_rng(seed)) for seed in range(100)]
        assert all((right @ light.ambient[1:] > 0).all() for light in lights)
        sides = np.array([right @ light.key_direction for light in lights])
        assert np.count_nonzero(sides > 0) > 70
        assert np.count_nonzero(sides < 0) > 0


def test_bright_photographs_are_of_bright_places_and_tinted_ones_tint() -> None:
    dark, bright = (
        light_from_background(np.full((48, 64, 3), level, np.uint8), CAMERA, np.random.default_rng(0))
        for level in (30, 200)
    )
    assert (bright.ambient[0] > 5 * dark.ambient[0]).all()
    photo = np.zeros((48, 64, 3), np.uint8)
    photo[:] = (200, 120, 60)
    warm = light_from_background(photo, CAMERA, np.random.default_rng(0)).ambient[0]
    assert warm[0] > warm[1] > warm[2]


def test_the_same_numbers_give_the_same_light() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    first, again = (light_from_background(photo, CAMERA, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.ambient, again.ambient)
    np.testing.assert_array_equal(first.key_direction, again.key_direction)


def test_no_shadow_falls_on_sky_but_on_the_ground() -> None:
    rng = np.random.default_rng(0)
    photo = np.empty((480, 321, 3), np.uint8)
    photo[:240] = (110, 160, 230)
    photo[240:] = np.clip(rng.normal((90, 110, 50), 25, (240, 321, 3)), 0, 255)
    taken = open_ground(photo)
    assert taken.shape == (480, 321)
    assert taken[:150].max() < 0.05
    assert taken[260:].min() > 0.95
    photo[:240] = 230
    assert open_ground(photo)[:150].max() < 0.05
    photo[:240] = 60
    assert open_ground(photo).min() > 0.95
    assert open_ground(np.full((3, 5, 3), 128, np.uint8)).shape == (3, 5)


def test_no_shadow_falls_on_a_dull_sky_nor_on_what_stands_before_it() -> None:
    photo = np.full((480, 640, 3), 60, np.uint8)
    photo[:200] = 130
    photo[40:, 280:360] = 60  # a tower
    photo[300:340, 100:200] = 130  # a puddle
    taken = open_ground(photo)
    assert taken[:150, :230].max() < 0.05
    assert taken[:150, 410:].max() < 0.05
    assert taken[:8].max() < 0.05
    assert taken[210:].min() > 0.95
    # The tower has no sky below its top, as a balloon has.
    assert taken[60:190, 300:340].min() > 0.95
    photo[40:120, 280:360], photo[120:, 280:360] = 60, 130
    photo[200:] = 60
    assert open_ground(photo)[:150].max() < 0.05
    # Light that takes up little of the upper edge is a lamp, or a window.
    lamp = np.full((480, 640, 3), 60, np.uint8)
    lamp[:200, 300:360] = 130
    assert open_ground(lamp).min() > 0.95
