"""Sheets, solids, garments and whole figures."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.train import synth_surface
from ltsh_deploy.train.synth_body import load_body, sample_shape
from ltsh_deploy.train.synth_charts import TRUNK, Sheet
from ltsh_deploy.train.synth_figure import dress, hung
from ltsh_deploy.train.synth_garments import wear_shirt, wear_trousers
from ltsh_deploy.train.synth_kinematics import pose_body
from ltsh_deploy.train.synth_materials import CLOTH, EYE, HAIR, SHOE, SKIN
from ltsh_deploy.train.synth_meshes import Solid, ball, box, left_of, ring, tube, vertex_normals, without_unused
from ltsh_deploy.train.synth_outfit import Outfit
from ltsh_deploy.train.synth_props import HAND_PROPS, hold
from ltsh_deploy.train.synth_types import Figure, PosedBody
from ltsh_deploy.train.synth_wardrobe import wardrobe_of
from tests.synth_bodies import key_pose, sample_pose


def posed_person(seed: int) -> PosedBody:
    body, rng = load_body(), np.random.default_rng(seed)
    return pose_body(body, sample_shape(body, rng), sample_pose(rng))


def person(seed: int) -> Figure:
    return dress(load_body(), posed_person(seed), np.random.default_rng([seed, 1]))


def new_outfit(seed: int = 0) -> Outfit:
    body, rng = load_body(), np.random.default_rng(seed)
    return Outfit(wardrobe_of(body), sample_shape(body, rng), rng)


def is_of(figure: Figure, *kinds: int) -> npt.NDArray[np.bool_]:
    """[F] whether triangles are of these kinds of material."""
    return np.isin(figure.materials["kind"][figure.face_materials], kinds)


def volume(solid: Solid) -> float:
    """Six times the signed volumes of the tetrahedra to the origin, divided by six."""
    vertices, faces = solid
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize(
    ("solid", "expected"),
    [
        (ball((0.1, 0.2, 0.3), 41, 60), 4 / 3 * np.pi * 0.006),
        (box((1.0, 2.0, 3.0), 1.0), 0.9 * np.pi),
        (tube([[0, 0, 0], [0, 0, 2]], [0.1, 0.1], 60), 0.02 * np.pi),
        (ring(0.5, 0.05, 60), 0.0025 * np.pi * np.pi),
    ],
)
def test_solids_are_closed_and_face_outwards(solid: Solid, expected: float) -> None:
    vertices, faces = solid
    # The poles of a ball are many vertices in one place.
    _, places = np.unique(np.rint(vertices * 1e6), axis=0, return_inverse=True)
    corners = places.reshape(-1)[faces]
    edges = Counter((int(f[i]), int(f[(i + 1) % 3])) for f in corners for i in range(3) if len(set(f.tolist())) == 3)
    assert all(count == 1 and edges[b, a] == 1 for (a, b), count in edges.items())
    assert volume(solid) == pytest.approx(expected, rel=0.2)


def test_a_box_with_sharp_edges_fills_its_size() -> None:
    vertices, faces = box((1.0, 2.0, 3.0), 0.05)
    assert np.allclose(np.ptp(vertices, axis=0), [1, 2, 3], rtol=0.1)
    assert volume((vertices, faces)) > 0.75 * 6


def test_normals_of_a_ball_point_away_from_its_middle() -> None:
    vertices, faces = ball((1.0, 1.0, 1.0), 25, 40)
    normals = vertex_normals(vertices.astype(np.float32), faces)
    # The last two close the poles with triangles of no area, where normals point upwards.
    assert ((normals * vertices).sum(axis=1)[:-2] > 0.97).all()
    assert np.array_equal(normals[-2:], [[0, 0, 1]] * 2)


def test_triangles_are_left_until_wholly_cut_and_unused_vertices_go() -> None:
    faces = np.array([[0, 1, 2], [2, 3, 4]], np.int32)
    kept = left_of(faces, np.array([1.0, 1.0, 0.5, 0.1, -0.1]))
    assert kept.tolist() == [False, True]
    used, renamed = without_unused(faces[kept], 6)
    assert used.tolist() == [2, 3, 4]
    assert renamed.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("name", ["shirt", "trousers", "skirt"])
def test_sheets_lie_flat_with_little_distortion_and_no_triangle_across_a_seam(name: str) -> None:
    body = load_body()
    sheet: Sheet = getattr(wardrobe_of(body), name)
    assert np.array_equal(sheet.origins[sheet.faces], sheet.joined_faces)
    corners, flat = body.mean[sheet.vertices[sheet.joined_faces]], sheet.texture[sheet.faces]
    lengths = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    flat_lengths = np.linalg.norm(flat - np.roll(flat, 1, axis=1), axis=2)
    assert (flat[..., 2] == 10.0 * sheet.charts[:, None]).all()
    # Half a turn around the trunk is 0.44 m of cloth; only hands and feet have triangles around a point.
    assert np.quantile(flat_lengths, 0.999) < 0.2
    assert 0.7 < np.median(flat_lengths / lengths) < 1.4


def test_cloth_hangs_straight_on_the_trunk_and_around_arms() -> None:
    body = load_body()
    shirt = wardrobe_of(body).shirt
    trunk = np.unique(shirt.faces[shirt.charts == TRUNK])
    assert np.allclose(shirt.texture[trunk, 1], body.mean[shirt.vertices[shirt.origins[trunk]], 2], atol=1e-6)
    front = trunk[np.abs(body.mean[shirt.vertices[shirt.origins[trunk]], 0]) < 0.002]
    chest = front[body.mean[shirt.vertices[shirt.origins[front]], 1] < -0.05]
    assert len(chest) > 5
    assert np.abs(shirt.texture[chest, 0]).max() < 0.01


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_figures_are_whole(seed: int) -> None:
    figure = person(seed)
    count = len(figure.vertices)
    arrays = (figure.vertices, figure.normals, figure.rest, figure.cut, figure.tint, figure.joints)
    assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in arrays)
    assert len(figure.normals) == len(figure.rest) == len(figure.cut) == len(figure.tint) == count
    assert figure.faces.dtype == np.int32
    assert figure.faces.min() >= 0
    assert figure.faces.max() == count - 1
    assert len(figure.face_materials) == len(figure.faces)
    assert figure.face_materials.min() >= 0
    assert figure.face_materials.max() < len(figure.materials)
    assert np.allclose(np.linalg.norm(figure.normals, axis=1), 1, atol=1e-3)
    assert np.abs(figure.tint).max() <= 1
    drawn = figure.face_materials
    kinds = set(figure.materials["kind"][drawn].tolist())
    assert {SKIN, EYE, CLOTH, HAIR} <= kinds
    assert set(figure.attributes["clothes"]) >= {"style", "hair"}
    json.dumps(dict(figure.attributes))


@pytest.mark.parametrize("seed", range(6))
def test_figures_stand_where_their_pose_says_and_moving_them_moves_all(seed: int) -> None:
    posed, figure = posed_person(seed), person(seed)
    feet = figure.vertices[np.isin(np.arange(len(figure.vertices)), figure.faces[is_of(figure, SKIN, SHOE)])]
    assert posed.pose.lift - 1e-5 <= feet[:, 2].min() < posed.pose.lift + 0.04
    lift = figure.joints - posed.joints
    # Soles lift everything alike.
    assert np.allclose(lift, lift[0], atol=1e-6)
    assert np.allclose(lift[:, :2], 0)
    assert lift[0, 2] > -1e-4
    moved = figure.moved((1.0, -2.0, 0.5))
    for field in fields(figure):
        before, after = getattr(figure, field.name), getattr(moved, field.name)
        shifts = field.name in ("vertices", "joints", "capsules_start", "capsules_end")
        assert np.allclose(after, before + np.float32([1, -2, 0.5]), atol=1e-5) if shifts else after is before


def test_a_seed_makes_one_figure_and_seeds_make_many() -> None:
    first, again, other = person(3), person(3), person(4)
    for field in fields(first):
        one, two = getattr(first, field.name), getattr(again, field.name)
        assert one.tobytes() == two.tobytes() if isinstance(one, np.ndarray) else one == two
    styles = {person(seed).attributes["clothes"]["style"] for seed in range(30)}
    assert len(styles) >= 5
    assert first.materials.tobytes() != other.materials.tobytes()


def test_dressing_leaves_the_posed_body_and_the_wardrobe_as_they_were() -> None:
    body, posed = load_body(), posed_person(1)
    before = body.mean.copy(), posed.vertices.copy(), wardrobe_of(body).tint.copy(), wardrobe_of(body).normals.copy()
    for seed in range(5):
        dress(body, posed, np.random.default_rng(seed))
    after = body.mean, posed.vertices, wardrobe_of(body).tint, wardrobe_of(body).normals
    assert all(np.array_equal(one, two) for one, two in zip(before, after, strict=True))


def test_garments_lie_outside_the_skin_they_hide() -> None:
    outfit = new_outfit()
    wear_trousers(outfit, "jeans")
    wear_shirt(outfit, "jumper")
    wardrobe = outfit.wardrobe
    for layer in outfit.layers:
        offset = layer.rest - outfit.shape.vertices[layer.sheet.vertices]
        assert ((offset * wardrobe.normals[layer.sheet.vertices]).sum(axis=1) > 0).all()
    regions = wardrobe.body.regions
    chest = (regions.neck < -0.15) & (regions.leg < -0.6) & (regions.arm_weight < 0.1)
    assert (outfit.covered[chest] < 0).all()
    face = (regions.neck > 0.1) & (regions.head_weight > 0.5)
    assert (outfit.covered[face] > 0).all()


def test_what_is_worn_beneath_does_not_show_through_what_is_worn_above() -> None:
    outfit = new_outfit(1)
    wear_shirt(outfit, "jumper")
    beneath = outfit.layers[0]
    wear_shirt(outfit, "coat")
    trimmed, coat = outfit.layers[0], outfit.layers[1]
    hidden = (coat.cut < -0.031) & (beneath.cut < 0)
    assert hidden.sum() > 300
    assert (trimmed.cut[hidden] > 0).all()
    both = (coat.cut < 0) & (trimmed.cut < 0)
    normals = outfit.wardrobe.normals[coat.sheet.vertices[both]]
    assert both.any()
    assert ((coat.rest[both] - trimmed.rest[both]) * normals).sum(axis=1).min() > 0.002


def test_all_sleeves_and_legs_end_where_the_kind_of_garment_says() -> None:
    for seed in range(10):
        outfit = new_outfit(seed)
        wear_shirt(outfit, "t-shirt")
        wear_trousers(outfit, "shorts")
        regions = outfit.wardrobe.body.regions
        assert (outfit.covered[regions.arm > 0.85] > 0).all()
        assert (outfit.covered[regions.leg > 1.0] > 0).all()


@pytest.mark.parametrize("kind", HAND_PROPS)
@pytest.mark.parametrize("side", ["L", "R"])
def test_props_are_closed_solids_in_the_hand(kind: str, side: str) -> None:
    outfit = new_outfit(2)
    hold(outfit, kind, side)
    body = outfit.wardrobe.body
    wrist = outfit.shape.bone_heads[body.bone(f"wrist.{side}")].astype(np.float64)
    assert outfit.names["held"] == kind
    for layer in outfit.layers:
        assert volume((layer.rest - wrist, layer.sheet.faces)) > 0
    corners = np.concatenate([layer.rest for layer in outfit.layers])
    assert (corners.min(axis=0) < wrist + 0.15).all()
    assert (corners.max(axis=0) > wrist - 0.15).all()


@pytest.mark.parametrize("kind", ["stick", "racket", "umbrella"])
def test_rods_have_vertices_all_along_by_which_it_is_noticed_who_they_are_in(kind: str) -> None:
    outfit = new_outfit(2)
    hold(outfit, kind, "L")
    rod = outfit.layers[0].rest
    direction = np.linalg.svd(rod - rod.mean(axis=0))[2][0]
    along = np.sort((rod - rod.mean(axis=0)) @ direction)
    assert np.ptp(along) > 0.3
    assert np.diff(along).max() < 0.045


def test_an_unknown_prop_is_refused() -> None:
    with pytest.raises(ValueError, match="no prop is called 'anvil'"):
        hold(new_outfit(), "anvil", "L")


@pytest.mark.parametrize("pose", ["arms_out", "handstand"])
def test_bags_hang_down_however_the_body_is_turned(pose: str) -> None:
    outfit = new_outfit(2)
    hold(outfit, "bag", "L")
    posed = pose_body(outfit.wardrobe.body, outfit.shape, key_pose(pose))
    hand = posed.skin(outfit.layers[0].hangs_from[None], outfit.layers[0].body_vertices[:1])[0]
    bag = hung(posed, outfit.layers[0], np.zeros_like(outfit.layers[0].rest))
    assert bag[:, 2].max() < hand[2]
    assert np.abs(bag[:, :2].mean(axis=0) - hand[:2]).max() < 0.05


def test_surfaces_know_where_the_body_has_its_chest_hips_knees_and_soles() -> None:
    body = load_body()
    heights = {name: float(body.mean_bone_heads[body.bone(name)][2]) for name in body.bone_names}
    assert heights["spine02"] < synth_surface.PRINT_HEIGHT < heights["clavicle.L"]
    assert pytest.approx(heights["upperleg01.L"], abs=0.02) == synth_surface.HIP_HEIGHT
    assert pytest.approx(heights["lowerleg01.L"], abs=0.02) == synth_surface.KNEE_HEIGHT
    assert 0.01 < synth_surface.SOLE_HEIGHT - float(body.mean[body.vertices_of("tights"), 2].min()) < 0.035
