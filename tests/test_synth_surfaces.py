"""Materials, textures, and what surfaces look like."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.train.synth_materials import (
    CLOTH,
    MATERIAL,
    PRINT,
    STRIPES,
    Materials,
    cloth_material,
    denim_material,
    eye_material,
    hair_material,
    prop_material,
    shoe_material,
    skin_material,
)
from ltsh_deploy.train.synth_noise import fractal_noise, value_noise
from ltsh_deploy.train.synth_palettes import hair_colour, linear_from_srgb, skin_colour, srgb_from_linear
from ltsh_deploy.train.synth_surface import PRINT_HEIGHT, bend_normal, surface_colour, surface_height
from ltsh_deploy.train.synth_textures import cloth_textures

coordinates = st.floats(-1.5, 1.5, width=32)


def some_materials(seed: int) -> Materials:
    rng, textures = np.random.default_rng(seed), cloth_textures()
    cloths = [cloth_material(rng, textures.tiled, textures.prints, upper=n % 2 == 0) for n in range(20)]
    skin = skin_colour(rng)
    others = [
        skin_material(rng, skin, hair_colour(rng, skin, 0.5)),
        hair_material(rng, hair_colour(rng, skin, 0.0)),
        denim_material(rng),
        eye_material(rng),
        prop_material(rng),
        shoe_material(rng),
    ]
    return np.concatenate(cloths + others)


def colour_at(
    material: np.void,
    x: float,
    y: float,
    z: float = 0.0,
    tint: float = 0.0,
    cut: float = -1.0,
    footprint: float = 0.001,
) -> npt.NDArray[np.float64]:
    out = np.empty(3)
    surface_colour(material, cloth_textures().bank, x, y, z, tint, cut, footprint, out)
    return out


def striped(duty: float = 0.3, period: float = 0.05) -> np.void:
    row = np.zeros(1, MATERIAL)
    row["kind"], row["pattern"], row["duty"], row["period"] = CLOTH, STRIPES, duty, period
    row["second"], row["cosine"], row["relief_period"] = 1, 1, 1
    return row[0]


@given(st.integers(0, 50), coordinates, coordinates, st.floats(-1, 1), st.floats(-0.1, 0.1), st.floats(1e-4, 1))
@settings(max_examples=60, deadline=None)
def test_albedo_is_between_0_and_1_on_every_material(
    seed: int, x: float, y: float, tint: float, cut: float, footprint: float
) -> None:
    for material in some_materials(seed):
        colour = colour_at(material, x, y, 0.0, tint, cut, footprint)
        assert np.isfinite(colour).all()
        assert (colour >= 0).all()
        assert (colour <= 1).all()


def test_stripes_cover_their_share_and_fade_where_a_pixel_holds_many() -> None:
    stripes = striped(duty=0.3)
    near = [colour_at(stripes, 0, y)[0] for y in np.linspace(0, 1, 4001)]
    far = [colour_at(stripes, 0, y, footprint=0.5)[0] for y in np.linspace(0, 1, 101)]
    assert np.mean(near) == pytest.approx(0.3, abs=0.01)
    assert np.max(near) > 0.95
    assert np.min(near) < 0.05
    assert np.allclose(far, 0.3, atol=0.06)


def test_a_print_is_shown_once_on_the_chest() -> None:
    textures = cloth_textures()
    row = np.zeros(1, MATERIAL)
    row["kind"], row["pattern"], row["texture"], row["period"] = CLOTH, PRINT, textures.tiled + 12, 0.2
    row["second"], row["third"], row["cosine"] = 1, 1, 1
    grid = [(x, y) for x in np.linspace(-0.4, 0.4, 81) for y in np.linspace(0, 0.6, 61)]
    inked = np.array([(x, y) for x, y in grid if colour_at(row[0], x, y).max() > 0.5])
    assert len(inked) > 20
    assert np.abs(inked[:, 0]).max() <= 0.1
    assert np.abs(inked[:, 1] - PRINT_HEIGHT).max() <= 0.1
    # Not on sleeves, whose chart has another number.
    assert all(colour_at(row[0], x, y, 10.0).max() < 0.5 for x, y in inked)


def test_relief_bends_the_normal_as_the_lifted_surface_lies() -> None:
    rng = np.random.default_rng(0)
    row = np.zeros(1, MATERIAL)
    row["kind"], row["relief"], row["relief_period"] = CLOTH, 0.002, 0.08
    material, step = row[0], 0.016
    texture_edges = np.array([[step, 0.0, 0.0], [0.0, step, 0.0]])
    for _ in range(20):
        x, y = rng.uniform(-0.3, 0.3, 2)
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        # Cloth on the body is stretched and sheared.
        edges = np.array([[1.3 * step, 0.2 * step, 0.0], [0.1 * step, 0.8 * step, 0.0]]) @ turn.T
        flat = np.cross(edges[0], edges[1])
        flat /= np.linalg.norm(flat)
        here = surface_height(material, x, y, 0.0)
        lifted = [
            edges[0] + flat * (surface_height(material, x + step, y, 0.0) - here),
            edges[1] + flat * (surface_height(material, x, y + step, 0.0) - here),
        ]
        expected = np.cross(*lifted)
        expected /= np.linalg.norm(expected)
        normal = flat.copy()
        bend_normal(material, x, y, 0.0, texture_edges, edges, 0.0001, normal)
        assert np.allclose(normal, expected, atol=1e-6)
        far = flat.copy()
        bend_normal(material, x, y, 0.0, texture_edges, edges, 1.0, far)
        assert np.array_equal(far, flat)


def test_degenerate_triangles_keep_their_normal() -> None:
    material, normal = some_materials(0)[0], np.array([0.0, 0.0, 1.0])
    bend_normal(material, 0.1, 0.2, 0.0, np.zeros((2, 3)), np.zeros((2, 3)), 0.0001, normal)
    assert np.array_equal(normal, [0, 0, 1])


@given(coordinates, coordinates, coordinates)
@settings(max_examples=60, deadline=None)
def test_noise_is_smooth_and_between_0_and_1(x: float, y: float, z: float) -> None:
    scale, step = 20.0, 1e-4
    for noise in (value_noise, fractal_noise):
        here, beside = noise(scale * x, scale * y, scale * z), noise(scale * x + step, scale * y, scale * z)
        assert 0 <= here <= 1
        assert abs(here - beside) < 3.0 * step * 1.6


def test_noise_is_the_same_on_every_machine() -> None:
    assert fractal_noise(0.3, -1.7, 5.2) == pytest.approx(0.383678093920537, abs=1e-12)


def test_textures_repeat_without_a_seam() -> None:
    textures = cloth_textures()
    for ink in textures.bank[: textures.tiled, -1].astype(float):
        inside = max(np.abs(np.diff(ink, axis=axis)).mean() for axis in (0, 1))
        across = max(np.abs(ink[0] - ink[-1]).mean(), np.abs(ink[:, 0] - ink[:, -1]).mean())
        assert across < 4 * inside + 2


def test_coarser_levels_of_a_texture_keep_its_mean_and_lose_detail() -> None:
    textures = cloth_textures()
    levels = textures.bank[: textures.tiled].astype(float)
    means, spreads = levels.mean(axis=(2, 3)), levels.std(axis=(2, 3))
    assert np.abs(means - means[:, :1]).max() < 2
    assert (spreads[:, 1:] <= spreads[:, :-1] + 1e-6).all()


def test_textures_differ_and_cannot_be_written_to() -> None:
    bank = cloth_textures().bank
    assert bank.shape[0] == cloth_textures().tiled + cloth_textures().prints
    assert all(ink.std() > 5 for ink in bank[:, 0])
    with pytest.raises(ValueError, match="read-only"):
        bank[0] = 0


@given(st.floats(0, 1))
def test_srgb_and_linear_light_undo_each_other(value: float) -> None:
    assert linear_from_srgb(srgb_from_linear(value)) == pytest.approx(value, abs=1e-6)


def test_hair_turns_grey_with_age() -> None:
    def chroma(grey: float) -> float:
        rng = np.random.default_rng(5)
        colours = np.array([hair_colour(rng, np.full(3, 0.5), grey) for _ in range(300)])
        return float((np.ptp(colours, axis=1) / colours.mean(axis=1)).mean())

    assert chroma(1.0) < 0.6 * chroma(0.0)
