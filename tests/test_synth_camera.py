"""The cameras of synthetic scenes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy.train.synth_camera import (
    aim_camera,
    camera_rotation,
    focal_length,
    sample_camera,
)
from tests.synth_views import ground_point, horizon_row

ANGLES = {"pitch": st.floats(-85, 85), "yaw": st.floats(-180, 180), "roll": st.floats(-60, 60)}


@given(**ANGLES)
def test_a_rotation_is_one_and_keeps_its_pitch(pitch: float, yaw: float, roll: float) -> None:
    rotation = camera_rotation(pitch, yaw, roll)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    camera = aim_camera((0, 0, 0), 1, pitch, 500, (64, 48), yaw=yaw, roll=roll)
    assert camera.pitch == pytest.approx(pitch, abs=1e-6)


@given(**ANGLES, distance=st.floats(0.1, 50))
def test_a_camera_sees_what_it_is_aimed_at(pitch: float, yaw: float, roll: float, distance: float) -> None:
    camera = aim_camera((1, 2, 3), distance, pitch, 500, (64, 48), yaw=yaw, roll=roll)
    xy, depth = camera.project(np.array([[1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(xy, [[31.5, 23.5]], atol=1e-6)
    np.testing.assert_allclose(depth, [distance])


def test_level_and_straight_things_lie_where_they_should() -> None:
    camera = aim_camera((0, 0, 1), 10, 0, 100, (101, 101))
    xy, _ = camera.project(np.array([[1.0, 0, 1], [0, 0, 2], [0, -10 + 1e-3, 1], [0, -11, 1]]))
    np.testing.assert_allclose(xy[0], [60, 50], atol=1e-9)  # +X is on the right of a camera that looks along +Y
    np.testing.assert_allclose(xy[1], [50, 40], atol=1e-9)  # and +Z is up
    assert np.isnan(xy[3]).all()
    turned = aim_camera((0, 0, 1), 10, 0, 100, (101, 101), yaw=90)
    np.testing.assert_allclose(turned.rotation[2], [-1, 0, 0], atol=1e-12)


def test_a_camera_that_leans_right_sees_the_horizon_rise_to_the_right() -> None:
    camera = aim_camera((0, 0, 1), 10, 5, 100, (101, 101), roll=10)
    assert horizon_row(camera, 90) < horizon_row(camera, 10)


@given(pitch=st.floats(-30, 80), roll=st.floats(-20, 20), seed=st.integers(0, 1000))
def test_the_ground_that_a_pixel_shows_is_shown_at_that_pixel(pitch: float, roll: float, seed: int) -> None:
    camera = aim_camera((0, 0, 20), 5, pitch, 700, (640, 480), roll=roll)
    pixels = np.random.default_rng(seed).uniform(0, 480, (20, 2))
    points = ground_point(camera, pixels)
    seen = np.isfinite(points[:, 0])
    np.testing.assert_allclose(points[seen, 2], 0, atol=1e-6)
    np.testing.assert_allclose(camera.project(points[seen])[0], pixels[seen], atol=1e-5)


def test_a_field_of_view_spans_the_width() -> None:
    assert focal_length(90, 640) == pytest.approx(320)


def test_drawn_cameras_are_in_range_above_ground_and_the_same_for_the_same_numbers() -> None:
    cameras = [sample_camera(np.random.default_rng(seed), (640, 480), (-10, 45)) for seed in range(200)]
    pitches = [camera.pitch for camera in cameras]
    assert -10 - 1e-6 <= min(pitches) < 0 < 40 < max(pitches) <= 45 + 1e-6
    assert min(camera.centre[2] for camera in cameras) >= 0.3
    again = sample_camera(np.random.default_rng(7), (640, 480), (-10, 45))
    assert again.focal == cameras[7].focal
    assert np.array_equal(again.centre, cameras[7].centre)
    level = [sample_camera(np.random.default_rng(seed), (640, 480), (0, 0)) for seed in range(50)]
    feet_and_crown = np.array([[0, 0, 0], [0, 0, 1.7]])
    heights = [float(np.linalg.norm(np.diff(camera.project(feet_and_crown)[0], axis=0))) / 480 for camera in level]
    assert min(heights) > 0.18
    assert max(heights) < 0.55
