"""Synthetic people in a picture: colours, shadows, and the maps that come with it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from ltsh_deploy.train.synth_camera import aim_camera
from ltsh_deploy.train.synth_light import LINEAR, to_srgb
from ltsh_deploy.train.synth_materials import CLOTH, PROP, SKIN
from ltsh_deploy.train.synth_render import MOST_FIGURES, join_figures, render
from ltsh_deploy.train.synth_types import Camera, Figure, Rendered
from tests.synth_dummies import NO_TEXTURES, ball, card, dummy, figure, light, material
from tests.synth_views import ground_point

GREY = np.full((60, 80, 3), 120, np.uint8)
#: Two metres in front of a card at y = 0: a pixel is 2 cm wide there.
CAMERA = aim_camera((0, 0, 1), 2, 0, 100, (80, 60))


def shown(figures: list[Figure], camera: Camera = CAMERA, **lights: object) -> Rendered:
    lamp = light(**lights)  # type: ignore[arg-type]
    return render(figures, camera, GREY, lamp, NO_TEXTURES, np.ones((60, 80), np.float32))


def test_nobody_leaves_the_background_as_it_was() -> None:
    background = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    nobody = render([], CAMERA, background, light(), NO_TEXTURES)
    np.testing.assert_array_equal(nobody.image, background)
    assert nobody.image is not background
    assert (nobody.alpha == 0).all()
    assert (nobody.instances == 0).all()
    assert (nobody.depth == 0).all()
    assert (nobody.material_kind == -1).all()
    behind = shown([ball((0, -5, 1), 0.3)])
    np.testing.assert_array_equal(behind.image, GREY)
    assert (behind.alpha == 0).all()


def test_maps_say_who_is_where_how_far_and_of_what() -> None:
    cloth = card((-0.6, 0.0), 0.0, (0.0, 2.0), materials=material(kind=CLOTH))
    skin = card((-0.2, 0.4), 1.0, (0.0, 2.0), materials=material(kind=SKIN))
    found = shown([skin, cloth])
    row, columns = 30, [12, 35, 45, 60]  # cloth alone, both, skin alone, nobody
    assert found.instances[row, columns].tolist() == [2, 2, 1, 0]
    np.testing.assert_allclose(found.depth[row, columns], [2, 2, 3, 0], rtol=1e-5)
    assert found.material_kind[row, columns].tolist() == [CLOTH, CLOTH, SKIN, -1]
    assert found.alpha[row, columns].tolist() == [1, 1, 1, 0]


def test_a_pixel_that_is_half_covered_is_half_transparent() -> None:
    # The picture's middle is between pixels 39 and 40; half a pixel at two metres is 1 cm.
    found = shown([card((0.01, 0.5), 0.0, (0.0, 2.0), materials=material((0, 0, 0)))])
    assert found.alpha[30, 39:42].tolist() == [0, 0.5, 1]
    assert found.instances[30, 39:42].tolist() == [0, 1, 1]
    between = LINEAR[found.image[30, 40, 0]] / LINEAR[120]
    assert between == pytest.approx(0.5, abs=0.01)


def test_ambient_light_shows_the_albedo() -> None:
    found = shown([card((-1, 1), 0.0, (0.0, 2.0), materials=material((0.2, 0.4, 0.8)))], around=0.8)
    expected = np.rint(to_srgb(np.array([0.16, 0.32, 0.64])))
    assert np.abs(found.image[30, 40] - expected).max() <= 1


def test_contrast_brightens_what_is_bright_and_darkens_what_is_dark_about_middle_grey() -> None:
    steep = replace(light(around=1.0), contrast=1.3)
    for albedo in (0.05, 0.18, 0.5):
        wall = card((-1, 1), 0.0, (0.0, 2.0), materials=material((albedo, albedo, albedo)))
        value = render([wall], CAMERA, GREY, steep, NO_TEXTURES).image[30, 40, 0]
        assert LINEAR[value] == pytest.approx(0.18 * (albedo / 0.18) ** 1.3, rel=0.03)


@pytest.mark.parametrize("angle", [0, 45, 80])
def test_key_light_falls_off_with_the_angle(angle: float) -> None:
    towards = (math.sin(math.radians(angle)), -math.cos(math.radians(angle)), 0)
    found = shown([card((-1, 1), 0.0, (0.0, 2.0))], around=0.0, key=1.0, direction=towards)
    assert LINEAR[found.image[30, 40, 0]] == pytest.approx(0.5 * math.cos(math.radians(angle)), abs=0.01)


def test_surfaces_are_lit_from_the_side_they_are_seen_from() -> None:
    front = card((-1, 1), 0.0, (0.0, 2.0))
    back = figure(front.vertices, front.faces[:, ::-1])
    assert back.normals[0, 1] > 0 > front.normals[0, 1]
    for one in (front, back):
        found = shown([one], around=0.0, key=1.0, direction=(0, -1, 0))
        assert found.image[30, 40, 0] > 150


def test_one_thing_shadows_another() -> None:
    wall, post = card((-1, 1), 0.0, (0.0, 2.0)), card((-0.6, -0.4), -0.5, (0.0, 2.0))
    found = shown([wall, post], around=0.1, key=0.8, direction=(-1, -1, 0))
    bright, dark = found.image[30, [70, 40], 0].tolist()  # the post's shadow falls half a metre to its right: x = 0
    assert LINEAR[dark] == pytest.approx(0.05, abs=0.01)
    assert LINEAR[bright] == pytest.approx(0.05 + 0.4 * math.sqrt(0.5), abs=0.02)


def test_bright_light_neither_wraps_round_nor_turns_dark() -> None:
    values = [
        int(shown([card((-1, 1), 0.0, (0.0, 2.0))], around=strength).image[30, 40, 0])
        for strength in (0.5, 1, 1.5, 2, 4, 100)
    ]
    assert values == sorted(values)
    assert values[-1] == 255


def test_hems_end_where_the_cut_is_zero() -> None:
    corners = card((-0.5, 0.5), 0.0, (0.0, 2.0))
    left_half = figure(corners.vertices, corners.faces, cut=corners.vertices[:, 0])
    found = shown([left_half])
    assert (found.instances[30, 16:39] == 1).all()
    assert (found.instances[30, 41:] == 0).all()


def test_a_ball_shadows_the_ground_below_the_light_and_nothing_else_changes() -> None:
    camera = aim_camera((0, 0, 0), 4, 45, 80, (80, 60))
    sphere, towards = ball((0, 0, 0.6), 0.3), (1.0, 0, 1)
    lit = render([sphere], camera, GREY, light(0.2, 0.8, towards), NO_TEXTURES, np.ones((60, 80), np.float32))
    rows, columns = np.mgrid[:60, :80]
    ground = ground_point(camera, np.stack([columns.ravel(), rows.ravel()], -1))[:, :2].reshape(60, 80, 2)
    from_shadow = np.linalg.norm((ground - [-0.6, 0]) / [math.sqrt(2), 1], axis=-1)
    bare = lit.alpha == 0
    assert (lit.image[bare & (from_shadow < 0.2)] < 100).all()
    assert (lit.image[bare & (from_shadow > 0.5) & (np.linalg.norm(ground, axis=-1) > 1.2)] == 120).all()
    # Where the ground takes no shadows, as in the sky, none falls.
    taken = np.zeros((60, 80), np.float32)
    untouched = render([sphere], camera, GREY, light(0.2, 0.8, towards), NO_TEXTURES, taken)
    np.testing.assert_array_equal(untouched.image[bare], GREY[bare])


def test_what_touches_the_ground_darkens_it_without_any_key_light() -> None:
    camera = aim_camera((0, 0, 0), 4, 45, 80, (80, 60))
    on_ground, above = (
        render([ball((0, 0, z), 0.3, rings=40)], camera, GREY, light(0.5), NO_TEXTURES, np.ones((60, 80), np.float32))
        for z in (0.3, 1.5)
    )
    darkest = [int(found.image[found.alpha == 0].min()) for found in (on_ground, above)]
    assert darkest[0] < 105 < darkest[1] <= 120


def test_folds_are_darker_than_open_surfaces() -> None:
    # Two walls that meet in a corner, which points away from the camera.
    corner = [(-1, -0.7, 0), (0, 0.3, 0), (0, 0.3, 2), (-1, -0.7, 2), (1, -0.7, 0), (1, -0.7, 2)]
    walls = figure(corner, [(0, 1, 2), (0, 2, 3), (1, 4, 5), (1, 5, 2)])
    found = shown([walls], around=0.6)
    assert found.image[30, 40, 0] < 0.9 * found.image[30, 55, 0]


def test_someone_around_the_camera_is_drawn_without_harm() -> None:
    near = dummy(np.random.default_rng(1)).moved((0, -2, 0.05))
    found = shown([near], key=0.5)
    assert np.isfinite(found.depth).all()
    assert (found.depth[found.instances > 0] > 0.04).all()


def test_the_same_scene_gives_the_same_bits_and_order_is_only_a_name() -> None:
    rng = np.random.default_rng(2)
    people = [dummy(rng).moved((x, y, 0)) for x, y in [(-0.7, 0.5), (0, 1), (0.6, 0)]]
    camera = aim_camera((0, 0, 0.9), 4, 10, 100, (80, 60))
    first, again = (shown(people, camera, key=0.6, direction=(1, -1, 1)) for _ in range(2))
    for name in ("image", "alpha", "instances", "depth", "material_kind"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    turned = shown(people[::-1], camera, key=0.6, direction=(1, -1, 1))
    np.testing.assert_array_equal(turned.image, first.image)
    np.testing.assert_array_equal(turned.instances, np.array([0, 3, 2, 1])[first.instances])


def test_joined_figures_keep_their_own() -> None:
    one, two = ball((0, 0, 1), 0.3), card((0, 1), 0, (0, 1), materials=np.concatenate([material(), material()]))
    mesh = join_figures([one, two])
    np.testing.assert_array_equal(mesh.vertices[mesh.faces[len(one.faces) :]], two.vertices[two.faces])
    assert mesh.owners.tolist() == [1, 2, 2]
    assert mesh.face_materials[-1] == 1
    assert mesh.faces.dtype == mesh.face_materials.dtype == np.int32


def wrong_backgrounds() -> list[npt.NDArray[np.generic]]:
    return [GREY[:-1], GREY[..., 0], GREY.astype(np.float32), np.zeros((80, 60, 3), np.uint8)]


@pytest.mark.parametrize("background", wrong_backgrounds())
def test_a_background_that_does_not_fit_is_refused(background: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="background"):
        render([], CAMERA, background, light(), NO_TEXTURES)


def test_too_many_figures_and_vertices_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="256 figures"):
        shown([card((0, 1), 0, (0, 1), materials=material(kind=PROP))] * (MOST_FIGURES + 1))
    broken = figure([(0, 0, 0), (1, 0, 0), (np.nan, 0, 1)], [(0, 1, 2)])
    with pytest.raises(ValueError, match="not numbers"):
        shown([broken])
