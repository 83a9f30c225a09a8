"""What in benchmarks/synthesize.py would go wrong without a sign."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import trimesh

from benchmarks.realism import SIDE, crop_person
from benchmarks.realism_features import FEATURES, area_under_curve, features, tell_apart
from benchmarks.synthetic_speed import Stopwatch
from benchmarks.synthetic_truth import drawn_surface, penetration
from ltsh_deploy.train.synth_materials import MATERIAL
from ltsh_deploy.train.synth_types import Figure


def test_area_under_curve_by_hand() -> None:
    # Pairs (positive, negative): 3 > 1, 3 > 2, 2 > 1 and 2 = 2, which counts half.
    scores, positive = np.array([3.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False])
    assert area_under_curve(scores, positive) == 3.5 / 4
    assert area_under_curve(-scores, positive) == 0.5 / 4
    assert area_under_curve(np.zeros(4), positive) == 0.5


def test_features_of_a_plain_crop_are_its_colour_and_no_detail() -> None:
    grey, brighter = (
        dict(zip(FEATURES, features(np.full((96, 96, 3), level, np.uint8)), strict=True)) for level in (100, 180)
    )
    for crop in (grey, brighter):
        assert crop["detail at 1 px: spread"] == pytest.approx(np.log(0.1), abs=1e-3)
        assert crop["spread of lightness"] == crop["edges at 0 degrees"] == 0
        assert crop["mean of green-red"] == pytest.approx(0.5, abs=0.01)
        assert sum(crop[f"lightness in part {part} of 8 of its range"] for part in range(1, 9)) == 1
    assert grey["mean of lightness"] < brighter["mean of lightness"]


def test_features_tell_fine_stripes_from_coarse_and_upright_from_level() -> None:
    columns = np.arange(96)
    fine, coarse = (np.tile((127 + 100 * np.sin(2 * np.pi * columns / p)).astype(np.uint8), (96, 1)) for p in (3, 24))
    one, two, turned = (
        dict(zip(FEATURES, features(cv2.cvtColor(np.ascontiguousarray(p), cv2.COLOR_GRAY2RGB)), strict=True))
        for p in (fine, coarse, coarse.T)
    )
    assert one["detail at 1 px: spread"] > two["detail at 1 px: spread"]
    assert one["detail at 8 px: spread"] < two["detail at 8 px: spread"]
    assert two["edges at 0 degrees"] > 0.9 > 0.1 > turned["edges at 0 degrees"]


def test_a_classifier_tells_apart_what_differs_and_nothing_else() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    real, same, other = rng.normal(size=(200, 5)), rng.normal(size=(200, 5)), rng.normal(size=(200, 5)) + 1
    groups = np.arange(200)
    assert 0.4 < tell_apart(real, same, groups, linear=True)[0] < 0.6
    assert tell_apart(real, other, groups, linear=True)[0] > 0.9


def test_no_group_is_learned_from_and_tested_on() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    # Each group has a mark of its own, and the marks say nothing about another group's.
    marks = rng.normal(size=(5, 20))
    real, synthetic = rng.normal(size=(200, 20)), np.repeat(marks, 40, axis=0) + 0.01 * rng.normal(size=(200, 20))
    together, apart = np.arange(200), np.repeat(np.arange(5), 40)
    assert tell_apart(real, synthetic, together)[0] > 0.99
    assert tell_apart(real, synthetic, apart)[0] < 0.95


def test_crops_hold_the_joints_and_nothing_beyond_the_picture() -> None:
    picture = np.zeros((300, 200, 3), np.uint8)
    picture[100:200, 50:150] = 255
    joints = np.array([[100.0, 100.0], [90.0, 200.0], [110.0, 150.0]])
    crop = crop_person(picture, joints)
    assert crop is not None
    assert crop.shape == (SIDE, SIDE, 3)
    assert crop.min() == 255
    assert crop_person(picture, joints - [80, 0]) is None


def ball(middle: float, radius: float = 1.0) -> trimesh.Trimesh:
    sphere = trimesh.creation.icosphere(2, radius)
    sphere.apply_translation([middle, 0, 0])
    return sphere


def test_penetration_of_balls() -> None:
    assert penetration(ball(0), ball(2.05)) == 0
    assert penetration(ball(0), ball(1.9)) == pytest.approx(0.1, abs=0.02)
    # One that is wholly within another reaches as deep as its far side.
    assert penetration(ball(0), ball(0, 0.25)) == pytest.approx(0.75, abs=0.02)


def test_something_thin_without_a_corner_within_is_found() -> None:
    needle = trimesh.creation.box((6, 0.02, 0.02))
    assert penetration(ball(0), needle) > 0.9


def test_hems_cut_triangles_where_they_are() -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    for cut, area in [((-1, -1, -1), 0.5), ((1, 1, 1), 0.0), ((1, -1, -1), 0.375), ((-1, 1, 1), 0.125)]:
        figure = Figure(
            corners, corners, corners, np.array([[0, 1, 2]], np.int32), np.array(cut, np.float32),
            np.zeros(1, np.int32), np.zeros(1, MATERIAL), np.zeros(3, np.float32),
            np.zeros((16, 3), np.float32), corners, corners, {},
        )  # fmt: skip
        surface = drawn_surface(figure)
        assert surface.area == pytest.approx(area)
        assert len(surface.faces) == 0 or surface.face_normals[:, 2].min() > 0.99


def test_a_stage_within_a_stage_is_not_counted_twice() -> None:
    watch = Stopwatch()

    def work() -> None:
        sum(range(200_000))

    inner = watch.timed("inner", work)
    watch.timed("outer", inner)()
    assert watch.seconds["inner"] > 10 * watch.seconds["outer"] >= 0
