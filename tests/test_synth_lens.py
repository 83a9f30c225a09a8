"""What a lens does to pictures, and how a photograph's own is found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ltsh_deploy.images import Image
from ltsh_deploy.train.synth_lens import Lens, measure_lens, noise_level, photograph, sample_lens, through_lens
from ltsh_deploy.train.synth_light import LINEAR


def shapes(seed: int = 0, antialias: int = 4) -> Image:
    """A picture of flat shapes with the soft outlines of a rendered one."""
    rng = np.random.default_rng(seed)
    large = np.full((240 * antialias, 320 * antialias, 3), 120, np.uint8)
    for _ in range(12):
        x, y, radius = rng.integers(0, 240 * antialias), rng.integers(0, 240 * antialias), 30 * antialias
        cv2.circle(large, (int(x), int(y)), radius, rng.integers(40, 220, 3).tolist(), -1)
    return np.asarray(cv2.resize(large, (320, 240), interpolation=cv2.INTER_AREA), np.uint8)


def test_a_perfect_lens_changes_nothing() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    taken = photograph(picture, np.random.default_rng(1), Lens())
    np.testing.assert_array_equal(taken, picture)


def test_the_same_numbers_take_the_same_photograph() -> None:
    first, again, other = (photograph(shapes(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (64, 33)])
def test_any_size_can_be_taken(size: tuple[int, int]) -> None:
    for seed in range(10):
        taken = photograph(np.full((*size, 3), 100, np.uint8), np.random.default_rng(seed))
        assert taken.shape == (*size, 3)
        assert 20 < taken.mean() < 220


def test_exposure_balance_and_vignette_act_on_light() -> None:
    rng = np.random.default_rng(0)
    grey = np.full((41, 41, 3), 100, np.uint8)
    doubled = photograph(grey, rng, Lens(exposure=2.0))
    assert LINEAR[doubled[0, 0, 0]] == pytest.approx(2 * LINEAR[100], abs=0.005)
    warm = photograph(grey, rng, Lens(balance=(1.2, 1.0, 0.8)))[0, 0]
    assert warm[0] > warm[1] == 100 > warm[2]
    dark = photograph(grey, rng, Lens(vignette=0.5))
    assert dark[20, 20, 0] == 100
    assert dark[0, 0, 0] == pytest.approx(100 * 0.5 ** (1 / 2.2), abs=1)
    assert (photograph(np.full((4, 4, 3), 250, np.uint8), rng, Lens(exposure=9.0)) == 255).all()


@pytest.mark.parametrize("grain", [0.0, 0.8])
def test_noise_is_as_strong_as_asked_and_does_not_shift_brightness(grain: float) -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    taken = photograph(grey, np.random.default_rng(0), Lens(noise=5.0, grain=grain)).astype(float)
    assert taken.mean() == pytest.approx(128, abs=0.5)
    assert 3.5 < taken.std() < 6


@pytest.mark.parametrize("blur", [0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_blur_of_a_photograph_is_found(blur: float, seed: int) -> None:
    taken = photograph(shapes(seed), np.random.default_rng(0), Lens(blur=blur))
    assert measure_lens(taken).blur == pytest.approx(blur, rel=0.15, abs=0.2)


@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0, 5.0])
def test_the_noise_of_a_photograph_is_found(noise: float) -> None:
    taken = photograph(shapes(), np.random.default_rng(0), Lens(noise=noise))
    assert measure_lens(taken).noise == pytest.approx(noise, rel=0.4, abs=0.1)


@pytest.mark.parametrize("sigma", [2.0, 5.0])
def test_noise_is_measured_in_a_part_of_a_picture(sigma: float) -> None:
    rng = np.random.default_rng(2)
    grey = np.linspace(60, 180, 200)[None] + rng.normal(0, [[sigma] * 96 + [2 * sigma] * 104], (200, 200))
    picture = np.repeat(np.rint(grey.clip(0, 255)).astype(np.uint8)[..., None], 3, axis=2)
    left = np.arange(200)[None].repeat(200, 0) < 96
    assert noise_level(picture, left) == pytest.approx(sigma, rel=0.2)
    assert noise_level(picture, ~left) == pytest.approx(2 * sigma, rel=0.2)
    # A block of which less than half is in the part, or not clipped, tells nothing.
    assert noise_level(picture, np.zeros((200, 200), bool)) is None
    few = np.zeros((200, 200), bool)
    few[16:32, 16:24] = True
    assert noise_level(picture, few) is None
    assert noise_level(np.full((64, 64, 3), 255, np.uint8)) is None


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (15, 200), (64, 64)])
def test_a_photograph_of_nothing_can_be_measured(level: int, size: tuple[int, int]) -> None:
    assert measure_lens(np.full((*size, 3), level, np.uint8)) == Lens()


def test_only_people_go_through_the_lens_of_a_photograph() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (80, 90, 3)).astype(np.uint8)
    alpha = np.zeros((80, 90), np.float32)
    alpha[30:50, 30:60] = 1
    people = photo.copy()
    people[30:50, 30:60] = (200, 100, 50)
    taken = through_lens(people, alpha, np.random.default_rng(1), Lens(blur=1.0, noise=4.0))
    far = cv2.dilate(alpha, np.ones((15, 15), np.uint8)) == 0
    np.testing.assert_array_equal(taken[far], photo[far])
    assert 2 < taken[36:44, 36:54].astype(float).std(axis=(0, 1)).mean() < 6
    sharp = through_lens(people, alpha, np.random.default_rng(1), Lens())
    np.testing.assert_array_equal(sharp, people)


def test_lenses_are_drawn_from_a_sensible_range() -> None:
    lenses = [sample_lens(np.random.default_rng(seed)) for seed in range(300)]
    assert all(0 <= lens.blur <= 1 and 0.5 <= lens.noise <= 6 and 55 <= lens.jpeg <= 95 for lens in lenses)
    assert 100 < sum(lens.blur == 0 for lens in lenses) < 200
